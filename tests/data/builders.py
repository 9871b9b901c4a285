"""Settings of rendered videos."""

from __future__ import annotations

from vjepa.data.synthetic.settings import RenderSettings

BOX = RenderSettings(
    frames=32,
    motions=("collide",),
    objects=(1, 3),
    radius=(0.1, 0.14),
    texture=0.5,
    camera=0,
    background="shared",
    occluder=0.25,
    occluder_place="shared",
    wall=0.06,
)
