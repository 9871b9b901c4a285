"""Pictures of a world model's embeddings. Shape letters as in `vjepa.tokens`; V pictures, S tokens of a frame."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vjepa.evaluation.pixel_decoder import train_pixel_decoder
from vjepa.layers.positions import sincos_table
from vjepa.models.action_model import ActionModel
from vjepa.tokens import Tubelet, unpatchify

POSITION_WIDTH = 64  # numbers that tell the places of a pooled frame apart


def fit_frame_decoder(model: ActionModel, picture_VCHW: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    """Tokens of frames ``(V, S, D)`` to pictures, uint8 ``(V, C, H, W)``: fitted to a frozen model's embeddings.

    Args:
        model: in evaluation mode; no gradient reaches it.
        picture_VCHW: uint8 pictures to learn from, of the model's size.
        seed: of the decoder; the caller's random state stays as it was.
    """
    places = model.encoder.tubelet.grid_of(1, *model.size)
    tubelet = Tubelet(1, model.size[0] // places.h, model.size[1] // places.w)
    device = next(model.parameters()).device

    def spread(tokens_VSD: Tensor) -> Tensor:
        """Tokens at all places: the one token of a pooled frame is put everywhere, told apart by where it stands."""
        if tokens_VSD.shape[1] == places.size:
            return tokens_VSD
        table = sincos_table(places, POSITION_WIDTH).expand(len(tokens_VSD), -1, -1)
        return torch.cat([tokens_VSD.expand(-1, places.size, -1), table], dim=-1)

    def encode(video_V1CHW: Tensor) -> Tensor:
        return spread(model.encode(video_V1CHW.to(device))[:, 0].cpu())

    decoder = train_pixel_decoder(encode, picture_VCHW.unsqueeze(1), tubelet, seed)

    @torch.no_grad()
    def decode(tokens_VSD: Tensor) -> Tensor:
        pixels_VNP = decoder(spread(tokens_VSD.float().cpu())).clamp(0, 1)
        return (255 * unpatchify(pixels_VNP, decoder.grid, tubelet)[:, :, 0] + 0.5).to(torch.uint8)

    return decode
