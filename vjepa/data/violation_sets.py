"""Readers of violation-of-expectation data sets: matched possible and impossible videos.

    for matched in read_intphys("IntPhys/dev"):
        ...  # surprise at matched.possible[0] against that at matched.impossible[0]

Each reader returns a list of `Matched`, whose paths `vjepa.data.readers.open.open_video` opens. Frames are
decoded only as far as matching needs them. None of the data sets is distributed with this library. The
layouts were taken from public code that reads the data sets, named in each reader's docstring; the readers
were not tested on the data sets.
"""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vjepa.data.images import bytes_of_image
from vjepa.data.manifest import VIDEO_SUFFIXES
from vjepa.data.readers.arrays import files_in, frame_files, natural_key
from vjepa.data.synthetic.write_matched import MATCHED_COLUMNS, MATCHED_FILE, SIDES

INTPHYS_BLOCKS = ("O1", "O2", "O3")  # object permanence, shape constancy, continuity
INTPHYS_MOVIES = ("1", "2", "3", "4")
# InfLevel's trials: the impossible one that goes with each possible one. Both are the same until the cover is
# lifted.
INFLEVEL_TRIALS = {
    "continuity": {"vv": "vi", "ii": "iv"},
    "gravity": {"ui": "uv", "cv": "ci"},
    "solidity": {"ui": "uv", "cv": "ci"},
}


@dataclass(frozen=True, slots=True)
class Matched:
    """Matched possible and impossible videos of one scene; ValueError if their numbers differ or are 0.

    Attributes:
        kind: Name of the tested property or violation; accuracies are computed per kind.
        possible, impossible: Paths of videos or folders of frames; equal positions form a pair. Pairs of one
            set share a scene, so they are not independent.
        event: Number of the frame at which the impossible video becomes impossible; None if unknown.
        first_difference: Number of the frame at which the videos of a pair begin to differ; None if unknown.
        severity: How much happens, in a unit that depends on the kind; None if unknown.
    """

    kind: str
    possible: tuple[str, ...]
    impossible: tuple[str, ...]
    event: int | None = None
    first_difference: int | None = None
    severity: float | None = None

    def __post_init__(self) -> None:
        if not self.possible or len(self.possible) != len(self.impossible):
            raise ValueError(
                f"a matched set of {self.kind} has {len(self.possible)} possible and {len(self.impossible)} "
                "impossible videos: give as many of each, in pairs"
            )


def read_matched(folder: str | os.PathLike[str]) -> list[Matched]:
    """Read the sets that `vjepa.data.synthetic.write_matched` wrote.

    Raises:
        ValueError: The list of sets is missing or malformed, or names a missing file.
        FileNotFoundError: There is no such folder.
    """
    source = existing_folder(folder) / MATCHED_FILE
    if not source.is_file():
        raise ValueError(f"{source.parent} has no {MATCHED_FILE}: give a folder that `write_matched` filled")
    with source.open(newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != MATCHED_COLUMNS:
            raise ValueError(
                f"{source} has the columns {rows.fieldnames}: it must have {', '.join(MATCHED_COLUMNS)}"
            )
        return some_sets([_from_row(row, source, rows.line_num) for row in rows], source.parent, "sets")


def _from_row(row: Mapping[str, str | None], source: Path, line: int) -> Matched:
    paths = {side: source.parent / str(row[side]) for side in SIDES if row[side]}
    absent = [str(path) for path in paths.values() if not path.is_file()]
    if absent:
        raise ValueError(
            f"{source} line {line} names {absent[0]}, which is not there: "
            f"delete {source.name} and write again"
        )
    try:
        event, difference = int(str(row["event"])), int(str(row["first_difference"]))
        severity = float(str(row["severity"]))
    except ValueError as error:
        raise ValueError(
            f"{source} line {line}: event and first_difference must be frames, and severity a number: {error}"
        ) from error
    possible, impossible = (
        tuple(str(path) for side, path in paths.items() if side.startswith(name))
        for name in ("possible", "impossible")
    )
    return Matched(str(row["kind"]), possible, impossible, event, difference, severity)


def read_intphys(folder: str | os.PathLike[str]) -> list[Matched]:
    """Read the development set of IntPhys 2019 (arXiv 1803.07616), a set of two pairs per scene.

    The kinds are `O1`, `O2` and `O3`.

    Layout: ``<block>/<scene>/<movie>/``, with the blocks ``O1``, ``O2`` and ``O3`` (all or some), numbered
    scenes and the movies ``1`` to ``4``. A movie has a folder ``scene`` of frames and ``status.json``, whose
    ``header.is_possible`` is true for two of the four movies. Source of the layout: the loader of
    jepa-intuitive-physics (in the fork dgcnz/jepa-intuitive-physics, which lists 30 scenes per block and 100
    .png frames per movie), and rronan/IntPhys-verify-quadruplets. The test set has no labels.

    Movies are matched as in `get_breaking_points` and `get_matches` there: movie 1 is paired with the movie
    that stays equal to it longest, here only among those with the other label; the remaining two form the
    other pair. For this, frames are decoded until the movies differ.

    Raises:
        ValueError: Blocks, frames or labels are missing or malformed.
        FileNotFoundError: There is no such folder.
    """
    folder = existing_folder(folder)
    blocks = [block for block in INTPHYS_BLOCKS if (folder / block).is_dir()]
    if not blocks:
        raise ValueError(
            f"{folder} has none of the blocks {', '.join(INTPHYS_BLOCKS)}: give the folder of the dev set"
        )
    sets = [_read_scene(block, scene) for block in blocks for scene in _folders(folder / block)]
    return some_sets(sets, folder, "scenes")


def _read_scene(block: str, scene: Path) -> Matched:
    movies = [scene / name for name in INTPHYS_MOVIES]
    frames = [frame_files(movie / "scene") if (movie / "scene").is_dir() else [] for movie in movies]
    for movie, files in zip(movies, frames, strict=True):
        if not files:
            raise ValueError(
                f"{movie} has no folder 'scene' of frames: a scene has the movies 1 to 4, with frames"
            )
    possible = [_is_possible(movie / "status.json") for movie in movies]
    if sum(possible) != 2:
        raise ValueError(
            f"{scene} has {sum(possible)} possible movies of 4: a scene has 2 possible and 2 impossible ones"
        )
    others = [number for number in (1, 2, 3) if possible[number] != possible[0]]
    partner = max(others, key=lambda number: _first_difference(frames[0], frames[number]))
    rest = [number for number in (1, 2, 3) if number != partner]
    # The possible movie comes first in each pair.
    pairs = [sorted(pair, key=lambda number: not possible[number]) for pair in ([0, partner], rest)]
    sides = [tuple(str(movies[pair[side]] / "scene") for pair in pairs) for side in (0, 1)]
    return Matched(block, possible=sides[0], impossible=sides[1])


def _is_possible(status: Path) -> bool:
    try:
        value = json.loads(status.read_text())["header"]["is_possible"]
    except FileNotFoundError:
        raise ValueError(
            f"there is no {status}: the labels of the dev set lie there, the test set has none"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{status} has no header.is_possible ({type(error).__name__}: {error})") from error
    if not isinstance(value, bool):
        raise ValueError(f"{status} has header.is_possible {value!r}: it must be true or false")
    return value


def _first_difference(first: Sequence[Path], second: Sequence[Path]) -> int:
    """Return the number of the first frame that differs; the length of the shorter movie if none does."""
    for number, (one, other) in enumerate(zip(first, second, strict=False)):
        # Most frames before the event have identical bytes and need no decoding.
        if one.read_bytes() != other.read_bytes() and not np.array_equal(_pixels(one), _pixels(other)):
            return number
    return min(len(first), len(second))


def _pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return bytes_of_image(image, "RGB")


def read_grasp(folder: str | os.PathLike[str]) -> list[Matched]:
    """Read GRASP level 2 (arXiv 2311.09048): one pair per video number, kinds such as `Collision`.

    The folder (``videos/level2`` of the distribution) contains, for each concept (such as
    `ObjectPermanence2`), the folders ``P_<concept>`` and ``IP_<concept>`` with videos of the same names,
    ``000.mp4`` to ``127.mp4``, rendered from the same seeds. Source of the layout: `tools/` and README of
    i-machine-think/grasp, and the loader and list of files of dgcnz/jepa-intuitive-physics (16 concepts, 501
    frames).

    Raises:
        ValueError: There is no concept, or a video is missing from one of a concept's two folders.
        FileNotFoundError: There is no such folder.
    """
    folder = existing_folder(folder)
    concepts = sorted(
        {child.name.split("_", 1)[1] for child in _folders(folder) if child.name.startswith(("P_", "IP_"))}
    )
    if not concepts:
        raise ValueError(f"{folder} has no folders P_... and IP_...: give the folder 'level2'")
    sets = []
    for concept in concepts:
        sides = [_videos(folder / f"{side}_{concept}") for side in ("P", "IP")]
        lone = sorted(sides[0].keys() ^ sides[1].keys(), key=natural_key)
        if lone:
            raise ValueError(
                f"{folder}: of {concept} the video {lone[0]} is in one of P_{concept} and IP_{concept} "
                "alone; both must have the same names"
            )
        sets += [Matched(concept, (path,), (sides[1][name],)) for name, path in sides[0].items()]
    return some_sets(sets, folder, "videos")


def read_inflevel(folder: str | os.PathLike[str]) -> list[Matched]:
    """Read InfLevel-lab (Weihs et al., TMLR 2022): kinds `continuity`, `gravity` and `solidity`.

    The folder contains a folder for each of these properties (all or some), with videos called
    ``<camera>__<property>__<cover>__<object>__<trial>.mp4``, for continuity
    ``...__<trial>__<direction>.mp4``. A set has the pairs of one camera, cover, object and direction: the
    trials `vv` and `vi`, `ii` and `iv` (continuity), or `ui` and `uv`, `cv` and `ci` (gravity, solidity), the
    first of each pair being possible. A trial without its partner is left out: the authors' `evaluator.py`
    expects some incomplete scenes, too.

    Source of names and pairs: the list of files of dgcnz/jepa-intuitive-physics; of the trials' meaning: also
    `evaluator.py` of allenai/inflevel. Videos begin with a priming phase that shows the cover, and some are a
    few frames longer than their partner. The published evaluation drops these extra frames at the beginning,
    and is reported with and without priming, whose ends are in a list that is not part of the data set. This
    reader returns whole videos.

    Raises:
        ValueError: Properties or pairs are missing, or a file name does not follow the pattern.
        FileNotFoundError: There is no such folder.
    """
    folder = existing_folder(folder)
    properties = [name for name in INFLEVEL_TRIALS if (folder / name).is_dir()]
    if not properties:
        raise ValueError(
            f"{folder} has none of the folders {', '.join(INFLEVEL_TRIALS)}: give the one that has"
        )
    sets = []
    for name in properties:
        scenes: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
        for path in _videos(folder / name).values():
            camera, cover, thing, trial, *direction = _parts(path, name)
            scenes[camera, cover, thing, *direction][trial] = path
        sets += [matched for trials in scenes.values() for matched in _trial_pairs(name, trials)]
    return some_sets(sets, folder, "trials with both sides")


def _parts(path: str, kind: str) -> list[str]:
    """Split a file name into camera, cover, object, trial and, if present, direction."""
    parts = Path(path).stem.split("__")
    trials = {trial for pair in INFLEVEL_TRIALS[kind].items() for trial in pair}
    if len(parts) not in (5, 6) or parts[1] != kind or parts[4] not in trials:
        raise ValueError(
            f"{path}: a video is called <camera>__{kind}__<cover>__<object>__<trial>[__<direction>] with a "
            f"trial of {', '.join(sorted(trials))}"
        )
    return [parts[0], *parts[2:]]


def _trial_pairs(kind: str, trials: Mapping[str, str]) -> list[Matched]:
    """Return the matched set of a scene, or an empty list if no pair is complete."""
    pairs = [
        (trials[possible], trials[impossible])
        for possible, impossible in INFLEVEL_TRIALS[kind].items()
        if possible in trials and impossible in trials
    ]
    if not pairs:
        return []
    return [Matched(kind, tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))]


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a folder; FileNotFoundError if there is none."""
    path = Path(os.path.abspath(folder))
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}: give that of the data set")
    return path


def some_sets(sets: list[Matched], folder: Path, what: str) -> list[Matched]:
    """Return the sets; ValueError if there are none."""
    if not sets:
        raise ValueError(f"{folder} has no {what}: is it unpacked?")
    return sets


def _folders(folder: Path) -> list[Path]:
    children = [
        child for child in folder.iterdir() if child.is_dir() and not child.name.startswith((".", "__"))
    ]
    return sorted(children, key=lambda child: natural_key(child.name))


def _videos(folder: Path) -> dict[str, str]:
    """Map file names to paths of a folder's videos, in natural order; empty if there is no such folder."""
    files = files_in(folder, VIDEO_SUFFIXES) if folder.is_dir() else []
    return {file.name: str(file) for file in files}
