"""Readers of videos that need no video decoder: arrays in .npy files, folders of images and single images."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image

from vjepa.data.images import bytes_of_image
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import GuardedReader, cause_of, check_bytes, check_kind, check_pixels, load_npy

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


class ArrayReader(GuardedReader):
    """Reader of decoded frames in an array, in memory or memory-mapped.

    Args:
        path: Name of the video in error messages.
        frames_THWC: Frames, uint8 ``(T, H, W, C)``.
        timestamps: Times in seconds at which the frames appear, float64 ``(T,)``.
        damage: Damage that was found when the array was made, see `VideoReader`; None if none was found.

    Raises:
        VideoDecodeError: The array has another type or shape, is empty, or its frames are too large.
    """

    def __init__(
        self, path: str, frames_THWC: np.ndarray, timestamps: np.ndarray, damage: str | None = None
    ) -> None:
        if frames_THWC.ndim != 4 or frames_THWC.dtype != np.uint8:
            cause = (
                f"it holds {frames_THWC.dtype} {frames_THWC.shape}, but a video is uint8 (T, H, W, C): "
                "save it in that form"
            )
            raise VideoDecodeError(path, self.name, cause)
        if not frames_THWC.size:
            raise VideoDecodeError(path, self.name, f"it has no pixels: its shape is {frames_THWC.shape}")
        height, width = frames_THWC.shape[1:3]
        check_pixels(path, self.name, width, height)
        self.path = path
        self.timestamps = timestamps
        self._array_THWC = frames_THWC
        self._damage = damage

    @property
    def damage(self) -> str | None:
        """Damage that was found when the array was made; None if none was found."""
        return self._damage

    def _frames_THWC(self, index_T: np.ndarray) -> np.ndarray:
        check_bytes(self.path, self.name, len(index_T), self._array_THWC[0].nbytes)
        frames_THWC: np.ndarray = self._array_THWC[
            index_T
        ]  # a memory-mapped array reads only these from disk
        return frames_THWC


def open_npy(path: str, fps: float, channels: int) -> ArrayReader:
    """Open a ``.npy`` file of uint8 ``(T, H, W, C)``, memory-mapped, as a video of `fps` frames per second.

    Raises:
        VideoDecodeError: The array has another type or shape, or another number of channels than `channels`.
        ValueError: The file contains no plain array, see `load_npy`.
    """
    frames_THWC = load_npy(path)
    video = ArrayReader(path, frames_THWC, np.arange(len(frames_THWC) if frames_THWC.ndim else 0) / fps)
    if frames_THWC.shape[-1] != channels:
        cause = (
            f"its shape {frames_THWC.shape}, which is (T, H, W, C), has {frames_THWC.shape[-1]} channels "
            f"where {channels} are asked for: give arrays of {channels} channels, or train a model of "
            f"{frames_THWC.shape[-1]} channels with so many values in data.mean and data.std"
        )
        raise VideoDecodeError(path, ArrayReader.name, cause)
    return video


class FrameFolderReader(GuardedReader):
    """Reader of a folder of images as a video, or of one image as a video of one frame.

    Frames are ordered by file name, with numbers in numerical order (``img9`` before ``img10``).

    Args:
        path: Folder of images, or one image file.
        fps: Frame rate in frames per second.

    Raises:
        VideoDecodeError: The folder has no images.
    """

    name = "images"

    def __init__(self, path: str, fps: float) -> None:
        self.path = path
        self._files = frame_files(path) if Path(path).is_dir() else [Path(path)]
        if not self._files:
            cause = f"the folder has no images ({', '.join(sorted(IMAGE_SUFFIXES))})"
            raise VideoDecodeError(path, self.name, cause)
        self.timestamps = np.arange(len(self._files)) / fps

    def _frames_THWC(self, index_T: np.ndarray) -> np.ndarray:
        """Decode each requested image once; `VideoDecodeError` if their sizes differ."""
        unique, inverse_T = np.unique(index_T, return_inverse=True)
        images = [self._image(self._files[int(unique[0])])]
        check_bytes(self.path, self.name, len(index_T), images[0].nbytes)
        images += [self._image(self._files[number]) for number in unique[1:]]
        sizes = {image.shape for image in images}
        if len(sizes) > 1:
            cause = f"its images differ in size: {sorted(sizes)}; make them equal"
            raise VideoDecodeError(self.path, self.name, cause)
        return np.stack(images)[inverse_T]

    def _image(self, file: Path) -> np.ndarray:
        check_kind(str(file), self.name)
        try:
            with Image.open(file) as image:
                check_pixels(str(file), self.name, *image.size)
                return bytes_of_image(image, "RGB")
        except VideoDecodeError as error:
            raise VideoDecodeError(self.path, self.name, f"{file.name}: {error.cause}") from error
        except Exception as error:
            raise VideoDecodeError(self.path, self.name, f"{file.name}: {cause_of(error)}") from error


def frame_files(folder: str | Path) -> list[Path]:
    """List the images in a folder, see `files_in`."""
    return files_in(folder, IMAGE_SUFFIXES)


def files_in(folder: str | Path, suffixes: Collection[str]) -> list[Path]:
    """List the files in a folder whose names end in one of the suffixes, in natural order (`natural_key`).

    Hidden files are left out: macOS puts one, ``._a.mp4``, beside each file that it copies to other disks.
    """
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if os.path.splitext(entry.name)[1].lower() in suffixes
            and not entry.name.startswith(".")
            and not entry.is_dir()  # a link that leads nowhere stays, so that reading it names it
        ]
    return [Path(folder, name) for name in sorted(names, key=natural_key)]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return a sort key that compares runs of digits as numbers: ``a2`` comes before ``a10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
