"""From a path and a reader's name to an open video."""

from __future__ import annotations

import os
from typing import Literal, get_args

from vjepa.data.readers.arrays import IMAGE_SUFFIXES, FrameFolderReader, open_npy
from vjepa.data.readers.base import VideoDecodeError, VideoReader
from vjepa.data.readers.pyav import PyAVReader

ReaderName = Literal["auto", "pyav", "torchcodec", "decord"]


def open_video(path: str | os.PathLike[str], reader: str = "auto", fps: float = 25.0) -> VideoReader:
    """Open a video: a video file, a folder of images, an image, or a ``.npy`` array of uint8 ``(T, H, W, 3)``.

    Args:
        path: file or folder.
        reader: what decodes video files: ``auto``, ``pyav``, ``torchcodec`` or ``decord``. ``auto`` is
            PyAV, on every machine, so that a run's frames do not hang on what is installed.
        fps: frames a second of folders and arrays, which have no times of their own.

    `VideoDecodeError` where the video cannot be read, with its path and the cause; ValueError for an
    unknown reader or one that isn't installed.
    """
    path = os.fspath(path)
    check_reader(reader)
    if not fps > 0:
        raise ValueError(f"fps is {fps}: give a number of frames a second above 0")
    if not os.path.exists(path):
        raise VideoDecodeError(path, reader, "there is no such file or folder")
    if os.path.isdir(path) or os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES:
        return FrameFolderReader(path, fps)
    if path.lower().endswith(".npy"):
        return open_npy(path, fps)
    if reader == "decord":
        from vjepa.data.readers.decord import DecordReader

        return DecordReader(path)
    if reader == "torchcodec":
        from vjepa.data.readers.torchcodec import TorchcodecReader

        return TorchcodecReader(path)
    return PyAVReader(path)


def check_reader(reader: str) -> None:
    """ValueError where `reader` isn't the name of one."""
    if reader not in get_args(ReaderName):
        raise ValueError(f"reader is '{reader}': choose one of {', '.join(get_args(ReaderName))}")
