"""Checks whether a fast reader is exact on a file, by comparing its frames with those of PyAV."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np

from vjepa.data.readers import decord, torchcodec
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import GuardedReader, reading
from vjepa.data.readers.pyav import PyAVReader

FAST: dict[str, Callable[[str], GuardedReader]] = {
    "decord": decord.DecordReader,
    "torchcodec": torchcodec.TorchcodecReader,
    "torchcodec_cuda": partial(torchcodec.TorchcodecReader, device="cuda"),
}
AROUND = 3  # Number of frames before and after a compared frame that must not match better than it.
SAME_TIME = 2e-3  # Tolerance for equal times, in seconds.
GARBAGE = 24.0  # Mean absolute difference in grey levels (0 to 255) above which two images are different.

# For each file that this process has met: why PyAV replaces the other reader, or None if it does not.
_verdicts: dict[tuple[str, str, int, int], str | None] = {}


def check_installed(reader: str) -> None:
    """Raise ValueError if the package behind `reader` does not load, or it lacks its GPU."""
    if reader == "torchcodec_cuda":
        torchcodec.check_gpu()
    (decord if reader == "decord" else torchcodec).package()


def open_fit(path: str, reader: str) -> GuardedReader:
    """Open a video with a reader of `FAST` if that agrees with PyAV, else with PyAV and a warning.

    The first time a process meets a file, it opens it with both readers and compares the number of frames,
    their times and a few frames. A damaged file is read by PyAV, which reports the damage. The result is the
    same in every process and run. Damage is missed if it lies elsewhere and shows neither in the header nor
    in the packets.
    """
    state = os.stat(path)
    key = (reader, os.path.abspath(path), state.st_size, state.st_mtime_ns)
    if key not in _verdicts:
        with PyAVReader(path) as exact:
            _verdicts[key] = _misfit(exact, path, reader)
        if _verdicts[key] is not None:
            warnings.warn(
                f"{path} is read by pyav in place of {reader}: {_verdicts[key]}", RuntimeWarning, stacklevel=3
            )
    return PyAVReader(path) if _verdicts[key] is not None else FAST[reader](path)


def _misfit(exact: PyAVReader, path: str, reader: str) -> str | None:
    """Return why a reader is not exact on a file; None if no difference was found."""
    try:
        with reading(path, reader):
            fast = FAST[reader](path)
    except VideoDecodeError as error:
        return error.cause
    with fast:
        return _difference(exact, fast)


def _difference(exact: PyAVReader, fast: GuardedReader) -> str | None:
    if len(fast) != len(exact):
        return f"it gives {len(fast)} frames, and the file has {len(exact)}"
    if not np.allclose(fast.timestamps, exact.timestamps, rtol=0, atol=SAME_TIME):
        return "it gives other times"
    long = exact.seeks
    for position in _places(exact):
        wrong = _differs_at(exact, fast, position)
        if wrong:
            return wrong
    if long and not exact.seeks:
        return "decoding cannot start at all of its keyframes"
    return f"it is damaged ({exact.damage})" if exact.damage else None


def _places(exact: PyAVReader) -> list[int]:
    """Return the numbers of the frames to compare: at the end, in the middle and at keyframes.

    They are in an order in which each needs a seek. With open groups of pictures, readers return wrong frames
    just before and after a keyframe.
    """
    last = len(exact) - 1
    keyframes = exact.keyframes[exact.keyframes > 0]
    if not keyframes.size:
        return [last, last // 2, 0, (3 * last) // 4, last // 4]
    early, late = (int(keyframes[len(keyframes) * third // 3]) for third in (1, 2))
    final = int(keyframes[-1])
    return [last, early, final, late - 1, last - 1, last // 2, late, early - 1]


def _differs_at(exact: PyAVReader, fast: GuardedReader, position: int) -> str | None:
    """Compare one frame; return the difference, or None.

    Readers round colours differently, so of the frames around it, the same frame must be the nearest, and
    near enough.
    """
    around = np.arange(max(0, position - AROUND), min(len(exact), position + AROUND + 1))
    right = exact.get_frames(around).float()  # an error here means that no reader can read the file
    try:
        given = fast.get_frames([position]).float()
    except VideoDecodeError as error:
        return error.cause
    if given.shape[1:] != right.shape[1:]:
        return f"it gives frames of {tuple(given.shape[2:])} pixels, and they have {tuple(right.shape[2:])}"
    distances = (right - given).abs().mean(dim=(1, 2, 3)).numpy()
    own = distances[position - around[0]]
    if own > GARBAGE or own > distances.min():
        return f"frame {position} is another one"
    return None
