"""Videos that need no video decoder: arrays in .npy files and folders of images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from vjepa.data.readers.base import ClosesItself, VideoDecodeError, checked_indices

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


class ArrayReader(ClosesItself):
    """A video that lies decoded in an array, in memory or memory-mapped.

    Args:
        path: what error messages call it.
        frames_THWC: uint8 ``(T, H, W, 3)``, RGB.
        timestamps: seconds at which the frames appear, float64 ``(T,)``.
    """

    def __init__(self, path: str, frames_THWC: np.ndarray, timestamps: np.ndarray) -> None:
        if frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3 or frames_THWC.dtype != np.uint8:
            cause = (
                f"it holds {frames_THWC.dtype} {frames_THWC.shape}, but a video is uint8 (T, H, W, 3): "
                "save it in that form"
            )
            raise VideoDecodeError(path, "arrays", cause)
        if not frames_THWC.size:
            raise VideoDecodeError(path, "arrays", f"it has no pixels: its shape is {frames_THWC.shape}")
        self.path = path
        self.timestamps = timestamps
        self._frames_THWC = frames_THWC

    def __len__(self) -> int:
        return len(self._frames_THWC)

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Frames by number: uint8 ``(T, C, H, W)``; only these are read from the disk."""
        index_T = checked_indices(indices, len(self), self.path)
        return torch.from_numpy(self._frames_THWC[index_T]).permute(0, 3, 1, 2)


def open_npy(path: str, fps: float) -> ArrayReader:
    """A ``.npy`` file of uint8 ``(T, H, W, 3)`` as a video of `fps` frames a second, memory-mapped."""
    try:
        frames_THWC = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise VideoDecodeError(path, "arrays", f"{type(error).__name__}: {error}") from error
    return ArrayReader(path, frames_THWC, np.arange(len(frames_THWC) if frames_THWC.ndim else 0) / fps)


class FrameFolderReader(ClosesItself):
    """A folder of images as a video of `fps` frames a second, or one image as a video of one frame.

    The order is that of the names with their numbers taken as numbers (``img9`` before ``img10``).
    """

    def __init__(self, path: str, fps: float) -> None:
        self.path = path
        self._files = frame_files(path) if Path(path).is_dir() else [Path(path)]
        if not self._files:
            cause = f"the folder has no images ({', '.join(sorted(IMAGE_SUFFIXES))})"
            raise VideoDecodeError(path, "arrays", cause)
        self.timestamps = np.arange(len(self._files)) / fps

    def __len__(self) -> int:
        return len(self._files)

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> Tensor:
        """Frames by number: uint8 ``(T, C, H, W)``; each wanted image is decoded once."""
        index_T = checked_indices(indices, len(self), self.path)
        unique, inverse_T = np.unique(index_T, return_inverse=True)
        images = [self._image(self._files[number]) for number in unique]
        sizes = {image.shape for image in images}
        if len(sizes) > 1:
            cause = f"its images differ in size: {sorted(sizes)}; make them equal"
            raise VideoDecodeError(self.path, "arrays", cause)
        return torch.from_numpy(np.stack(images)[inverse_T]).permute(0, 3, 1, 2)

    def _image(self, file: Path) -> np.ndarray:
        try:
            with Image.open(file) as image:
                # Cameras store photographs lying down and say so in EXIF; a player shows them upright.
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, SyntaxError) as error:  # Pillow calls some broken PNG files a SyntaxError
            raise VideoDecodeError(self.path, "arrays", f"{file.name}: {error}") from error


def frame_files(folder: str | Path) -> list[Path]:
    """The images in a folder, in the order of their numbers."""
    files = [file for file in Path(folder).iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=lambda file: natural_key(file.name))


def natural_key(name: str) -> list[tuple[int, str]]:
    """Sort key in which runs of digits count as numbers: ``a2`` comes before ``a10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
