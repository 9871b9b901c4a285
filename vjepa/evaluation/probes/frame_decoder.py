"""Images of a world model's embeddings. Shape letters as in `vjepa.tokens`; V images, S tokens of a frame."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.evaluation.probes.pixel_decoder import train_pixel_decoder
from vjepa.layers.pixels import unit_pixels
from vjepa.models.action_model import ActionModel
from vjepa.seeding import seeded
from vjepa.tokens import Tubelet, unpatchify

Decode = Callable[[Tensor], Tensor]

STEPS, BATCH, PEAK_LR = 800, 64, 2e-3
LEAST_STD = 0.02  # of a pixel: what never changes is known without an embedding


def fit_frame_decoder(model: ActionModel, image_VCHW: Tensor, seed: int) -> Decode:
    """Tokens of frames ``(V, S, D)`` to images, uint8 ``(V, C, H, W)``: fitted to a frozen model's embeddings.

    Args:
        model: in evaluation mode; no gradient reaches it.
        image_VCHW: uint8 images to learn from, of the model's size.
        seed: of the decoder; the caller's random state stays as it was.
    """
    if model.pool == "none":
        return _fit_places(model, image_VCHW, seed)
    return _fit_vector(model, image_VCHW, seed)


def _fit_places(model: ActionModel, image_VCHW: Tensor, seed: int) -> Decode:
    """Every token has a place."""
    device = next(model.parameters()).device
    tubelet = Tubelet(1, model.size[0] // model.space[0], model.size[1] // model.space[1])
    decoder = train_pixel_decoder(
        lambda video_V1CHW: model.encode(video_V1CHW.to(device))[:, 0].cpu(),
        image_VCHW.unsqueeze(1), tubelet, seed,
    )  # fmt: skip

    @torch.no_grad()
    def decode(tokens_VSD: Tensor) -> Tensor:
        pixels_VNP = decoder(tokens_VSD.float().cpu())
        return _as_bytes(unpatchify(pixels_VNP, decoder.grid, tubelet)[:, :, 0])

    return decode


class VectorDecoder(nn.Module):
    """One vector to an image, by transposed convolutions from 4 x 4 pixels on.

    Args:
        width: of the vector, D.
        mean_CHW, std_CHW: of the images; what is learnt is how each differs, pixel by pixel in units of their deviation, so
            that small things that move count as much as all that stands still.
    """

    mean_CHW: Tensor
    std_CHW: Tensor

    def __init__(self, width: int, mean_CHW: Tensor, std_CHW: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_CHW", mean_CHW)
        self.register_buffer("std_CHW", std_CHW)
        layers: list[nn.Module] = [nn.Linear(width, 64 * 16), nn.GELU(), nn.Unflatten(1, (64, 4, 4))]
        side, channels = 4, 64
        while 2 * side < min(mean_CHW.shape[-2:]):
            layers += [nn.ConvTranspose2d(channels, max(channels // 2, 16), 4, 2, 1), nn.GELU()]
            side, channels = 2 * side, max(channels // 2, 16)
        layers.append(nn.ConvTranspose2d(channels, len(mean_CHW), 4, 2, 1))
        self.net = nn.Sequential(*layers)

    def forward(self, vector_VD: Tensor) -> Tensor:
        """Standardised images ``(V, C, H, W)``."""
        small: Tensor = self.net(vector_VD)
        return F.interpolate(small, self.mean_CHW.shape[-2:], mode="bilinear")

    def images(self, vector_VD: Tensor) -> Tensor:
        """Images in [0, 1], about."""
        shown: Tensor = self(vector_VD) * self.std_CHW + self.mean_CHW
        return shown


def _fit_vector(model: ActionModel, image_VCHW: Tensor, seed: int) -> Decode:
    """A frame is one token."""
    device = next(model.parameters()).device
    true_VCHW = unit_pixels(image_VCHW)
    with torch.no_grad():
        parts = [model.encode(part.unsqueeze(1).to(device))[:, 0, 0].cpu() for part in image_VCHW.split(64)]
    vector_VD = torch.cat(parts).float()
    with seeded(seed):
        std_CHW = true_VCHW.std(dim=0).clamp_min(LEAST_STD)
        decoder = VectorDecoder(vector_VD.shape[1], true_VCHW.mean(dim=0), std_CHW)
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=PEAK_LR, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LR, total_steps=STEPS)
        for _ in range(STEPS):
            chosen = torch.randint(len(vector_VD), (min(BATCH, len(vector_VD)),))
            wanted = (true_VCHW[chosen] - decoder.mean_CHW) / decoder.std_CHW
            F.mse_loss(decoder(vector_VD[chosen]), wanted).backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    decoder.eval()

    @torch.no_grad()
    def decode(tokens_VSD: Tensor) -> Tensor:
        return _as_bytes(decoder.images(tokens_VSD[:, 0].float().cpu()))

    return decode


def _as_bytes(pixels_VCHW: Tensor) -> Tensor:
    return (255 * pixels_VCHW.clamp(0, 1) + 0.5).to(torch.uint8)
