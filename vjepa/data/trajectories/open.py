"""Opening a source of trajectories by its path."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vjepa.data.trajectories.episode import Episode, ListedEpisode
from vjepa.data.trajectories.folder import is_video_folder, list_video_folder
from vjepa.data.trajectories.hdf5 import SUFFIXES, list_hdf5
from vjepa.data.trajectories.lerobot import is_lerobot, list_lerobot
from vjepa.data.trajectories.selection import Selection, split_source

_NAMED = 10  # largest number of episodes that a message names


def read_episodes(
    source: str,
    *,
    states: bool = False,
    camera: str | None = None,
    least_frames: int = 1,
    max_unusable: float = 0.0,
    **reading: Any,
) -> list[Episode]:
    """Read the episodes of a folder of videos with actions, a folder in LeRobot's layout, or an HDF5 file.

    Args:
        source: Folder or file, with an optional selection of episodes: ``FILE?episodes=0-179``,
            ``FILE?without=3,17``. Episodes have the numbers that LeRobot and robomimic (``demo_N``) give
            them; in other sources they are numbered in their order from 0.
        states: Whether to read states (proprioception), too.
        camera: Name of the camera, for a source with several; None takes the only one.
        least_frames: Smallest number of frames with which an episode can be used.
        max_unusable: Largest share of the selected episodes that may be too short or unreadable; they are
            left out with a warning.
        reading: Keyword arguments of `VideoFrames`; frames in HDF5 files are not decoded.

    Raises:
        ValueError: The source has no episodes, or too many of them cannot be used; the message names them.
        ModuleNotFoundError: A package that the layout needs is missing.
    """
    path, selection = split_source(source)
    found: list[Episode] = []
    faults: dict[int, str] = {}
    numbers = set()
    for listed in _listed(Path(path), states=states, camera=camera, **reading):
        numbers.add(listed.number)
        if not selection.takes(listed.number):
            continue
        try:
            found.append(_read(listed, least_frames))
        except ModuleNotFoundError:
            raise
        except Exception as error:  # a parser may raise any exception for a damaged file
            faults[listed.number] = _cause(error)
    _check(source, selection, numbers, len(found), faults, max_unusable)
    return found


def _listed(path: Path, **reading: Any) -> Iterator[ListedEpisode]:
    """List all episodes of a source; raise ValueError if its list cannot be read."""
    try:
        yield from _layout(path, **reading)
    except (ValueError, ModuleNotFoundError):
        raise
    except Exception as error:
        raise ValueError(
            f"the episodes of {path} cannot be listed ({_cause(error)}): write it again"
        ) from error


def _layout(path: Path, *, states: bool, camera: str | None, **reading: Any) -> Iterator[ListedEpisode]:
    if not path.exists():
        raise ValueError(f"there is no {path}: give a folder of episodes, or an HDF5 file")
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"{path} is no file of trajectories: give one that ends in {' or '.join(SUFFIXES)}, or a "
                "folder"
            )
        return list_hdf5(path, states=states, camera=camera)
    if is_lerobot(path):
        return list_lerobot(path, states=states, camera=camera, **reading)
    if is_video_folder(path):
        return list_video_folder(path, states=states, **reading)
    raise ValueError(
        f"{path} has no episodes: give a folder of videos with .npz or .parquet beside them, or of LeRobot "
        "(meta/info.json)"
    )


def _read(listed: ListedEpisode, least_frames: int) -> Episode:
    episode = listed.read()
    if len(episode) < least_frames:
        raise ValueError(f"{episode.where} has {len(episode)} frames, and a window spans {least_frames}")
    return episode


def _cause(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _check(
    source: str, selection: Selection, numbers: set[int], found: int, faults: dict[int, str], most: float
) -> None:
    """Warn of episodes that are left out; raise ValueError if they are too many, or none is left."""
    selection.check(numbers, source)
    chosen = found + len(faults)
    if not chosen:
        raise ValueError(f"{source} has no episodes: it lists {len(numbers)}, and none of them is chosen")
    if not faults:
        return
    shown = [f"episode {number}: {cause}" for number, cause in list(faults.items())[:_NAMED]]
    listed = "\n  ".join([*shown, *(["..."] if len(faults) > _NAMED else [])])
    if not found or len(faults) > most * chosen:
        numbers_left = ",".join(map(str, list(faults)[:_NAMED]))
        raise ValueError(
            f"{len(faults)} of {chosen} episodes of {source} cannot be used, more than {most:.1%} "
            "(data.max_unreadable); leave "
            f"them out (?without={numbers_left}), shorten the window where they are too short for it, or "
            f"raise the limit:\n  {listed}"
        )
    warnings.warn(
        f"{len(faults)} of {chosen} episodes of {source} are left out, as they cannot be used:\n  {listed}",
        stacklevel=2,
    )
