"""What a world model imagines, decoded beside what came; and how its energy falls towards the action that was taken.

Shape letters as in `vjepa.tokens`; V windows, T frames of one, S tokens of a frame, X actions, H imagined steps, A numbers of an
action, G points of a grid along each axis.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vjepa.batch import TrajectoryBatch
from vjepa.data.sampling import SampleKey
from vjepa.data.trajectories.windows import TrajectoryDataset, collate_trajectories
from vjepa.evaluation.probes.frame_decoder import fit_frame_decoder
from vjepa.models.action_model import ActionModel

ROWS = 3
POINTS = 21  # of the energy's grid
DECODER_FRAMES = 512


@torch.no_grad()
def energy_landscape(
    model: ActionModel,
    tokens_TSD: Tensor,
    done_XA: Tensor,
    goal_SD: Tensor,
    action_YA: Tensor,
    states_TQ: Tensor | None = None,
) -> Tensor:
    """Mean absolute distance of imagined frames from a goal's embedding, ``(Y,)``, for Y actions of one step.

    As in V-JEPA 2-AC (arXiv 2506.09985, figure of energy landscapes).

    Args:
        model: in evaluation mode.
        tokens_TSD: of the frames that were seen, the last of which is acted in.
        done_XA: between them, one less than frames, in the data's units.
        goal_SD: the wanted frame's.
        action_YA: to be compared, in the data's units.
        states_TQ: of those frames, for a model with states.
    """
    count = len(action_YA)
    actions_YXA = torch.cat([done_XA.expand(count, -1, -1), action_YA.unsqueeze(1)], dim=1)
    states = None if states_TQ is None else states_TQ.expand(count, -1, -1)
    imagined = model.imagine(tokens_TSD.expand(count, -1, -1, -1), actions_YXA, states).tokens_BFSD[:, -1]
    return (imagined - goal_SD).abs().mean(dim=(1, 2))


def draw_imagination(model: ActionModel, dataset: TrajectoryDataset, path: Path, seed: int) -> None:
    """One .png: windows as they were and as they are imagined from their first frames, and the energy of one step.

    Args:
        model: in evaluation mode.
        dataset: windows with pixels, never trained on; half of their frames teach the decoder, the other half is shown.
        path: of the plot.
        seed: of the windows and the decoder.
    """
    # Imported here: matplotlib takes longer to import than a small model to run.
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
    true_VTSD, imagined_VHSD, states = _imagined(model, batch, seen)

    rows, columns = len(shown), dataset.window.frames
    figure = Figure(figsize=(1.1 * columns + 3.2, 2.3 * rows + 0.6), layout="constrained")
    axes = figure.subplots(2 * rows, columns + 1, squeeze=False, width_ratios=[1] * columns + [2])
    for row in range(rows):
        decoded = decode(torch.cat([true_VTSD[row, :seen], imagined_VHSD[row]]))
        for line, (name, frames) in enumerate((("seen", batch.inputs[row].cpu()), ("imagined", decoded))):
            for axis, image in zip(axes[2 * row + line], frames, strict=False):
                axis.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
            axes[2 * row + line][0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        known = None if states is None else states[row, :seen]
        energy_axis = axes[2 * row][columns]
        _draw_energy(energy_axis, model, true_VTSD[row], batch.actions_BIA[row], known, seen)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.supxlabel(
        f"decoded by a small network that saw other frames; given: the first {seen}. Right: energy of one step over the first "
        "two numbers of its action, dark is low; cross: the action that was taken",
        fontsize=8, wrap=True,
    )  # fmt: skip
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
    axis: object, model: ActionModel, tokens_TSD: Tensor, actions_XA: Tensor, states: Tensor | None, seen: int
) -> None:
    """Over the first two numbers of an action, as far as actions go; the others are as they were."""
    taken_A = actions_XA[seen - 1]
    middle = model.action_mean[:2]
    reach = 2 * model.action_std[:2] + (taken_A[:2] - middle).abs()
    across, down = (
        torch.linspace(-1, 1, POINTS, device=reach.device) * reach[n] + middle[n] for n in (0, -1)
    )
    grid_YA = taken_A.repeat(POINTS * POINTS, 1)
    grid_YA[:, 0] = across.repeat(POINTS)
    if len(taken_A) > 1:
        grid_YA[:, 1] = down.repeat_interleave(POINTS)
    done_XA = actions_XA[: seen - 1]
    energy = energy_landscape(model, tokens_TSD[:seen], done_XA, tokens_TSD[seen], grid_YA, states)
    extent = [across[0].item(), across[-1].item(), down[-1].item(), down[0].item()]
    axis.imshow(energy.unflatten(0, (POINTS, POINTS)).cpu(), extent=extent, cmap="viridis", aspect="auto")  # type: ignore[attr-defined]
    axis.plot([taken_A[0].item()], [taken_A[min(1, len(taken_A) - 1)].item()], "rx")  # type: ignore[attr-defined]
