"""The violation-of-expectation benchmark of a model, with the controls that its metrics need.

    report = evaluate_violations(model, read_matched("matched"))
    print(report.table())

The model is compared with four controls: untrained copies of it, with several seeds; the motion in the
images, which needs no network; any rival models; and a possible change of appearance, which should surprise
no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vjepa.data.manifest import Video
from vjepa.data.processor import read_frames
from vjepa.data.synthetic.matched import CONTROLS
from vjepa.data.violation_sets import Matched
from vjepa.evaluation.untrained import untrained_copy
from vjepa.evaluation.violations.accuracy import (
    MatchedLosses,
    Metric,
    SurpriseReport,
    measure_surprise,
    motion_energy,
    over_seeds,
)
from vjepa.foreign_text import one_line
from vjepa.inference.surprise import Surprise, calibrate_surprise, surprise
from vjepa.models.video_model import VideoModel

NEAR = 1  # time steps from an event within which a peak counts as a hit


@dataclass(frozen=True)
class Localisation:
    """How often surprise peaks where a pair begins to differ: shares of the pairs of one kind, in [0, 1].

    The peak is that of the impossible video's curve minus the possible video's. It is a hit if it lies within
    one time step of the step in which the two videos begin to differ.

    Attributes:
        hits: Share of hits of the model.
        untrained: Mean share of hits of the untrained models.
        guess: Share of hits of the best single time step, guessed for all videos. It is high if the events of
            short videos lie close together.
        pairs: Number of pairs that begin to differ where the curves have values.
    """

    hits: float
    untrained: float
    guess: float
    pairs: int


@dataclass(frozen=True)
class ExpectationReport:
    """Accuracies of a model and its controls.

    Attributes:
        reports: Reports by name: ``model``, those of the rivals, ``untrained`` and ``motion_energy``; and if
            ordinary videos were given, ``judged`` and ``untrained judged``.
        localisation: Localisation by kind; empty if the first different frames are unknown.
        nulls: Number of untrained models.
    """

    reports: dict[str, SurpriseReport]
    localisation: dict[str, Localisation]
    nulls: int

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain dictionaries and numbers."""
        return {
            "reports": {name: report.to_json() for name, report in self.reports.items()},
            "localisation": {kind: vars(found) for kind, found in self.localisation.items()},
            "nulls": self.nulls,
        }

    def table(self) -> str:
        """Format a text table of relative accuracies (mean and maximum) and the AUROC of the maximum."""
        kinds = self.reports["model"].kinds
        lines = [
            f"{'':<16}{'':<18}{'mean':>22}{'p':>8}{'maximum':>22}{'p':>8}{'filtered':>10}{'best*':>8}"
            f"{'AUROC max':>11}"
            "  peak at first difference"
        ]
        controls = [kind for kind in kinds if kind in CONTROLS]
        for kind in [*(kind for kind in kinds if kind not in controls), "all of these", *controls]:
            for row, (name, report) in enumerate(self.reports.items()):
                table = report.macro if kind == "all of these" else report.kinds[kind]
                filtered, best = table["filtered"]["relative_mean"], table["best"]["relative_mean"]
                line = f"{one_line(kind) if row == 0 else '':<16}{name:<18}"
                for measure in ("relative_mean", "relative_max"):
                    p_value = report.p_values.get(kind, {}).get(measure)
                    line += f"{_shown(table['fixed'][measure]):>22}"
                    line += f"{'' if p_value is None else f'{p_value:.4f}':>8}"
                line += f"{filtered.value:>10.2f}{best.value:>8.2f}{table['fixed']['auroc_max'].value:>11.2f}"
                if name == "model" and kind in self.localisation:
                    found = self.localisation[kind]
                    line += (
                        f"  {found.hits:.2f} (untrained {found.untrained:.2f}, one guess {found.guess:.2f})"
                    )
                lines.append(line)
        lines += [
            "mean and maximum over windows, at the longest context of training",
            "p: two-sided p-value against chance, .5, by a sign-flip test over the sets",
        ]
        lines.append("* the context length that is best on these very videos: optimistic")
        name = "judged" if "judged" in self.reports else "model"
        thirds = self.reports[name].by_severity
        if thirds:
            lines.append(f"{name}, maximum over windows, in thirds of the sets from slight to severe")
            for kind, metrics in thirds.items():
                shown = "  ".join(_shown(metric) for metric in metrics["relative_max"])
                lines.append(f"{one_line(kind):<16}{'':<18}{shown}")
        if controls:
            lines.append(
                f"{' and '.join(controls)}: nothing impossible happens, and accuracies above chance are due "
                "to appearance or speed"
            )
        return "\n".join(lines)


def _shown(metric: Metric) -> str:
    return f"{metric.value:.2f} ({metric.low:.2f} {metric.high:.2f})"


def evaluate_violations(
    model: VideoModel,
    sets: Sequence[Matched],
    *,
    nulls: int = 5,
    rivals: Mapping[str, VideoModel] | None = None,
    ordinary: Sequence[Video] | None = None,
    progress: bool = False,
) -> ExpectationReport:
    """Measure a model's surprise on matched sets, and compare it with its controls.

    The fixed context length is the longest that the model was trained with, so it is not chosen by results.

    Args:
        model: A model that predicts embeddings or pixels.
        sets: Matched sets of `vjepa.data.violation_sets`.
        nulls: Number of untrained models, 2 or more, each with its own seed.
        rivals: Other models by name, such as a masked auto-encoder. Their windows have as many time steps as
            those of the model.
        ordinary: Videos without violations, 20 or more, that are in no set and were not trained on. With
            them, the scores of `vjepa.inference.normal_surprise` are reported as well, as ``judged`` and
            ``untrained judged``. None leaves these out.
        progress: Show progress bars.

    Raises:
        ValueError: `nulls` is below 2, or a rival has the name of a control or windows of other length.
    """
    if nulls < 2:
        raise ValueError(f"nulls is {nulls}: an interval over seeds needs 2 or more")
    taken = {"model", "judged", "untrained", "untrained judged", "motion_energy"} & set(rivals or {})
    if taken:
        raise ValueError(
            f"a rival is called {min(taken)}, which every report has already: give it another name"
        )
    _check_windows(model, rivals or {})
    found = _surprises(model, sets, "model", ordinary, progress)
    depth = model.encoder.tubelet.t
    reports = {"model": _measured(found, sets, model)}
    if ordinary is not None:
        reports["judged"] = _judged(found, sets, model)
    for name, rival in (rivals or {}).items():
        reports[name] = _measured(_surprises(rival, sets, name, None, progress), sets, rival)
    nothing = [
        _surprises(untrained_copy(model, seed), sets, f"untrained {seed}", ordinary, progress)
        for seed in range(nulls)
    ]
    reports["untrained"] = over_seeds([_measured(null, sets, model) for null in nothing])
    if ordinary is not None:
        reports["untrained judged"] = over_seeds([_judged(null, sets, model) for null in nothing])
    frames, clip = model.config["clip"]["num_frames"], model.processor
    energies = {
        path: motion_energy(read_frames(path, clip).video_TCHW, frames, depth) for path in _paths(sets)
    }
    reports["motion_energy"] = measure_surprise(_losses(energies, sets), (frames,), frames)
    return ExpectationReport(reports, _localisation(found, nothing, sets, model), nulls)


def _check_windows(model: VideoModel, rivals: Mapping[str, VideoModel]) -> None:
    own = _window_steps(model)
    for name, rival in rivals.items():
        if _window_steps(rival) != own:
            raise ValueError(
                f"windows have {_window_steps(rival)} time steps in the rival {name} and {own} in the model: "
                "give a rival whose windows have as many"
            )


def _window_steps(model: VideoModel) -> int:
    return int(model.config["clip"]["num_frames"]) // model.encoder.tubelet.t


def _paths(sets: Sequence[Matched]) -> list[str]:
    """Return the paths of all videos of the sets, each once."""
    return list(dict.fromkeys(path for matched in sets for path in (*matched.possible, *matched.impossible)))


def _surprises(
    model: VideoModel, sets: Sequence[Matched], name: str, ordinary: Sequence[Video] | None, progress: bool
) -> dict[str, Surprise]:
    normal = None if ordinary is None else calibrate_surprise(model, ordinary, progress=progress)
    paths = tqdm(_paths(sets), desc=name, disable=not progress)
    return {path: surprise(model, path, normal=normal) for path in paths}


def _measured(found: Mapping[str, Surprise], sets: Sequence[Matched], model: VideoModel) -> SurpriseReport:
    depth = model.encoder.tubelet.t
    contexts = tuple(context * depth for context in next(iter(found.values())).context_steps)
    losses = {path: result.losses_cV for path, result in found.items()}
    return measure_surprise(_losses(losses, sets), contexts, model.config["future"]["context_steps"] * depth)


def _judged(found: Mapping[str, Surprise], sets: Sequence[Matched], model: VideoModel) -> SurpriseReport:
    """Measure the scores of time steps in place of errors, as those of a single context length."""
    scores = {path: result.judged.score_t for path, result in found.items()}
    losses = {path: score_t[~score_t.isnan()][None] for path, score_t in scores.items()}
    fixed = model.config["future"]["context_steps"] * model.encoder.tubelet.t
    return measure_surprise(_losses(losses, sets), (fixed,), fixed)


def _losses(losses: Mapping[str, Any], sets: Sequence[Matched]) -> list[MatchedLosses]:
    return [
        MatchedLosses(
            matched.kind,
            [losses[path] for path in matched.possible],
            [losses[path] for path in matched.impossible],
            matched.severity,
        )
        for matched in sets
    ]


def peak_step(impossible_t: Tensor, possible_t: Tensor) -> int:
    """Return the time step at which an impossible video's surprise exceeds the possible one's the most."""
    return int((impossible_t - possible_t).nan_to_num(-torch.inf).argmax())


def _localisation(
    found: Mapping[str, Surprise],
    nothing: Sequence[Mapping[str, Surprise]],
    sets: Sequence[Matched],
    model: VideoModel,
) -> dict[str, Localisation]:
    """Measure the localisation of each kind, over the pairs that begin to differ where curves have values."""
    # First differences are frame numbers, but a model with a frame rate samples by seconds.
    if model.config["clip"]["fps"] is not None:
        return {}
    near: dict[str, dict[tuple[str, str], Tensor]] = {}  # steps that count as hits, by kind and pair
    for matched in sets:
        for pair in zip(matched.impossible, matched.possible, strict=True):
            if matched.first_difference is None:
                continue
            known_t = ~found[pair[0]].curve.isnan()
            near_t = known_t & _near(matched.first_difference, len(known_t), model)
            if bool(near_t.any()):
                near.setdefault(matched.kind, {})[pair] = near_t
    return {kind: _localised(found, nothing, pairs) for kind, pairs in near.items()}


def _localised(
    found: Mapping[str, Surprise],
    nothing: Sequence[Mapping[str, Surprise]],
    near: Mapping[tuple[str, str], Tensor],
) -> Localisation:
    hits = [_hits(surprises, near) for surprises in (found, *nothing)]
    steps = range(max(len(near_t) for near_t in near.values()))
    guesses = [sum(bool(near_t[step : step + 1].any()) for near_t in near.values()) for step in steps]
    return Localisation(hits[0], sum(hits[1:]) / len(nothing), max(guesses) / len(near), len(near))


def _near(frame: int, steps: int, model: VideoModel) -> Tensor:
    """Mark the time steps within `NEAR` of the one with the first sampled frame from `frame` on, ``(t,)``."""
    event = -(-frame // (model.config["clip"]["stride"] or 1)) // model.encoder.tubelet.t
    return (torch.arange(steps) - event).abs() <= NEAR


def _hits(surprises: Mapping[str, Surprise], near: Mapping[tuple[str, str], Tensor]) -> float:
    hits = [
        bool(near_t[peak_step(surprises[impossible].curve, surprises[possible].curve)])
        for (impossible, possible), near_t in near.items()
    ]
    return sum(hits) / len(hits)
