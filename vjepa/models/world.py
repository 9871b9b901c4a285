"""A trained model, ready for use. Shape letters as in `vjepa.tokens`; Y is the width of all levels together."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vjepa.layers.levels import normalise_levels
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor


class WorldModel(nn.Module):
    """An encoder and, where the weights have one, a predictor of embeddings or a decoder of pixels.

    Attributes:
        encoder: `VideoEncoder`; normalised pixels ``(B, C, T, H, W)`` to tokens.
        teacher: `VideoEncoder` that gave the targets of prediction, where that is not `encoder` itself, or None.
        predictor: `Predictor` of target embeddings, or None.
        decoder: `Predictor` of pixels, of a masked auto-encoder, or None.
        normalizer: uint8 ``(B, T, C, H, W)`` to normalised pixels.
        config: nested dictionary: constructor arguments, which encoder this is, how it was trained.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.encoder = VideoEncoder(**config["encoder"])
        self.teacher = VideoEncoder(**config["teacher"]) if "teacher" in config else None
        self.predictor = Predictor(**config["predictor"]) if "predictor" in config else None
        self.decoder = Predictor(**config["decoder"]) if "decoder" in config else None
        self.normalizer = PixelNormalizer(**config["pixels"])

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """Tokens of uint8 videos: ``(B, T, C, H, W)`` in [0, 255] to ``(B, N, D)``, after the last norm."""
        return self.encoder(self.normalizer(video_BTCHW))

    def embed_targets(self, video_BTCHW: Tensor) -> Tensor:
        """What the predictor is to predict, of all tokens of uint8 videos: ``(B, N, Y)``.

        Embeddings of all levels by the network that gave them in training, normalised as in training
        (``config["future"]["normalisation"]``).
        """
        network = self.encoder if self.teacher is None else self.teacher
        tokens_BNY = network(self.normalizer(video_BTCHW), levels=True)
        if self.config["future"]["normalisation"] == "none":
            return tokens_BNY
        return normalise_levels(tokens_BNY, network.width)
