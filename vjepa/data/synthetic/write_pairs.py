"""Writing pairs of possible and impossible videos as real files, with a list of the pairs."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vjepa.data.synthetic.pairs import CONTROL, VIOLATIONS, check_violation, render_pair
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import claim_folder, encode_video
from vjepa.files import written_atomically

PAIRS_FILE = "pairs.csv"
PAIR_COLUMNS = ("kind", "possible", "impossible", "event", "first_difference")


def write_pairs(
    folder: str | os.PathLike[str],
    settings: RenderSettings,
    num_pairs: int,
    seed: int,
    kinds: Sequence[str] = (*VIOLATIONS, CONTROL),
) -> Path:
    """Write pairs 0 to ``num_pairs - 1`` of each kind as ``.mp4`` files; return the path of their
    ``pairs.csv``.

    Videos pass through the same encoder as training videos (`write_videos`), so compression artefacts do not
    tell them apart; in the two files of a pair, the frames before the event are equal. The columns of the
    list are ``kind``; ``possible`` and ``impossible``, paths relative to the list; ``event`` and
    ``first_difference``, frame numbers of `vjepa.data.synthetic.Pair`. A folder that an earlier call with the
    same arguments filled is kept; a folder that it filled in part is written again.

    Args:
        folder: Folder of the videos; it is created if it does not exist.
        settings: Settings of the rendered scenes, see `render_pair`.
        num_pairs: Number of pairs of each kind.
        seed: Random seed of the training videos, whose background the pairs share.
        kinds: Kinds of violations.

    Raises:
        ValueError: The folder was written with other arguments, or the settings allow no such pairs.
    """
    if num_pairs < 1 or not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"num_pairs is {num_pairs} and kinds {tuple(kinds)}: give 1 pair or more, and kinds, each once"
        )
    for kind in kinds:  # before the first pair is rendered
        check_violation(settings, kind)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"seed": seed, "num_pairs": num_pairs, "kinds": list(kinds), "settings": asdict(settings)}
    claim_folder(folder / "render.json", wanted)
    if (folder / PAIRS_FILE).exists():  # written last, so that its presence means that the folder is whole
        return folder / PAIRS_FILE
    rows = [
        _write_pair(folder, settings, kind, seed, number) for kind in kinds for number in range(num_pairs)
    ]
    with written_atomically(folder / PAIRS_FILE) as draft:
        _write_list(draft, rows)
    return folder / PAIRS_FILE


def _write_pair(folder: Path, settings: RenderSettings, kind: str, seed: int, number: int) -> tuple[str, ...]:
    pair = render_pair(settings, kind, seed, number)
    (folder / kind).mkdir(exist_ok=True)
    names = [f"{kind}/{number:05d}_{side}.mp4" for side in ("possible", "impossible")]
    for name, frames in zip(names, (pair.possible, pair.impossible), strict=True):
        with written_atomically(folder / name) as draft:
            encode_video(draft, frames, settings.frame_rate)
    return kind, *names, str(pair.event.frame), str(pair.first_difference)


def _write_list(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([PAIR_COLUMNS, *rows])
