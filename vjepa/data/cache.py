"""Disk cache of decoded and resized videos: decoded once, then memory-mapped and indexed."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torchvision.transforms.v2 import functional as F

from vjepa.data.readers.arrays import ArrayReader, frame_files
from vjepa.data.readers.base import VideoDecodeError, VideoReader
from vjepa.data.readers.border import CHUNK, load_npy
from vjepa.data.readers.open import open_video
from vjepa.files import written_atomically


class CacheDirError(OSError):
    """The cache folder cannot be written."""


def open_cached(
    path: str, reader: str, short_side: int, cache_dir: str | Path, fps: float = 25.0, channels: int = 3
) -> VideoReader:
    """Open a video from the cache; the first time, decode all of it into the cache.

    An entry is a ``.npy`` file of uint8 frames ``(T, H, W, C)``, resized so that the short side has at most
    `short_side` pixels (never enlarged), a ``.npy`` file of timestamps and, for a damaged video, a text that
    describes the damage. Its name is a hash of the file's absolute path, size and modification time and of
    `reader`, `short_side`, `fps` and `channels`, so that a changed file is decoded again. Entries are written
    atomically: several processes may share a folder, and may be killed. An entry that is damaged nevertheless
    is written again. Entries are never removed.

    Args:
        path, reader, fps, channels: Video and how to read it, see `open_video`.
        short_side: Largest length of the short side in pixels, at least 1.
        cache_dir: Cache folder; created if it is missing.

    Raises:
        ValueError: `short_side` is below 1, or `reader` or `fps` is not valid.
        VideoDecodeError: The video cannot be read.
        CacheDirError: The folder cannot be written.
    """
    if short_side < 1:
        raise ValueError(f"short_side is {short_side}: give a number of pixels, at least 1")
    entry = Path(cache_dir) / _key(path, reader, short_side, fps, channels)
    video = _entry(path, entry)
    if video is None:
        with open_video(path, reader, fps, channels) as source:
            _build(source, short_side, entry)
        video = _entry(path, entry)
    if video is None:
        raise CacheDirError(f"cache_dir {cache_dir} does not keep what is written to it: give another folder")
    return video


def check_cache_dir(cache_dir: str | Path) -> None:
    """Create the cache folder if it is missing; `CacheDirError` if nothing can be written to it."""
    with _folder_at_fault(Path(cache_dir)):
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_dir) as file:
            file.write(bytes(2**16))
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _folder_at_fault(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheDirError(
            f"cache_dir {folder} cannot be written ({error.strerror}): make room or give another folder; "
            "null decodes each time"
        ) from error


def _entry(path: str, entry: Path) -> VideoReader | None:
    """Open an entry; None if it is missing or damaged (a disk can lose the last writes)."""
    try:
        frames_THWC = load_npy(str(entry.with_suffix(".npy")))
        times = np.load(entry.with_suffix(".times.npy"))
        damage = entry.with_suffix(".damage.txt")
        video = ArrayReader(path, frames_THWC, times, damage.read_text() if damage.exists() else None)
    except Exception:  # whatever is wrong with an entry, it is written again
        return None
    return video if len(times) == len(frames_THWC) else None


def _key(path: str, reader: str, short_side: int, fps: float, channels: int) -> str:
    """Return an entry's name, which is equal only for an unchanged file that is read in the same way."""
    try:
        files = frame_files(path) if os.path.isdir(path) else [Path(path)]
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except OSError as error:
        raise VideoDecodeError(path, reader, f"{type(error).__name__}: {error.strerror}") from error
    facts = repr((os.path.abspath(path), states, reader, short_side, fps, channels))
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _build(video: VideoReader, short_side: int, entry: Path) -> None:
    with _folder_at_fault(entry.parent):
        entry.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(entry.with_suffix(".npy"), durable=True) as draft:
            with draft.open("wb") as file:
                _write_frames(file, video, short_side)
            # Decoding is complete only here, and damage known. The frames get their final name last, so that
            # an entry with frames is complete.
            _write(entry.with_suffix(".times.npy"), _as_npy(video.timestamps))
            if video.damage is not None:
                _write(entry.with_suffix(".damage.txt"), video.damage.encode())


def _write(path: Path, content: bytes) -> None:
    with written_atomically(path, durable=True) as draft:
        draft.write_bytes(content)


def _as_npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _write_frames(file: BinaryIO, video: VideoReader, short_side: int) -> None:
    for begin in range(0, len(video), CHUNK):
        frames_TCHW = video.get_frames(range(begin, min(begin + CHUNK, len(video))))
        frames_TCHW = shrink(frames_TCHW, short_side)
        if not begin:
            shape = (len(video), *frames_TCHW.shape[2:], frames_TCHW.shape[1])
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        file.write(frames_TCHW.permute(0, 2, 3, 1).contiguous().numpy().data)


def shrink(frames_TCHW: torch.Tensor, short_side: int) -> torch.Tensor:
    """Resize uint8 frames so that their short side has at most `short_side` pixels."""
    if min(frames_TCHW.shape[-2:]) <= short_side:
        return frames_TCHW
    return F.resize(frames_TCHW, [short_side], antialias=True)
