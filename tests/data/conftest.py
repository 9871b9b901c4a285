"""Small videos written on the spot: each frame shows its number as black and white blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from torch import Tensor

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder writes a page to the terminal otherwise
BITS = (2, 5)  # rows and columns of blocks: numbers below 1024
REAL = Path(__file__).parents[2] / ".." / "shared" / "data"


def burnt_frame(number: int, height: int, width: int) -> np.ndarray:
    """A frame ``(H, W, 3)`` that shows `number` in binary, the highest bit top left."""
    bits = [(number >> bit) & 1 for bit in reversed(range(BITS[0] * BITS[1]))]
    rows = np.arange(height) * BITS[0] // height
    columns = np.arange(width) * BITS[1] // width
    grey = np.array(bits, dtype=np.uint8).reshape(BITS)[rows][:, columns] * 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def numbers_of(frames_TCHW: Tensor) -> list[int]:
    """The numbers that frames show: the mean of the middle of each block decides its bit."""
    numbers = []
    for frame_HW in frames_TCHW.float().mean(dim=1).numpy():
        bits = ""
        for row in np.array_split(frame_HW, BITS[0], axis=0):
            for block in np.array_split(row, BITS[1], axis=1):
                h, w = block.shape
                bits += str(int(block[h // 4 : -(h // 4), w // 4 : -(w // 4)].mean() > 127))
        numbers.append(int(bits, 2))
    return numbers


class VideoWriter:
    """Writes burnt-in numbers with PyAV's encoders into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        name: str,
        frames: int = 20,
        size: tuple[int, int] = (64, 80),
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        pts: Sequence[int] | None = None,
        time_base: Fraction = Fraction(1, 25),
        pix_fmt: str = "yuv420p",
        image: Callable[[int, int, int], np.ndarray] = burnt_frame,
    ) -> str:
        if codec not in av.codecs_available:
            pytest.skip(f"this build of PyAV has no encoder {codec}")
        path = self.folder / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=int(1 / time_base) if pts is None else 25)
            stream.height, stream.width = size
            stream.pix_fmt = pix_fmt
            stream.options = {"g": "12", **(options or {})}
            stream.codec_context.time_base = time_base
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(image(number, *size), format="rgb24")
                frame.pts = number if pts is None else pts[number]
                frame.time_base = time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return str(path)


@pytest.fixture
def write_video(tmp_path: Path) -> VideoWriter:
    return VideoWriter(tmp_path)


@pytest.fixture
def burnt() -> Callable[[int, int, int], np.ndarray]:
    return burnt_frame


@pytest.fixture
def read_numbers() -> Callable[[Tensor], list[int]]:
    return numbers_of


@pytest.fixture
def real_data() -> Path:
    """The folder of real videos beside the checkout."""
    if not REAL.is_dir():
        pytest.skip(f"the folder of real videos {REAL} is not there")
    return REAL.resolve()
