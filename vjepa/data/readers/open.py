"""Opens a video by its path, with the right reader."""

from __future__ import annotations

import os
from typing import get_args

from vjepa.choices import ReaderName
from vjepa.data.python_datasets import is_item, open_item
from vjepa.data.readers.arrays import IMAGE_SUFFIXES, FrameFolderReader, open_npy
from vjepa.data.readers.base import VideoDecodeError, VideoReader
from vjepa.data.readers.border import GuardedReader, check_kind, reading
from vjepa.data.readers.pyav import PyAVReader
from vjepa.data.remote import local_file

EXACT = ("auto", "pyav")  # Readers whose frames are right in every file.


def open_video(
    path: str | os.PathLike[str], reader: str = "auto", fps: float = 25.0, channels: int = 3
) -> VideoReader:
    """Open a video file, a folder of images, an image, or a ``.npy`` array of uint8 ``(T, H, W, C)``.

    Args:
        path: Path of a file or folder, a URL, a part of a tar file (`vjepa.data.remote`), or an item of a
            dataset of Python (`vjepa.data.python_datasets`).
        reader: Decoder of video files: ``auto``, ``pyav``, ``torchcodec``, ``torchcodec_cuda`` (on the
            decoding unit of a GPU) or ``decord``. ``auto`` is PyAV on every machine, so that a run's frames
            do not depend on the installed packages. The last three are compared with PyAV on each file, and
            replaced by PyAV, with a warning, if they differ.
        fps: Frame rate in frames per second of folders and arrays, which have no times of their own.
        channels: Number of pixel channels. Only arrays may have another number than 3.

    Returns:
        The open video. If only a part of the file can be read, the `damage` of the reader describes the
        damage.

    Raises:
        VideoDecodeError: The video cannot be read; it contains the path and the cause, whatever a parser
            raised.
        RemoteError: The video is no local file, and cannot be transferred.
        ValueError: The reader is unknown or not installed, or `fps` is not above 0.
    """
    path = os.fspath(path)
    check_reader(reader)
    if not fps > 0:
        raise ValueError(f"fps is {fps}: give a number of frames a second above 0")
    if is_item(path):
        return open_item(path, lambda file: open_video(file, reader, fps, channels), fps, channels)
    try:
        local = local_file(path)
    except FileNotFoundError as error:
        raise VideoDecodeError(path, reader, "there is no such object") from error
    if local == path:
        return _open_local(path, reader, fps, channels)
    try:
        return _open_local(local, reader, fps, channels)
    except VideoDecodeError as error:
        raise VideoDecodeError(path, error.reader, error.cause) from error


def _open_local(path: str, reader: str, fps: float, channels: int) -> VideoReader:
    with reading(path, reader):
        check_kind(path, reader)
        if path.lower().endswith(".npy") and not os.path.isdir(path):
            return open_npy(path, fps, channels)
        video = _open(path, reader, fps)
    if channels != 3:
        video.close()
        cause = f"it gives RGB, and {channels} channels are asked for: only .npy arrays have other numbers"
        raise VideoDecodeError(path, reader, cause)
    return video


def _open(path: str, reader: str, fps: float) -> GuardedReader:
    if os.path.isdir(path) or os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES:
        return FrameFolderReader(path, fps)
    if reader not in EXACT:
        from vjepa.data.readers.fitness import open_fit

        return open_fit(path, reader)
    return PyAVReader(path)


def check_reader(reader: str) -> None:
    """Raise ValueError if `reader` is not the name of a reader, or its package is not installed."""
    if reader not in get_args(ReaderName):
        raise ValueError(f"reader is '{reader}': choose one of {', '.join(get_args(ReaderName))}")
    if reader not in EXACT:
        from vjepa.data.readers.fitness import check_installed

        check_installed(reader)
