"""Video readers: one per decoder, with the interface `base.VideoReader`; `open.open_video` chooses one."""
