"""Pictures of a world model's embeddings. Shape letters as in `vjepa.tokens`; V pictures, S tokens of a frame."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vjepa.evaluation.pixel_decoder import train_pixel_decoder
from vjepa.models.action_model import ActionModel
from vjepa.tokens import Tubelet, unpatchify


def fit_frame_decoder(model: ActionModel, picture_VCHW: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    """Tokens of frames ``(V, S, D)`` to pictures, uint8 ``(V, C, H, W)``: fitted to a frozen model's embeddings.

    Args:
        model: in evaluation mode; no gradient reaches it.
        picture_VCHW: uint8 pictures to learn from, of the model's size.
        seed: of the decoder; the caller's random state stays as it was.
    """
    tubelet = Tubelet(1, model.size[0] // model.space[0], model.size[1] // model.space[1])
    device = next(model.parameters()).device
    decoder = train_pixel_decoder(
        lambda video_V1CHW: model.encode(video_V1CHW.to(device))[:, 0].cpu(),
        picture_VCHW.unsqueeze(1),
        tubelet,
        seed,
    )

    @torch.no_grad()
    def decode(tokens_VSD: Tensor) -> Tensor:
        pixels_VNP = decoder(tokens_VSD.float().cpu()).clamp(0, 1)
        return (255 * unpatchify(pixels_VNP, decoder.grid, tubelet)[:, :, 0] + 0.5).to(torch.uint8)

    return decode
