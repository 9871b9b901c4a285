"""Networks in the form in which they are exported.

They take uint8 frames, so that a caller only has to bring frames to the right size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vjepa.inference.classifier import VideoClassifier
from vjepa.inference.forecast import encode_context, roll_out, window_of
from vjepa.models.video_model import VideoModel


class EncoderGraph(nn.Module):
    """Graph from clips, uint8 ``(B, T, C, H, W)``, to their tokens ``(B, N, D)``.

    Args:
        model: Model whose encoder is exported.
    """

    output = "tokens"

    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        self.model = model
        clip = model.processor
        self.shape = (clip.num_frames, len(model.config["pixels"]["mean"]), *clip.size)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        return self.model.encode(video_BTCHW)


class FutureGraph(nn.Module):
    """Graph from context frames, uint8 ``(B, T, C, H, W)``, to predicted embeddings ``(B, F, h, w, Y)``.

    The predictions equal those of `FuturePredictor.predict`: beyond the trained window, they become context.

    Args:
        model: Model with a predictor of embeddings.
        horizons: Horizons in time steps after the context, each 1 or more. None takes all time steps up to
            the end of the trained window.

    Raises:
        ValueError: The model predicts pixels or no future, or a horizon is below 1.
    """

    output = "embeddings"

    def __init__(self, model: VideoModel, horizons: Sequence[int] | None = None) -> None:
        super().__init__()
        self.model = model
        clip = model.processor
        self.window = window_of(model, *clip.size)
        if model.predictor is None:
            raise ValueError(
                "the model predicts pixels, not embeddings: give a model with a predictor of embeddings"
            )
        self.horizons = tuple(horizons or range(1, self.window.rest + 1))
        if min(self.horizons) < 1:
            raise ValueError(
                f"horizons are {list(self.horizons)}: the future begins after the context, so give 1 or more"
            )
        frames = self.window.context_steps * model.encoder.tubelet.t
        self.shape = (frames, len(model.config["pixels"]["mean"]), *clip.size)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        context_BKY = encode_context(self.model, video_BTCHW)
        path_BNY = roll_out(self.model, context_BKY, self.window, max(self.horizons))
        grid = self.window.grid
        path_BFhwY = path_BNY.unflatten(1, (-1, grid.h, grid.w))
        return torch.stack([path_BFhwY[:, horizon - 1] for horizon in self.horizons], dim=1)


class ClassifierGraph(nn.Module):
    """Graph from videos, uint8 ``(B, T, C, H, W)``, to class probabilities ``(B, X)``.

    A video is one clip or, if the head sees several segments together, these clips concatenated along T.

    Args:
        classifier: Classifier whose network is exported; its averaging over views is not.
    """

    output = "probabilities"

    def __init__(self, classifier: VideoClassifier) -> None:
        super().__init__()
        self.network = classifier.network
        self.segments = classifier.segments
        clip = classifier.processor
        frames = clip.num_frames * classifier.segments
        self.shape = (frames, len(self.network.normalizer.mean), *clip.size)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        batch = video_BTCHW.shape[0]
        clips_RTCHW = video_BTCHW.unflatten(1, (self.segments, -1)).flatten(0, 1)
        tokens_RND = self.network.features(clips_RTCHW)
        return self.network.head(tokens_RND.reshape(batch, -1, tokens_RND.shape[-1])).softmax(dim=-1)


Graph = EncoderGraph | FutureGraph | ClassifierGraph
