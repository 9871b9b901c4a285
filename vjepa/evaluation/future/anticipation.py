"""Action anticipation: which action comes next, by a probe on context tokens and predicted tokens.

    report = evaluate_anticipation(model, train, test)
    print(report.table())

The protocol is that of V-JEPA 2 (arXiv 2506.09985, section 6, and `evals/action_anticipation_frozen` of its
code): frozen context tokens, followed by the predictor's tokens for the moment at which the action begins; an
attentive probe of four blocks; sigmoid focal loss; mean-class recall@5. Two things differ. A single probe
with one setting is trained, whereas the published number is that of the best of twenty probes on the test
split itself. And the context has as many time steps as in the model's training.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vjepa.data.clips import TICK
from vjepa.data.manifest import Video, class_names
from vjepa.data.processor import Frames, read_frames
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.splits import check_leaks
from vjepa.evaluation.future.anticipation_probe import AnticipationProbe, mean_class_recall
from vjepa.evaluation.future.skill import window_and_last
from vjepa.inference.forecast import Window, encode_context, roll_out
from vjepa.models.video_model import VideoModel

TOP = 5
_BATCH = 32  # clips that are encoded together


@dataclass(frozen=True)
class LeftOut:
    """Segment that was left out because its context would begin before its video does.

    Attributes:
        path: Path of the segment's video.
        start: Start of the action, in seconds.
        horizon: Seconds from the context's end to the action's start.
    """

    path: str
    start: float
    horizon: float


@dataclass(frozen=True)
class AnticipationTokens:
    """Tokens of the frames before actions.

    Attributes:
        tokens_VND: Float32 tokens of each kept segment, on the CPU. The first `context` tokens come from the
            encoder; the others are those of one predicted time step, on the same scale.
        context: Number of context tokens.
        segments: Segments that were kept.
        left_out: Segments whose context would begin before their video does.
    """

    tokens_VND: Tensor
    context: int
    segments: tuple[Video, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Recall:
    """Mean-class recall, in [0, 1].

    Attributes:
        at_1: Recall when the probe names one class.
        at_top: Recall when the probe names `AnticipationReport.top` classes.
    """

    at_1: float
    at_top: float


@dataclass(frozen=True)
class AnticipationReport:
    """Recall of action anticipation, and the settings that it was measured with.

    Attributes:
        predicted: Recall of the probe on context and predicted tokens.
        context: Recall of a second probe of the same kind on the context tokens alone. The difference between
            both is what prediction adds.
        chance: Highest recall that one ranking of the classes, the same for all segments, can reach.
        top: Number of classes that count as named for `at_top`: 5, or one fewer than there are classes, since
            naming all of them is always right.
        horizon: Seconds from the context's end to the action's start, in the test split.
        train_horizons: Lowest and highest horizon drawn in training, in seconds.
        draws: Number of horizons that are drawn for each training segment.
        context_steps: Number of time steps of the context.
        classes: Classes of the training segments that were kept.
        test_classes: Classes that occur in the test split; recall is a mean over them.
        unknown_classes: Test classes without a training segment. No probe can name them, so their segments
            count as missed.
        train_clips: Number of training clips that were kept, one for each segment and draw.
        test_clips: Number of test segments that were kept.
        train_left_out: Training clips that were left out.
        test_left_out: Test segments that were left out.
        seed: Random seed of horizons, probes and batches.
    """

    predicted: Recall
    context: Recall
    chance: Recall
    top: int
    horizon: float
    train_horizons: tuple[float, float]
    draws: int
    context_steps: int
    classes: tuple[str, ...]
    test_classes: tuple[str, ...]
    unknown_classes: tuple[str, ...]
    train_clips: int
    test_clips: int
    train_left_out: tuple[LeftOut, ...]
    test_left_out: tuple[LeftOut, ...]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain dictionaries, lists, strings and numbers."""
        return dataclasses.asdict(self)

    def table(self) -> str:
        """Format a text table with one line for each probe, followed by what was left out."""
        lines = [f"{'mean-class recall':<32} {'@1':>7} {f'@{self.top}':>7}"]
        rows = {
            "context and predicted tokens": self.predicted,
            "context tokens alone": self.context,
            "one ranking for all (chance)": self.chance,
        }
        lines += [f"{name:<32} {row.at_1:>7.1%} {row.at_top:>7.1%}" for name, row in rows.items()]
        lines.append(
            f"{self.horizon:g} s before the action; {self.test_clips} test segments of "
            f"{len(self.test_classes)} classes; {self.train_clips} training clips of "
            f"{len(self.classes)} classes"
        )
        if self.top < TOP:
            lines.append(f"recall@{TOP} of {len(self.classes)} classes would be trivial: @{self.top} instead")
        for kind, left in (("training clips", self.train_left_out), ("test segments", self.test_left_out)):
            if left:
                lines.append(f"{len(left)} {kind} left out: their context would begin before the video does")
        if self.unknown_classes:
            lines.append(
                f"{len(self.unknown_classes)} test classes have no training segment and count as missed"
            )
        return "\n".join(lines)


def evaluate_anticipation(
    model: VideoModel,
    train: Sequence[Video],
    test: Sequence[Video],
    *,
    horizon: float = 1.0,
    train_horizons: tuple[float, float] = (0.25, 1.75),
    draws: int = 4,
    seed: int = 0,
    progress: bool = False,
) -> AnticipationReport:
    """Train probes on frozen tokens of one split, and measure mean-class recall on the other.

    Args:
        model: A model with a predictor of embeddings; probes are trained on its device.
        train: Training segments of actions, with `start` and `label`.
        test: Test segments, of other videos.
        horizon: Seconds from the context's end to the action's start, in the test split.
        train_horizons: Range in seconds from which training horizons are drawn uniformly.
        draws: Number of horizons for each training segment; all tokens are extracted once and held in memory.
        seed: Random seed of horizons, probes and batches; the same seed gives the same metrics on a CPU.
        progress: Show progress bars.

    Raises:
        ValueError: A video is in both splits, a setting is out of range, the training split has fewer than
            two classes, or what `anticipation_tokens` raises.
    """
    _check(train, test, (horizon, *train_horizons), draws)
    (low, high), random = train_horizons, torch.Generator().manual_seed(seed)
    share_V = torch.rand(len(train) * draws, generator=random, dtype=torch.float64, device="cpu")
    drawn_V = low + (high - low) * share_V
    drawn = [video for video in train for _ in range(draws)]
    train_tokens = anticipation_tokens(model, drawn, drawn_V.tolist(), progress=progress)
    test_tokens = anticipation_tokens(model, test, [horizon] * len(test), progress=progress)
    classes, tested = class_names(train_tokens.segments), class_names(test_tokens.segments)
    if len(classes) < 2:
        raise ValueError(f"the training split that is left has one class, {classes[0]!r}: give two or more")
    top, known = min(TOP, len(classes) - 1), len(set(tested) & set(classes))
    predicted, context = (
        _probed(model, train_tokens, test_tokens, count, top, seed)
        for count in (train_tokens.tokens_VND.shape[1], train_tokens.context)
    )
    return AnticipationReport(
        predicted=predicted,
        context=context,
        chance=Recall(*(min(k, known) / len(tested) for k in (1, top))),
        top=top,
        horizon=horizon,
        train_horizons=(low, high),
        draws=draws,
        context_steps=window_and_last(model, None)[0].context_steps,
        classes=tuple(classes),
        test_classes=tuple(tested),
        unknown_classes=tuple(name for name in tested if name not in classes),
        train_clips=len(train_tokens.segments),
        test_clips=len(test_tokens.segments),
        train_left_out=train_tokens.left_out,
        test_left_out=test_tokens.left_out,
        seed=seed,
    )


def anticipation_tokens(
    model: VideoModel, segments: Sequence[Video], horizons_seconds: Sequence[float], *, progress: bool = False
) -> AnticipationTokens:
    """Extract tokens of the frames before each action, and predict those of the action's first time step.

    No frame from ``start - horizon`` on is decoded. The predicted step is the one during which the action
    starts, ``floor(horizon / duration of a step) + 1`` steps after the context, as in V-JEPA 2. (In
    `vjepa.FuturePredictor`, in contrast, a horizon is the end of a step.) If the encoder has several levels,
    the last is used. Normalised predictions are put on the scale of their context's tokens
    (`PredictionTargets.restore`).

    Args:
        model: A model whose predictor predicts embeddings as wide as its own encoder's.
        segments: Action segments with `start` and `label`.
        horizons_seconds: Horizon of each segment, in seconds, 0 or more.
        progress: Show a progress bar.

    Raises:
        ValueError: A segment has no start or label, a horizon is below 0, a video is unreadable or ends
            before the context does, no segment is left, or predicted and encoded tokens have different
            widths.
    """
    window, _ = window_and_last(model, None)
    if len(horizons_seconds) != len(segments):
        raise ValueError(f"{len(horizons_seconds)} horizons for {len(segments)} segments: give one for each")
    _check_horizons(horizons_seconds)
    _check_segments(segments)
    parts: list[Tensor] = []
    kept: list[Video] = []
    left_out: list[LeftOut] = []
    pairs = list(zip(segments, horizons_seconds, strict=True))
    for first in tqdm(range(0, len(pairs), _BATCH), desc="anticipating", disable=not progress):
        clips = []
        for segment, horizon in pairs[first : first + _BATCH]:
            frames = _context_frames(model, window, segment, horizon)
            if frames is None:
                left_out.append(LeftOut(segment.path, float(segment.start or 0.0), horizon))
                continue
            step = int(horizon / (frames.period * model.encoder.tubelet.t) + TICK) + 1
            clips.append((frames, step))
            kept.append(segment)
        if clips:
            parts.append(_tokens(model, window, clips))
    if not parts:
        raise ValueError(
            f"none of {len(segments)} segments has the {window.context_steps} time steps before it that the "
            "context needs: give actions that start later in their videos, or shorter horizons"
        )
    return AnticipationTokens(
        torch.cat(parts), window.context_steps * window.plane, tuple(kept), tuple(left_out)
    )


def _context_frames(model: VideoModel, window: Window, segment: Video, horizon: float) -> Frames | None:
    """Read the frames of a segment's context; return None if it would begin before the video does."""
    assert segment.start is not None
    end, clip = segment.start - horizon, model.processor
    try:
        frames = read_frames(segment.path, clip, last=window.context_steps * model.encoder.tubelet.t, end=end)
    except VideoDecodeError as error:
        raise ValueError(
            f"{error}: leave it out of the manifest; vjepa validate writes a clean one"
        ) from error
    except ValueError:  # shorter than the context
        return None
    # Without a model rate a frame is shown until the next one comes, however long that takes.
    slack = frames.period if clip.fps is None else 0.0
    if frames.starts[-1] + frames.period + slack + TICK < end:
        raise ValueError(
            f"an action in {segment.path} starts at {segment.start} s, and {horizon:.3f} s before that its "
            "video has ended: correct the manifest's start, in seconds from the first frame"
        )
    return frames


@torch.no_grad()
def _tokens(model: VideoModel, window: Window, clips: Sequence[tuple[Frames, int]]) -> Tensor:
    """Encode clips and predict one step: context tokens, then predicted tokens, ``(B, K + S, D)``.

    `clips` holds the frames of each clip and the step to predict, counted from 1 after the context.
    """
    device, embed_dim = next(model.parameters()).device, model.encoder.embed_dim
    context_BKY = encode_context(model, torch.stack([frames.video_TCHW for frames, _ in clips]).to(device))
    step_B = torch.tensor([step for _, step in clips], device=device)
    rows_of = [(step, (step_B == step).nonzero()[:, 0]) for step in step_B.unique().tolist()]
    parts = [predict_step(model, context_BKY[rows], window, step) for step, rows in rows_of]
    predicted_BSY = torch.cat(parts)[torch.cat([rows for _, rows in rows_of]).argsort()]
    assert model.targets is not None
    predicted_BSY = model.targets.restore(predicted_BSY, context_BKY)
    return torch.cat([context_BKY, predicted_BSY], dim=1)[..., -embed_dim:].float().cpu()


def predict_step(model: VideoModel, context_BKY: Tensor, window: Window, step: int) -> Tensor:
    """Predict one time step after a context, ``(B, S, Y)``, normalised as in training.

    Within the trained window, all steps after the context are predicted together, as in training. Beyond it,
    a predictor with rotary positions predicts that step alone, at a position outside the trained grid, as in
    V-JEPA 2. With other positions the prediction is rolled out: the window slides.

    Args:
        model: A model with a predictor of embeddings.
        context_BKY: Encoded context tokens.
        window: Prediction window.
        step: Step to predict, counted from 1 after the context.
    """
    predictor = model.predictor
    assert predictor is not None
    if step <= window.rest or predictor.transformer.positions != "rotary":
        return roll_out(model, context_BKY, window, step)[:, -window.plane :]
    grid = window.grid._replace(t=window.context_steps + step)
    index_N = torch.arange(grid.size, device=context_BKY.device)
    context_BK, target_BS = (
        part.expand(len(context_BKY), -1)
        for part in (index_N[: window.context_steps * window.plane], index_N[-window.plane :])
    )
    return predictor(context_BKY, context_BK, target_BS, grid, window.mask_token, targets=model.targets)


def _probed(
    model: VideoModel,
    train_tokens: AnticipationTokens,
    test_tokens: AnticipationTokens,
    count: int,
    top: int,
    seed: int,
) -> Recall:
    """Train a probe on the first `count` tokens of each segment, and return its recall."""
    classes = class_names(train_tokens.segments)
    # Test classes that training lacks get numbers that no score has, and so count as missed.
    unknown = [name for name in class_names(test_tokens.segments) if name not in classes]
    number_of = {name: number for number, name in enumerate([*classes, *unknown])}
    train_labels_V, test_labels_V = (
        torch.tensor([number_of[str(video.label)] for video in tokens.segments])
        for tokens in (train_tokens, test_tokens)
    )
    device = next(model.parameters()).device
    probe = AnticipationProbe.fit(
        train_tokens.tokens_VND[:, :count], train_labels_V, len(classes), seed=seed, device=device
    )
    scores_VX = probe.scores(test_tokens.tokens_VND[:, :count])
    return Recall(*(mean_class_recall(scores_VX, test_labels_V, k) for k in (1, top)))


def _check(train: Sequence[Video], test: Sequence[Video], horizons: Sequence[float], draws: int) -> None:
    """Check all arguments before anything is read.

    `horizons` holds the horizon of the test split, then the lowest and the highest of the training split.
    """
    _check_horizons(horizons)
    if horizons[1] > horizons[2]:
        raise ValueError(
            f"train_horizons go from {horizons[1]} to {horizons[2]} s: give the lowest, then the highest"
        )
    if draws < 1:
        raise ValueError(f"draws is {draws}: give 1 horizon or more for each training segment")
    for name, split in (("training", train), ("test", test)):
        if not split:
            raise ValueError(f"the {name} split has no segment: give one or more")
        _check_segments(split)
    check_leaks({"training": train, "test": test})
    shared = {os.path.realpath(video.path) for video in train} & {os.path.realpath(v.path) for v in test}
    if shared:
        raise ValueError(
            f"{len(shared)} videos are in both the training and the test split, e.g. {min(shared)}: part "
            "them by video, as contexts of one video resemble one another"
        )


def _check_horizons(horizons: Sequence[float]) -> None:
    wrong = [horizon for horizon in horizons if not 0 <= horizon < math.inf]
    if wrong:
        raise ValueError(
            f"a horizon is {wrong[0]} s: give 0 or more, as a context that ends after the action's start has "
            "seen it"
        )


def _check_segments(segments: Sequence[Video]) -> None:
    for column in ("start", "label"):
        lacking = [video.path for video in segments if getattr(video, column) is None]
        if lacking:
            raise ValueError(
                f"{len(lacking)} segments have no {column}, e.g. one of {lacking[0]}: an action that is to "
                "be anticipated needs a label and the second at which it starts; fill the manifest's column "
                f"'{column}' or leave the row out"
            )
