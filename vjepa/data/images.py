"""Images of files and in memory as bytes, all in one way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_MOST = 2**16 - 1


def bytes_of_image(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    """Return the pixels of an image: ``(H, W, 3)`` for the mode ``RGB``, ``(H, W)`` for ``L``.

    Cameras store rotated photographs and note the rotation in EXIF; it is applied, as viewers do. Grey values
    of 16 bits are scaled to 8.

    Raises:
        ValueError: The image has grey values that are not of 8 or 16 bits.
    """
    upright = ImageOps.exif_transpose(image)
    # Pillow opens images of 16 bits in several modes, and converts all by cutting values off at 255.
    if upright.mode.partition(";")[0] in ("I", "F"):
        upright = Image.fromarray(_scaled(np.asarray(upright)))
    return np.asarray(upright.convert(mode))


def _scaled(grey_HW: NDArray[np.generic]) -> NDArray[np.uint8]:
    low, high = grey_HW.min(), grey_HW.max()
    if not np.issubdtype(grey_HW.dtype, np.integer) or low < 0 or high > _MOST:
        raise ValueError(
            f"its pixels are {grey_HW.dtype} from {low:g} to {high:g}: give colours of 8 bits, or grey "
            f"values of 8 or 16 bits (0 to {_MOST})"
        )
    return ((grey_HW.astype(np.int64) + 128) // 257).astype(np.uint8)  # rounded
