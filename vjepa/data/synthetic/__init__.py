"""Rendered videos of a small scene, with the value of every factor of variation, written as real files.

    frames, factors = render_video(RenderSettings(size=64), seed=0, number=17)
    manifest = write_videos("videos", RenderSettings(), num_videos=2048, seed=0, num_workers=2)
    matched = render_matched(box, "vanish", seed=0, number=17)  # possible and impossible videos of a box

Nothing in this package imports torch, so that worker processes start quickly.
"""
