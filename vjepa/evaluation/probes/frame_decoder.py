"""Decoders that map frame embeddings of a frozen action-conditioned model to images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.evaluation.probes.fit import fit_probe
from vjepa.evaluation.probes.pixels import train_pixel_decoder
from vjepa.grid import Tubelet
from vjepa.layers.pixels import unit_pixels
from vjepa.models.action_model import ActionModel
from vjepa.seeding import seeded
from vjepa.tokens import unpatchify

Decode = Callable[[Tensor], Tensor]

STEPS, BATCH, PEAK_LR, WEIGHT_DECAY = 800, 64, 2e-3, 1e-3
LEAST_STD = 0.02  # of a pixel in [0, 1]; avoids division by 0 where pixels never change


def fit_frame_decoder(model: ActionModel, image_BCHW: Tensor, seed: int) -> Decode:
    """Fit a decoder to a frozen model's embeddings of frames.

    Args:
        model: Action-conditioned model in evaluation mode; no gradient reaches it.
        image_BCHW: Uint8 images to learn from, of the model's size.
        seed: Random seed of the decoder; the caller's random state does not change.

    Returns:
        Function that maps tokens of frames ``(B, S, D)`` to images, uint8 ``(B, C, H, W)``.
    """
    if model.pool == "none":
        return _fit_places(model, image_BCHW, seed)
    return _fit_vector(model, image_BCHW, seed)


def _fit_places(model: ActionModel, image_BCHW: Tensor, seed: int) -> Decode:
    """Fit a decoder for frames of several tokens, one for each place."""
    device = next(model.parameters()).device
    tubelet = Tubelet(1, model.size[0] // model.space[0], model.size[1] // model.space[1])
    decoder = train_pixel_decoder(
        lambda video_B1CHW: model.encode(video_B1CHW.to(device))[:, 0].cpu(),
        image_BCHW.unsqueeze(1), tubelet, seed,
    )  # fmt: skip

    @torch.no_grad()
    def decode(tokens_BSD: Tensor) -> Tensor:
        pixels_BNP = decoder(tokens_BSD.float().cpu())
        return _as_bytes(unpatchify(pixels_BNP, decoder.grid, tubelet)[:, :, 0])

    return decode


class VectorDecoder(nn.Module):
    """Maps one vector to an image, by transposed convolutions from 4 x 4 pixels on.

    The network predicts images that are standardised pixel by pixel, so that small moving objects count as
    much as the still background.

    Args:
        embed_dim: Embedding dimension of the vector.
        mean_CHW: Mean of the training images at each pixel.
        std_CHW: Standard deviation of the training images at each pixel.
    """

    mean_CHW: Tensor
    std_CHW: Tensor

    def __init__(self, embed_dim: int, mean_CHW: Tensor, std_CHW: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean_CHW", mean_CHW)
        self.register_buffer("std_CHW", std_CHW)
        layers: list[nn.Module] = [nn.Linear(embed_dim, 64 * 16), nn.GELU(), nn.Unflatten(1, (64, 4, 4))]
        side, channels = 4, 64
        while 2 * side < min(mean_CHW.shape[-2:]):
            layers += [nn.ConvTranspose2d(channels, max(channels // 2, 16), 4, 2, 1), nn.GELU()]
            side, channels = 2 * side, max(channels // 2, 16)
        layers.append(nn.ConvTranspose2d(channels, len(mean_CHW), 4, 2, 1))
        self.net = nn.Sequential(*layers)

    def forward(self, vector_BD: Tensor) -> Tensor:
        """Decode vectors ``(B, D)`` to standardised images ``(B, C, H, W)``."""
        small: Tensor = self.net(vector_BD)
        return F.interpolate(small, self.mean_CHW.shape[-2:], mode="bilinear")

    def loss(self, shown_BCHW: Tensor, true_BCHW: Tensor) -> Tensor:
        """Compute the mean squared error of standardised images, given true images in [0, 1]."""
        return F.mse_loss(shown_BCHW, (true_BCHW - self.mean_CHW) / self.std_CHW)

    def images(self, vector_BD: Tensor) -> Tensor:
        """Decode vectors ``(B, D)`` to images ``(B, C, H, W)``, roughly in [0, 1]."""
        shown: Tensor = self(vector_BD) * self.std_CHW + self.mean_CHW
        return shown


def _fit_vector(model: ActionModel, image_BCHW: Tensor, seed: int) -> Decode:
    """Fit a decoder for frames of one token."""
    device = next(model.parameters()).device
    true_BCHW = unit_pixels(image_BCHW)
    with torch.no_grad():
        parts = [model.encode(part.unsqueeze(1).to(device))[:, 0, 0].cpu() for part in image_BCHW.split(64)]
    vector_BD = torch.cat(parts).float()
    with seeded(seed):
        std_CHW = true_BCHW.std(dim=0).clamp_min(LEAST_STD)
        decoder = VectorDecoder(vector_BD.shape[1], true_BCHW.mean(dim=0), std_CHW)
        fit_probe(
            decoder, vector_BD, true_BCHW, decoder.loss,
            steps=STEPS, batch=BATCH, peak_lr=PEAK_LR, weight_decay=WEIGHT_DECAY,
        )  # fmt: skip

    @torch.no_grad()
    def decode(tokens_BSD: Tensor) -> Tensor:
        return _as_bytes(decoder.images(tokens_BSD[:, 0].float().cpu()))

    return decode


def _as_bytes(pixels_BCHW: Tensor) -> Tensor:
    return (255 * pixels_BCHW.clamp(0, 1) + 0.5).to(torch.uint8)
