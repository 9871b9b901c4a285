"""The policy on unreadable and damaged videos: each is reported once.

Too many unreadable ones end the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from accelerate.utils import gather_object

from vjepa.data.python_datasets import is_item
from vjepa.data.remote import source_of
from vjepa.foreign_text import one_line

WITHOUT_VIDEOS = "Give lists without them to go on (`vjepa validate LIST --output CLEAN.csv` writes one)"
WITHOUT_EPISODES = "Leave them out by their numbers, SOURCE?without=3,17, to go on"


class UnreadableVideosError(RuntimeError):
    """More videos of a list are unreadable than `data.max_unreadable` allows."""


def leave_out(
    name: str,
    count: int,
    causes: Mapping[int, tuple[str, str]],
    max_share: float,
    say: Callable[[str], None],
    remedy: str = WITHOUT_VIDEOS,
) -> None:
    """Report the unreadable videos of a list that is measured or encoded, which leaves them out.

    Args:
        name: Name of the setting that gives the list, such as ``data.test``.
        count: Number of rows in the list.
        causes: Path and cause of each unreadable row, by the index of the row.
        max_share: Largest share of the rows, in [0, 1], that may be unreadable.
        say: Prints a line.
        remedy: Advice on how to leave out what cannot be read, for the error message.

    Raises:
        UnreadableVideosError: More than that share is unreadable.
    """
    if not causes:
        return
    listed = "\n  ".join(f"{path}: {cause}" for path, cause in causes.values())
    if len(causes) > max_share * count:
        raise UnreadableVideosError(
            f"{len(causes)} of {count} videos of {name} cannot be read, more than {max_share:.1%} "
            f"(data.max_unreadable). {remedy}, or raise that limit; the same command then goes on. They "
            f"are:\n  {listed}"
        )
    say(f"{len(causes)} of {count} videos of {name} cannot be read and are left out:\n  {listed}")


def check_files(lists: Mapping[str, Sequence[str]], max_share: float, say: Callable[[str], None]) -> None:
    """Report local files that do not exist, before the first step.

    Args:
        lists: Paths in each list that is measured at the end, by the name of its setting.
        max_share: Largest share of a list, in [0, 1], that may be missing.
        say: Prints a line.

    Raises:
        UnreadableVideosError: More than that share of a list is missing.
    """
    for name, paths in lists.items():
        gone = {
            row: (path, "there is no such file")
            for row, path in enumerate(paths)
            if not (source_of(path) or is_item(path) or os.path.exists(path))
        }
        leave_out(name, len(paths), gone, max_share, say)


class UnreadableVideos:
    """The unreadable and damaged videos that a run has met in training; equal on all processes after `agree`.

    Args:
        paths: Path in each row of the training lists.
        max_share: Largest share of the rows, in [0, 1], that may be unreadable.
        say: Prints a line.
        remedy: Advice on how to leave out what cannot be read, for the error message.

    Attributes:
        causes: Cause of each unreadable video so far, by path.
        damage: Damage of each damaged video so far, by path.
    """

    def __init__(
        self,
        paths: Sequence[str],
        max_share: float,
        say: Callable[[str], None],
        remedy: str = WITHOUT_VIDEOS,
    ) -> None:
        self.remedy = remedy
        self.num_videos = len(paths)
        self._paths = paths
        self.max_share = max_share
        self.say = say
        self.causes: dict[str, str] = {}
        self.damage: dict[str, str] = {}
        self._new: list[tuple[str, str]] = []
        self._newly_damaged: list[tuple[str, str]] = []

    def note(self, failures: Sequence[tuple[str, str]], damaged: Sequence[tuple[str, str]] = ()) -> None:
        """Take what was found in a batch of this process.

        Args:
            failures: Path and cause of each unreadable video.
            damaged: Path and damage of each damaged video.
        """
        self._new.extend(failures)
        self._newly_damaged.extend(damaged)

    def restore(self, causes: Mapping[str, str], damage: Mapping[str, str]) -> None:
        """Take what was found before the run was interrupted, except videos that are no longer in the lists.

        Args:
            causes: Cause of each unreadable video, by path.
            damage: Damage of each damaged video, by path.
        """
        known = causes.keys() | damage.keys()
        listed = {path for path in self._paths if path in known} if known else set()
        self.causes = {path: cause for path, cause in causes.items() if path in listed}
        self.damage = {path: cause for path, cause in damage.items() if path in listed}

    def agree(self) -> int:
        """Exchange and print what the processes have found since the last call; every process must call this.

        Returns:
            Number of unreadable videos so far.

        Raises:
            UnreadableVideosError: More than the allowed share is unreadable.
        """
        for path, cause in gather_object(self._new):
            if path not in self.causes:
                self.causes[path] = cause
                self.say(one_line(f"unreadable video, replaced by another: {path}: {cause}"))
        for path, damage in gather_object(self._newly_damaged):
            if path not in self.damage:
                self.damage[path] = damage
                if path not in self.causes:  # Those that data.damaged skips are printed above.
                    self.say(one_line(f"damaged video, read as far as it goes: {path}: {damage}"))
        self._new, self._newly_damaged = [], []
        if len(self.causes) > self.max_share * self.num_videos:
            raise UnreadableVideosError(
                f"{len(self.causes)} of {self.num_videos} videos cannot be read, more than "
                f"{self.max_share:.1%} (data.max_unreadable). {self.remedy}, or raise that limit. They "
                "are:\n  " + "\n  ".join(f"{path}: {cause}" for path, cause in self.causes.items())
            )
        return len(self.causes)
