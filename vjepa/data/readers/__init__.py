"""Video readers: one per decoder, all with the interface `base.VideoReader`; `open.open_video` chooses one."""
