"""Film of planned episodes: the current frame, the imagined end of the plan, and the goal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vjepa.data.trajectories.collect import RandomPolicy
from vjepa.environments.base import ArrayEnv, Pixels
from vjepa.evaluation.probes.frame_decoder import fit_frame_decoder
from vjepa.models.action_model import ActionModel
from vjepa.planning.policies import ModelPolicy, as_images
from vjepa.plots.strip import write_film

FRAME_RATE = 8  # Frames per second of the film.
_ROUNDS = 40  # Number of steps of each random walk whose images the decoder is fitted to.


def film_episodes(
    env: ArrayEnv, policy: ModelPolicy, model: ActionModel, path: str | Path, seed: int
) -> None:
    """Write an .mp4 of one episode in each copy of an environment, one after the other.

    Args:
        env: Environment with a few copies.
        policy: Policy that plans with the model.
        model: Model of the policy's agent. A small decoder is fitted to its tokens.
        path: Film to write.
        seed: Random seed of starts and goals, of the random walks and of the decoder.
    """
    decode = fit_frame_decoder(model, as_images(_walks(env, seed)), seed)
    image, info = env.reset(seed=seed)
    policy.begin(env)
    goal_eCHW = as_images(info["goal_image"])
    seen, imagined = [], []
    ended_e, length_e = np.zeros(env.num_envs, dtype=bool), np.zeros(env.num_envs, dtype=int)
    while not ended_e.all():
        actions_eIA = policy.act(env, image)
        end_eCHW = decode(policy.agent.imagined_end())
        for action_eA in actions_eIA.transpose(1, 0, 2):
            seen.append(as_images(image))
            imagined.append(end_eCHW)
            length_e += ~ended_e
            image, _, reached_e, late_e, _ = env.step(action_eA)
            ended_e |= reached_e | late_e
    seen_TeCHW, imagined_TeCHW = (
        torch.stack([*seen, as_images(image)]),
        torch.stack([*imagined, end_eCHW]),
    )
    panels: list[list[Tensor]] = [[], [], []]
    for number, length in enumerate(length_e + 1):
        panels[0].append(seen_TeCHW[:length, number])
        panels[1].append(imagined_TeCHW[:length, number])
        panels[2].append(goal_eCHW[number].expand(length, -1, -1, -1))
    names = ("seen", "imagined end of the plan", "goal")
    write_film(dict(zip(names, map(torch.cat, panels), strict=True)), Path(path), FRAME_RATE)


def _walks(env: ArrayEnv, seed: int) -> Pixels:
    """Return images of random walks from several starts, uint8 ``(T, H, W, 3)``."""
    rng, policy = np.random.default_rng(seed), RandomPolicy()
    images = []
    for begin in range(8):
        env.reset(seed=1000 + seed * 8 + begin)
        state_eQ = env.state_eQ
        for _ in range(_ROUNDS):
            state_eQ = env.advance(state_eQ, policy(env, state_eQ, rng))
            images.append(env.image(state_eQ))
    return np.concatenate(images)
