"""Labelled videos of published data sets, read from their annotation files as they are distributed.

    rows = ACTION_SETS["kinetics"].read("annotations/", "k400/", "train", allow_missing=0.05)

Each reader takes the folder of the annotations, the folder of the videos and a split, and returns rows for
`write_manifest` (`vjepa make_manifest` does both). No video is decoded, so that broken files are not
noticed: `vjepa validate` finds them. Labels are class names. The class indices that `class_names`
gives them follow their sorted order, and are not the official ones. Where a data set withholds the labels of
its test split, they are None. Listed videos that are missing are left out with a warning. If more than
`allow_missing` of them are missing (by default the share `MISSING_SHARE`), the reader raises.

None of the readers was tried on the data sets themselves, which are not distributed with this library. Each
says where its layout was seen; comments say what is from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from vjepa.data.action_sets import (
    diving48,
    epic_kitchens,
    hmdb51,
    jester,
    kinetics,
    something_something,
    ucf101,
)
from vjepa.data.action_sets.reading import MISSING_SHARE
from vjepa.data.manifest import Video

__all__ = ["ACTION_SETS", "ActionSet", "MISSING_SHARE"]


class ActionSet(NamedTuple):
    """A published data set of labelled videos.

    Attributes:
        read: Function that reads the annotations of the data set.
        splits: Names of the splits that `read` accepts.
        may_mirror: Whether a mirrored video keeps its label, so that training may flip videos.
        mirror_note: Reason for `may_mirror`, judged from the class names.
    """

    read: Callable[..., list[Video]]
    splits: Collection[str]
    may_mirror: bool
    mirror_note: str


ACTION_SETS = {
    "kinetics": ActionSet(kinetics.read_kinetics, kinetics.SPLITS, True, "no class is known to name a side"),
    "ssv2": ActionSet(
        something_something.read_something_something,
        something_something.SPLITS,
        False,
        "some templates name a direction, as 'Pushing something from left to right'",
    ),
    "ucf101": ActionSet(ucf101.read_ucf101, ucf101.SPLITS, True, "no class is known to name a side"),
    "hmdb51": ActionSet(
        hmdb51.read_hmdb51, hmdb51.SPLITS, True, "sides are in names of files, not in classes"
    ),
    "jhmdb": ActionSet(hmdb51.read_jhmdb, hmdb51.SPLITS, True, "sides are in names of files, not in classes"),
    "diving48": ActionSet(
        diving48.read_diving48,
        diving48.SPLITS,
        True,
        "take-off, somersaults, twists and position have no left or right",
    ),
    "jester": ActionSet(
        jester.read_jester,
        jester.SPLITS,
        False,
        "some gestures name a direction, as 'Swiping Left' and 'Turning Hand Clockwise'",
    ),
    "epic": ActionSet(
        epic_kitchens.read_epic_kitchens,
        epic_kitchens.SPLITS,
        True,
        "no class names a side; but 'screw' mirrored turns the way of 'unscrew'",
    ),
}
