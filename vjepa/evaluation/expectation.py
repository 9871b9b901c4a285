"""Violation of expectation, with the controls that tell what a figure is worth.

    report = evaluate_expectation(world, read_pairs("pairs"))
    print(report.table())

Beside the model: the same networks untrained, over several seeds; the motion in the pictures, which needs no network; any
rivals; and a legal change of appearance, where nothing should ring. Shape letters: C context lengths, X windows, T time steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vjepa.data.synthetic import CONTROL
from vjepa.data.violation_sets import Matched
from vjepa.evaluation.violations import (
    Figure,
    MatchedLosses,
    SurpriseReport,
    measure_surprise,
    motion_energy,
    over_seeds,
)
from vjepa.inference.clip_format import ClipFormat, read_frames
from vjepa.inference.surprise import Surprise, surprise
from vjepa.models.world import WorldModel

NEAR = 1  # time steps between a peak and an event that count as one


@dataclass(frozen=True)
class Localisation:
    """Whether surprise peaks when it happens: of a kind, share of the pairs, and the share that chance would give.

    The peak is that of the difference of the impossible video's curve from its possible partner's; it counts within one
    time step of the step in which the two begin to differ.
    """

    hits: float
    chance: float
    pairs: int


@dataclass(frozen=True)
class ExpectationReport:
    """Accuracies by what was measured: ``model``, the rivals' names, ``untrained``, ``motion_energy``.

    Attributes:
        reports: tables of each.
        localisation: by kind; empty where the sets do not know when their videos differ.
        nulls: number of untrained models.
    """

    reports: dict[str, SurpriseReport]
    localisation: dict[str, Localisation]
    nulls: int

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and numbers."""
        return {
            "reports": {name: report.to_json() for name, report in self.reports.items()},
            "localisation": {kind: vars(found) for kind, found in self.localisation.items()},
            "nulls": self.nulls,
        }

    def table(self) -> str:
        """For people: relative accuracy (mean over windows), at the fixed context and at the best; AUROC of the maximum."""
        kinds = self.reports["model"].kinds
        lines = [
            f"{'':<16}{'':<14}{'fixed context':>22}{'filtered':>10}{'best*':>8}{'AUROC max':>11}  peak at event"
        ]
        for kind in [*(kind for kind in kinds if kind != CONTROL), "all of these", *({CONTROL} & set(kinds))]:
            for row, (name, report) in enumerate(self.reports.items()):
                table = report.macro if kind == "all of these" else report.kinds[kind]
                filtered, best = table["filtered"]["relative_mean"], table["best"]["relative_mean"]
                line = (
                    f"{kind if row == 0 else '':<16}{name:<14}{_shown(table['fixed']['relative_mean']):>22}"
                )
                line += f"{filtered.value:>10.2f}{best.value:>8.2f}{table['fixed']['auroc_max'].value:>11.2f}"
                if name == "model" and kind in self.localisation:
                    found = self.localisation[kind]
                    line += f"  {found.hits:.2f} (chance {found.chance:.2f})"
                lines.append(line)
        lines.append("* the context length that is best on these very videos: optimistic")
        if CONTROL in kinds:
            lines.append(f"in '{CONTROL}' nothing impossible happens: what rings there rings for appearance")
        return "\n".join(lines)


def _shown(figure: Figure) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} {figure.high:.2f})"


def evaluate_expectation(
    world: WorldModel,
    sets: Sequence[Matched],
    *,
    nulls: int = 5,
    rivals: Mapping[str, WorldModel] | None = None,
    progress: bool = False,
) -> ExpectationReport:
    """Accuracies of a model's surprise and of all that it must be held against.

    The fixed context length is the longest that the model was trained with, chosen before anything is measured.

    Args:
        world: a model that predicts embeddings or pixels.
        sets: of `vjepa.data.violation_sets`.
        nulls: untrained models, one a seed.
        rivals: other models by name, e.g. a masked auto-encoder; with windows of as many time steps.
        progress: show bars.
    """
    if nulls < 2:
        raise ValueError(f"nulls is {nulls}: an interval over seeds needs 2 or more")
    found = _surprises(world, sets, "model", progress)
    depth = world.encoder.tubelet.t
    reports = {"model": _measured(found, sets, world)}
    for name, rival in (rivals or {}).items():
        reports[name] = _measured(_surprises(rival, sets, name, progress), sets, rival)
    untrained = []
    for seed in range(nulls):
        null = untrained_copy(world, seed)
        untrained.append(_measured(_surprises(null, sets, f"untrained {seed}", progress), sets, null))
    reports["untrained"] = over_seeds(untrained)
    frames, clip = world.config["clip"]["num_frames"], ClipFormat.of(world)
    energies = {
        path: motion_energy(read_frames(path, clip).video_TCHW, frames, depth) for path in _paths(sets)
    }
    reports["motion_energy"] = measure_surprise(_losses(energies, sets), (frames,), frames)
    return ExpectationReport(reports, _localisation(found, sets, world), nulls)


def untrained_copy(world: WorldModel, seed: int) -> WorldModel:
    """The same networks with fresh weights; a teacher that follows the encoder begins as its copy."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        null = WorldModel(world.config).eval()
    if (
        null.teacher is not None
        and world.config["which"] == "encoder"
        and world.config["teacher"] == world.config["encoder"]
    ):
        null.teacher.load_state_dict(null.encoder.state_dict())
    return null.to(next(world.parameters()).device)


def _paths(sets: Sequence[Matched]) -> list[str]:
    """Every video once."""
    return list(dict.fromkeys(path for matched in sets for path in (*matched.possible, *matched.impossible)))


def _surprises(world: WorldModel, sets: Sequence[Matched], name: str, progress: bool) -> dict[str, Surprise]:
    return {path: surprise(world, path) for path in tqdm(_paths(sets), desc=name, disable=not progress)}


def _measured(found: Mapping[str, Surprise], sets: Sequence[Matched], world: WorldModel) -> SurpriseReport:
    depth = world.encoder.tubelet.t
    contexts = tuple(context * depth for context in next(iter(found.values())).context_steps)
    losses = {path: result.losses_AX for path, result in found.items()}
    return measure_surprise(_losses(losses, sets), contexts, world.config["future"]["context_steps"] * depth)


def _losses(losses: Mapping[str, Any], sets: Sequence[Matched]) -> list[MatchedLosses]:
    return [
        MatchedLosses(
            matched.kind,
            [losses[path] for path in matched.possible],
            [losses[path] for path in matched.impossible],
        )
        for matched in sets
    ]


def peak_step(impossible_T: Tensor, possible_T: Tensor) -> int:
    """Time step at which the impossible video is most surprising beside the possible one."""
    return int((impossible_T - possible_T).nan_to_num(-torch.inf).argmax())


def _localisation(
    found: Mapping[str, Surprise], sets: Sequence[Matched], world: WorldModel
) -> dict[str, Localisation]:
    """Of the pairs whose difference lies where a curve has values."""
    report = {}
    if world.config["clip"]["fps"] is not None:
        return {}  # events are frames, and a model with a rate of its own counts seconds
    frames_a_step = (world.config["clip"]["stride"] or 1) * world.encoder.tubelet.t
    for kind in dict.fromkeys(matched.kind for matched in sets):
        hits, chances = [], []
        for matched in sets:
            if matched.kind != kind or matched.first_difference is None:
                continue
            curves = [found[path].curve for path in (matched.impossible[0], matched.possible[0])]
            event, known_T = matched.first_difference // frames_a_step, ~curves[0].isnan()
            near_T = (torch.arange(len(known_T)) - event).abs() <= NEAR
            if bool((known_T & near_T).any()):
                hits.append(float(near_T[peak_step(*curves)]))
                chances.append(float((known_T & near_T).sum() / known_T.sum()))
        if hits:
            report[kind] = Localisation(sum(hits) / len(hits), sum(chances) / len(chances), len(hits))
    return report
