"""Videos of a small scene whose every factor is known: made in numpy, written as real files.

    frames, factors = render_video(RenderSettings(size=64), seed=0, number=17)
    manifest = write_videos("videos", RenderSettings(), num_videos=2048, seed=0, workers=2)
    possible, impossible, event = render_pair(box, "vanish", seed=0, number=17)  # a box of colliding objects

Nothing in this package imports torch, so that worker processes start quickly.
"""

from vjepa.data.synthetic.pairs import CONTROL, VIOLATIONS, Pair, render_pair
from vjepa.data.synthetic.render import render_video
from vjepa.data.synthetic.settings import MOTIONS, SHAPES, RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.data.synthetic.write_pairs import write_pairs

__all__ = [
    "CONTROL",
    "MOTIONS",
    "SHAPES",
    "VIOLATIONS",
    "Pair",
    "RenderSettings",
    "render_pair",
    "render_video",
    "write_pairs",
    "write_videos",
]
