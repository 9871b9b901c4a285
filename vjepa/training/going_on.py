"""Which settings may change when a run is resumed.

A key of `TABLE` covers its setting and all settings below it; the longest matching key decides. A setting
that no key covers (of networks, masks, objective, seed, clips or augmentation) must not change: that would be
another run, which needs another folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple


class Change(Enum):
    """What a changed setting means for a run that is resumed."""

    FREE = "how the run is carried out, which changes nothing that is learnt: accepted"
    METRICS = "what is measured at the end: accepted, and metrics are computed again"
    SAID = "what is learnt from now on: accepted, and printed"
    ANOTHER_RUN = "another run: refused"


TABLE: dict[str, Change] = {
    "output_dir": Change.FREE,
    "train": Change.FREE,
    "train.keep_best": Change.METRICS,
    "train.patience": Change.SAID,
    "data.num_workers": Change.FREE,
    "data.loader": Change.FREE,
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
    "data.cache": Change.SAID,
    "data.features": Change.SAID,
}
"""Meaning of a change, by the key of the setting."""


class Changed(NamedTuple):
    """A setting that differs: its dotted key, its value before and its value now."""

    key: str
    before: Any
    now: Any

    @property
    def kind(self) -> Change:
        """Meaning of the change: that of `TABLE`, with two exceptions that make another run.

        The number of heads in a grid must not change. A list of validation or test videos must not be
        removed, since a new split would then be held back from videos that were trained on.
        """
        if self.key.startswith("grid") and _length(self.before) != _length(self.now):
            return Change.ANOTHER_RUN
        if self.key in ("data.val", "data.test") and self.now is None:
            return Change.ANOTHER_RUN
        return change_of(self.key)


def change_of(key: str) -> Change:
    """Return what a change of the setting `key`, dotted, means for a run that is resumed."""
    parts = key.split(".")
    heads = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((TABLE[head] for head in heads if head in TABLE), Change.ANOTHER_RUN)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Changed]:
    """Return the settings that differ between two trees, as `vjepa.config.config_tree` makes them."""
    old, new = flat_settings(before), flat_settings(now)
    pairs = ((key, old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys()))
    return [Changed(key, first, second) for key, first, second in pairs if first != second]


def calmer_settings(config: Any) -> str:
    """Return which settings to change if the loss is not finite; a resumed run accepts all of them."""
    warmup = "optim.warmup_steps" if hasattr(config.optim, "warmup_steps") else "optim.warmup_epochs"
    if getattr(config, "grid", None) is not None:  # Gradients of a grid's heads cannot be clipped.
        return f"lower grid.lr or lengthen {warmup}"
    clip = "lower" if config.optim.clip_grad is not None else "set"
    return f"lower optim.lr, lengthen {warmup} or {clip} optim.clip_grad"


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list) else None


def flat_settings(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a tree of settings as one dictionary by dotted key; `prefix` goes before each key."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
