"""The folder of a run: configuration, metrics, summary, checkpoints, model."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list

from vjepa.config import ConfigError, config_tree, read_config, write_config
from vjepa.files import written_atomically
from vjepa.profiling.timing import machine_name
from vjepa.source_commit import source_commit
from vjepa.training.alone import alone
from vjepa.training.checkpoint import has_checkpoints
from vjepa.training.going_on import Change, Changed, change_of, changes, flat_settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = tuple[Any, ...]
"""One row of a training list: the path of its file, then all other values that affect what is learnt."""

_ELSEWHERE = "give another --output_dir"
# Changes of these settings take effect in later steps only.
_OF_STEPS = ("optim.", "grid", "data.train", "data.images", "train.precision")
_NUMBER_OF_STEPS = ("optim.steps", "optim.epochs")


class RunFolder:
    """The paths of a run, and access to its files other than checkpoints.

    Args:
        path: Folder of the run; it need not exist yet.

    Attributes:
        config: Resolved configuration.
        learnt_from: Digest of the training lists, the classes and the precision of the run.
        elapsed: Seconds that the run took so far.
        metrics: Logged records, one JSON object a line.
        summary: Final metrics.
        finished: Digest of the settings with which the run was finished.
        plot: Plot of the metrics.
        checkpoints: Folder of the checkpoints.
        model: Model folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.learnt_from = self.path / "learnt_from.json"
        self.elapsed = self.path / "elapsed.json"
        self.metrics = self.path / "metrics.jsonl"
        self.summary = self.path / "summary.json"
        self.finished = self.path / "finished.json"
        self.plot = self.path / "report.png"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self._settings = ""
        self._started = time.perf_counter()
        self._seconds_before = float(_read_json(self.elapsed).get("seconds", 0.0))

    @property
    def trained(self) -> bool:
        """Whether the folder has a checkpoint or a model, so that not all settings may change."""
        return has_checkpoints(self.checkpoints) or self.model.exists()

    def finished_with(self, config: DataclassInstance) -> bool:
        """Return whether the folder holds a finished run of all settings that its metrics depend on."""
        settings = _read_json(self.finished).get("settings")
        same = settings == _digest_of_settings(config)
        return same and self.model.exists() and bool(self.read_summary())

    def complete(self, config: DataclassInstance) -> bool:
        """Return whether the folder holds a finished run that `config` could only measure again.

        All of its steps are taken, so settings of steps no longer count, unless the number of steps is one
        of them.
        """
        if not self.config.exists():
            return False
        stored = self._read(type(config))
        found = changes(config_tree(stored), config_tree(config))
        another = any(change.kind is Change.ANOTHER_RUN or change.key in _NUMBER_OF_STEPS for change in found)
        return not another and self.finished_with(stored)

    def claim(self, config: DataclassInstance, say: Callable[[str], None]) -> bool:
        """Store the resolved configuration, after a check against that of the run in the folder.

        If nothing was trained yet, any configuration is accepted. Otherwise the table of
        `vjepa.training.going_on` decides which settings may differ.

        Args:
            config: Resolved configuration.
            say: Prints a line; it is called with the settings that differ.

        Returns:
            Whether the run is finished with these settings, and nothing is left to do.

        Raises:
            ValueError: The folder holds another run, a run that has taken all of the steps that changed
                settings would affect, or a run without configuration or checkpoints.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._say(self._differing(config) if self.trained else [], say)
        self._settings = _digest_of_settings(config)
        finished = self.finished_with(config)
        if self.model.exists() and not finished and not has_checkpoints(self.checkpoints):
            raise ValueError(
                f"{self.path} holds a model and no checkpoint to go on from: {_ELSEWHERE}, or move "
                f"{self.model} away to start from the first step"
            )
        with written_atomically(self.config) as draft:
            write_config(config, draft)
        return finished

    def _differing(self, config: DataclassInstance) -> list[Changed]:
        """Return the settings that differ from those of the run; ValueError if one must not."""
        if not self.config.exists():
            raise ValueError(
                f"{self.path} holds a run without its config.yaml: {_ELSEWHERE}, or bring it back"
            )
        found = changes(config_tree(self._read(type(config))), config_tree(config))
        refused = [change for change in found if change.kind is Change.ANOTHER_RUN]
        if refused:
            listed = "; ".join(f"{key}: {before} there, {now} here" for key, before, now in refused)
            raise ValueError(
                f"{self.path} holds a run with another configuration ({listed}): {_ELSEWHERE}, or these "
                "settings as they were"
            )
        learning = [change for change in found if change.key.startswith(_OF_STEPS)]
        if (
            self.model.exists()
            and learning
            and not any(change.key in _NUMBER_OF_STEPS for change in learning)
        ):
            listed = "; ".join(f"{key}: {before} there, {now} here" for key, before, now in learning)
            raise ValueError(
                f"{self.path} has taken all of its steps, and these settings would change them ({listed}): "
                f"give more steps ({' or '.join(_NUMBER_OF_STEPS)}), {_ELSEWHERE.removeprefix('give ')}, or "
                "these settings as they were"
            )
        return found

    def _say(self, differing: Sequence[Changed], say: Callable[[str], None]) -> None:
        said = [f"{key} {before} -> {now}" for key, before, now in differing if _is_said(key, before, now)]
        if said:
            say(f"{self.path} goes on with other settings: {', '.join(said)}")

    def _read(self, kind: type[DataclassInstance]) -> DataclassInstance:
        try:
            return read_config(["--config", str(self.config)], kind)
        except ConfigError as error:
            raise ValueError(
                f"{self.path} holds a run of another kind, or settings that this version does not accept: "
                f"{_ELSEWHERE}\n{error}"
            ) from error

    def learnt_from_others(self, rows: Sequence[Row]) -> bool:
        """Return whether the run in the folder learnt from other rows than these."""
        before = _read_json(self.learnt_from).get("digest") if self.trained else None
        return before is not None and before != digest_of_rows(rows)

    def compare_sources(
        self, rows: Sequence[Row], classes: Sequence[str] | None = None, precision: str | None = None
    ) -> Iterator[str]:
        """Store what the run learns from, and compare it with what the trained run in the folder learnt from.

        Args:
            rows: Rows of the training lists, in their order.
            classes: Class names in the order of their indices; None for a run that does not learn classes.
            precision: Precision in which the networks compute.

        Yields:
            A warning for each difference. Nothing is stored before the first value is asked for.

        Raises:
            ValueError: The classes differ, which would change the meaning of the trained head's outputs.
        """
        now: dict[str, Any] = {
            "rows": len(rows),
            "digest": digest_of_rows(rows),
            "classes": classes and list(classes),
            "precision": precision,
        }
        before = _read_json(self.learnt_from) if self.trained else {}
        if before.get("classes", now["classes"]) != now["classes"]:
            raise ValueError(
                f"{self.path} holds a run that learnt {_shown(before['classes'])}, and data.train has "
                f"{_shown(now['classes'])}: {_ELSEWHERE}, or a list with the same classes"
            )
        _write_json(self.learnt_from, now)
        if before.get("digest", now["digest"]) != now["digest"]:
            yield (
                f"the list of training videos has changed ({before['rows']} rows before, {len(rows)} now): "
                "the order of samples changes from here on"
            )
        if before.get("precision", precision) != precision:
            yield f"the precision of the run was {before['precision']} and is {precision} from here on"

    def seconds(self) -> float:
        """Return the seconds that the run took so far, over all its starts."""
        return round(self._seconds_before + time.perf_counter() - self._started, 1)

    def origin(self) -> dict[str, Any]:
        """Return how long the run took, in seconds, and with which commit of the library on which machine."""
        machine = machine_name(PartialState().device)
        return {"seconds": self.seconds(), "commit": source_commit(), "machine": machine}

    def log(self, record: dict[str, Any]) -> None:
        """Append a record to metrics.jsonl, and store the seconds that the run took."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")
        _write_json(self.elapsed, {"seconds": self.seconds()})

    def forget_after(self, step: int, say: Callable[[str], None] = print) -> None:
        """Delete the metrics of all steps after `step`, which will be taken again, and damaged lines.

        Args:
            step: Number of the last step whose metrics are kept.
            say: Prints a line; it is called with the number of damaged lines, if there are any.
        """
        if not self.metrics.exists():
            return
        lines = self.metrics.read_bytes().splitlines(keepends=True)
        kept, damaged = [], 0
        for line in lines:
            record = _record(line)
            damaged += record is None
            if record is not None and record["step"] <= step:
                kept.append(line)
        if damaged:
            say(f"{self.metrics}: {damaged} damaged line{'s' if damaged > 1 else ''} cut")
        with written_atomically(self.metrics) as draft:
            draft.write_bytes(b"".join(kept))

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return all logged records."""
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write the final metrics, then mark the run as finished with the settings given to `claim`."""
        _write_json(self.summary, summary)
        _write_json(self.finished, {"settings": self._settings})

    def read_summary(self) -> dict[str, Any]:
        """Return the final metrics, or an empty dictionary if there are none."""
        return _read_json(self.summary)


def claim(
    folder: RunFolder, config: DataclassInstance, accelerator: Accelerator, *, keep_complete: bool = False
) -> bool:
    """Call `RunFolder.claim` for all processes; every process must call this.

    Args:
        folder: Folder of the run.
        config: Resolved configuration.
        accelerator: Accelerator of the run.
        keep_complete: Whether a run that is complete (`RunFolder.complete`) is left as it is.

    Returns:
        Whether the run is finished, and nothing is left to do.
    """

    def ask() -> bool:
        return (keep_complete and folder.complete(config)) or folder.claim(config, accelerator.print)

    answer = alone(accelerator, ask)
    finished = bool(broadcast_object_list([answer])[0])
    if finished:
        accelerator.print(f"{folder.path} is finished: its metrics are in {folder.summary}")
    return finished


def metrics_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of a logged record, without its step and kind."""
    return {key: value for key, value in record.items() if key not in ("step", "kind")}


def _is_said(key: str, before: Any, now: Any) -> bool:
    return Changed(key, before, now).kind is Change.SAID


def _digest_of_settings(config: DataclassInstance) -> str:
    """Return a digest of all settings that the metrics of a finished run depend on."""
    settings = {
        key: value
        for key, value in flat_settings(config_tree(config)).items()
        if change_of(key) is not Change.FREE
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line of metrics.jsonl, or None if the line is damaged."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = line.endswith(b"\n") and isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if whole else None


def digest_of_rows(rows: Sequence[Row]) -> str:
    """Return a digest of rows in their order.

    Paths are taken relative to the folder that all files share, so that it may be moved.
    """
    top, folder, digest = None, None, hashlib.sha256()
    for row in rows:
        if (here := os.path.dirname(str(row[0]))) != folder:
            folder, top = here, here if top is None else os.path.commonpath([top, here])
    for row in rows:
        digest.update(json.dumps([str(row[0])[len(top or "") :], *row[1:]]).encode() + b"\n")
    return digest.hexdigest()[:32]


def _shown(classes: Any) -> str:
    names = list(classes or ())
    return f"{len(names)} classes ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"


def _read_json(path: Path) -> dict[str, Any]:
    """Read a file that the run can do without; return an empty dictionary if it is missing or damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with written_atomically(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n")
