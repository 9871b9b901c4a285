"""Many small images as one image in a data URL, for pages that need no other file."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def sprite_columns(count: int) -> int:
    """Return the number of images in a row of the sprite of `count` images."""
    return math.ceil(math.sqrt(count))


def sprite_url(images_nHWC: NDArray[np.uint8], kind: str) -> str:
    """Return images as one image, in rows of `sprite_columns`, in a data URL.

    Args:
        images_nHWC: Images of equal size, RGB or RGB with transparency.
        kind: ``JPEG``, or ``PNG`` for images with transparency.
    """
    count, height, width, channels = images_nHWC.shape
    columns = sprite_columns(count)
    rows = math.ceil(count / columns)
    sheet = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
    sheet[:count] = images_nHWC
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    pixels = sheet.reshape(rows * height, columns * width, channels)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 92, "subsampling": 0} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
