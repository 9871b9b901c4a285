"""Prediction of the embeddings of future frames from past frames.

future = FuturePredictor(from_pretrained("runs/quickstart"))
future.observe("video.mp4")
y = future.predict(seconds=0.5)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vjepa.data.memory import Pixels, bytes_of
from vjepa.data.processor import paths_of, read_frames
from vjepa.grid import Grid
from vjepa.inference.forecast import Window, predict_rest, roll_out, window_of
from vjepa.inference.observation import Observation
from vjepa.models.video_model import VideoModel

Horizons = float | Sequence[float] | Tensor
Beyond = Literal["slide", "extrapolate"]


@dataclass(frozen=True)
class Prediction:
    """Predicted embeddings of the time steps after the context, with their times and provenance.

    Attributes:
        embeddings_BFhwY: Embedding of each place of the token grid at each horizon;
            ``(B, s, F, h, w, Y)`` for several samples.
        steps: Horizons in time steps; 1 is the time step that follows the context.
        seconds: Time in seconds from the end of the context to the end of each horizon's time step. None if
            the frame rate is unknown.
        context_end: Time in seconds at which the context of each clip ends, from the first observed frame or,
            for files, from the beginning of the file. None if the frame rate is unknown.
        grid: Token grid of one time step, ``(1, h, w)``.
        encoder: Network that encoded the context: ``target_encoder`` or ``encoder``.
        mask_token: Index of the mask token at the targets.
        normalisation: Normalisation of the embeddings: ``layer_norm`` (each level to mean 0 and standard
            deviation 1, as in training) or ``none``.
        context_steps: Number of time steps of the context.
        beyond: Method by which horizons beyond the trained window were reached: ``slide`` or ``extrapolate``.
    """

    embeddings_BFhwY: Tensor
    steps: tuple[int, ...]
    seconds: tuple[float, ...] | None
    context_end: tuple[float, ...] | None
    grid: Grid
    encoder: str
    mask_token: int
    normalisation: str
    context_steps: int
    beyond: str


class FuturePredictor:
    """Observes frames and predicts the embeddings of the frames that follow.

    Frames may arrive one by one. With a block-causal encoder (rotary positions), the past is kept as keys and
    values, and each new time step costs the same. With a bidirectional encoder, the latest frames are kept
    and encoded when a prediction is requested. In both cases memory does not grow.

    Args:
        model: Model with a predictor of embeddings; it stays on its device (``model.to("cuda")``).
        context_steps: Number of time steps of the context; None takes that of the model's configuration.
        mask_token: Index of the mask token at the targets; None takes that of the model's configuration.
        fps: Frame rate, in frames per second, of frames that are observed from memory. If the model has a
            frame rate, frames are repeated or dropped to match it. None takes every frame as it is.

    Raises:
        ValueError: `fps` is not above 0, or the model predicts pixels or cannot predict the future (see
            `window_of`).
    """

    def __init__(
        self,
        model: VideoModel,
        *,
        context_steps: int | None = None,
        mask_token: int | None = None,
        fps: float | None = None,
    ) -> None:
        if fps is not None and not 0 < fps < np.inf:
            raise ValueError(f"fps is {fps}: give a number of frames a second above 0")
        self.model = model
        if model.decoder is not None:
            raise ValueError(
                "the model predicts pixels, not embeddings: use vjepa.surprise or vjepa reconstruct, or "
                "give a model with a predictor of embeddings"
            )
        self.processor = model.processor
        height, width = self.processor.size
        self.window: Window = window_of(model, height, width, context_steps, mask_token)
        self.processor.warn_of_rate(fps)
        self.fps = fps
        self.reset()

    def reset(self) -> None:
        """Forget all observed frames."""
        self._observation = Observation(self.model, self.window, self.processor, self.fps)

    @property
    def observed_steps(self) -> int:
        """Number of complete time steps of the context so far, at most `context_steps`."""
        return self._observation.steps

    def observe(
        self, frames: Pixels | str | Path | Iterable[Any], *, end: float | None = None
    ) -> FuturePredictor:
        """Observe frames, and return the predictor itself.

        Args:
            frames: Next frames, in one of these forms:

                - A tensor or an array, uint8 in [0, 255] or floats in [0, 1]: ``(T, C, H, W)``, or
                  ``(B, T, C, H, W)`` for a batch, or one frame ``(C, H, W)``; or one PIL image.
                - A list or another iterable of single frames in their order, such as a camera stream.
                - A list of clips ``(T, C, H, W)``: a batch with the next frames of each video, of any sizes
                  but of equal lengths.
                - A path of a video, or a list of paths for a batch. Earlier observations are forgotten, and
                  only the frames of the context are decoded.
            end: Time in seconds at which the context ends, for paths only; None is the end of the video.

        Raises:
            ValueError: Frames have the wrong shape, range or type, clips have unequal lengths, a video is
                shorter than the context, or `end` is given for frames in memory.
        """
        paths = paths_of(frames)
        if paths is not None:
            self._observe_files(paths, end)
        elif end is not None:
            raise ValueError(f"end is {end}, which is for paths: cut the frames instead")
        elif isinstance(frames, Tensor | np.ndarray | Image.Image | list | tuple):
            self._observe_clips(self.processor.clips_of(frames))
        else:
            self._observe_stream(frames)
        return self

    def _observe_clips(self, clips: Sequence[Tensor]) -> None:
        lengths = sorted({len(clip_TCHW) for clip_TCHW in clips})
        if len(lengths) > 1:
            raise ValueError(
                f"clips of a batch have {lengths} frames: give clips of equal lengths, or observe each clip "
                "with its own FuturePredictor"
            )
        self._observation.append(clips)

    def _observe_stream(self, frames: Any) -> None:
        """Observe an iterable frame by frame, so that it may be endless."""
        if not isinstance(frames, Iterable):
            raise ValueError(
                f"frames are of type {type(frames).__name__}: give a tensor, an array, PIL images, a path, "
                "or an iterable of frames"
            )
        for frame in frames:
            pixels = bytes_of(frame, self.processor.channels)
            if pixels.ndim != 3:
                raise ValueError(
                    f"the stream gave pixels of shape {tuple(pixels.shape)}: it must give single frames "
                    "(C, H, W); give a list of clips for a batch, or observe each clip of one video in turn"
                )
            self._observation.append([pixels.unsqueeze(0)])

    def _observe_files(self, paths: Sequence[str], end: float | None) -> None:
        last = self.window.context_steps * self.model.encoder.tubelet.t
        clips = [read_frames(path, self.processor, last=last, end=end) for path in paths]
        periods = {round(clip.period, 9) for clip in clips}
        self.reset()
        self._observation.append_clips(
            torch.stack([clip.video_TCHW for clip in clips]),
            [float(clip.starts[0]) for clip in clips],
            clips[0].period if len(periods) == 1 else None,
        )

    def predict(
        self,
        *,
        steps: Horizons | None = None,
        seconds: Horizons | None = None,
        beyond: Beyond = "slide",
    ) -> Prediction:
        """Predict embeddings at one horizon or several.

        Args:
            steps: Horizons in time steps after the context, 1 or more. If `steps` and `seconds` are both
                None, all time steps up to the end of the trained window are returned.
            seconds: Horizons in seconds after the context, above 0, in place of `steps`. A horizon is rounded
                to the time step that contains it.
            beyond: Method for horizons beyond the trained window. `slide` feeds predictions back as the next
                context; `extrapolate` evaluates a predictor with rotary positions at positions beyond its
                trained grid.

        Returns:
            The embeddings at these horizons, with their times and provenance.

        Raises:
            ValueError: The context is not complete, a horizon is not above 0, both `steps` and `seconds` are
                given, the duration of a time step is unknown, or the predictor cannot extrapolate.
        """
        horizons = self._horizons(steps, seconds)
        with torch.no_grad():
            embeddings_BNY = self._embeddings(horizons, beyond, None)
        return self._prediction(embeddings_BNY, horizons, beyond)

    def rollout(self, *, steps: int | None = None, seconds: float | None = None) -> Prediction:
        """Predict every time step up to a horizon, autoregressively beyond the trained window.

        Args:
            steps: Horizon in time steps after the context; see `predict`.
            seconds: Horizon in seconds after the context, in place of `steps`; see `predict`.

        Returns:
            The embeddings of all time steps up to the horizon, with their times and provenance.
        """
        last = max(self._horizons(steps, seconds))
        return self.predict(steps=range(1, last + 1))

    def sample(
        self, num: int, *, steps: Horizons | None = None, seconds: Horizons | None = None, seed: int = 0
    ) -> Prediction:
        """Sample several futures of each clip: embeddings ``(B, s, F, h, w, Y)``.

        The predictor must take noise (recipe option `objective.futures`).

        Args:
            num: Number of samples of each clip.
            steps: Horizons in time steps; see `predict`.
            seconds: Horizons in seconds, in place of `steps`; see `predict`.
            seed: Random seed of the noise. Each sample has one noise vector, for all time steps and clips: it
                depends on neither the batch nor `num`.

        Raises:
            ValueError: The predictor takes no noise, `num` is below 1, or see `predict`.
        """
        noise = self.model.predictor.noise_proj if self.model.predictor is not None else None
        if noise is None:
            raise ValueError(
                "the model knows one future, not several: train one with objective.futures, or use predict"
            )
        if num < 1:
            raise ValueError(f"num is {num}: ask for 1 sample or more")
        horizons = self._horizons(steps, seconds)
        clips, size = len(self._observation.tokens()), noise.in_features
        noise_sZ = np.stack([np.random.default_rng((seed, n)).standard_normal(size) for n in range(num)])
        with torch.no_grad():
            samples = [
                self._embeddings(horizons, "slide", noise_Z.expand(clips, -1))
                for noise_Z in torch.from_numpy(noise_sZ).to(noise.weight)
            ]
        return self._prediction(torch.stack(samples, dim=1), horizons, "slide")

    def _horizons(self, steps: Horizons | None, seconds: Horizons | None) -> list[int]:
        if steps is not None and seconds is not None:
            raise ValueError(f"steps is {steps} and seconds is {seconds}: give one of them")
        if seconds is not None:
            duration = self._observation.step_seconds
            if duration is None:
                raise ValueError(
                    "the duration of a time step is unknown: the model counts frames (data.clip.stride), and "
                    "files differ in their frame rate, or that of frames is unknown; give steps, or for "
                    "frames FuturePredictor(model, fps=...)"
                )
            asked = [float(second) / duration for second in _as_list(seconds)]
            horizons = [max(float(np.ceil(step - 1e-6)), 1.0) if step > 0 else 0.0 for step in asked]
        elif steps is not None:
            horizons = _as_list(steps)
        else:
            horizons = list(range(1, self.window.rest + 1))
        if not horizons or not all(step >= 1 and float(step).is_integer() for step in horizons):
            raise ValueError(
                f"horizons are {steps if seconds is None else seconds}: the future begins after the context, "
                "so give numbers above 0, whole time steps or seconds"
            )
        return [int(step) for step in horizons]

    def _embeddings(self, horizons: Sequence[int], beyond: str, noise_BZ: Tensor | None) -> Tensor:
        """Predict the embeddings at the horizons, ``(B, F * S, Y)``."""
        predictor, window, context_BKY = self.model.predictor, self.window, self._observation.tokens()
        assert predictor is not None
        last = max(horizons)
        if beyond not in get_args(Beyond):
            raise ValueError(f"beyond is {beyond!r}: give one of {', '.join(get_args(Beyond))}")
        if beyond == "extrapolate" and last > window.rest:
            if self.model.predicts_each_step:
                raise ValueError(
                    f"horizon {last} is more than one time step ahead, which the predictor never predicted "
                    "in training (masks.future with each_step): ask for beyond='slide'"
                )
            if predictor.transformer.positions != "rotary":
                raise ValueError(
                    f"horizon {last} is beyond the {window.rest} time steps that the predictor was trained "
                    f"for, and its positions ({predictor.transformer.positions}) end there: ask for "
                    "beyond='slide'"
                )
            path_BNY = predict_rest(predictor, context_BKY, window, self.model.targets, noise_BZ, steps=last)
        else:
            path_BNY = roll_out(self.model, context_BKY, window, last, noise_BZ)
        path_BFSY = path_BNY.unflatten(1, (-1, window.plane))
        return path_BFSY[:, [horizon - 1 for horizon in horizons]].flatten(1, 2)

    def _prediction(self, embeddings: Tensor, horizons: Sequence[int], beyond: str) -> Prediction:
        """Package embeddings ``(B, F * S, Y)``, or ``(B, s, F * S, Y)`` for several samples."""
        grid, duration = self.window.grid, self._observation.step_seconds
        return Prediction(
            embeddings_BFhwY=embeddings.unflatten(-2, (len(horizons), grid.h, grid.w)),
            steps=tuple(horizons),
            seconds=None if duration is None else tuple(horizon * duration for horizon in horizons),
            context_end=self._observation.context_end,
            grid=grid._replace(t=1),
            encoder=self.model.config["which"],
            mask_token=self.window.mask_token,
            normalisation=self.model.config["future"]["normalisation"],
            context_steps=self.window.context_steps,
            beyond=beyond,
        )


def _as_list(horizons: Horizons) -> list[float]:
    if isinstance(horizons, Tensor):
        return [float(horizon) for horizon in horizons.flatten().tolist()]
    return [float(horizons)] if isinstance(horizons, Real) else list(horizons)  # type: ignore[arg-type]
