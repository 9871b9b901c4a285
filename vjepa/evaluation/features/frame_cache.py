"""Cache on disk of a frozen encoder's tokens of all frames of episodes.

Frames are encoded once; their tokens are then memory-mapped. Each episode has one ``.npy`` file of float16
``(T, S, D)``, which is written completely or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.border import cause_of, is_machines_fault
from vjepa.data.trajectories.episode import Episode, Frames
from vjepa.files import written_atomically
from vjepa.models.action_model import ActionModel

BATCH = 32  # frames that are encoded at a time


@dataclass(frozen=True)
class TokenFrames:
    """Tokens of an episode's frames in place of pixels (a `vjepa.data.trajectories.episode.Frames`).

    Attributes:
        path: Path of the frames that were encoded.
        tokens: Path of the file of tokens.
    """

    path: str
    tokens: str

    def read(self, index_T: NDArray[np.int64], damage: list[str] | None = None) -> Tensor:
        """Read the tokens of the frames with the indices ``index_T``: float16 ``(T, S, D)``.

        `damage` receives nothing, because damaged frames were reported when they were encoded.

        Raises:
            VideoDecodeError: The frames could not be read when they were encoded.
        """
        if not os.path.exists(self.tokens):
            raise VideoDecodeError(
                self.path, "features", "its frames could not be read when they were encoded"
            )
        return torch.from_numpy(np.load(self.tokens, mmap_mode="r")[index_T])


def encode_episodes(
    folder: str | Path,
    model: ActionModel,
    identity: dict[str, Any],
    episodes: Sequence[Episode],
    transform: Callable[[Tensor], Tensor],
    *,
    device: torch.device | str = "cpu",
    rank: int = 0,
    world_size: int = 1,
) -> list[Episode]:
    """Replace the frames of episodes by their tokens, and encode those whose file is missing or incomplete.

    A warning names an episode whose frames cannot be read. It has no tokens, so reading it later is an error.

    Args:
        folder: Folder of the cache.
        model: Action-conditioned model in evaluation mode, on the device.
        identity: All facts that the encoding depends on, as JSON values.
        episodes: Episodes whose frames are pixels.
        transform: Maps uint8 frames ``(T, C, H, W)`` to the model's size.
        device: Device of the model.
        rank: Number of this process, from 0. Each process encodes a share of the episodes, and all must have
            finished before any episode is read.
        world_size: Number of processes.
    """
    found = []
    for number, episode in enumerate(episodes):
        path = Path(folder) / _key(identity, episode)
        if number % world_size == rank and not _is_whole(path, len(episode)):
            path.unlink(missing_ok=True)
            _encode_to(path, model, episode, transform, device)
        found.append(replace(episode, frames=TokenFrames(episode.frames.path, str(path))))
    return found


def _is_whole(path: Path, length: int) -> bool:
    """Return whether a file exists with all its rows; after a power failure its end may be missing."""
    try:
        return len(np.load(path, mmap_mode="r")) == length
    except (OSError, EOFError, ValueError, TypeError):
        return False


def _encode_to(
    path: Path,
    model: ActionModel,
    episode: Episode,
    transform: Callable[[Tensor], Tensor],
    device: torch.device | str,
) -> None:
    parts: list[NDArray[np.float16]] = []
    damage: list[str] = []
    for begin in range(0, len(episode), BATCH):
        try:
            frames_TCHW = episode.frames.read(np.arange(begin, min(begin + BATCH, len(episode))), damage)
        except Exception as error:  # a parser may raise anything of a damaged file
            if is_machines_fault(error):
                raise
            warnings.warn(f"{episode.where} cannot be encoded: {cause_of(error)}", stacklevel=3)
            return
        parts.append(_encode(model, transform(frames_TCHW).unsqueeze(0).to(device)))
    if damage:
        warnings.warn(
            f"{episode.where} is damaged, and encoded as far as it goes: {damage[-1]}", stacklevel=3
        )
    _write(path, np.concatenate(parts))


def _key(identity: dict[str, Any], episode: Episode) -> str:
    """Return the name of an episode's file, which depends on the encoder and on the video file's state."""
    state = os.stat(episode.frames.path)
    facts = {
        **identity,
        "frames": _where(episode.frames),
        "length": len(episode),
        "file": [state.st_size, state.st_mtime_ns],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32] + ".npy"


def _where(frames: Frames) -> list[str]:
    """Return the path of the video file and the selection of its frames."""
    return [os.path.abspath(frames.path), repr(frames)]


@torch.no_grad()
def _encode(model: ActionModel, video_1TCHW: Tensor) -> NDArray[np.float16]:
    return np.asarray(model.encode(video_1TCHW)[0].half().cpu().numpy())


def _write(path: Path, tokens_TSD: NDArray[np.float16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_atomically(path, durable=True) as draft, draft.open("wb") as file:
        np.save(file, tokens_TSD)
