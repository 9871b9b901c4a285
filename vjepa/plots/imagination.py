"""Plot of imagined frames below the true ones, and of the energy over actions.

With a good model, the energy is lowest near the action that was taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vjepa.batch import TrajectoryBatch
from vjepa.data.sampling import SampleKey
from vjepa.data.trajectories.windows import TrajectoryDataset, collate_trajectories
from vjepa.evaluation.probes.frame_decoder import fit_frame_decoder
from vjepa.models.action_model import ActionModel
from vjepa.plots.rgb import as_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 3  # Number of windows in a plot.
POINTS = 21  # Number of points along each axis of the grid of actions.
DECODER_FRAMES = 512  # Number of frames that the decoder is fitted to, rounded up to whole windows.


@torch.no_grad()
def energy_landscape(
    model: ActionModel,
    tokens_TSD: Tensor,
    done_IA: Tensor,
    goal_SD: Tensor,
    action_sA: Tensor,
    states_TQ: Tensor | None = None,
) -> Tensor:
    """Return the energy of single actions, ``(s,)``: mean absolute distance of imagined frames from a goal.

    Source: V-JEPA 2-AC (arXiv 2506.09985, figure of energy landscapes).

    Args:
        model: Action-conditioned model in evaluation mode.
        tokens_TSD: Tokens of the observed frames. The compared actions follow the last one.
        done_IA: Actions between the observed frames, one fewer than frames, in the data's units.
        goal_SD: Tokens of the goal frame.
        action_sA: Actions to compare, in the data's units.
        states_TQ: States in the observed frames, in the data's units. None for a model without states.
    """
    count = len(action_sA)
    actions_sIA = torch.cat([done_IA.expand(count, -1, -1), action_sA.unsqueeze(1)], dim=1)
    states = None if states_TQ is None else states_TQ.expand(count, -1, -1)
    imagined = model.imagine(tokens_TSD.expand(count, -1, -1, -1), actions_sIA, states).tokens_BFSD[:, -1]
    return (imagined - goal_SD).abs().mean(dim=(1, 2))


def draw_imagination(model: ActionModel, dataset: TrajectoryDataset, path: Path, seed: int) -> None:
    """Draw true windows, the same windows imagined from their first frames, and the energy of one action.

    Args:
        model: Action-conditioned model in evaluation mode.
        dataset: Windows with pixels that the model was not trained on. A decoder is fitted to frames of the
            first half; the plot shows windows of the second half.
        path: PNG file to write.
        seed: Random seed of the choice of windows and of the decoder.
    """
    # Imported here, because matplotlib takes longer to import than a small model to run.
    from matplotlib.figure import Figure

    generator = torch.Generator().manual_seed(seed)
    half = len(dataset) // 2
    taught = torch.randperm(half, generator=generator)[: -(-DECODER_FRAMES // dataset.window.frames)]
    shown = half + torch.randperm(len(dataset) - half, generator=generator)[:ROWS]
    images = _batch(dataset, taught.tolist()).inputs.flatten(0, 1)
    decode = fit_frame_decoder(model, images, seed)
    device = next(model.parameters()).device
    batch = _batch(dataset, shown.tolist()).to(device)
    seen = min(model.window, dataset.window.frames - 1)
    true_VTSD, imagined_VFSD, states = _imagined(model, batch, seen)

    rows, columns = len(shown), dataset.window.frames
    figure = Figure(figsize=(1.1 * columns + 3.2, 2.3 * rows + 0.6), layout="constrained")
    axes = figure.subplots(2 * rows, columns + 1, squeeze=False, width_ratios=[1] * columns + [2])
    for row in range(rows):
        decoded = decode(torch.cat([true_VTSD[row, :seen], imagined_VFSD[row]]))
        for line, (name, frames) in enumerate((("seen", batch.inputs[row].cpu()), ("imagined", decoded))):
            for axis, image in zip(axes[2 * row + line], frames, strict=False):
                axis.imshow(as_rgb(image).permute(1, 2, 0).numpy(), interpolation="nearest")
            axes[2 * row + line][0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        known = None if states is None else states[row, :seen]
        energy_axis = axes[2 * row][columns]
        _draw_energy(energy_axis, model, true_VTSD[row], batch.actions_BIA[row], known, seen)
    for row, line in enumerate(axes):
        for axis in line[: columns if row % 2 == 0 else None]:  # energies, on even rows, keep their axes
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    axes_shown = "the first two numbers of its action" if model.action_mean.numel() > 1 else "its action"
    caption = (
        f"decoded by a small network that was fitted to other frames; given: the first {seen}. Right: energy "
        f"of one step over {axes_shown}, dark is low; cross: the action that was taken"
    )
    figure.supxlabel(caption, fontsize=8, wrap=True)
    figure.savefig(path, dpi=100)


def _batch(dataset: TrajectoryDataset, rows: list[int]) -> TrajectoryBatch:
    return collate_trajectories([dataset[SampleKey(0, row, 0)] for row in rows])


@torch.no_grad()
def _imagined(model: ActionModel, batch: TrajectoryBatch, seen: int) -> tuple[Tensor, Tensor, Tensor | None]:
    true_VTSD = model.encode(batch.inputs)
    states = batch.states_BTQ if model.dynamics.state_size else None
    known = None if states is None else states[:, :seen]
    return true_VTSD, model.imagine(true_VTSD[:, :seen], batch.actions_BIA, known).tokens_BFSD, states


def _draw_energy(
    axis: Axes, model: ActionModel, tokens_TSD: Tensor, actions_IA: Tensor, states: Tensor | None, seen: int
) -> None:
    """Draw the energy over the first two numbers of an action.

    The range covers two standard deviations of the data and the action that was taken, whose other numbers
    are kept.
    """
    taken_A = actions_IA[seen - 1]
    middle = model.action_mean[:2]
    reach = 2 * model.action_std[:2] + (taken_A[:2] - middle).abs()
    across, down = (
        torch.linspace(-1, 1, POINTS, device=reach.device) * reach[n] + middle[n] for n in (0, -1)
    )
    grid_sA = taken_A.repeat(POINTS * POINTS, 1)
    grid_sA[:, 0] = across.repeat(POINTS)
    if len(taken_A) > 1:
        grid_sA[:, 1] = down.repeat_interleave(POINTS)
    done_IA = actions_IA[: seen - 1]
    energy = energy_landscape(model, tokens_TSD[:seen], done_IA, tokens_TSD[seen], grid_sA, states)
    (left, right), (top, bottom) = map(_edges, (across, down))
    energy_map = energy.unflatten(0, (POINTS, POINTS)).cpu()
    image = axis.imshow(energy_map, extent=(left, right, bottom, top), cmap="viridis", aspect="auto")
    axis.figure.colorbar(image, ax=axis).ax.tick_params(labelsize=6)
    axis.set_title("energy of one action", fontsize=8)
    axis.set_xlabel("its first number", fontsize=7)
    axis.tick_params(labelsize=6)
    if len(taken_A) > 1:
        axis.set_ylabel("its second number", fontsize=7)
    else:  # the energy is the same all the way down
        axis.set_yticks([])
    axis.plot([taken_A[0].item()], [taken_A[min(1, len(taken_A) - 1)].item()], "rx")


def _edges(places: Tensor) -> tuple[float, float]:
    """Return the outer edges of cells whose middles are evenly spaced places."""
    half = (places[1] - places[0]) / 2
    return (places[0] - half).item(), (places[-1] + half).item()
