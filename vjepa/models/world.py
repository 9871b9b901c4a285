"""A trained model, ready for use. Shape letters as in `vjepa.tokens`; Y is the width of all levels together."""

from __future__ import annotations

from collections.abc import Sequence
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

    def forward_features(self, video_BTCHW: Tensor) -> Tensor:
        """The same by timm's name: all tokens after the last norm."""
        return self.encode(video_BTCHW)

    def forward_intermediates(
        self, video_BTCHW: Tensor, indices: Sequence[int], *, norm: bool = True
    ) -> list[Tensor]:
        """Tokens after some of the blocks, ``(B, N, D)`` each, of uint8 videos (`VideoEncoder.forward_intermediates`)."""
        return self.encoder.forward_intermediates(self.normalizer(video_BTCHW), indices, norm=norm)

    def feature_maps(self, video_BTCHW: Tensor, indices: Sequence[int] = (-1,)) -> list[Tensor]:
        """The same on the token grid, ``(B, t, h, w, D)`` each, for what wants places, as timm's ``features_only`` gives.

        Args:
            video_BTCHW: uint8.
            indices: numbers of the blocks; negative ones count from the last.
        """
        grid = self.encoder.grid_of(video_BTCHW.transpose(1, 2))
        depth = len(self.encoder.transformer.blocks)
        if not all(-depth <= index < depth for index in indices):
            raise ValueError(
                f"indices are {list(indices)}, the encoder has {depth} blocks: give -{depth} to {depth - 1}"
            )
        outputs = self.forward_intermediates(video_BTCHW, [index % depth for index in indices])
        return [tokens_BND.unflatten(1, grid) for tokens_BND in outputs]

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
