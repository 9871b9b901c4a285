"""Disk cache of decoded and resized videos: decoded once, then memory-mapped and indexed."""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torchvision.transforms.v2 import functional as F

from vjepa.data.python_datasets import is_item
from vjepa.data.readers.arrays import ArrayReader, frame_files
from vjepa.data.readers.base import VideoDecodeError, VideoReader
from vjepa.data.readers.border import CHUNK
from vjepa.data.readers.open import open_video
from vjepa.data.remote import source_of, state_of
from vjepa.files import written_atomically

SUFFIX = ".video"  # of entries
_MOST_OPEN = 4096  # entries that a process keeps open; Linux allows 65,530 memory maps
# Last bytes of an entry: length of the description before them, and a mark that the entry is whole.
_TAIL = struct.Struct("<Q8s")
_MARK = b"vjepa  1"


class CacheDirError(OSError):
    """The cache folder cannot be written."""


class VideoCache:
    """Videos of a cache folder; a video that is not there is decoded into it.

    An entry is one file: uint8 frames ``(T, H, W, C)``, resized so that the short side has at most
    `short_side` pixels (never enlarged); their times; and a description with their shape and, for a damaged
    video, its damage. The name of an entry is a hash of the video's absolute path, size and modification time
    and of how it is read, so that a changed file is decoded again. Entries are written atomically: several
    processes may share a folder, and may be killed. An entry that is damaged nevertheless is written again.

    A process opens each entry once: a change of the file is noticed by processes that start later.

    Args:
        folder: Cache folder; created if it is missing.
        short_side: Largest length of the short side in pixels, at least 1.
        max_gb: Largest size of the folder in gigabytes (1e9 bytes). To make room, entries are removed that
            were last used before this object was made, the longest unused first; a video that finds no room
            is decoded each time, so that a cache which is too small for an epoch still helps. Several
            processes that write at once may exceed the limit by an entry each. None has no limit.

    Raises:
        ValueError: `short_side` is below 1, or `max_gb` is not above 0.
        CacheDirError: The folder cannot be written.
    """

    def __init__(self, folder: str | Path, short_side: int, max_gb: float | None = None) -> None:
        if short_side < 1:
            raise ValueError(f"short_side is {short_side}: give a number of pixels, at least 1")
        if max_gb is not None and not max_gb > 0:
            raise ValueError(f"max_gb is {max_gb}: give a number above 0, or None for no limit")
        self.folder = Path(folder)
        self.short_side = short_side
        self.max_gb = max_gb
        self._begun = time.time()
        self._open: OrderedDict[tuple[Any, ...], VideoReader] = OrderedDict()
        self._without_room: set[tuple[Any, ...]] = set()
        self._check()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}  # memory maps stay in their process

    def open(self, path: str, reader: str = "auto", fps: float = 25.0, channels: int = 3) -> VideoReader:
        """Open a video; for arguments see `open_video`.

        Raises:
            ValueError: `reader` or `fps` is not valid.
            VideoDecodeError: The video cannot be read.
            CacheDirError: The folder cannot be written.
        """
        wanted = (path, reader, fps, channels)
        if wanted in self._without_room or is_item(path):  # whether an item has changed is not known
            return open_video(*wanted)
        video = self._open.get(wanted)
        if video is not None:
            self._open.move_to_end(wanted)
            return video
        entry = self.folder / f"{_key(path, reader, self.short_side, fps, channels)}{SUFFIX}"
        video = _entry(path, entry)
        if video is None:
            with open_video(*wanted) as source:
                room = self._has_room(source)
                if room:
                    _build(source, self.short_side, entry)
            if not room:  # nor is there later: only entries of earlier runs are removed
                self._without_room.add(wanted)
                return open_video(*wanted)
            video = _entry(path, entry)
        if video is None:
            raise CacheDirError(
                f"cache folder {self.folder} does not keep what is written to it: give another one"
            )
        self._open[wanted] = video
        if len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return video

    def size(self) -> int:
        """Return the size of all entries of the folder, in bytes."""
        return sum(status.st_size for status, _ in _entries(self.folder))

    def _check(self) -> None:
        """Create the folder if it is missing; `CacheDirError` if nothing can be written to it."""
        with _folder_at_fault(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(bytes(2**16))
                file.flush()
                os.fsync(file.fileno())

    def _has_room(self, video: VideoReader) -> bool:
        """Return whether a video fits into the folder, after old entries are removed where necessary."""
        if self.max_gb is None:
            return True
        entries = [(status.st_mtime, status.st_size, path) for status, path in _entries(self.folder)]
        missing = (
            sum(size for _, size, _ in entries) + entry_bytes(video, self.short_side) - self.max_gb * 1e9
        )
        old = sorted(entry for entry in entries if entry[0] < self._begun)
        if missing > sum(size for _, size, _ in old):
            return False
        for _, size, path in old:
            if missing <= 0:
                break
            path.unlink(missing_ok=True)
            missing -= size
        return True


def entry_bytes(video: VideoReader, short_side: int) -> int:
    """Return the number of bytes of a video's frames in the cache."""
    shown = shrink(video.get_frames([0]), short_side)
    return len(video) * shown.numel()


def shrink(frames_TCHW: torch.Tensor, short_side: int) -> torch.Tensor:
    """Resize uint8 frames so that their short side has at most `short_side` pixels."""
    if min(frames_TCHW.shape[-2:]) <= short_side:
        return frames_TCHW
    return F.resize(frames_TCHW, [short_side], antialias=True)


@contextmanager
def _folder_at_fault(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheDirError(
            f"cache folder {folder} cannot be written ({error.strerror}): make room or give another folder; "
            "null decodes each time"
        ) from error


def file_states(path: str) -> list[tuple[str, int, int]]:
    """Return name, size and modification time of a video's file, or of each image of a folder of frames.

    Raises:
        OSError: There is no such file or folder.
    """
    files = frame_files(path) if os.path.isdir(path) else [Path(path)]
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _entries(folder: Path) -> Iterator[tuple[os.stat_result, Path]]:
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            yield path.stat(), path
        except FileNotFoundError:  # another process removed it
            continue


def _entry(path: str, entry: Path) -> VideoReader | None:
    """Open an entry and note that it is used; None if it is missing or damaged."""
    try:
        with entry.open("rb") as file:
            end = file.seek(-_TAIL.size, os.SEEK_END)
            length, mark = _TAIL.unpack(file.read())
            if mark != _MARK:
                return None
            file.seek(end - length)
            facts = json.loads(file.read(length))
            frames, count = facts["shape"][0], math.prod(facts["shape"])
            if count + 8 * frames + length != end:
                return None
            file.seek(count)
            times = np.frombuffer(file.read(8 * frames), dtype="<f8")
        # Unlike numpy.memmap, this keeps no file open.
        pixels = torch.from_file(str(entry), shared=False, size=count, dtype=torch.uint8, device="cpu")
        os.utime(entry)
        return ArrayReader(path, pixels.numpy().reshape(facts["shape"]), times, facts["damage"])
    except Exception:  # whatever is wrong with an entry, it is written again
        return None


def _key(path: str, reader: str, short_side: int, fps: float, channels: int) -> str:
    """Return an entry's name, which is equal only for an unchanged file that is read in the same way."""
    elsewhere = source_of(path) is not None
    try:
        if elsewhere:
            states: Any = state_of(path)
        else:
            states = file_states(path)
    except OSError as error:
        raise VideoDecodeError(path, reader, f"{type(error).__name__}: {error.strerror}") from error
    where = path if elsewhere else os.path.abspath(path)
    facts = repr((where, states, reader, short_side, fps, channels))
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def _build(video: VideoReader, short_side: int, entry: Path) -> None:
    with _folder_at_fault(entry.parent):
        entry.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(entry, durable=True) as draft, draft.open("wb") as file:
            shape = _write_frames(file, video, short_side)
            file.write(np.asarray(video.timestamps, dtype="<f8").tobytes())
            # Decoding is complete only here, and damage known.
            facts = json.dumps({"shape": shape, "damage": video.damage}).encode()
            file.write(facts + _TAIL.pack(len(facts), _MARK))


def _write_frames(file: BinaryIO, video: VideoReader, short_side: int) -> list[int]:
    """Write all frames, and return the shape of their array."""
    shape: list[int] = []
    for begin in range(0, len(video), CHUNK):
        frames_TCHW = video.get_frames(range(begin, min(begin + CHUNK, len(video))))
        frames_THWC = shrink(frames_TCHW, short_side).permute(0, 2, 3, 1).contiguous()
        shape = [len(video), *frames_THWC.shape[1:]]
        file.write(frames_THWC.numpy().data)
    return shape
