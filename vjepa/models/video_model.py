"""A trained model, ready for use. Shape letters as in `vjepa.tokens`; Y is the width of all levels together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from vjepa.data.memory import tensor_of
from vjepa.data.processor import VideoProcessor, paths_of
from vjepa.layers.levels import normalise_levels
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor

Videos = Tensor | np.ndarray | str | Path | Image.Image | Sequence[str | Path | Image.Image]
"""What a model can be asked about: see `VideoModel`."""


class VideoModel(nn.Module):
    """An encoder and, where the weights have one, a predictor of embeddings or a decoder of pixels.

    `encode` and the other methods take videos in two ways. Tensors and numpy arrays ``(B, T, C, H, W)``,
    uint8 in [0, 255] or floats in [0, 1], are seen as they are, at any size that tubelets can tile; a warning
    says once where a size was not that of training. Paths, lists of paths, a PIL image, and a list of PIL
    images (the frames of one clip) go through `processor` first. Whatever else is given (other ranges, types,
    layouts, NaN) is a ValueError that says what to do.

    Attributes:
        encoder: `VideoEncoder`; normalised pixels ``(B, C, T, H, W)`` to tokens.
        teacher: `VideoEncoder` that gave the targets of prediction, where that is not `encoder` itself, or
            None.
        predictor: `Predictor` of target embeddings, or None.
        decoder: `Predictor` of pixels, of a masked auto-encoder, or None.
        normalizer: uint8, or floats in [0, 1], ``(B, T, C, H, W)`` to normalised pixels ``(B, C, T, H, W)``.
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
        self._sizes_told: set[tuple[int, ...]] = set()

    @property
    def processor(self) -> VideoProcessor:
        """Any video to the clips that the model knows; ValueError where its configuration does not tell which."""
        return VideoProcessor.of_config(self.config)

    def encode(self, video_BTCHW: Videos) -> Tensor:
        """Tokens of videos after the last norm, ``(B, N, D)``."""
        return self.encoder(self._pixels(video_BTCHW))

    def forward_features(self, video_BTCHW: Videos) -> Tensor:
        """The same by timm's name: all tokens after the last norm."""
        return self.encode(video_BTCHW)

    def forward_intermediates(
        self, video_BTCHW: Videos, indices: int | Sequence[int] | None = None, *, norm: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Tokens after the last norm and after some of the blocks: see `VideoEncoder.forward_intermediates`."""
        return self.encoder.forward_intermediates(self._pixels(video_BTCHW), indices, norm=norm)

    def feature_maps(self, video_BTCHW: Videos, indices: int | Sequence[int] = (-1,)) -> list[Tensor]:
        """Normed tokens on their grid, ``(B, t, h, w, D)`` each, for what wants places, as timm's ``features_only`` gives.

        Args:
            video_BTCHW: videos.
            indices: which blocks, as of `VideoEncoder.forward_intermediates`.
        """
        pixels_BCTHW = self._pixels(video_BTCHW)
        _, outputs = self.encoder.forward_intermediates(pixels_BCTHW, indices, norm=True)
        grid = self.encoder.grid_of(pixels_BCTHW)
        return [tokens_BND.unflatten(1, grid) for tokens_BND in outputs]

    def embed_targets(self, video_BTCHW: Videos) -> Tensor:
        """What the predictor is to predict, of all tokens of videos: ``(B, N, Y)``.

        Embeddings of all levels by the network that gave them in training, normalised as in training
        (``config["future"]["normalisation"]``).
        """
        network = self.encoder if self.teacher is None else self.teacher
        tokens_BNY = network(self._pixels(video_BTCHW), levels=True)
        if self.config["future"]["normalisation"] == "none":
            return tokens_BNY
        return normalise_levels(tokens_BNY, network.width)

    def _pixels(self, videos: Videos) -> Tensor:
        """Normalised pixels ``(B, C, T, H, W)``."""
        if isinstance(videos, np.ndarray):
            video_BTCHW = tensor_of(videos).to(self.normalizer.scale.device)
        elif isinstance(videos, Tensor):
            video_BTCHW = videos
        elif isinstance(videos, list | tuple) and not videos:
            raise ValueError("videos are an empty list: give one video or more")
        elif paths_of(videos) is None and not _is_images(videos):
            raise ValueError(
                f"videos are of type {type(videos).__name__}: give a tensor or an array (B, T, C, H, W), paths or PIL images; of "
                "clips in a list, torch.stack makes a batch where they are equal, and model.processor(clips) where not"
            )
        else:
            video_BTCHW = self.processor(videos).to(self.normalizer.scale.device)
        pixels_BCTHW = self.normalizer(video_BTCHW)
        self._warn_of_size(*video_BTCHW.shape[1:])
        return pixels_BCTHW

    def _warn_of_size(self, frames: int, channels: int, height: int, width: int) -> None:
        """Say once of each size that the model never saw it. A shorter clip lies within the positions that it knows."""
        clip = self.config.get("clip")
        if clip is None or ([height, width] == list(clip["size"]) and frames <= clip["num_frames"]):
            return
        size = (frames, height, width)
        if size in self._sizes_told:
            return
        self._sizes_told.add(size)
        known = (clip["num_frames"], *clip["size"])
        warnings.warn(
            f"clips of {' x '.join(map(str, size))} (frames, height, width) are encoded, and the model was trained on "
            f"{' x '.join(map(str, known))}: model.processor gives it clips that it knows",
            stacklevel=4,
        )


def _is_images(videos: object) -> bool:
    """A PIL image or a list of them."""
    images = videos if isinstance(videos, list | tuple) else [videos]
    return bool(images) and all(isinstance(image, Image.Image) for image in images)
