"""From a path and a reader's name to an open video."""

from __future__ import annotations

import os
from typing import Literal, get_args

from vjepa.data.readers.arrays import IMAGE_SUFFIXES, FrameFolderReader, open_npy
from vjepa.data.readers.base import VideoDecodeError, VideoReader
from vjepa.data.readers.border import GuardedReader, check_kind, reading
from vjepa.data.readers.pyav import PyAVReader

ReaderName = Literal["auto", "pyav", "torchcodec", "decord"]


def open_video(
    path: str | os.PathLike[str], reader: str = "auto", fps: float = 25.0, channels: int = 3
) -> VideoReader:
    """Open a video: a video file, a folder of images, an image, or a ``.npy`` array of uint8 ``(T, H, W, C)``.

    Args:
        path: file or folder.
        reader: what decodes video files: ``auto``, ``pyav``, ``torchcodec`` or ``decord``. ``auto`` is
            PyAV, on every machine, so that a run's frames do not hang on what is installed. The last two
            are compared with PyAV on each file, and replaced by it, with a warning, where they differ.
        fps: frames a second of folders and arrays, which have no times of their own.
        channels: of the pixels. Only arrays have other numbers than 3.

    `VideoDecodeError` where the video cannot be read, with its path and the cause, whatever a parser
    raised; ValueError for an unknown reader or one that isn't installed. Of a file that can be read in part the
    reader's `damage` says what is wrong with it.
    """
    path = os.fspath(path)
    check_reader(reader)
    if not fps > 0:
        raise ValueError(f"fps is {fps}: give a number of frames a second above 0")
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
    if reader in ("decord", "torchcodec"):
        from vjepa.data.readers.fitness import open_fit

        return open_fit(path, reader)
    return PyAVReader(path)


def check_reader(reader: str) -> None:
    """ValueError where `reader` isn't the name of one, or its package isn't installed."""
    if reader not in get_args(ReaderName):
        raise ValueError(f"reader is '{reader}': choose one of {', '.join(get_args(ReaderName))}")
    if reader in ("decord", "torchcodec"):
        from vjepa.data.readers.fitness import check_installed

        check_installed(reader)
