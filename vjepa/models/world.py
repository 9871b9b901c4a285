"""A trained model, ready for use. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor


class WorldModel(nn.Module):
    """An encoder and, where the weights have one, a predictor of embeddings or a decoder of pixels.

    Attributes:
        encoder: `VideoEncoder`; normalised pixels ``(B, C, T, H, W)`` to tokens.
        predictor: `Predictor` of target embeddings, or None.
        decoder: `Predictor` of pixels, of a masked auto-encoder, or None.
        normalizer: uint8 ``(B, T, C, H, W)`` to normalised pixels.
        config: nested dictionary: constructor arguments, which encoder this is, how it was trained.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.encoder = VideoEncoder(**config["encoder"])
        self.predictor = Predictor(**config["predictor"]) if "predictor" in config else None
        self.decoder = Predictor(**config["decoder"]) if "decoder" in config else None
        self.normalizer = PixelNormalizer(**config["pixels"])

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """Tokens of uint8 videos: ``(B, T, C, H, W)`` in [0, 255] to ``(B, N, D)``, after the last norm."""
        return self.encoder(self.normalizer(video_BTCHW))
