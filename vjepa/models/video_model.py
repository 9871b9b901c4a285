"""The video model: a trained encoder with a predictor or a decoder, ready for use."""

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
from vjepa.layers.pixels import PixelNormalizer
from vjepa.layers.targets import PredictionTargets
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor

Videos = Tensor | np.ndarray | str | Path | Image.Image | Sequence[str | Path | Image.Image]
"""Forms of videos that a model accepts; see `VideoModel`."""


class VideoModel(nn.Module):
    """An encoder and, if the weights include one, a predictor of embeddings or a decoder of pixels.

    `encode` and the other methods accept two forms of videos. Tensors and numpy arrays ``(B, T, C, H, W)``,
    uint8 in [0, 255] or floats in [0, 1], are used unchanged, at any size that tubelets can tile; a size
    unlike that of training gives a warning, once. Paths, lists of paths, a PIL image, and a list of PIL
    images (the frames of one clip) go through `processor` first. Anything else (other ranges, types or
    layouts, or NaN) raises a ValueError that names the remedy.

    Attributes:
        encoder: Encoder (`VideoEncoder`) from normalised pixels ``(B, C, T, H, W)`` to tokens.
        teacher: Encoder (`VideoEncoder`) that gave the prediction targets in training. None if that is
            `encoder`.
        predictor: `Predictor` of target embeddings. None if there is none.
        targets: `PredictionTargets`, what a predictor predicts of the tokens. None if the weights do not say
            how the future is predicted.
        decoder: `Predictor` of pixels, of a masked auto-encoder. None if there is none.
        normalizer: Module from ``(B, T, C, H, W)``, uint8 or floats in [0, 1], to normalised pixels
            ``(B, C, T, H, W)``.
        config: Nested dictionary with the constructor arguments of the networks, which encoder this is, and
            how it was trained.
        folder: Folder that the model was read from unchanged; None for other models.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.encoder = VideoEncoder(**config["encoder"])
        self.teacher = VideoEncoder(**config["teacher"]) if "teacher" in config else None
        self.predictor = Predictor(**config["predictor"]) if "predictor" in config else None
        self.decoder = Predictor(**config["decoder"]) if "decoder" in config else None
        self.targets = _targets(config, self.teacher or self.encoder) if "future" in config else None
        self.normalizer = PixelNormalizer(**config["pixels"])
        self.folder: Path | None = None
        self._sizes_told: set[tuple[int, ...]] = set()

    @property
    def predicts_each_step(self) -> bool:
        """Whether the model was trained to predict each time step from those before it, and no further."""
        network = self.predictor if self.decoder is None else self.decoder
        return network is not None and network.transformer.causal

    @property
    def processor(self) -> VideoProcessor:
        """Processor that turns any video into clips of the model's rate, length and size.

        Raises:
            ValueError: If the model's configuration does not describe these clips.
        """
        return VideoProcessor.of_config(self.config)

    def encode(self, video_BTCHW: Videos) -> Tensor:
        """Compute the tokens of videos after the last norm, ``(B, N, D)``."""
        return self.encoder(self._pixels(video_BTCHW))

    def forward_features(self, video_BTCHW: Videos) -> Tensor:
        """Do the same as `encode`, under timm's name."""
        return self.encode(video_BTCHW)

    def forward_intermediates(
        self, video_BTCHW: Videos, indices: int | Sequence[int] | None = None, *, norm: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Compute tokens after the last norm and after some blocks (`VideoEncoder.forward_intermediates`)."""
        return self.encoder.forward_intermediates(self._pixels(video_BTCHW), indices, norm=norm)

    def feature_maps(self, video_BTCHW: Videos, indices: int | Sequence[int] = (-1,)) -> list[Tensor]:
        """Compute feature maps of some blocks, as timm's ``features_only`` models do.

        Args:
            video_BCTHW: Videos, in any form that `VideoModel` accepts.
            indices: Indices of the blocks (see `VideoEncoder.forward_intermediates`).

        Returns:
            Tokens after the last norm on their grid, ``(B, t, h, w, D)``, for each block.
        """
        pixels_BCTHW = self._pixels(video_BTCHW)
        _, outputs = self.encoder.forward_intermediates(pixels_BCTHW, indices, norm=True)
        grid = self.encoder.grid_of(pixels_BCTHW)
        return [tokens_BND.unflatten(1, grid) for tokens_BND in outputs]

    def embed_targets(self, video_BTCHW: Videos) -> Tensor:
        """Compute the prediction targets of all tokens of videos, ``(B, N, Y)``.

        They are the embeddings of all levels from the network that gave the targets in training (`teacher`,
        or `encoder`), normalised as in training (``config["future"]["normalisation"]``).

        Raises:
            ValueError: The model's configuration does not say how the future is predicted.
        """
        if self.targets is None:
            raise ValueError(
                "the model's configuration has no section future, so it has no prediction targets"
            )
        _, target_BNY = self.targets(self.teacher or self.encoder, self._pixels(video_BTCHW))
        return target_BNY

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
                f"videos are of type {type(videos).__name__}: give a tensor or an array (B, T, C, H, W), "
                "paths or PIL images; for a list of clips, torch.stack makes a batch if shapes are equal, "
                "and model.processor(clips) if not"
            )
        else:
            video_BTCHW = self.processor(videos).to(self.normalizer.scale.device)
        pixels_BCTHW = self.normalizer(video_BTCHW)
        self._warn_of_size(*video_BTCHW.shape[1:])
        return pixels_BCTHW

    def _warn_of_size(self, frames: int, channels: int, height: int, width: int) -> None:
        """Warn, once for each size, that the model was trained on clips of another size.

        Clips shorter than in training give no warning: all their positions are known to the model.
        """
        clip = self.config.get("clip")
        if clip is None or ([height, width] == list(clip["size"]) and frames <= clip["num_frames"]):
            return
        size = (frames, height, width)
        if size in self._sizes_told:
            return
        self._sizes_told.add(size)
        known = (clip["num_frames"], *clip["size"])
        warnings.warn(
            f"clips of {' x '.join(map(str, size))} (frames, height, width) are encoded, and the model was "
            f"trained on {' x '.join(map(str, known))}: model.processor gives it clips that it knows",
            stacklevel=4,
        )


def _targets(config: dict[str, Any], encoder: VideoEncoder) -> PredictionTargets:
    future = config["future"]
    return PredictionTargets(
        future["normalisation"],
        encoder.embed_dim,
        levels=1 + len(encoder.transformer.level_norms),
        blocks=future.get("target_blocks", 1),
    )


def _is_images(videos: object) -> bool:
    """Whether this is a PIL image or a list of them."""
    images = videos if isinstance(videos, list | tuple) else [videos]
    return bool(images) and all(isinstance(image, Image.Image) for image in images)
