"""Windows of trajectories: a fixed number of frames, and the actions between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vjepa.batch import TrajectoryBatch
from vjepa.data.cache import CacheDirError
from vjepa.data.readers.border import cause_of, is_machines_fault
from vjepa.data.sampling import SampleKey
from vjepa.data.trajectories.episode import Episode, Rows, check_alike
from vjepa.data.trajectories.window import WindowConfig


@dataclass(frozen=True)
class TrajectorySample:
    """One window of a trajectory.

    Attributes:
        inputs: Frames, uint8 ``(T, C, H, W)``, or tokens ``(T, S, D)`` that were encoded before.
        actions_IA: Combined actions between the frames, float32.
        states_TQ: State in each frame, float32; None if states are not used.
        path: Path of the file and, if it holds several episodes, the number of the episode.
        step: Optimiser step that uses the sample.
        failures: Path and cause of each episode that could not be read and was replaced by this one.
        damaged: Path and description of the damage that was found while reading.
    """

    inputs: Tensor
    actions_IA: Tensor
    states_TQ: Tensor | None
    path: str
    step: int
    failures: tuple[tuple[str, str], ...]
    damaged: tuple[tuple[str, str], ...]


class TrajectoryDataset(Dataset[TrajectorySample]):
    """Dataset of all windows of episodes, one per row, indexed by `SampleKey`.

    It is deterministic: the sampler determines the order. A window whose frames cannot be read is replaced by
    one of the next episode, and the sample records the failure.

    Args:
        episodes: Episodes with actions and states of equal sizes.
        window: Settings of the windows.
        transform: Transform of frames, uint8 ``(T, C, H, W)``, to the size of the model; tokens are not
            transformed.

    Raises:
        ValueError: An episode is shorter than a window.
    """

    def __init__(
        self, episodes: Sequence[Episode], window: WindowConfig, transform: Callable[[Tensor], Tensor]
    ) -> None:
        check_alike(episodes)
        check_long(episodes, window)
        self.episodes = list(episodes)
        self.window = window
        self.transform = transform
        starts = [len(episode) - window.span + 1 for episode in self.episodes]
        self._ends = np.cumsum(starts)

    def __len__(self) -> int:
        """Number of windows."""
        return int(self._ends[-1])

    def episode_of(self, row: int) -> int:
        """Return the number of the episode that a window is of."""
        return int(np.searchsorted(self._ends, row, side="right"))

    def __getitem__(self, key: SampleKey) -> TrajectorySample:
        number = self.episode_of(key.index)
        start = key.index - int(self._ends[number - 1] if number else 0)
        failures: list[tuple[str, str]] = []
        damage: list[str] = []
        for _ in self.episodes:
            episode = self.episodes[number]
            index_T = start + self.window.skip * np.arange(self.window.frames)
            try:
                inputs = episode.frames.read(index_T, damage)
            except CacheDirError:
                raise  # this concerns the folder and not the episode
            except Exception as error:  # a parser may raise any exception for a damaged file
                if is_machines_fault(error):
                    raise
                failures.append((episode.where, cause_of(error)))
            else:
                damaged = tuple((episode.where, what) for what in damage)
                return self._sample(episode, inputs, index_T, key.step, tuple(failures), damaged)
            number, start = (number + 1) % len(self.episodes), 0
        raise ValueError(
            f"none of the {len(failures)} episodes can be read: {failures[0][0]}: {failures[0][1]}"
        )

    def _sample(
        self,
        episode: Episode,
        inputs: Tensor,
        index_T: NDArray[np.int64],
        step: int,
        failures: tuple[tuple[str, str], ...],
        damaged: tuple[tuple[str, str], ...],
    ) -> TrajectorySample:
        window, start = self.window, index_T[0]
        if inputs.dtype == torch.uint8:
            inputs = self.transform(inputs)
        actions = window.combined(episode.actions_TA[start : start + window.span - 1])
        states = None if episode.states_TQ is None else torch.from_numpy(episode.states_TQ[index_T])
        return TrajectorySample(
            inputs, torch.from_numpy(actions), states, episode.where, step, failures, damaged
        )


def check_long(episodes: Sequence[Episode], window: WindowConfig) -> None:
    """Raise ValueError if episodes are shorter than a window."""
    short = [episode for episode in episodes if len(episode) < window.span]
    if short:
        raise ValueError(
            f"{len(short)} of {len(episodes)} episodes are shorter than a window, which spans {window.span} "
            "frames "
            f"({window.frames} with a skip of {window.skip}); {short[0].where} has {len(short[0])}: shorten "
            "the window, or leave "
            f"them out (?without={','.join(str(one.number) for one in short[:10])})"
        )


def collate_trajectories(samples: Sequence[TrajectorySample]) -> TrajectoryBatch:
    """Stack samples of equal shapes to a batch."""
    states = [sample.states_TQ for sample in samples if sample.states_TQ is not None]
    return TrajectoryBatch(
        inputs=torch.stack([sample.inputs for sample in samples]),
        actions_BIA=torch.stack([sample.actions_IA for sample in samples]),
        states_BTQ=torch.stack(states) if states else None,
        paths=tuple(sample.path for sample in samples),
        failures=tuple(failure for sample in samples for failure in sample.failures),
        damaged=tuple(damage for sample in samples for damage in sample.damaged),
        step=samples[0].step,
    )


def action_statistics(episodes: Sequence[Episode], window: WindowConfig) -> dict[str, list[float]]:
    """Compute means and standard deviations of combined actions, and of states if there are any.

    An `ActionModel` standardises actions and states by them. Components that never change get the standard
    deviation 1.

    Raises:
        ValueError: An episode is shorter than a window.
    """
    check_long(episodes, window)
    actions = np.concatenate([_all_combined(episode.actions_TA, window) for episode in episodes])
    found = {"action": actions}
    if episodes[0].states_TQ is not None:
        found["state"] = np.concatenate(
            [episode.states_TQ for episode in episodes if episode.states_TQ is not None]
        )
    statistics: dict[str, list[float]] = {}
    for name, rows in found.items():
        deviation: NDArray[np.float64] = rows.std(axis=0, dtype=np.float64)
        statistics[f"{name}_mean"] = rows.mean(axis=0, dtype=np.float64).tolist()
        statistics[f"{name}_std"] = np.where(deviation > 1e-8, deviation, 1.0).tolist()
    return statistics


def _all_combined(actions_TA: Rows, window: WindowConfig) -> Rows:
    """Combine the actions from every frame that is followed by enough frames.

    The last row is left out, because its action is not used.
    """
    views = np.lib.stride_tricks.sliding_window_view(actions_TA[:-1], window.skip, axis=0)  # (Y, A, skip)
    return window.combined(views.transpose(0, 2, 1).reshape(-1, actions_TA.shape[1]))
