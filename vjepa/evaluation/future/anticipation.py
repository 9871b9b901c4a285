"""Which action comes next, read from what was seen before it and from what the model predicts of it.

    report = evaluate_anticipation(model, train, test)
    print(report.table())

The set-up of V-JEPA 2 (arXiv 2506.09985, section 6, and `evals/action_anticipation_frozen` of its code): frozen context
tokens and, beside them, the predictor's tokens at the moment at which the action begins; an attentive probe of four blocks;
sigmoid focal loss; mean-class recall@5. Two things differ: one probe with one setting is trained, where twenty are published
as the best of them on the very test split, and the context has as many time steps as in the model's training.

Shape letters as in `vjepa.tokens`; V segments, S tokens of one time step, Y the width of all levels together, X classes.
"""

from __future__ import annotations

import dataclasses
import math
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
from vjepa.evaluation.future.anticipation_probe import AnticipationProbe, mean_class_recall
from vjepa.evaluation.future.skill import window_and_last
from vjepa.inference.forecast import Window, encode_context, roll_out
from vjepa.layers.levels import restore_levels
from vjepa.models.video_model import VideoModel

TOP = 5
_BATCH = 32  # clips that are encoded together


@dataclass(frozen=True)
class LeftOut:
    """A segment that was not used: its context would begin before its video does."""

    path: str
    start: float
    horizon: float


@dataclass(frozen=True)
class AnticipationTokens:
    """What is known before actions.

    Attributes:
        tokens_VND: of the segments that were kept: `context` tokens of the encoder, then those of one predicted time step, on
            one scale; float32, on the CPU.
        context: number of context tokens.
        segments: that were kept.
        left_out: those whose context would begin before their video does.
    """

    tokens_VND: Tensor
    context: int
    segments: tuple[Video, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Recall:
    """Mean-class recall, from 0 to 1, of the best class and of the best `AnticipationReport.top` classes."""

    at_1: float
    at_top: float


@dataclass(frozen=True)
class AnticipationReport:
    """Metrics, and how they came about.

    Attributes:
        predicted: recall with predicted tokens beside those of the context.
        context: of another probe of the same kind that has the context's tokens alone: the difference is what prediction adds.
        chance: the most that one ranking of the classes for all segments reaches.
        top: how many classes `at_top` may name: 5, or one fewer than there are, as naming all of them is always right.
        horizon: seconds from the context's end to the action's start, in the test split.
        train_horizons: lowest and highest that were drawn in training.
        draws: horizons drawn for each training segment.
        context_steps: time steps of the context.
        classes: of the training split that was kept.
        test_classes: that occur in the test split; recall is a mean over these.
        unknown_classes: those of them that no training segment has; nobody can name them, and they count as missed.
        train_clips, test_clips: segments used, those of training once for each draw.
        train_left_out, test_left_out: those that were not.
        seed: of horizons, probe and batches.
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
        """Plain dictionaries, lists, texts and numbers."""
        return dataclasses.asdict(self)

    def table(self) -> str:
        """One line a probe, for people; what was left out below."""
        lines = [f"{'mean-class recall':<32} {'@1':>7} {f'@{self.top}':>7}"]
        rows = {
            "context and predicted tokens": self.predicted,
            "context tokens alone": self.context,
            "one ranking for all (chance)": self.chance,
        }
        lines += [f"{name:<32} {row.at_1:>7.1%} {row.at_top:>7.1%}" for name, row in rows.items()]
        lines.append(
            f"{self.horizon:g} s before the action; {self.test_clips} test segments of {len(self.test_classes)} classes; "
            f"{self.train_clips} training clips of {len(self.classes)} classes"
        )
        if self.top < TOP:
            lines.append(f"recall@{TOP} of {len(self.classes)} classes would be trivial: @{self.top} instead")
        for part, left in (("training clips", self.train_left_out), ("test segments", self.test_left_out)):
            if left:
                lines.append(f"{len(left)} {part} left out: their context would begin before the video does")
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
        model: a model with a predictor of embeddings; it is used where it is, and the probes with it.
        train, test: action segments (`start`, `label`) of different videos.
        horizon: seconds from the context's end to the action's start, in the test split.
        train_horizons: range in which horizons are drawn for training, uniformly.
        draws: horizons for each training segment; their tokens are extracted once and held in memory.
        seed: of horizons, probes and batches; the same seed gives the same metrics on a CPU.
        progress: show bars.

    Raises:
        ValueError: segments without start or label, unreadable videos, a video in both splits, fewer than two classes, nothing
            left of a split; what `anticipation_tokens` refuses.
    """
    _check(train, test, (horizon, *train_horizons), draws)
    (low, high), random = train_horizons, torch.Generator().manual_seed(seed)
    share_V = torch.rand(len(train) * draws, generator=random, dtype=torch.float64, device="cpu")
    drawn_V = low + (high - low) * share_V
    drawn = [video for video in train for _ in range(draws)]
    fit = anticipation_tokens(model, drawn, drawn_V.tolist(), progress=progress)
    held = anticipation_tokens(model, test, [horizon] * len(test), progress=progress)
    classes, tested = class_names(fit.segments), class_names(held.segments)
    if len(classes) < 2:
        raise ValueError(
            f"the training split that is left has one class, {classes[0]!r}: give segments of two or more"
        )
    top, known = min(TOP, len(classes) - 1), len(set(tested) & set(classes))
    predicted, context = (
        _probed(model, fit, held, count, top, seed) for count in (fit.tokens_VND.shape[1], fit.context)
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
        train_clips=len(fit.segments),
        test_clips=len(held.segments),
        train_left_out=fit.left_out,
        test_left_out=held.left_out,
        seed=seed,
    )


def anticipation_tokens(
    model: VideoModel, segments: Sequence[Video], horizons_seconds: Sequence[float], *, progress: bool = False
) -> AnticipationTokens:
    """Tokens of what precedes each action, and of the time step that the model predicts to be shown when it starts.

    Nothing that is shown from ``start - horizon`` on is decoded. The predicted step is the one that begins at the horizon or
    has begun by then, ``floor(horizon / duration of a step) + 1`` steps after the context, as in V-JEPA 2 (a horizon of
    `vjepa.FuturePredictor`, in contrast, is where a step ends). Of several levels the last is taken. Predictions that are
    normalised are put on the scale of their context's tokens (`restore_levels`).

    Args:
        model: a model with a predictor of embeddings, which predicts those of an encoder as wide as its own.
        segments: with `start` and `label`.
        horizons_seconds: one for each segment, 0 or more.
        progress: show a bar.

    Raises:
        ValueError: a segment without start or label; a horizon below 0; an unreadable video; a context that would end after
            its video does; no segment left; a predictor whose tokens are not those of the encoder.
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
            f"none of {len(segments)} segments has the {window.context_steps} time steps before it that the context needs: "
            "give actions that start later in their videos, or shorter horizons"
        )
    return AnticipationTokens(
        torch.cat(parts), window.context_steps * window.plane, tuple(kept), tuple(left_out)
    )


def _context_frames(model: VideoModel, window: Window, segment: Video, horizon: float) -> Frames | None:
    """Frames of a segment's context; None where it would begin before the video does."""
    assert segment.start is not None
    end, clip = segment.start - horizon, model.processor
    try:
        frames = read_frames(segment.path, clip, last=window.context_steps * model.encoder.tubelet.t, end=end)
    except VideoDecodeError as error:
        raise ValueError(
            f"{error}: leave it out of the manifest; tools/validate_videos.py writes a clean one"
        ) from error
    except ValueError:  # shorter than the context
        return None
    # A frame that is counted by number is shown until the next one comes, however long that takes.
    slack = frames.period if clip.fps is None else 0.0
    if frames.starts[-1] + frames.period + slack + TICK < end:
        raise ValueError(
            f"an action in {segment.path} starts at {segment.start} s, and {horizon:.3f} s before that its video has ended: "
            "correct the manifest's start, in seconds from the first frame"
        )
    return frames


@torch.no_grad()
def _tokens(model: VideoModel, window: Window, clips: Sequence[tuple[Frames, int]]) -> Tensor:
    """Context tokens and those of one predicted step, of clips and the number of that step, ``(B, K + S, D)``."""
    device, width = next(model.parameters()).device, model.encoder.width
    context_BKY = encode_context(model, torch.stack([frames.video_TCHW for frames, _ in clips]).to(device))
    step_B = torch.tensor([step for _, step in clips], device=device)
    rows_of = [(step, (step_B == step).nonzero()[:, 0]) for step in step_B.unique().tolist()]
    parts = [predict_step(model, context_BKY[rows], window, step) for step, rows in rows_of]
    predicted_BSY = torch.cat(parts)[torch.cat([rows for _, rows in rows_of]).argsort()]
    if predicted_BSY.shape[-1] != context_BKY.shape[-1]:
        raise ValueError(
            f"predictions have width {predicted_BSY.shape[-1]} and the encoder's tokens {context_BKY.shape[-1]}: they cannot "
            "stand beside one another; give a model whose predictor predicts its own encoder's tokens"
        )
    if model.config["future"]["normalisation"] == "layer_norm":
        predicted_BSY = restore_levels(predicted_BSY, context_BKY, width)
    return torch.cat([context_BKY, predicted_BSY], dim=1)[..., -width:].float().cpu()


def predict_step(model: VideoModel, context_BKY: Tensor, window: Window, step: int) -> Tensor:
    """One time step after a context, ``(B, S, Y)``, normalised as in training; 1 is the step that follows.

    Within the trained window the whole rest is predicted together, as in training. Past it, a predictor with rotary positions
    is asked for that step alone, at a place past the grid that it knows, as published; any other's window slides.
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
    return predictor(context_BKY, context_BK, target_BS, grid, window.mask_token)


def _probed(
    model: VideoModel, fit: AnticipationTokens, held: AnticipationTokens, count: int, top: int, seed: int
) -> Recall:
    """Recall of a probe that has the first so many tokens of each segment."""
    classes = class_names(fit.segments)
    # A class of the test split that training lacks has a number beyond the scores.
    unknown = [name for name in class_names(held.segments) if name not in classes]
    number_of = {name: number for number, name in enumerate([*classes, *unknown])}
    fit_V, held_V = (
        torch.tensor([number_of[str(video.label)] for video in part.segments]) for part in (fit, held)
    )
    device = next(model.parameters()).device
    probe = AnticipationProbe.fit(fit.tokens_VND[:, :count], fit_V, len(classes), seed=seed, device=device)
    scores_VX = probe.scores(held.tokens_VND[:, :count])
    return Recall(*(mean_class_recall(scores_VX, held_V, k) for k in (1, top)))


def _check(train: Sequence[Video], test: Sequence[Video], horizons: Sequence[float], draws: int) -> None:
    """Before anything is read; `horizons` are that of the test split, and the range of those in training."""
    _check_horizons(horizons)
    if horizons[1] > horizons[2]:
        raise ValueError(
            f"train_horizons go from {horizons[1]} to {horizons[2]} s: give the lowest, then the highest"
        )
    if draws < 1:
        raise ValueError(f"draws is {draws}: give 1 horizon or more for each training segment")
    for name, part in (("training", train), ("test", test)):
        if not part:
            raise ValueError(f"the {name} split has no segment: give one or more")
        _check_segments(part)
    shared = {video.path for video in train} & {video.path for video in test}
    if shared:
        raise ValueError(
            f"{len(shared)} videos are in both the training and the test split, e.g. {min(shared)}: part them by video, as "
            "contexts of one video resemble one another"
        )


def _check_horizons(horizons: Sequence[float]) -> None:
    wrong = [horizon for horizon in horizons if not 0 <= horizon < math.inf]
    if wrong:
        raise ValueError(
            f"a horizon is {wrong[0]} s: give 0 or more, as a context that ends after the action's start has seen it"
        )


def _check_segments(segments: Sequence[Video]) -> None:
    for column in ("start", "label"):
        lacking = [video.path for video in segments if getattr(video, column) is None]
        if lacking:
            raise ValueError(
                f"{len(lacking)} segments have no {column}, e.g. one of {lacking[0]}: an action that is to be anticipated "
                f"needs a label and the second at which it starts; fill the manifest's column '{column}' or leave the row out"
            )
