"""Timing of several pieces of work alternately in one process, relative to a matrix product.

On a shared machine, other processes slow everything down for a while. Therefore the pieces take turns, round
after round, and each is reported by its median time, so that a slow phase affects all of them alike. For the
same reason, the matrix product is timed before each piece.
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
from typing import Literal, NamedTuple

import torch

Precision = Literal["no", "bf16"]  # The names of `accelerate launch --mixed_precision`.

GEMM_SIZE = 2048  # Rows and columns of the matrices in the matrix product, at most.
_SMALLEST_GEMM = 256
_LONG_GEMM = 0.02  # Seconds from which a matrix product is long enough to be timed.
_GEMMS_ON_DEVICE = 50  # Products in one timing on an accelerator; with fewer, launching dominates the time.


@dataclass(frozen=True)
class Work:
    """A piece of work to time.

    Attributes:
        name: Name of the work in the table.
        precision: Precision of the work's networks; None for work without networks.
        clips: Number of clips that one run processes; None for work without clips.
        flops: Number of floating-point operations of the matrix products in one run; None leaves them
            uncounted.
        run: Function that does the work once; it may return before an accelerator has finished.
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
        name: Name of the work.
        precision: Precision of the work's networks.
        clips: Number of clips that one run processes.
        clips_per_second: Clips per second at the median time.
        milliseconds: Median time of one run, in milliseconds.
        gflop: Floating-point operations of the matrix products in one run, in 10^9.
        gflop_per_second: Floating-point operations per second at the median time, in 10^9.
        gemm_share: `gflop_per_second` as a share of the best rate of the matrix product in the same
            precision.
        memory_gb: Peak memory of the process in 10^9 bytes, or on an accelerator that of its tensors, beyond
            what was in use before the work was set up.
        seconds: Time in seconds of each run, in order.
        cpu_seconds: CPU time in seconds of this process in each run, over all its threads. Other processes
            disturb it less than they disturb `seconds`.
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
    cpu_seconds: list[float]


def measure(
    parts: Sequence[Callable[[], Sequence[Work]]],
    precisions: Sequence[Precision],
    device: torch.device,
    repeats: int,
) -> list[Row]:
    """Set up the pieces of work one after the other, then time them alternately.

    Args:
        parts: Functions that each set up some pieces of work. Memory is measured relative to that before the
            call.
        precisions: Precisions in which the matrix product is timed; they must include those of all work.
        device: Device of the work.
        repeats: Number of timed runs of each piece of work, after two untimed ones.

    Raises:
        ValueError: `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}: give 1 or more")
    gemms = {precision: _gemm(precision, device) for precision in precisions}
    works, memory = _set_up([lambda: list(gemms.values()), *parts], device)
    timings: dict[int, list[Timing]] = {id(work): [] for work in works}
    for _ in range(repeats):
        for work in works:
            if work.precision is not None and work is not gemms[work.precision]:
                gemm = gemms[work.precision]
                timings[id(gemm)].append(_timing(gemm.run, device))
            timings[id(work)].append(_timing(work.run, device))
    peaks = {
        precision: _rate(gemm, min(one.seconds for one in timings[id(gemm)]))
        for precision, gemm in gemms.items()
    }
    return [_row(work, timings[id(work)], peaks, grown) for work, grown in zip(works, memory, strict=True)]


def _set_up(
    parts: Sequence[Callable[[], Sequence[Work]]], device: torch.device
) -> tuple[list[Work], list[float | None]]:
    """Set up all pieces of work and run each twice; return them with the memory in bytes that each added."""
    works: list[Work] = []
    memory: list[float | None] = []
    for part in parts:
        before = _memory(device)
        for work in part():
            work.run()  # The first run allocates what stays, such as the optimiser's moments.
            peak = _peak_memory(work.run, device)
            works.append(work)
            memory.append(None if before is None or peak is None else max(peak - before, 0))
    return works, memory


def gemm_rate(precision: Precision, device: torch.device) -> float:
    """Measure the speed of a matrix product in floating-point operations per second, the fastest of a few."""
    product = _gemm(precision, device)
    assert product.flops is not None
    return product.flops / min(_timing(product.run, device).seconds for _ in range(3))


def _gemm(precision: Precision, device: torch.device) -> Work:
    """Return a square matrix product as work; its rate approximates the best that the machine can reach.

    On a CPU that computes bf16 by emulation, one product of the largest matrices takes minutes, so matrices
    grow only until a product is long enough to be timed.
    """
    if device.type != "cpu":
        return _product(precision, device, GEMM_SIZE, _GEMMS_ON_DEVICE)
    size = _SMALLEST_GEMM
    while True:
        product = _product(precision, device, size, 1)
        product.run()  # The first run also starts threads and chooses kernels.
        if size == GEMM_SIZE or _timing(product.run, device).seconds >= _LONG_GEMM:
            return product
        size *= 2


def _product(precision: Precision, device: torch.device, size: int, times: int) -> Work:
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    # A generator of its own: a run that measures its machine must not draw other random numbers for it.
    generator = torch.Generator(device).manual_seed(0)
    left, right = torch.randn(2, size, size, device=device, generator=generator).to(dtype)
    out = torch.empty_like(left)

    def run() -> None:
        for _ in range(times):
            torch.mm(left, right, out=out)

    return Work("gemm", precision, None, 2.0 * times * size**3, run)


class Timing(NamedTuple):
    """Wall time and CPU time of one run, in seconds."""

    seconds: float
    cpu_seconds: float


def _timing(run: Callable[[], object], device: torch.device) -> Timing:
    _synchronize(device)
    started, cpu_started = time.perf_counter(), time.process_time()
    run()
    _synchronize(device)
    return Timing(time.perf_counter() - started, time.process_time() - cpu_started)


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()


def _rate(work: Work, seconds: float) -> float | None:
    return None if work.flops is None else work.flops / seconds


def _row(
    work: Work, timings: Sequence[Timing], peaks: Mapping[Precision, float | None], grown: float | None
) -> Row:
    median = statistics.median(one.seconds for one in timings)
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
        seconds=[one.seconds for one in timings],
        cpu_seconds=[one.cpu_seconds for one in timings],
    )


def _memory(device: torch.device) -> float | None:
    """Return the bytes of memory in use; None on a device that does not report them."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated()
    _give_back_freed()
    return resident_bytes("VmRSS") if device.type == "cpu" else None


def _peak_memory(run: Callable[[], object], device: torch.device) -> float | None:
    """Return the peak number of bytes of memory in use during `run`; None if it cannot be measured.

    On the CPU it is the resident memory that Linux reports for this process, without a loader's workers.
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
    resets.write_text("5")  # Resets the peak, VmHWM.
    run()
    return resident_bytes("VmHWM")


def _give_back_freed() -> None:
    """Make glibc return freed memory, which would otherwise count as memory of the next piece of work."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes(field: str) -> float | None:
    """Return the memory of this process that Linux reports; None on other systems.

    Args:
        field: ``VmRSS``, what is in use now, or ``VmHWM``, the most that was.
    """
    status = Path("/proc/self/status")
    found = re.search(rf"^{field}:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    return 1024.0 * int(found.group(1)) if found else None


def machine_name(device: torch.device) -> str:
    """Return one line with the processor, the number of threads and the versions of torch and Python."""
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


class Ratio(NamedTuple):
    """Speed of a piece of work relative to that of another library.

    Attributes:
        name: Name of the work.
        peer: Name of the other library.
        precision: Precision of both.
        speed: Median, over the rounds, of the other library's time divided by the time of this one: above 1,
            this library is faster. It is CPU time on a CPU and wall time on an accelerator.
        lowest, highest: Lowest and highest ratio of a round.
    """

    name: str
    peer: str
    precision: Precision | None
    speed: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        spread = f"{self.lowest:.2f} to {self.highest:.2f}"
        return f"{self.name}, {self.precision}: {self.speed:.2f} times as fast as {self.peer} ({spread})"


def ratios(rows: Sequence[Row], device: torch.device) -> list[Ratio]:
    """Compare each row named ``WORK (PEER)`` with the row ``WORK`` of the same precision."""
    rows_of = {(row.name, row.precision): row for row in rows}
    found = []
    for row in rows:
        name, _, peer = row.name.partition(" (")
        own = rows_of.get((name, row.precision))
        if not peer or own is None:
            continue
        theirs, ours = ((one.cpu_seconds if device.type == "cpu" else one.seconds) for one in (row, own))
        values = [other / mine for other, mine in zip(theirs, ours, strict=True)]
        found.append(
            Ratio(name, peer[:-1], row.precision, statistics.median(values), min(values), max(values))
        )
    return found


_COLUMNS = ("work", "precision", "clips", "clips/s", "ms", "GFLOP", "GFLOP/s", "of GEMM", "GB")


def table(rows: Sequence[Row]) -> str:
    """Return the rows as an aligned text table; `ms`, `GFLOP` and `GB` refer to one run of `clips` clips."""
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
