"""Pieces of work timed alternately in one process, beside the rate of the machine's matrix product.

Other work on a shared machine slows everything for a while. So the pieces take turns, round after round, and
each is reported by its median: whatever slows the machine slows all of them alike. The matrix product is
timed before each piece, for the same reason.
"""

from __future__ import annotations

import ctypes
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["no", "bf16"]  # The names of `accelerate launch --mixed_precision`.

GEMM_SIZE = 2048
_GEMMS_ON_DEVICE = 50  # Products in one timing; a single one ends before the next can be launched.


@dataclass(frozen=True)
class Work:
    """Something to time.

    Attributes:
        name: Name in the table.
        precision: Precision of its networks; None for work without networks.
        clips: Clips that one run handles; None where clips have no meaning.
        flops: Floating-point operations of the matrix products of one run; None where there are none worth
            counting.
        run: Does the work; it may return before an accelerator has finished.
    """

    name: str
    precision: Precision | None
    clips: int | None
    flops: float | None
    run: Callable[[], object]


@dataclass(frozen=True)
class Row:
    """Measurements of one piece of work; None where a measurement does not apply.

    Attributes:
        milliseconds: Median time of one run of `clips` clips.
        clips_per_second, gflop_per_second: Rates at that median.
        gemm_share: Rate as a share of the best rate that the matrix product reached in the same precision.
        memory_gb: Greatest growth of the process, or on an accelerator of its tensors, since before the work
            was set up.
        seconds: Time of every run, in the order of the runs.
    """

    name: str
    precision: Precision | None
    clips: int | None
    clips_per_second: float | None
    milliseconds: float
    gflop: float | None
    gflop_per_second: float | None
    gemm_share: float | None
    memory_gb: float | None
    seconds: list[float]


def measure(
    parts: Sequence[Callable[[], Sequence[Work]]],
    precisions: Sequence[Precision],
    device: torch.device,
    repeats: int,
) -> list[Row]:
    """Set up the pieces of work one after the other, then time them alternately.

    Args:
        parts: Functions that each set up some pieces of work; memory is counted from before the call.
        precisions: Precisions in which the matrix product is measured: all that the work has.
        device: Device of the work.
        repeats: Number of timings of each piece, after two runs that are not timed.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}: give 1 or more")
    gemms = {precision: _gemm(precision, device) for precision in precisions}
    works, memory = _set_up([lambda: list(gemms.values()), *parts], device)
    seconds: dict[int, list[float]] = {id(work): [] for work in works}
    for _ in range(repeats):
        for work in works:
            if work.precision is not None and work is not gemms[work.precision]:
                gemm = gemms[work.precision]
                seconds[id(gemm)].append(_seconds(gemm.run, device))
            seconds[id(work)].append(_seconds(work.run, device))
    peaks = {precision: _rate(gemm, min(seconds[id(gemm)])) for precision, gemm in gemms.items()}
    return [_row(work, seconds[id(work)], peaks, grown) for work, grown in zip(works, memory, strict=True)]


def _set_up(
    parts: Sequence[Callable[[], Sequence[Work]]], device: torch.device
) -> tuple[list[Work], list[float | None]]:
    """All the work, run twice, and the bytes by which each made the process grow."""
    works: list[Work] = []
    memory: list[float | None] = []
    for part in parts:
        before = _memory(device)
        for work in part():
            work.run()  # what the first run leaves behind (an optimiser's moments) counts as well
            peak = _peak_memory(work.run, device)
            works.append(work)
            memory.append(None if before is None or peak is None else max(peak - before, 0))
    return works, memory


def _gemm(precision: Precision, device: torch.device) -> Work:
    """A square matrix product: what the machine can reach at all, nearly."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.randn(2, GEMM_SIZE, GEMM_SIZE, device=device).to(dtype)
    out = torch.empty_like(left)
    times = 1 if device.type == "cpu" else _GEMMS_ON_DEVICE

    def run() -> None:
        for _ in range(times):
            torch.mm(left, right, out=out)

    return Work("gemm", precision, None, 2.0 * times * GEMM_SIZE**3, run)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    _synchronize(device)
    started = time.perf_counter()
    run()
    _synchronize(device)
    return time.perf_counter() - started


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def _rate(work: Work, seconds: float) -> float | None:
    return None if work.flops is None else work.flops / seconds


def _row(
    work: Work, seconds: list[float], peaks: Mapping[Precision, float | None], grown: float | None
) -> Row:
    median = statistics.median(seconds)
    rate = _rate(work, median)
    peak = None if work.precision is None else peaks[work.precision]
    return Row(
        name=work.name,
        precision=work.precision,
        clips=work.clips,
        clips_per_second=None if work.clips is None else work.clips / median,
        milliseconds=1e3 * median,
        gflop=None if work.flops is None else work.flops / 1e9,
        gflop_per_second=None if rate is None else rate / 1e9,
        gemm_share=None if rate is None or peak is None else rate / peak,
        memory_gb=None if grown is None else grown / 1e9,
        seconds=seconds,
    )


def _memory(device: torch.device) -> float | None:
    """Bytes in use now; None where there is no way to tell."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated()
    _give_back_freed()
    return _resident("VmRSS") if device.type == "cpu" else None


def _peak_memory(run: Callable[[], object], device: torch.device) -> float | None:
    """Bytes in use at most while `run` runs; None where there is no way to tell.

    On CPU it is Linux's own count of resident memory, of this process alone, not of a loader's workers.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    resets = Path("/proc/self/clear_refs")
    if device.type != "cpu" or not resets.exists():
        run()
        return None
    _give_back_freed()
    resets.write_text("5")  # forget the highest value so far
    run()
    return _resident("VmHWM")


def _give_back_freed() -> None:
    """Let glibc return what is free, else one piece of work would count in the next one's memory."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _resident(field: str) -> float | None:
    status = Path("/proc/self/status")
    found = re.search(rf"^{field}:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    return 1024.0 * int(found.group(1)) if found else None


def machine_name(device: torch.device) -> str:
    """What the metrics were taken on, in a line."""
    versions = (
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, Python {platform.python_version()}"
    )
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name()}, {versions}"
    cpuinfo = Path("/proc/cpuinfo")
    found = (
        re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    )
    cpu = found.group(1) if found else platform.processor() or platform.machine()
    return f"{cpu}, {versions}" if device.type == "cpu" else f"{device.type} on {cpu}, {versions}"


_COLUMNS = ("work", "precision", "clips", "clips/s", "ms", "GFLOP", "GFLOP/s", "of GEMM", "GB")


def table(rows: Sequence[Row]) -> str:
    """Aligned columns; `ms`, `GFLOP` and `GB` are of one run of `clips` clips."""
    cells = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            [text.ljust(width) for text, width in zip(line[:2], widths[:2], strict=True)]
            + [text.rjust(width) for text, width in zip(line[2:], widths[2:], strict=True)]
        )
        for line in cells
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        row.precision or "-",
        _number(row.clips, "d"),
        _number(row.clips_per_second, ".2f"),
        _number(row.milliseconds, ".1f"),
        _number(row.gflop, ".1f"),
        _number(row.gflop_per_second, ".1f"),
        _number(row.gemm_share, ".0%"),
        _number(row.memory_gb, ".2f"),
    )


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)
