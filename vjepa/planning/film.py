"""Episodes as a film: what is seen, where the plan leads as the model imagines it, and the goal.

Shape letters as in `vjepa.tokens`; E copies of the world, T frames, S tokens of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vjepa.data.trajectories.collect import RandomPolicy
from vjepa.environments.base import ArrayWorld, Pixels
from vjepa.evaluation.pixel_decoder import train_pixel_decoder
from vjepa.evaluation.strip import write_film
from vjepa.planning.policies import ModelPolicy, WorldPolicy
from vjepa.tokens import Tubelet, unpatchify

FRAME_RATE = 8
_ROUNDS = 40  # steps of a random walk whose pictures the decoder learns from


def film_episodes(world: ArrayWorld, policy: WorldPolicy, path: str | Path, seed: int) -> None:
    """Write an .mp4 of one episode in each copy of a world, one after the other.

    Args:
        world: few copies.
        policy: a `ModelPolicy`.
        path: of the film.
        seed: of starts and goals.
    """
    assert isinstance(policy, ModelPolicy)
    decode = frame_decoder(world, policy.agent.model.encode, seed)
    picture, info = world.reset(seed=seed)
    policy.begin(world)
    goal_ECHW = _as_tensor(info["goal_picture"])
    seen, imagined, ended_E, lengths = (
        [],
        [],
        np.zeros(world.num_envs, dtype=bool),
        np.zeros(world.num_envs, int),
    )
    for _ in range(world.max_steps):
        actions_EKN = policy.act(world, picture)
        assert policy.agent.last is not None
        path_ERHSD = policy.agent.imagine(policy.agent.last.actions_BHA[:, None])
        end_ECHW = decode(path_ERHSD[:, 0, -1])
        for action_EN in actions_EKN.transpose(1, 0, 2):
            seen.append(_as_tensor(picture))
            imagined.append(end_ECHW)
            lengths += ~ended_E
            picture, _, reached_E, late_E, _ = world.step(action_EN)
            ended_E |= reached_E | late_E
        if ended_E.all():
            break
    seen.append(_as_tensor(picture))
    imagined.append(imagined[-1])
    seen_TECHW, imagined_TECHW = torch.stack(seen), torch.stack(imagined)
    parts = [
        (seen_TECHW[: n + 1, e], imagined_TECHW[: n + 1, e], goal_ECHW[e].expand(n + 1, -1, -1, -1))
        for e, n in enumerate(lengths)
    ]
    panels = [torch.cat(columns) for columns in zip(*parts, strict=True)]
    write_film(
        dict(zip(("seen", "imagined end of the plan", "goal"), panels, strict=True)), Path(path), FRAME_RATE
    )


def frame_decoder(
    world: ArrayWorld, encode: Callable[[Tensor], Tensor], seed: int
) -> Callable[[Tensor], Tensor]:
    """Tokens of frames ``(E, S, D)`` to pictures, uint8 ``(E, C, H, W)``: fitted to pictures of random walks.

    Args:
        world: whose states are left somewhere else.
        encode: uint8 ``(B, 1, C, H, W)`` to tokens ``(B, 1, S, D)``; no gradient reaches it.
        seed: of the walks and of the decoder.
    """
    picture_VCHW = _as_tensor(_walks(world, seed))

    def embed(video_B1CHW: Tensor) -> Tensor:
        return encode(video_B1CHW)[:, 0]

    with torch.no_grad():
        places = embed(picture_VCHW[:1, None]).shape[1]
    side = round(places**0.5)
    if side * side != places:
        raise ValueError(f"a frame has {places} tokens: films are made of square grids")
    height, width = picture_VCHW.shape[-2:]
    tubelet = Tubelet(1, height // side, width // side)
    decoder = train_pixel_decoder(embed, picture_VCHW[:, None], tubelet, seed)

    @torch.no_grad()
    def decode(tokens_ESD: Tensor) -> Tensor:
        pixels_ENP = decoder(tokens_ESD.float()).clamp(0, 1)
        video_ECTHW = unpatchify(pixels_ENP, decoder.grid, tubelet)
        return (255 * video_ECTHW[:, :, 0] + 0.5).to(torch.uint8)

    return decode


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


def _as_tensor(picture_EHWC: Pixels) -> Tensor:
    return torch.from_numpy(picture_EHWC).permute(0, 3, 1, 2)
