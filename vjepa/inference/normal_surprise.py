"""What surprise is normal for a model, and p-values of the surprise at a video.

    normal = calibrate_surprise(model, "ordinary_videos.csv")
    normal.save("runs/mine")  # from_pretrained finds it there
    result = vjepa.surprise(vjepa.from_pretrained("runs/mine"), "clip.mp4")
    result.judged.p, result.judged.p_t, result.judged.span

An error of prediction says little by itself: some places and some models err more than others. Here the
logarithm of each error is compared with its median at the same place and context length in ordinary videos,
in units of its spread there, and the resulting scores with those of other ordinary videos.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vjepa.files import written_atomically
from vjepa.weights.model_folder import model_folder

FILE = "normal_surprise.safetensors"  # in a model folder
FEWEST_VIDEOS = 20  # smallest number of ordinary videos: with half of them, p-values reach 1 / 11
LEVEL = 0.05  # a time step with a smaller p-value belongs to a span
_TOP = 0.1  # share of the places whose mean score is that of a time step: events are small
_MOST = 10_000  # scores of ordinary videos that are kept at most, evenly spaced among all
_SPREAD = 1.4826  # ratio of standard deviation to median absolute deviation of a normal distribution
_LEAST_SPREAD = 1e-3  # of log errors: a place whose errors never vary
_TENSORS = ("median_chw", "spread_chw", "place_Q", "step_Q", "video_Q")


@dataclass(frozen=True)
class Judged:
    """Surprise at a video, judged by what is normal.

    A p-value is the probability that an ordinary video scores as high at one place, at one time step, or at
    its most surprising time step. Those of places and time steps hold for each alone: among 100 time steps of
    an ordinary video, some five are below .05.

    Attributes:
        score_thw: Score at each place of each time step, in standard deviations of ordinary videos; NaN for
            the first time step, which has no context.
        p_thw: p-value of each score.
        score_t: Score of each time step: the mean of its highest tenth of places.
        p_t: p-value of each time step.
        p: p-value of the video: that of its highest time step among those of ordinary videos, corrected for
            the number of its time steps where they have fewer or more.
        span: Time steps around the highest one with p-values below .05, as the first and the last plus one;
            None if it has no such p-value.
        seconds: The same span in seconds; None without a span, or for frames from memory.
    """

    score_thw: Tensor
    p_thw: Tensor
    score_t: Tensor
    p_t: Tensor
    p: float
    span: tuple[int, int] | None
    seconds: tuple[float, float] | None


@dataclass(frozen=True)
class NormalSurprise:
    """Statistics of a model's errors one time step ahead in ordinary videos.

    Attributes:
        median_chw: Median of the logarithm of the error, by context length and place.
        spread_chw: Its median absolute deviation, scaled to the standard deviation of a normal distribution.
        place_Q: Scores at single places in other ordinary videos, ascending.
        step_Q: Scores of their time steps, ascending.
        video_Q: Highest score of a time step of each of them, ascending.
        steps: Mean number of time steps of these videos that have a score.
        context_steps: Context lengths in time steps.
        settings: Encoder, mask token and normalisation of the surprise that was calibrated.
    """

    median_chw: Tensor
    spread_chw: Tensor
    place_Q: Tensor
    step_Q: Tensor
    video_Q: Tensor
    steps: float
    context_steps: tuple[int, ...]
    settings: dict[str, str]

    @classmethod
    def of_errors(
        cls,
        videos: Sequence[Tensor],
        context_steps: Sequence[int],
        settings: dict[str, str],
        groups: Sequence[Hashable] | None = None,
    ) -> NormalSurprise:
        """Compute the statistics from ordinary videos.

        Medians and spreads are taken of the videos of every second group, and the scores of the others, which
        have no part in them, as a new video has none.

        Args:
            videos: Errors ``(c, V, t, h, w)`` of each video, see `vjepa.inference.surprise.Surprise`.
            context_steps: Context lengths in time steps.
            settings: Encoder, mask token and normalisation of the errors.
            groups: Group of each video, such as the film that it was cut from. None takes each as its own.

        Raises:
            ValueError: There are fewer than `FEWEST_VIDEOS` videos, or all are of one group.
        """
        if len(videos) < FEWEST_VIDEOS:
            raise ValueError(
                f"{len(videos)} ordinary videos can be read: give {FEWEST_VIDEOS} or more to calibrate on"
            )
        fitted, scored = _halves(videos, range(len(videos)) if groups is None else groups)
        rows: list[list[Tensor]] = [[] for _ in context_steps]
        for error_cVthw in fitted:
            for row, context in enumerate(context_steps):
                rows[row].append(_log(error_cVthw[row, :, context]))
        logs = [torch.cat(row) for row in rows]
        median_chw = torch.stack([log_Vhw.median(dim=0).values for log_Vhw in logs])
        spread_chw = torch.stack(
            [
                _SPREAD * (log_Vhw - median_hw).abs().median(dim=0).values
                for log_Vhw, median_hw in zip(logs, median_chw, strict=True)
            ]
        )
        nothing = torch.zeros(0)
        unjudged = cls(
            median_chw, spread_chw.clamp_min(_LEAST_SPREAD), nothing, nothing, nothing, 0.0,
            tuple(context_steps), dict(settings),
        )  # fmt: skip
        scores = [unjudged.scores(error_cVthw) for error_cVthw in scored]
        steps = [step_scores(score_thw) for score_thw in scores]
        known = [step_t[~step_t.isnan()] for step_t in steps]
        return replace(
            unjudged,
            place_Q=_sample(torch.cat([score_thw.flatten() for score_thw in scores])),
            step_Q=_sample(torch.cat(steps)),
            video_Q=_sample(torch.stack([step_t.max() for step_t in known])),
            steps=fmean(len(step_t) for step_t in known),
        )

    def scores(self, error_cVthw: Tensor) -> Tensor:
        """Return the score at each place of each time step, ``(t, h, w)``, with the longest context there."""
        windows, steps = error_cVthw.shape[1:3]
        score_thw = torch.full((windows + steps - 1, *error_cVthw.shape[3:]), torch.nan)
        for row, context in sorted(enumerate(self.context_steps), key=lambda place: place[1]):
            log_Vhw = _log(error_cVthw[row, :, context])
            score_thw[context : context + windows] = (log_Vhw - self.median_chw[row]) / self.spread_chw[row]
        return score_thw

    def judge(
        self, error_cVthw: Tensor, settings: dict[str, str], seconds_t: Sequence[float] | None
    ) -> Judged:
        """Judge the errors of a video.

        Args:
            error_cVthw: Errors, see `vjepa.inference.surprise.Surprise`.
            settings: Encoder, mask token and normalisation of the errors.
            seconds_t: Time in seconds at which each time step begins; None if unknown.

        Raises:
            ValueError: The errors were measured with other settings, or at frames of another size.
        """
        if settings != self.settings or error_cVthw.shape[3:] != self.median_chw.shape[1:]:
            raise ValueError(
                f"surprise was calibrated with {self.settings} on {tuple(self.median_chw.shape[1:])} places, "
                f"and measured with {settings} on {tuple(error_cVthw.shape[3:])}: calibrate it again"
            )
        score_thw = self.scores(error_cVthw)
        score_t = step_scores(score_thw)
        p_t = _p_values(score_t, self.step_Q)
        highest = int(score_t.nan_to_num(-torch.inf).argmax())
        span = _span(p_t, highest)
        return Judged(
            score_thw=score_thw,
            p_thw=_p_values(score_thw, self.place_Q),
            score_t=score_t,
            p_t=p_t,
            p=self._p_of_video(score_t, highest),
            span=span,
            seconds=None if span is None or seconds_t is None else _in_seconds(span, seconds_t),
        )

    def _p_of_video(self, score_t: Tensor, highest: int) -> float:
        """Return the p-value of a video whose highest time step is given.

        A video with k times as many time steps as the ordinary ones is taken for k of these, one of which
        scores as high with probability ``1 - (1 - p)^k`` (Sidak's correction).
        """
        p = float(_p_values(score_t[highest], self.video_Q))
        return 1 - (1 - p) ** (int((~score_t.isnan()).sum()) / self.steps)

    def save(self, folder: str | Path) -> None:
        """Write the statistics into a model folder, or into that of a run folder.

        Raises:
            ValueError: There is no model in the folder.
        """
        metadata = {name: json.dumps(getattr(self, name)) for name in ("steps", "context_steps", "settings")}
        with written_atomically(model_folder(folder) / FILE) as draft:
            save_file({name: getattr(self, name).contiguous() for name in _TENSORS}, draft, metadata=metadata)

    @classmethod
    def load(cls, folder: str | Path) -> NormalSurprise:
        """Read the statistics from a model folder, or from that of a run folder.

        Raises:
            ValueError: There is no model in the folder.
            FileNotFoundError: The surprise of this model was never calibrated.
        """
        path = model_folder(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is not there: calibrate_surprise(model, videos).save({str(folder)!r}) writes it"
            )
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
            known = {name: json.loads(text) for name, text in file.metadata().items()}
        known["context_steps"] = tuple(known["context_steps"])
        return cls(**tensors, **known)


def _halves(videos: Sequence[Tensor], groups: Sequence[Hashable]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the videos of every second group, and all others."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    if len(numbers) < 2:
        raise ValueError(
            f"all {len(videos)} ordinary videos are of one group, {next(iter(numbers))}: give videos of two "
            "groups or more, since some are judged by what is normal in others"
        )
    halves: tuple[list[Tensor], list[Tensor]] = ([], [])
    for error_cVthw, group in zip(videos, groups, strict=True):
        halves[numbers[group] % 2].append(error_cVthw)
    return halves


def step_scores(score_thw: Tensor) -> Tensor:
    """Return the mean of the highest tenth of places of each time step, one place or more: ``(t,)``."""
    places = score_thw.flatten(1)
    return places.topk(max(round(_TOP * places.shape[1]), 1), dim=1).values.mean(dim=1)


def _log(error: Tensor) -> Tensor:
    return error.float().clamp_min(1e-12).log()


def _sample(scores: Tensor) -> Tensor:
    """Return at most `_MOST` of the known scores, ascending and evenly spaced, with the highest."""
    known_Q = scores[~scores.isnan()].sort().values
    if len(known_Q) <= _MOST:
        return known_Q
    return known_Q[torch.linspace(0, len(known_Q) - 1, _MOST).round().long()]


def _p_values(scores: Tensor, ordinary_Q: Tensor) -> Tensor:
    """Return the share of ordinary scores that are as high, the given one counted among them; NaN for NaN."""
    below = torch.searchsorted(ordinary_Q, scores.contiguous())
    p_values = (1 + len(ordinary_Q) - below) / (1 + len(ordinary_Q))
    return p_values.masked_fill(scores.isnan(), torch.nan)


def _span(p_t: Tensor, highest: int) -> tuple[int, int] | None:
    low_t = (p_t < LEVEL).tolist()
    if not low_t[highest]:
        return None
    first = last = highest
    while first > 0 and low_t[first - 1]:
        first -= 1
    while last + 1 < len(low_t) and low_t[last + 1]:
        last += 1
    return first, last + 1


def _in_seconds(span: tuple[int, int], seconds_t: Sequence[float]) -> tuple[float, float]:
    """Return when a span begins and ends; a time step lasts until the next one begins."""
    lasts = float(seconds_t[1] - seconds_t[0]) if len(seconds_t) > 1 else 0.0
    return float(seconds_t[span[0]]), float(seconds_t[span[1] - 1]) + lasts
