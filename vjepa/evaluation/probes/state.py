"""The state probe, which reads states (proprioception) off the embedding of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.data.trajectories.episode import Episode
from vjepa.evaluation.probes.fit import fit_probe
from vjepa.models.action_model import ActionModel
from vjepa.seeding import seeded

Read = Callable[[Tensor], Tensor]

MOST_FRAMES = 20_000
HIDDEN = 256
STEPS, BATCH, PEAK_LR, WEIGHT_DECAY = 1500, 512, 2e-3, 1e-3


def fit_state_probe(
    model: ActionModel,
    episodes: Sequence[Episode],
    transform: Callable[[Tensor], Tensor],
    numbers: Sequence[int],
    seed: int,
) -> Read:
    """Fit a small network that reads numbers of the state off a frozen model's embeddings of frames.

    Args:
        model: Action-conditioned model in evaluation mode; no gradient reaches it.
        episodes: Episodes with states.
        transform: Maps uint8 frames ``(T, C, H, W)`` to the model's size.
        numbers: Indices of the numbers of the state to read.
        seed: Random seed of the frames and the initial weights; the caller's random state does not change.

    Returns:
        Function that maps tokens ``(B, S, D)`` of frames to states ``(B, Q)``, on the model's device.

    Raises:
        ValueError: The episodes have no states.
    """
    if not episodes or episodes[0].states_TQ is None:
        raise ValueError("a probe is fitted to states, and the episodes have none: give episodes with states")
    device = next(model.parameters()).device
    inputs_BD, states_BQ = _frames(model, episodes, transform, list(numbers), seed)
    mean_Q, std_Q = _scale(states_BQ)
    mean_D, std_D = _scale(inputs_BD)
    inputs_BD, wanted_BQ = (inputs_BD - mean_D) / std_D, (states_BQ - mean_Q) / std_Q
    with seeded(seed):
        net = nn.Sequential(
            nn.Linear(inputs_BD.shape[1], HIDDEN), nn.GELU(),
            nn.Linear(HIDDEN, HIDDEN), nn.GELU(),
            nn.Linear(HIDDEN, len(mean_Q)),
        )  # fmt: skip
        fit_probe(
            net, inputs_BD, wanted_BQ, F.mse_loss,
            steps=STEPS, batch=BATCH, peak_lr=PEAK_LR, weight_decay=WEIGHT_DECAY,
        )  # fmt: skip
    net.requires_grad_(False).to(device)
    mean_D, std_D, mean_Q, std_Q = (part.to(device) for part in (mean_D, std_D, mean_Q, std_Q))
    return lambda tokens_BSD: net((tokens_BSD.flatten(1).float() - mean_D) / std_D) * std_Q + mean_Q


def _scale(values_BD: Tensor) -> tuple[Tensor, Tensor]:
    return values_BD.mean(dim=0), values_BD.std(dim=0).clamp_min(1e-6)


@torch.no_grad()
def _frames(
    model: ActionModel,
    episodes: Sequence[Episode],
    transform: Callable[[Tensor], Tensor],
    numbers: list[int],
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Return embeddings ``(B, S * D)`` and states ``(B, Q)`` of randomly chosen frames, on the CPU."""
    rng = np.random.default_rng(seed)
    each = max(MOST_FRAMES // len(episodes), 1)
    device = next(model.parameters()).device
    inputs, states = [], []
    for episode in episodes:
        assert episode.states_TQ is not None
        index = np.sort(rng.permutation(len(episode))[:each])
        video_1TCHW = transform(episode.frames.read(index)).unsqueeze(0).to(device)
        inputs.append(model.encode(video_1TCHW)[0].flatten(1).float().cpu())
        states.append(torch.from_numpy(episode.states_TQ[index][:, numbers]))
    return torch.cat(inputs), torch.cat(states)
