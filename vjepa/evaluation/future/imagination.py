"""Imagined steps of an action-conditioned model, compared with the true steps.

They show what the model has learnt about the effects of actions, before it is used for planning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vjepa.data.sampling import SampleKey
from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.window import WindowConfig
from vjepa.data.trajectories.windows import TrajectoryDataset, collate_trajectories
from vjepa.double_precision import in_double
from vjepa.evaluation.statistics import Metric, drawn_weights, interval
from vjepa.models.action_model import ActionModel

MOST_WINDOWS = 512
BATCH = 64
RIDGE = 1e-2  # strength of the ridge regression from standardised embeddings to states
_DRAWS = 1000


@dataclass(frozen=True)
class ImaginationReport:
    """Metrics of imagined steps: one value for each step, averaged over windows that were not trained on.

    Errors have 95 % intervals over episodes; over windows, if there is one episode.

    Attributes:
        windows: Number of windows.
        error: Mean squared error of imagined embeddings, divided by the variance of true embeddings over
            windows.
        copy_error: Error of a copy of the last seen frame's embeddings, which predicts that nothing moves.
        permuted_error: Error of steps that are imagined with the actions of another window; no higher than
            `error` if the model ignores actions.
        state_r2: R2 of states that a ridge regression reads off the imagined embeddings, averaged over the
            numbers of the state that change. The regression is fitted on true embeddings of other episodes.
            None if episodes have no states, if there is one episode, or if no number of the state differs
            between the windows.
        true_state_r2: R2 of states that the same regression reads off the true embeddings of these frames.
    """

    windows: int
    error: list[Metric]
    copy_error: list[Metric]
    permuted_error: list[Metric]
    state_r2: list[float] | None
    true_state_r2: list[float] | None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain lists and numbers."""
        return asdict(self)

    def table(self) -> str:
        """Format a text table with one line for each imagined step."""
        lines = [f"imagined steps, {self.windows} windows never trained on"]
        lines.append(
            f"{'step':>6}{'error':>9}{'copying':>9}{'other actions':>15}{'state R2':>10}{'of true':>9}"
        )
        for step, row in enumerate(
            zip(self.error, self.copy_error, self.permuted_error, strict=True), start=1
        ):
            line = f"{step:>6}{row[0].value:>9.3f}{row[1].value:>9.3f}{row[2].value:>15.3f}"
            if self.state_r2 is not None and self.true_state_r2 is not None:
                line += f"{self.state_r2[step - 1]:>10.3f}{self.true_state_r2[step - 1]:>9.3f}"
            lines.append(line)
        return "\n".join(lines)


class Windows(NamedTuple):
    """True and imagined embeddings of windows.

    Attributes:
        true_VTSD: Embeddings of all frames of the windows, including the seen ones.
        imagined_VFSD: Embeddings imagined with the true actions.
        permuted_VFSD: Embeddings imagined with the actions of another window.
        states_VTQ: States of all frames; None if episodes have none.
        episode_V: Number of the episode that each window is of.
    """

    true_VTSD: Tensor
    imagined_VFSD: Tensor
    permuted_VFSD: Tensor
    states_VTQ: Tensor | None
    episode_V: Tensor


def measure_imagination(
    model: ActionModel,
    episodes: Sequence[Episode],
    window: WindowConfig,
    transform: Callable[[Tensor], Tensor],
    *,
    seed: int = 0,
    context: int | None = None,
    left_out: dict[str, str] | None = None,
) -> ImaginationReport:
    """Imagine the rest of windows from their first frames, and compare it with the true frames.

    Args:
        model: Action-conditioned model in evaluation mode.
        episodes: Episodes that the model was not trained on, with or without states.
        window: Number of frames of a window, their spacing, and how actions are combined. Windows longer
            than in training show how errors accumulate.
        transform: Maps uint8 frames ``(T, C, H, W)`` to the model's size.
        seed: Random seed of the choice and order of the windows. The order decides which windows exchange
            actions.
        context: Number of seen frames, reduced where necessary so that one frame is left to imagine. None
            takes as many as the predictor attends to.
        left_out: Receives path and cause of failure of episodes that cannot be read; their windows are left
            out. None makes such an episode an error.

    Raises:
        ValueError: An episode cannot be read and `left_out` is None, no episode can be read, or there is one
            window alone.
    """
    seen = min(context or model.window, window.frames - 1)
    unreadable: dict[str, str] = {}
    windows = _windows(model, episodes, window, transform, seed, seen, unreadable)
    if unreadable and left_out is None:
        path, cause = next(iter(unreadable.items()))
        raise ValueError(f"{path} cannot be read ({cause}): leave it out of the episodes that are measured")
    if left_out is not None:
        left_out |= unreadable
    target_VFSD = windows.true_VTSD[:, seen:]
    copied_VFSD = windows.true_VTSD[:, seen - 1 : seen].expand_as(target_VFSD)
    scale = (target_VFSD - target_VFSD.mean(dim=0)).square().mean().clamp_min(1e-12)
    weights = drawn_weights(windows.episode_V.tolist(), _DRAWS, [seed])
    errors = [
        _over_episodes((part - target_VFSD).square().mean(dim=(2, 3)) / scale, weights)
        for part in (windows.imagined_VFSD, copied_VFSD, windows.permuted_VFSD)
    ]
    state_r2 = true_r2 = None
    if windows.states_VTQ is not None and len(windows.episode_V.unique()) > 1:
        state_r2, true_r2 = _state_r2(windows, seen)
    return ImaginationReport(len(target_VFSD), errors[0], errors[1], errors[2], state_r2, true_r2)


def _over_episodes(error_VF: Tensor, weights: np.ndarray) -> list[Metric]:
    """Return the mean error of each step, with its interval from the weights of bootstrap draws."""
    values = in_double(error_VF).numpy()
    draws = (weights @ values).T
    return [interval(value, drawn_b) for value, drawn_b in zip(values.mean(axis=0), draws, strict=True)]


@torch.no_grad()
def _windows(
    model: ActionModel,
    episodes: Sequence[Episode],
    window: WindowConfig,
    transform: Callable[[Tensor], Tensor],
    seed: int,
    seen: int,
    unreadable: dict[str, str],
) -> Windows:
    dataset = TrajectoryDataset(episodes, window, transform)
    generator = torch.Generator().manual_seed(seed)
    row_V = torch.randperm(len(dataset), generator=generator)[:MOST_WINDOWS]
    if len(row_V) < 2:
        raise ValueError(
            "there is one window alone, whose actions cannot be exchanged with another's: give more episodes"
        )
    device = next(model.parameters()).device
    found: list[tuple[Tensor, ...]] = []
    for rows in row_V.tensor_split(-(-len(row_V) // BATCH)):  # No part has a single window.
        taken = {row: dataset[SampleKey(0, row, 0)] for row in rows.tolist()}
        unreadable |= dict(failure for sample in taken.values() for failure in sample.failures)
        samples = {row: sample for row, sample in taken.items() if not sample.failures}
        if len(samples) < 2:
            continue
        batch = collate_trajectories(list(samples.values())).to(device)
        tokens_VTSD = model.encode(batch.inputs)
        given = batch.states_BTQ if model.dynamics.state_size else None
        states = None if given is None else given[:, :seen]
        # Actions of another window replace only those after the last seen frame; the others belong to what
        # was seen.
        other_VIA = torch.cat(
            [batch.actions_BIA[:, : seen - 1], batch.actions_BIA.roll(1, 0)[:, seen - 1 :]], 1
        )
        paths = [
            model.imagine(tokens_VTSD[:, :seen], actions, states).tokens_BFSD
            for actions in (batch.actions_BIA, other_VIA)
        ]
        known = () if batch.states_BTQ is None else (batch.states_BTQ,)
        episode_V = torch.tensor([dataset.episode_of(row) for row in samples])
        found.append((episode_V, tokens_VTSD, *paths, *known))
    if not found:
        raise ValueError(f"none of the {len(episodes)} episodes that are measured can be read: {unreadable}")
    columns = [torch.cat(parts) for parts in zip(*found, strict=True)]
    episode_V, true_VTSD, imagined_VFSD, permuted_VFSD = columns[:4]
    states_VTQ = columns[4] if len(columns) > 4 else None
    return Windows(true_VTSD, imagined_VFSD, permuted_VFSD, states_VTQ, episode_V)


def _state_r2(windows: Windows, seen: int) -> tuple[list[float] | None, list[float] | None]:
    """Compute R2 of states at each imagined step, read off imagined and off true embeddings.

    None where the states of the windows do not differ. The ridge regression is fitted on the windows of every
    second episode and measured on the others.
    """
    assert windows.states_VTQ is not None
    _, number_V = windows.episode_V.unique(return_inverse=True)
    fitted, others = ((number_V % 2 == rest).nonzero()[:, 0] for rest in (0, 1))
    changes_Q = windows.states_VTQ.flatten(0, 1).std(dim=0) > 1e-6
    states_VTQ = in_double(windows.states_VTQ[..., changes_Q])
    read = _ridge(*(_rows(part, fitted).flatten(0, 1) for part in (windows.true_VTSD, states_VTQ)))
    wanted = _rows(states_VTQ, others)[:, seen:]
    scale = (wanted - wanted.mean(dim=0)).square().mean(dim=0)
    if not len(wanted) or not (scale > 0).all():
        return None, None
    both = []
    for tokens_VFSD in (windows.imagined_VFSD, windows.true_VTSD[:, seen:]):
        tokens_VFSD = _rows(tokens_VFSD, others)
        error = (read(tokens_VFSD.flatten(0, 1)).unflatten(0, wanted.shape[:2]) - wanted).square().mean(dim=0)
        both.append((1 - error / scale).mean(dim=-1).tolist())
    return both[0], both[1]


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    return values[rows.to(values.device)]


def _ridge(tokens_BSD: Tensor, states_BQ: Tensor) -> Callable[[Tensor], Tensor]:
    """Fit a linear map from all tokens of a frame to its state, in double precision."""
    features = in_double(tokens_BSD.flatten(1))
    mean, std = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
    offset = states_BQ.mean(dim=0)
    x = (features - mean) / std
    gram = x.T @ x / len(x) + RIDGE * torch.eye(x.shape[1]).to(x)
    weights = torch.linalg.solve(gram, x.T @ (states_BQ - offset) / len(x))
    return lambda tokens: (in_double(tokens.flatten(1)) - mean) / std @ weights + offset
