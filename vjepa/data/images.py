"""Images of files and in memory as bytes, all in one way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

_MOST = 2**16 - 1


def bytes_of_image(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    """Return the pixels of an image: ``(H, W, 3)`` for the mode ``RGB``, ``(H, W)`` for ``L``.

    Cameras store rotated photographs and note the rotation in EXIF; it is applied, as viewers do. Grey values
    of 16 bits are scaled to 8. An image of 32 bits, of whole numbers or floats, may have values from 0 to
    255 as well, and one of whole numbers those of 16 bits.

    Raises:
        ValueError: The image has grey values of another range.
    """
    upright = ImageOps.exif_transpose(image)
    # Pillow converts all of these modes by cutting values off at 255. PNG has no grey of 32 bits: where
    # Pillow opens it in the mode I, it has 16.
    if upright.mode.partition(";")[0] in ("I", "F"):
        of_16_bits = upright.mode.startswith("I;") or image.format == "PNG"
        upright = Image.fromarray(_of_8_bits(np.asarray(upright), scaled=of_16_bits))
    return np.asarray(upright.convert(mode))


def _of_8_bits(grey_HW: NDArray[np.generic], *, scaled: bool) -> NDArray[np.uint8]:
    low, high = grey_HW.min(), grey_HW.max()
    whole = np.issubdtype(grey_HW.dtype, np.integer)
    if not scaled and 0 <= low <= high <= 255 and (whole or high > 1):  # floats may have a range of [0, 1]
        return grey_HW.astype(np.uint8)
    if not whole or low < 0 or high > _MOST:
        raise ValueError(
            f"its pixels are {grey_HW.dtype} from {low:g} to {high:g}: give colours of 8 bits, or grey "
            f"values of 8 or 16 bits (0 to {_MOST})"
        )
    return ((grey_HW.astype(np.int64) + 128) // 257).astype(np.uint8)  # rounded
