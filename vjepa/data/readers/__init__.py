"""One module per decoder, behind `vjepa.data.readers.base.VideoReader`; `open.open_video` chooses."""
