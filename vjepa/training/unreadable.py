"""Videos that could not be read, or only in part: reported once and counted.

Too many unreadable ones end the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from accelerate.utils import gather_object

from vjepa.foreign_text import one_line

WITHOUT_VIDEOS = (
    "Give lists without them to go on (`python tools/validate_videos.py LIST --output CLEAN.csv` writes one)"
)
WITHOUT_EPISODES = "Leave them out by their numbers, SOURCE?without=3,17, to go on"


class UnreadableVideosError(RuntimeError):
    """More of the manifest's videos are unreadable than the run allows."""


def leave_out(
    name: str,
    count: int,
    causes: Mapping[int, tuple[str, str]],
    max_share: float,
    say: Callable[[str], None],
    remedy: str = WITHOUT_VIDEOS,
) -> None:
    """The same policy for a list that is measured or encoded beforehand: what cannot be read is named, and
    left out.

    Args:
        name: Name of the setting that gives the list.
        count: Rows of it.
        causes: Path and cause of each row that cannot be read.
        max_share: Share of the rows that may be unreadable.
        say: Prints a line.
        remedy: Advice how to leave out what cannot be read.

    Raises:
        UnreadableVideosError: Above the allowed share.
    """
    if not causes:
        return
    listed = "\n  ".join(f"{path}: {cause}" for path, cause in causes.values())
    if len(causes) > max_share * count:
        raise UnreadableVideosError(
            f"{len(causes)} of {count} videos of {name} cannot be read, more than {max_share:.1%} "
            f"(data.max_unreadable). {remedy}, "
            f"or raise that limit; the same command then goes on. They are:\n  {listed}"
        )
    say(f"{len(causes)} of {count} videos of {name} cannot be read and are left out:\n  {listed}")


def check_files(lists: Mapping[str, Sequence[str]], max_share: float, say: Callable[[str], None]) -> None:
    """The same before the first step, for files that are not there.

    Args:
        lists: Paths of each list that is measured at the end, by its setting.
        max_share, say: See `leave_out`.
    """
    for name, paths in lists.items():
        gone = {
            row: (path, "there is no such file") for row, path in enumerate(paths) if not os.path.exists(path)
        }
        leave_out(name, len(paths), gone, max_share, say)


class UnreadableVideos:
    """The policy of one run, the same on every process.

    Args:
        paths: File of each row of the training lists.
        max_share: Share of the rows that may be unreadable.
        say: Prints a line.
        remedy: Advice how to leave out what cannot be read.

    Attributes:
        causes, damage: Causes of the unreadable videos and damage of the damaged ones so far, by path.
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
        self.paths = frozenset(paths)
        self.max_share = max_share
        self.say = say
        self.causes: dict[str, str] = {}
        self.damage: dict[str, str] = {}
        self._new: list[tuple[str, str]] = []
        self._newly_damaged: list[tuple[str, str]] = []

    def note(self, failures: Sequence[tuple[str, str]], damaged: Sequence[tuple[str, str]] = ()) -> None:
        """Take what this process's batch met.

        (path, cause) of unreadable and (path, damage) of damaged videos.
        """
        self._new.extend(failures)
        self._newly_damaged.extend(damaged)

    def restore(self, causes: Mapping[str, str], damage: Mapping[str, str]) -> None:
        """Take what was found before the run was interrupted.

        What is no longer in the lists does not count.
        """
        self.causes = {path: cause for path, cause in causes.items() if path in self.paths}
        self.damage = {path: cause for path, cause in damage.items() if path in self.paths}

    def agree(self) -> int:
        """Share what is new with all processes (each must call this); the number of unreadable videos so far.

        Raises:
            UnreadableVideosError: Above the allowed share.
        """
        for path, cause in gather_object(self._new):
            if path not in self.causes:
                self.causes[path] = cause
                self.say(one_line(f"unreadable video, replaced by another: {path}: {cause}"))
        for path, damage in gather_object(self._newly_damaged):
            if path not in self.damage:
                self.damage[path] = damage
                if path not in self.causes:  # those that data.damaged skips are named above
                    self.say(one_line(f"damaged video, read as far as it goes: {path}: {damage}"))
        self._new, self._newly_damaged = [], []
        if len(self.causes) > self.max_share * self.num_videos:
            raise UnreadableVideosError(
                f"{len(self.causes)} of {self.num_videos} videos cannot be read, more than "
                f"{self.max_share:.1%} (data.max_unreadable). {self.remedy}, or raise that limit. They "
                "are:\n  " + "\n  ".join(f"{path}: {cause}" for path, cause in self.causes.items())
            )
        return len(self.causes)
