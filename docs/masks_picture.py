"""Draw the picture of the page Concepts: which tokens of a clip four masks show and hide.

    python docs/masks_picture.py

Writes docs/pages/pictures/masks.png, from a rendered clip and the library's own masks.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from vjepa.data.synthetic.render import render_video
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.grid import Tubelet
from vjepa.masks.base import Mask
from vjepa.masks.future import FutureMask
from vjepa.masks.multiblock import MultiBlock
from vjepa.masks.random import TubeMask

OUTPUT = Path(__file__).parent / "pages" / "pictures" / "masks.png"
TUBELET = Tubelet(2, 16, 16)
SIZE, FRAMES = 128, 16
MASKS: dict[str, Mask] = {
    "blocks\n(V-JEPA)": MultiBlock(num_blocks=8),
    "tubes\n(VideoMAE)": TubeMask(ratio=0.9),
    "future": FutureMask(),
    "block with a\ntime limit": MultiBlock(num_blocks=1, max_temporal_keep=0.5),
}
# Vermilion and black, which the colour-blind tell from each other and from the clip.
TARGET, LEFT_OUT = "#d55e00", "#141414"


def main() -> None:
    """Draw the picture."""
    settings = RenderSettings(
        size=SIZE, frames=FRAMES, objects=(3, 3), radius=(0.13, 0.16), camera=0, noise=0, texture=0.4
    )
    frames_THWC, _ = render_video(settings, 3, 6)
    grid = TUBELET.grid_of(FRAMES, SIZE, SIZE)
    plot, axes = plt.subplots(len(MASKS), grid.t, figsize=(10, 5.9))
    for row, (name, mask) in zip(axes, MASKS.items(), strict=True):
        cover_thwC = covers_of(mask)
        for time, panel in enumerate(row):
            panel.imshow(covered(frames_THWC[TUBELET.t * time], cover_thwC[time]))
            panel.set_xticks([])
            panel.set_yticks([])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    for time, panel in enumerate(axes[0]):
        first = TUBELET.t * time
        panel.set_title(f"frames {first}, {first + 1}", fontsize=8)
    plot.suptitle("A clip of 16 frames as 8 x 8 x 8 tokens: what four masks show and hide", fontsize=12)
    shown = Patch(facecolor="#bbbbbb", label="context x: seen by the encoder")
    target = Patch(facecolor=TARGET, label="target y: hidden, to be predicted")
    left_out = Patch(
        facecolor=LEFT_OUT,
        label="neither, so that all clips have equally many",
    )
    plot.legend(handles=[shown, target, left_out], loc="lower center", ncols=3, frameon=False, fontsize=9)
    plot.subplots_adjust(left=0.11, right=0.995, top=0.88, bottom=0.07, wspace=0.04, hspace=0.06)
    plot.savefig(OUTPUT, dpi=110)


def covers_of(mask: Mask) -> np.ndarray:
    """Return the colour that covers each token, on the token grid ``(t, h, w, 3)``; NaN where none does."""
    grid = TUBELET.grid_of(FRAMES, SIZE, SIZE)
    drawn = mask.sample(grid, [np.random.default_rng(4)], np.random.default_rng(0))
    cover_NC = np.tile(np.multiply(255, to_rgb(LEFT_OUT)), (grid.size, 1))
    cover_NC[drawn.target_BM[0]] = np.multiply(255, to_rgb(TARGET))
    cover_NC[drawn.context_BK[0]] = np.nan
    return cover_NC.reshape(grid.t, grid.h, grid.w, 3)


def covered(frame_HWC: np.ndarray, cover_hwC: np.ndarray) -> np.ndarray:
    """Return a frame whose hidden places are covered with colour, but for a trace of what they hide."""
    cover_HWC = cover_hwC.repeat(TUBELET.h, 0).repeat(TUBELET.w, 1)
    return np.where(np.isnan(cover_HWC), frame_HWC, 0.85 * cover_HWC + 0.15 * frame_HWC).astype(np.uint8)


if __name__ == "__main__":
    main()
