"""The progress of a run: a bar in a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tqdm import tqdm

_SHOWN = {
    "kind": "{}",
    "loss": "loss {:.4f}",
    "loss_of_a_head": "of a head {:.4f}",
    "accuracy": "right {:.0%}",
    "relative_error": "of mean {:.2f}",
    "target/std": "std {:.3f}",
    "target/rank": "rank {:.1f}",
    "probe/knn": "k-NN {:.1%}",
    "probe/ridge": "ridge {:.1%}",
    "clips_per_second": "{:.0f} clips/s",
    "data_wait": "data wait {:.0%}",
}


class Progress:
    """Shows the progress of a run, on one process.

    Args:
        total: Number of steps of the run.
        first: Number of steps taken when the run starts or resumes.
        visible: Whether this process shows anything; True on the main process alone.
    """

    def __init__(self, total: int, first: int, visible: bool) -> None:
        self.total = total
        self.visible = visible
        self.started = time.monotonic()
        self.first = first
        on_terminal = visible and sys.stderr.isatty()
        self.measured: dict[str, Any] = {}
        self.bar = tqdm(total=total, initial=first, unit="step", dynamic_ncols=True) if on_terminal else None

    def advance(self) -> None:
        """Advance the bar by one step."""
        if self.bar is not None:
            self._out(self.bar.update)

    def show(self, record: dict[str, Any]) -> None:
        """Show the metrics of a logged record; a bar keeps those of a probe until they are measured again."""
        self.measured |= {key: value for key, value in record.items() if key.startswith("probe/")}
        shown = record if self.bar is None else record | self.measured
        metrics = "  ".join(text.format(shown[key]) for key, text in _SHOWN.items() if key in shown)
        if self.bar is not None:
            self._out(self.bar.set_postfix_str, metrics)
        elif self.visible:
            line = f"step {record['step']}/{self.total}  {metrics}  {self._left(record['step'])}"
            self._out(partial(print, flush=True), line)

    def say(self, message: str) -> None:
        """Print a line without breaking the bar."""
        if self.visible:
            self._out(tqdm.write, message)

    def close(self) -> None:
        """Close the bar, which stays on the terminal."""
        if self.bar is not None:
            self._out(self.bar.close)

    def _out(self, show: Callable[..., object], *what: object) -> None:
        """Print something; if the terminal or pipe is gone, the run goes on and shows nothing any more."""
        try:
            show(*what)
        except OSError:
            self.visible, self.bar = False, None

    def _left(self, step: int) -> str:
        seconds = (time.monotonic() - self.started) / max(step - self.first, 1) * (self.total - step)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d} left"
