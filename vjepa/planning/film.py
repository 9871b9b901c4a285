"""Episodes as a film: what is seen, where the plan leads as the model imagines it, and the goal.

Shape letters as in `vjepa.tokens`; E copies of the world, T frames, S tokens of a frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vjepa.data.trajectories.collect import RandomPolicy
from vjepa.environments.base import ArrayWorld, Pixels
from vjepa.evaluation.frame_decoder import fit_frame_decoder
from vjepa.evaluation.strip import write_film
from vjepa.models.action_model import ActionModel
from vjepa.planning.policies import ModelPolicy, as_pictures

FRAME_RATE = 8
_ROUNDS = 40  # steps of a random walk whose pictures the decoder learns from


def film_episodes(
    world: ArrayWorld, policy: ModelPolicy, model: ActionModel, path: str | Path, seed: int
) -> None:
    """Write an .mp4 of one episode in each copy of a world, one after the other.

    Args:
        world: few copies.
        policy: that plans with the model.
        model: of its agent.
        path: of the film.
        seed: of starts and goals.
    """
    decode = fit_frame_decoder(model, as_pictures(_walks(world, seed)), seed)
    picture, info = world.reset(seed=seed)
    policy.begin(world)
    goal_ECHW = as_pictures(info["goal_picture"])
    seen, imagined = [], []
    ended_E, length_E = np.zeros(world.num_envs, dtype=bool), np.zeros(world.num_envs, dtype=int)
    while not ended_E.all():
        actions_EKN = policy.act(world, picture)
        end_ECHW = decode(policy.agent.imagined_end())
        for action_EN in actions_EKN.transpose(1, 0, 2):
            seen.append(as_pictures(picture))
            imagined.append(end_ECHW)
            length_E += ~ended_E
            picture, _, reached_E, late_E, _ = world.step(action_EN)
            ended_E |= reached_E | late_E
    seen_TECHW, imagined_TECHW = (
        torch.stack([*seen, as_pictures(picture)]),
        torch.stack([*imagined, end_ECHW]),
    )
    panels: list[list[Tensor]] = [[], [], []]
    for number, length in enumerate(length_E + 1):
        panels[0].append(seen_TECHW[:length, number])
        panels[1].append(imagined_TECHW[:length, number])
        panels[2].append(goal_ECHW[number].expand(length, -1, -1, -1))
    names = ("seen", "imagined end of the plan", "goal")
    write_film(dict(zip(names, map(torch.cat, panels), strict=True)), Path(path), FRAME_RATE)


def _walks(world: ArrayWorld, seed: int) -> Pixels:
    """Pictures of random walks from many starts, ``(V, H, W, 3)``."""
    rng, policy = np.random.default_rng(seed), RandomPolicy()
    pictures = []
    for begin in range(8):
        world.reset(seed=1000 + seed * 8 + begin)
        state_ES = world.state_ES
        for _ in range(_ROUNDS):
            state_ES = world.advance(state_ES, policy(world, state_ES, rng))
            pictures.append(world.picture(state_ES))
    return np.concatenate(pictures)
