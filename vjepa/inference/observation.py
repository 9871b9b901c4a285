"""The context of a prediction, collected frame by frame."""

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
    """Keeps the latest time steps: as frames for a bidirectional encoder, as tokens for a block-causal one.

    Args:
        model: Model whose encoder encodes the context.
        window: Context and targets of the model's predictions.
        processor: Converts frames to the model's size and rate.
        fps: Frame rate of the observed frames, in frames per second; None if it is unknown.

    Attributes:
        step_seconds: Duration of a time step in seconds; None if the frame rate is unknown.
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
        # Frames (B, C, H, W), uint8, of the context and of the time step that is not complete yet.
        self._frames: deque[Tensor] = deque()
        # Tokens (B, S, Y) of each time step of the context; a block-causal encoder alone has them.
        self._tokens: deque[Tensor] = deque(maxlen=window.context_steps)
        self._encoded: Tensor | None = None
        self._arrived = 0
        self._pending = 0  # Number of frames in the time step that is not complete yet.
        self._whole_steps = 0
        self._begins: list[float] | None = None  # Time in seconds at which each clip begins in its file.

    def _step_seconds(self, period: float | None) -> float | None:
        return None if period is None else period * self.model.encoder.tubelet.t

    @property
    def steps(self) -> int:
        """Number of complete time steps of the context so far."""
        return min(self._whole_steps, self.window.context_steps)

    @property
    def context_end(self) -> tuple[float, ...] | None:
        """Time in seconds at which the last complete time step of each clip ends; None if it is unknown.

        For frames from memory it counts from the first observed frame, for files from the beginning of the
        file.
        """
        if self.step_seconds is None or self._begins is None:
            return None
        return tuple(begin + self._whole_steps * self.step_seconds for begin in self._begins)

    def append(self, clips: Sequence[Tensor]) -> None:
        """Add the next frames of each video, uint8 ``(T, C, H, W)``, of equal lengths and any sizes."""
        for frames in zip(*clips, strict=True):
            repeats = self._repeats()
            if repeats:
                known_BCHW = torch.cat([self.processor.fit(frame_CHW.unsqueeze(0)) for frame_CHW in frames])
                for _ in range(repeats):
                    self._take(known_BCHW)

    def append_clips(self, video_BTCHW: Tensor, begins: Sequence[float], period: float | None) -> None:
        """Add contexts that were read from files.

        Args:
            video_BTCHW: Context frames, uint8, already at the model's rate and size.
            begins: Time in seconds at which each context begins in its file.
            period: Time in seconds from one frame to the next; None if the files differ in it.
        """
        self.step_seconds = self._step_seconds(period)
        self._begins = list(begins)
        for frame_BCHW in video_BTCHW.unbind(1):
            self._take(frame_BCHW)

    def _repeats(self) -> int:
        """Return how many times the new frame appears at the model's rate; 0 drops it."""
        number, self._arrived = self._arrived, self._arrived + 1
        if self.fps is None:  # already at the model's rate
            return 1
        if self.processor.fps is None:
            return int(number % (self.processor.stride or 1) == 0)
        # A frame is shown until the next one comes. It appears once for every tick of the model's frame clock
        # within that time.
        rate = self.processor.fps / self.fps
        return math.ceil((number + 1) * rate - TICK) - math.ceil(number * rate - TICK)

    def _take(self, frame_BCHW: Tensor) -> None:
        if self._begins is not None and len(frame_BCHW) != len(self._begins):
            raise ValueError(
                f"{len(frame_BCHW)} clips come after {len(self._begins)}: give the same number, or call "
                "reset() first"
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
        """Return the tokens of the context, of all levels: ``(B, K, Y)``.

        Raises:
            ValueError: The context is not complete yet.
        """
        if self._whole_steps < self.window.context_steps:
            depth = self.model.encoder.tubelet.t
            raise ValueError(
                f"{self._whole_steps} whole time steps were observed and the context has "
                f"{self.window.context_steps}, of {depth} frames each at the model's rate: observe "
                f"{self.window.context_steps * depth} frames or more, or build the FuturePredictor with "
                "fewer context_steps"
            )
        if self._stream is not None:
            return torch.cat(list(self._tokens), dim=1)
        if self._encoded is None:
            wanted = self.model.encoder.tubelet.t * self.window.context_steps
            frames = list(self._frames)[: len(self._frames) - self._pending][-wanted:]
            self._encoded = encode_context(self.model, self._video(frames))
        return self._encoded
