"""Recording episodes of an environment as files: an .mp4 of the images and an .npz of actions and states.

collect("runs/two_rooms/train", TwoRooms(100, ends=False), MixedPolicy, episodes=2000, steps=50, seed=0)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa.data.synthetic.write import encode_video
from vjepa.environments.base import ArrayEnv, VectorEnv
from vjepa.files import written_atomically

FRAME_RATE = 10

Policy = Callable[[VectorEnv[Any, Any, Any], NDArray[Any], np.random.Generator], NDArray[np.float64]]
"""A policy: environment, its states ``(e, Q)`` and a random generator to actions ``(e, A)``.

Each round makes a new one.
"""


class RandomPolicy:
    """Random walk that keeps its direction for a while, so that it moves further than independent actions
    would.

    Args:
        persistence: Share of an action that remains in the next one, in [0, 1).
    """

    def __init__(self, persistence: float = 0.8) -> None:
        self.persistence = persistence
        self._drift_eA: NDArray[np.float64] | None = None

    def __call__(
        self, env: VectorEnv[Any, Any, Any], state_eQ: NDArray[Any], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        space = env.single_action_space
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)  # type: ignore[attr-defined]
        fresh_eA = rng.normal(size=(env.num_envs, *space.shape))  # type: ignore[misc]
        if self._drift_eA is None:
            self._drift_eA = fresh_eA
        kept = self.persistence
        self._drift_eA = kept * self._drift_eA + np.sqrt(1 - kept**2) * fresh_eA
        return np.asarray(((low + high) / 2 + (high - low) / 2 * self._drift_eA).clip(low, high))


class ScriptedPolicy:
    """Policy that follows the environment's own `guide` from goal to goal, with noise.

    The noise makes it visit states beside the direct way, too.

    Args:
        noise: Standard deviation of the noise that is added to each action.
    """

    def __init__(self, noise: float = 0.4) -> None:
        self.noise = noise
        self._goal_eQ: NDArray[Any] | None = None

    def __call__(
        self, env: VectorEnv[Any, Any, Any], state_eQ: NDArray[Any], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        if not isinstance(env, ArrayEnv):
            raise ValueError(
                f"{type(env).__name__} has no scripted policy: give the random one, or a policy of your own"
            )
        if self._goal_eQ is None:
            self._goal_eQ = env.goal_eQ.copy()
        new_eQ = env.draw_goals(rng)
        self._goal_eQ = np.where(env.reached(state_eQ, self._goal_eQ)[:, None], new_eQ, self._goal_eQ)
        guided_eA = env.guide(state_eQ, self._goal_eQ)
        return np.asarray((guided_eA + self.noise * rng.normal(size=guided_eA.shape)).clip(-1, 1))


class MixedPolicy:
    """Random policy in one half of the copies, scripted policy in the other half."""

    def __init__(self) -> None:
        self._policies = (RandomPolicy(), ScriptedPolicy())

    def __call__(
        self, env: VectorEnv[Any, Any, Any], state_eQ: NDArray[Any], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        first_eA, second_eA = (policy(env, state_eQ, rng) for policy in self._policies)
        return np.where((np.arange(env.num_envs) % 2 == 0)[:, None], first_eA, second_eA)


POLICIES: dict[str, Callable[[], Policy]] = {
    "random": RandomPolicy,
    "scripted": ScriptedPolicy,
    "mixed": MixedPolicy,
}


def collect(
    folder: str | Path,
    env: VectorEnv[Any, Any, Any],
    policy: Callable[[], Policy],
    *,
    episodes: int,
    steps: int,
    seed: int,
) -> Path:
    """Write episodes as ``000000.mp4`` and ``000000.npz``, and keep those that a folder already has.

    Args:
        folder: Folder to write; it is created if it does not exist.
        env: Environment whose ``info`` has ``state``. An episode that the environment ends is shorter.
        policy: Function that makes the policy for a round of ``env.num_envs`` episodes.
        episodes: Number of episodes to write.
        steps: Number of frames of an episode. The last frame has no action, which is written as zeros.
        seed: Random seed; the same seed writes the same episodes.

    Returns:
        The folder.

    Raises:
        ValueError: `episodes` or `steps` is too small, or the folder was filled with other arguments.
    """
    if episodes < 1 or steps < 2:
        raise ValueError(f"episodes is {episodes} and steps {steps}: give 1 or more, and 2 or more")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(
        folder / "collected.json",
        {
            "episodes": episodes,
            "steps": steps,
            "seed": seed,
            "env": describe(env),
            "policy": getattr(policy, "__qualname__", repr(policy)),
        },
    )
    for first in range(0, episodes, env.num_envs):
        numbers = range(first, min(first + env.num_envs, episodes))
        if all((folder / f"{number:06d}.npz").exists() for number in numbers):
            continue
        images, actions, states, lengths = _play(env, policy(), steps, seed, first)
        for row, number in enumerate(numbers):
            kept = slice(0, lengths[row])
            _write(folder, number, images[kept, row], actions[kept, row], states[kept, row])
    return folder


def describe(env: VectorEnv[Any, Any, Any]) -> dict[str, Any]:
    """Return the settings that distinguish environments, as JSON values; further `arguments` as text."""
    plain = {name: value for name, value in vars(env).items() if isinstance(value, bool | int | float | str)}
    arguments = getattr(env, "arguments", {})
    plain |= {name: repr(value) for name, value in arguments.items()}
    return {
        "name": type(env).__name__,
        **{name: value for name, value in sorted(plain.items()) if name[0] != "_"},
    }


def _claim(record: Path, wanted: dict[str, Any]) -> None:
    """Store the arguments in the folder, or raise ValueError if it was filled with other arguments."""
    if not record.exists():
        with written_atomically(record) as draft:
            draft.write_text(json.dumps(wanted, indent=2) + "\n")
    elif (found := json.loads(record.read_text())) != wanted:
        raise ValueError(
            f"{record.parent} holds other episodes ({found}, wanted {wanted}): choose another folder or "
            "delete that one"
        )


def _play(
    env: VectorEnv[Any, Any, Any], policy: Policy, steps: int, seed: int, first: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Play one round of episodes.

    Returns:
        Images ``(T, e, H, W, 3)``, actions ``(T, e, A)``, states ``(T, e, Q)``, and frames of each episode
        ``(e,)``.
    """
    rng = np.random.default_rng([seed, first])
    image, info = env.reset(seed=int(rng.integers(2**31)))
    images, states, actions = [image], [info["state"]], []
    lengths = np.full(env.num_envs, steps)
    for step in range(1, steps):
        action_eA = policy(env, states[-1], rng)
        image, _, reached_e, late_e, info = env.step(action_eA)
        actions.append(action_eA)
        images.append(image)
        states.append(info["state"])
        lengths = np.where(reached_e | late_e, np.minimum(lengths, step + 1), lengths)
    actions.append(np.zeros_like(actions[0]))
    return (
        np.stack(images),
        np.stack(actions).astype(np.float32),
        np.stack(states).astype(np.float32),
        lengths,
    )


def _write(
    folder: Path,
    number: int,
    images_THWC: NDArray[np.uint8],
    actions_TA: NDArray[np.float32],
    states_TQ: NDArray[np.float32],
) -> None:
    """Write the video first and the actions last, so that an episode with actions is whole."""
    with written_atomically(folder / f"{number:06d}.mp4") as draft:
        encode_video(draft, images_THWC, FRAME_RATE)
    with written_atomically(folder / f"{number:06d}.npz") as draft:
        _save(draft, actions_TA, states_TQ)


def _save(path: Path, actions_TA: NDArray[np.float32], states_TQ: NDArray[np.float32]) -> None:
    with path.open("wb") as file:  # numpy appends .npz to a file name, but not to an open file
        np.savez_compressed(file, actions=actions_TA, states=states_TQ)
