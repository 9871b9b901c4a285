"""Which settings may change when a run goes on: the one table that the run folder, messages and documents go
by.

A key stands for itself and for all keys below it; the longest that fits decides. What no key fits (networks,
masks, objective, seed, batch, clips, augmentation) makes another run, which needs another folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple


class Change(Enum):
    """What it means that a setting is another one than before."""

    FREE = "how the run is carried out: nothing that is learnt depends on it"
    METRICS = "what is measured at the end: metrics are made again"
    SAID = "what is learnt from here on: accepted, and printed"
    ANOTHER_RUN = "another run: refused"


TABLE: dict[str, Change] = {
    "output_dir": Change.FREE,
    "train": Change.FREE,
    "data.workers": Change.FREE,
    "features.folder": Change.FREE,
    "probe": Change.METRICS,
    "data.test": Change.METRICS,
    "evaluation": Change.METRICS,
    "planning": Change.METRICS,
    "train.precision": Change.SAID,
    "optim": Change.SAID,
    "optim.batch_size": Change.ANOTHER_RUN,
    "optim.average": Change.ANOTHER_RUN,
    "grid": Change.SAID,
    "data.train": Change.SAID,
    "data.val": Change.SAID,
    "data.images": Change.SAID,
    "data.max_unreadable": Change.SAID,
    "data.damaged": Change.SAID,
    "data.reader": Change.SAID,
    "data.cache_dir": Change.SAID,
    "data.cache_short_side": Change.SAID,
    "data.features": Change.SAID,
}
"""By key, what a change means; see `Change`."""


class Changed(NamedTuple):
    """A setting that differs: its key, what it was and what it is."""

    key: str
    before: Any
    now: Any

    @property
    def kind(self) -> Change:
        """What the change means.

        Heads of a grid may learn otherwise, but neither come nor go. Where a list to choose or to test on is
        taken away, one would be held back from videos that were trained on.
        """
        if self.key.startswith("grid") and _length(self.before) != _length(self.now):
            return Change.ANOTHER_RUN
        if self.key in ("data.val", "data.test") and self.now is None:
            return Change.ANOTHER_RUN
        return change_of(self.key)


def change_of(key: str) -> Change:
    """What a change of the setting `key` means for a run that goes on."""
    parts = key.split(".")
    heads = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((TABLE[head] for head in heads if head in TABLE), Change.ANOTHER_RUN)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Changed]:
    """The settings that differ between two configurations, as `vjepa.config.config_tree` gives them."""
    old, new = flat_settings(before), flat_settings(now)
    pairs = ((key, old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys()))
    return [Changed(key, first, second) for key, first, second in pairs if first != second]


def calmer_settings(config: Any) -> str:
    """What to change, by its key, where the loss of a run is not finite.

    All of it may change when a run goes on.
    """
    rate = "optim.lr" if getattr(config, "grid", None) is None else "grid.lr"
    warmup = "optim.warmup_steps" if hasattr(config.optim, "warmup_steps") else "optim.warmup_epochs"
    clip = "lower" if config.optim.clip_grad is not None else "set"
    return f"lower {rate}, lengthen {warmup} or {clip} optim.clip_grad"


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list) else None


def flat_settings(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted key."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
