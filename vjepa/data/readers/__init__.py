"""One module per decoder, behind `vjepa.data.readers.base.VideoReader`."""
