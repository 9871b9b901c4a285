"""The context that a prediction is made from, as frames come. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from vjepa.data.clips import TICK
from vjepa.data.processor import VideoProcessor
from vjepa.inference.causal_stream import CausalStream
from vjepa.inference.forecast import Window, encode_context
from vjepa.models.video_model import VideoModel


class Observation:
    """The latest time steps, and no more: frames (bidirectional encoder) or tokens (block-causal encoder).

    Args:
        fps: rate at which frames come; None where it is unknown.
    """

    def __init__(
        self, model: VideoModel, window: Window, processor: VideoProcessor, fps: float | None
    ) -> None:
        self.model = model
        self.window = window
        self.processor = processor
        self.fps = fps
        self.step_seconds = self._step_seconds(processor.period(fps))
        transformer = model.encoder.transformer
        endless = transformer.causal and transformer.positions == "rotary"
        self._stream = CausalStream(model.encoder, window.grid.t) if endless else None
        self._frames: deque[Tensor] = (
            deque()
        )  # uint8 (B, C, H, W): of the context, and of a step that is not whole yet
        self._tokens: deque[Tensor] = deque(maxlen=window.context_steps)  # (B, S, Y), of a stream
        self._encoded: Tensor | None = None
        self._arrived = 0
        self._pending = 0  # frames of a step that is not whole yet
        self._whole_steps = 0
        self._begins: list[float] | None = None  # seconds at which the first whole step begins, of each clip

    def _step_seconds(self, period: float | None) -> float | None:
        return None if period is None else period * self.model.encoder.tubelet.t

    @property
    def steps(self) -> int:
        """Whole time steps at hand."""
        return min(self._whole_steps, self.window.context_steps)

    @property
    def context_end(self) -> tuple[float, ...] | None:
        """Seconds from the first frame to the end of the last whole step, of each clip."""
        if self.step_seconds is None or self._begins is None:
            return None
        return tuple(begin + self._whole_steps * self.step_seconds for begin in self._begins)

    def append(self, clips: Sequence[Tensor]) -> None:
        """The next frames of each video, uint8 ``(T, C, H, W)``, of equal lengths and any sizes."""
        for frames in zip(*clips, strict=True):
            repeats = self._repeats()
            if repeats:
                known_BCHW = torch.cat([self.processor.fit(frame_CHW.unsqueeze(0)) for frame_CHW in frames])
                for _ in range(repeats):
                    self._take(known_BCHW)

    def append_clips(self, video_BTCHW: Tensor, begins: Sequence[float], period: float | None) -> None:
        """Frames that have the model's rate and size already: the contexts of files, and when each begins in its file."""
        self.step_seconds = self._step_seconds(period)
        self._begins = list(begins)
        for frame_BCHW in video_BTCHW.unbind(1):
            self._take(frame_BCHW)

    def _repeats(self) -> int:
        """How often the frame that has arrived is shown at the model's rate: 0 leaves it out."""
        number, self._arrived = self._arrived, self._arrived + 1
        if self.processor.fps is None:
            return int(number % (self.processor.stride or 1) == 0)
        if self.fps is None:
            return 1
        # It is shown from now until the next one comes; moments of the model's clock within that time are its own.
        rate = self.processor.fps / self.fps
        return math.ceil((number + 1) * rate - TICK) - math.ceil(number * rate - TICK)

    def _take(self, frame_BCHW: Tensor) -> None:
        if self._begins is not None and len(frame_BCHW) != len(self._begins):
            raise ValueError(
                f"{len(frame_BCHW)} clips come after {len(self._begins)}: give the same number, or reset() first"
            )
        self._begins = self._begins or [0.0] * len(frame_BCHW)
        self._frames.append(frame_BCHW)
        depth = self.model.encoder.tubelet.t
        self._pending = (self._pending + 1) % depth
        if self._pending:
            return
        self._whole_steps += 1
        self._encoded = None
        if self._stream is not None:
            self._tokens.append(self._stream.step(self.model.normalizer(self._video(self._frames))))
            self._frames.clear()
            return
        while len(self._frames) > depth * self.window.context_steps:
            self._frames.popleft()

    def _video(self, frames: Sequence[Tensor] | deque[Tensor]) -> Tensor:
        device = next(self.model.parameters()).device
        return torch.stack(list(frames), dim=1).to(device)

    @torch.no_grad()
    def tokens(self) -> Tensor:
        """Tokens of all levels of the context, ``(B, K, Y)``; ValueError where it is not whole yet."""
        if self._whole_steps < self.window.context_steps:
            depth = self.model.encoder.tubelet.t
            raise ValueError(
                f"{self._whole_steps} whole time steps were observed and the context has {self.window.context_steps}, of "
                f"{depth} frames each at the model's rate: observe {self.window.context_steps * depth} frames or more, or "
                "build the FuturePredictor with fewer context_steps"
            )
        if self._stream is not None:
            return torch.cat(list(self._tokens), dim=1)
        if self._encoded is None:
            wanted = self.model.encoder.tubelet.t * self.window.context_steps
            frames = list(self._frames)[: len(self._frames) - self._pending][-wanted:]
            self._encoded = encode_context(self.model, self._video(frames))
        return self._encoded
