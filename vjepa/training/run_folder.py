"""The folder of a run: configuration, metrics, summary, checkpoints, model."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from vjepa.config import ConfigError, config_tree, read_config, write_config
from vjepa.files import written_atomically
from vjepa.training.alone import alone
from vjepa.training.checkpoint import has_checkpoints
from vjepa.training.going_on import Change, Changed, change_of, changes, flat_settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = tuple[Any, ...]
"""What a run learns from one row of a list: the path of the file, and whatever else of the row counts."""

_ELSEWHERE = "give another --output_dir"
# Settings that only steps which are still to come can follow.
_OF_STEPS = ("optim.", "grid", "data.train", "data.images", "train.precision")
_NUMBER_OF_STEPS = ("optim.steps", "optim.epochs")


class RunFolder:
    """Paths of a run and the files that are not checkpoints."""

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
        """Whether there is a checkpoint or a model: what a start with other settings must not mix with."""
        return has_checkpoints(self.checkpoints) or self.model.exists()

    def claim(self, config: DataclassInstance, say: Callable[[str], None]) -> bool:
        """Store the resolved configuration; whether the run is finished already, with nothing left to do.

        Where nothing was trained yet, any configuration is taken. Settings that differ from those of a run
        that was trained are judged by the table of `vjepa.training.going_on`.

        Raises:
            ValueError: The folder holds another run, or a run whose checkpoints are gone.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._say(self._differing(config) if self.trained else [], say)
        self._settings = _digest_of_settings(config)
        settings = _read_json(self.finished).get("settings")
        finished = self.model.exists() and bool(self.read_summary()) and settings == self._settings
        if self.model.exists() and not finished and not has_checkpoints(self.checkpoints):
            raise ValueError(
                f"{self.path} holds a model and no checkpoint to go on from: {_ELSEWHERE}, or move "
                f"{self.model} away to start "
                "from the first step"
            )
        with written_atomically(self.config) as draft:
            write_config(config, draft)
        return finished

    def _differing(self, config: DataclassInstance) -> list[Changed]:
        """The settings that are others than those of the run, all of which may be; ValueError else."""
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
                "give more steps "
                f"({' or '.join(_NUMBER_OF_STEPS)}), {_ELSEWHERE.removeprefix('give ')}, or these settings "
                "as they were"
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
            raise ValueError(f"{self.path} holds a run of another kind: {_ELSEWHERE}\n{error}") from error

    def compare_sources(
        self, rows: Sequence[Row], classes: Sequence[str] | None = None, precision: str | None = None
    ) -> Iterator[str]:
        """Remember what is learnt from; gives what is to be said where a trained run learnt from something
        else.

        Args:
            rows: Rows of the lists of training videos, in their order.
            classes: Class names in the order of their numbers, for a run that learns classes.
            precision: Precision in which the networks compute.

        Raises:
            ValueError: The classes are others, so that the outputs of the trained head would change their
                meaning.
        """
        now: dict[str, Any] = {
            "rows": len(rows),
            "digest": _digest(rows),
            "classes": classes and list(classes),
            "precision": precision,
        }
        before = _read_json(self.learnt_from) if self.trained else {}
        if before.get("classes", now["classes"]) != now["classes"]:
            raise ValueError(
                f"{self.path} holds a run that learnt {_shown(before['classes'])}, and data.train has "
                f"{_shown(now['classes'])}: "
                f"{_ELSEWHERE}, or a list with the same classes"
            )
        _write_json(self.learnt_from, now)
        if before.get("digest", now["digest"]) != now["digest"]:
            yield (
                f"the list of training videos is another one ({before['rows']} rows before, {len(rows)} "
                "now): the order of "
                "samples is another one from here on"
            )
        if before.get("precision", precision) != precision:
            yield f"the precision of the run was {before['precision']} and is {precision} from here on"

    def seconds(self) -> float:
        """How long the run took so far, in all its processes one after the other."""
        return round(self._seconds_before + time.perf_counter() - self._started, 1)

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")
        _write_json(self.elapsed, {"seconds": self.seconds()})

    def forget_after(self, step: int, say: Callable[[str], None] = print) -> None:
        """Drop metrics of steps that will be taken again, and what a kill or a damaged disk left of a
        line.
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
        """All logged records."""
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write the final metrics, and then that the run is finished with the settings that it was claimed
        for.
        """
        _write_json(self.summary, summary)
        _write_json(self.finished, {"settings": self._settings})

    def read_summary(self) -> dict[str, Any]:
        """The final metrics of a finished run."""
        return _read_json(self.summary)


def claim(folder: RunFolder, config: DataclassInstance, accelerator: Accelerator) -> bool:
    """`RunFolder.claim` for all processes, each of which must call this."""
    answer = alone(accelerator, lambda: folder.claim(config, accelerator.print))
    finished = bool(broadcast_object_list([answer])[0])
    if finished:
        accelerator.print(f"{folder.path} is finished: its metrics are in {folder.summary}")
    return finished


def metrics_of(record: dict[str, Any]) -> dict[str, Any]:
    """What a logged record measured, without what says which step it was."""
    return {key: value for key, value in record.items() if key not in ("step", "kind")}


def _is_said(key: str, before: Any, now: Any) -> bool:
    return Changed(key, before, now).kind is Change.SAID


def _digest_of_settings(config: DataclassInstance) -> str:
    """Of all settings that the metrics of a finished run depend on."""
    settings = {
        key: value
        for key, value in flat_settings(config_tree(config)).items()
        if change_of(key) is not Change.FREE
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]


def _record(line: bytes) -> dict[str, Any] | None:
    """A line of metrics.jsonl, or None of one that is not whole."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = line.endswith(b"\n") and isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if whole else None


def _digest(rows: Sequence[Row]) -> str:
    """Of rows in their order.

    Files count by their place below the folder that all share, so that it may be moved.
    """
    paths = [str(row[0]) for row in rows]
    top = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    named = [[os.path.relpath(path, top), *row[1:]] for path, row in zip(paths, rows, strict=True)]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32]


def _shown(classes: Any) -> str:
    names = list(classes or ())
    return f"{len(names)} classes ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"


def _read_json(path: Path) -> dict[str, Any]:
    """A small file that the run can do without; empty where it is missing or damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with written_atomically(path) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n")
