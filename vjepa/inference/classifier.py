"""Action recognition: the classes of a video.

classifier = vjepa.VideoClassifier.from_pretrained("runs/finetune")
answer = classifier.predict("clip.mp4")
print(answer.label, answer.probability)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vjepa.data.clips import TICK, ClipSampling, frame_duration, spread_clips
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video
from vjepa.data.memory import Pixels
from vjepa.data.processor import VideoProcessor, warn_of_damage
from vjepa.data.rendered import FOREIGN
from vjepa.data.sampling import SampleKey
from vjepa.data.transforms import SpatialViews
from vjepa.inference.views import view_probabilities
from vjepa.models.classifier import Classifier
from vjepa.weights.model_folder import load_classifier


@dataclass(frozen=True)
class Answer:
    """Classes of a video with their probabilities.

    Attributes:
        classes: Names of all classes, the most probable first.
        probabilities: Probability of each class, in the same order; they sum to 1.
    """

    classes: tuple[str, ...]
    probabilities: tuple[float, ...]

    @property
    def label(self) -> str:
        """Name of the most probable class."""
        return self.classes[0]

    @property
    def probability(self) -> float:
        """Probability of the most probable class."""
        return self.probabilities[0]

    def top(self, count: int) -> list[tuple[str, float]]:
        """Return the `count` most probable classes with their probabilities."""
        return list(zip(self.classes, self.probabilities, strict=True))[:count]


class VideoClassifier:
    """A fine-tuned classifier with its class names and the views that it averages over.

    Args:
        network: Encoder with a classification head.
        classes: Class names in the order of the head's outputs.
        processor: Converts any video to the frame rate, clip length and size that the model was trained on.
        clips: Number of clips of each video, spread evenly over it. The class probabilities of all clips and
            crops are averaged.
        crops: Number of crops of each clip.
        segments: Number of clips whose tokens the head sees together; a divisor of `clips`.

    Raises:
        ValueError: `clips` is not a multiple of `segments`, or one of the three is less than 1.
    """

    def __init__(
        self,
        network: Classifier,
        classes: Sequence[str],
        processor: VideoProcessor,
        *,
        clips: int = 1,
        crops: int = 1,
        segments: int = 1,
    ) -> None:
        if min(clips, crops, segments) < 1:
            raise ValueError(
                f"clips is {clips}, crops {crops} and segments {segments}: give 1 or more of each"
            )
        if clips % segments:
            raise ValueError(
                f"clips is {clips} and segments {segments}: the head sees {segments} clips together, so give "
                f"a multiple of {segments} as clips"
            )
        self.network = network.eval()
        self.classes = tuple(classes)
        self.processor = processor
        self.clips = clips
        self.crops = crops
        self.segments = segments
        self.transform = SpatialViews(processor.size, crops)

    @staticmethod
    def from_pretrained(
        source: str | Path, *, clips: int | None = None, crops: int | None = None
    ) -> VideoClassifier:
        """Load a classifier: one that vjepa finetune trained, or a released one.

        Args:
            source: Run folder of vjepa finetune, model folder, released file, or name on the Hugging
                Face hub.
            clips: Number of clips of each video; None takes that of the run's evaluation.
            crops: Number of crops of each clip; None takes that of the run's evaluation.

        Raises:
            ValueError: The folder holds no classifier.
        """
        network, config = load_classifier(source)
        views = dict(config["views"])
        given = {name: count for name, count in (("clips", clips), ("crops", crops)) if count is not None}
        return VideoClassifier(
            network, config["classes"], VideoProcessor.of_config(config), **{**views, **given}
        )

    def to(self, device: torch.device | str) -> VideoClassifier:
        """Move the classifier to a device, and return it."""
        self.network.to(device)
        return self

    def predict(
        self,
        video: str | Path | Pixels | Sequence[Any],
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> Answer:
        """Classify a video.

        Args:
            video: Path of a video (see `vjepa.open_video`), or frames at the rate of the model's clips:
                ``(T, C, H, W)``, uint8 in [0, 255] or floats in [0, 1], or a list of single frames or PIL
                images.
            start: Time in seconds from which a file is classified; None is the beginning of the video.
            end: Time in seconds up to which a file is classified; None is the end of the video.

        Returns:
            The names of all classes and their probabilities, the most probable first.

        Raises:
            ValueError: The video cannot be read, frames have another form than these, or a time range is
                given for frames.
        """
        if isinstance(video, str | Path):
            views_RTCHW = self._views(Video(str(video), start=start, end=end))
        elif start is None and end is None:
            views_RTCHW = self._views_of_frames(self.processor.clips_of(video))
        else:
            raise ValueError(f"start is {start} and end {end}, which are for files: cut the frames instead")
        probability_X = self.probabilities(views_RTCHW.unsqueeze(0))[0]
        order = probability_X.argsort(descending=True).tolist()
        values = probability_X.tolist()
        return Answer(tuple(self.classes[n] for n in order), tuple(values[n] for n in order))

    def over_time(
        self, path: str | Path, every: float | None = None
    ) -> Iterator[tuple[float, float, Answer]]:
        """Classify a video part by part; yield start and end of each part in seconds, and its classes.

        A part is as long as a clip of the model, or as all the clips that the head sees together
        (`segments`); the last one ends with the video. A video shorter than a part is classified once, as a
        whole.

        Args:
            path: Path of the video.
            every: Time in seconds from the start of one part to the start of the next; None takes half the
                duration of a part.

        Raises:
            ValueError: The video cannot be read, or `every` is not above 0.
        """
        with self.processor.open(str(path)) as video:
            timestamps = video.timestamps
        lasting = frame_duration(timestamps)
        over = float(timestamps[-1]) + lasting
        period = self.processor.period(1 / lasting)
        assert period is not None
        span = min(self.segments * self.processor.num_frames * period, over)
        every = span / 2 if every is None else every
        if not 0 < every < np.inf:
            raise ValueError(f"every is {every}: give a number of seconds above 0")
        one_part = VideoClassifier(
            self.network,
            self.classes,
            self.processor,
            crops=self.crops,
            clips=self.segments,
            segments=self.segments,
        )
        count = int(np.ceil(max(over - span, 0) / every - TICK)) + 1
        for number in range(count):
            start = min(number * every, over - span)
            yield start, start + span, one_part.predict(path, start=start, end=start + span)

    def probabilities(self, views_BRTCHW: Tensor) -> Tensor:
        """Return the class probabilities of videos, averaged over their views: ``(B, X)``, on the CPU.

        Args:
            views_BRTCHW: Views of each video at the model's clip length and size, uint8 in [0, 255] or
                floats in [0, 1].

        Raises:
            ValueError: The views do not have six axes, or their number is no multiple of segments and crops.
        """
        together = self.segments * self.crops
        if views_BRTCHW.ndim != 6 or views_BRTCHW.shape[1] % together:
            raise ValueError(
                f"views have shape {tuple(views_BRTCHW.shape)}: give (B, R, T, C, H, W), R views of each "
                f"video, a multiple of {self.segments} segments x {self.crops} crops; predict takes whole "
                "videos"
            )
        device = next(self.network.parameters()).device
        return view_probabilities(
            self.network, views_BRTCHW.to(device), segments=self.segments, crops=self.crops
        ).cpu()

    def _views(self, video: Video) -> Tensor:
        if self.processor.is_foreign(video.path):
            warnings.warn(FOREIGN, stacklevel=3)
        sampling = ClipSampling(
            self.processor.num_frames, self.processor.fps, self.processor.stride, self.clips
        )
        dataset = ClipDataset(
            [video], sampling, self.transform, seed=0, spread=True, channels=self.processor.channels
        )
        sample = dataset[SampleKey(serial=0, index=0, step=0)]
        for path, damage in sample.damaged:
            warn_of_damage(path, damage)
        return sample.video_RTCHW

    def _views_of_frames(self, videos: Sequence[Tensor]) -> Tensor:
        """Return clips spread evenly over the frames of one video; a short video repeats its last frame."""
        if len(videos) != 1:
            raise ValueError(f"frames of {len(videos)} videos at once: give one video, (T, C, H, W)")
        sampling = ClipSampling(self.processor.num_frames, clips_per_video=self.clips)
        index_RT = torch.from_numpy(spread_clips(np.arange(len(videos[0])), sampling))
        return torch.cat([self.transform(videos[0][index_T]) for index_T in index_RT])
