"""Decoded, resized videos on disk: decode once, then map into memory and index."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torchvision.transforms.v2 import functional as F

from vjepa.data.readers.arrays import ArrayReader, frame_files
from vjepa.data.readers.base import VideoDecodeError, VideoReader
from vjepa.data.readers.open import open_video

CHUNK = 32  # frames that are decoded and resized at a time, so that long videos do not fill the memory


def open_cached(
    path: str, reader: str, short_side: int, cache_dir: str | Path, fps: float = 25.0
) -> VideoReader:
    """Open a video from the cache; the first time, decode all of it into the cache.

    An entry is one ``.npy`` of uint8 ``(T, H, W, C)``, resized so that its short side has at most
    `short_side` pixels (never enlarged), and one of timestamps. Its name is a hash of the file's
    absolute path, size and time of change, of the reader and of the size, so that a changed file
    is decoded anew. Entries appear whole or not at all: several processes may share a folder, and
    be killed. Nothing is ever removed.

    Args:
        path, reader, fps: as of `open_video`.
        short_side: pixels, at least 1.
        cache_dir: made where it is missing.

    Errors are those of `open_video`, and OSError where the folder cannot be written.
    """
    if short_side < 1:
        raise ValueError(f"short_side is {short_side}: give a number of pixels, at least 1")
    entry = Path(cache_dir) / _key(path, reader, short_side, fps)
    frames_file, times_file = entry.with_suffix(".npy"), entry.with_suffix(".times.npy")
    if not frames_file.exists():
        _build(path, reader, short_side, fps, frames_file, times_file)
    return ArrayReader(path, np.load(frames_file, mmap_mode="r"), np.load(times_file))


def _key(path: str, reader: str, short_side: int, fps: float) -> str:
    """What an entry is called: the same only for the same file, unchanged, read in the same way."""
    try:
        files = frame_files(path) if os.path.isdir(path) else [Path(path)]
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError as error:
        raise VideoDecodeError(path, reader, f"{type(error).__name__}: {error.strerror}") from error
    facts = repr((os.path.abspath(path), states, reader, short_side, fps))
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _build(path: str, reader: str, short_side: int, fps: float, frames_file: Path, times_file: Path) -> None:
    frames_file.parent.mkdir(parents=True, exist_ok=True)
    with open_video(path, reader, fps) as video:
        # The frames come last: where they are, the entry is whole.
        _write_whole(times_file, lambda file: np.save(file, video.timestamps))
        _write_whole(frames_file, lambda file: _write_frames(file, video, short_side))


def _write_whole(target: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write beside the target, then rename: a reader or a kill never meets half a file."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _write_frames(file: BinaryIO, video: VideoReader, short_side: int) -> None:
    for begin in range(0, len(video), CHUNK):
        frames_TCHW = video.get_frames(range(begin, min(begin + CHUNK, len(video))))
        frames_TCHW = shrink(frames_TCHW, short_side)
        if not begin:
            shape = (len(video), *frames_TCHW.shape[2:], 3)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(frames_TCHW.permute(0, 2, 3, 1).contiguous().numpy().data)


def shrink(frames_TCHW: torch.Tensor, short_side: int) -> torch.Tensor:
    """Resize uint8 frames so that their short side has at most `short_side` pixels."""
    if min(frames_TCHW.shape[-2:]) <= short_side:
        return frames_TCHW
    return F.resize(frames_TCHW, [short_side], antialias=True)
