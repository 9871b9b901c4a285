"""The pixels of a single frame, made small: baseline features that know nothing of motion."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

SIDE = 32  # rows and columns that are kept


def encode_frame(video_BTCHW: Tensor) -> Tensor:
    """Encode uint8 clips ``(B, T, C, H, W)`` as ``(B, 1, D)``: the pixels of the middle frame.

    The frame is averaged down to 32 x 32 pixels; a smaller one is kept as it is.
    """
    frame_BCHW = video_BTCHW[:, video_BTCHW.shape[1] // 2].float() / 255
    rows, columns = (min(side, SIDE) for side in frame_BCHW.shape[-2:])
    return F.adaptive_avg_pool2d(frame_BCHW, (rows, columns)).flatten(1).unsqueeze(1)
