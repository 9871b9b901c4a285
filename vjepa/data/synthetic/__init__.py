"""Videos of a small world whose every factor is known: made in numpy, written as real files.

    frames, factors = render_video(WorldSettings(size=64), seed=0, number=17)
    manifest = write_videos("videos", WorldSettings(), num_videos=2048, seed=0, workers=2)

Nothing in this package imports torch, so that worker processes start quickly.
"""

from vjepa.data.synthetic.render import render_video
from vjepa.data.synthetic.settings import MOTIONS, SHAPES, WorldSettings
from vjepa.data.synthetic.write import write_videos

__all__ = ["MOTIONS", "SHAPES", "WorldSettings", "render_video", "write_videos"]
