"""Writing matched possible and impossible videos as real files, with a list of the sets."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from vjepa.data.synthetic.matched import CONTROLS, VIOLATIONS, check_violation, render_matched
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import claim_folder, encode_video
from vjepa.files import written_atomically

MATCHED_FILE = "matched.csv"
SIDES = ("possible_1", "possible_2", "impossible_1", "impossible_2")
MATCHED_COLUMNS = ("kind", *SIDES, "event", "first_difference", "severity")


def write_matched(
    folder: str | os.PathLike[str],
    settings: RenderSettings,
    num_sets: int,
    seed: int,
    kinds: Sequence[str] = (*VIOLATIONS, *CONTROLS),
) -> Path:
    """Write sets 0 to ``num_sets - 1`` of each kind as ``.mp4`` files; return the path of ``matched.csv``.

    Videos pass through the same encoder as training videos (`write_videos`), so compression artefacts do not
    tell them apart; in the two files of a pair, the frames before the event are equal. The columns of the
    list are ``kind``; ``possible_1``, ``possible_2``, ``impossible_1`` and ``impossible_2``, paths relative
    to the list, the second of each empty for a kind with one pair; ``event``, ``first_difference`` and
    ``severity`` of `vjepa.data.synthetic.matched.MatchedVideos`. A folder that an earlier call with the same
    arguments filled is kept; a folder that it filled in part is written again.

    Args:
        folder: Folder of the videos; it is created if it does not exist.
        settings: Settings of the rendered scenes, see `render_matched`.
        num_sets: Number of sets of each kind.
        seed: Random seed of the training videos, whose background the sets share.
        kinds: Kinds of violations and controls.

    Raises:
        ValueError: The folder was written with other arguments, or the settings allow no such sets.
    """
    if num_sets < 1 or not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"num_sets is {num_sets} and kinds {tuple(kinds)}: give 1 set or more, and kinds, each once"
        )
    for kind in kinds:  # before the first set is rendered
        check_violation(settings, kind)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"seed": seed, "num_sets": num_sets, "kinds": list(kinds), "settings": asdict(settings)}
    claim_folder(folder / "render.json", wanted)
    if (folder / MATCHED_FILE).exists():  # written last, so that its presence means that the folder is whole
        return folder / MATCHED_FILE
    rows = [_write_set(folder, settings, kind, seed, number) for kind in kinds for number in range(num_sets)]
    with written_atomically(folder / MATCHED_FILE) as draft:
        _write_list(draft, rows)
    return folder / MATCHED_FILE


def _write_set(folder: Path, settings: RenderSettings, kind: str, seed: int, number: int) -> dict[str, str]:
    matched = render_matched(settings, kind, seed, number)
    (folder / kind).mkdir(exist_ok=True)
    row = {
        "kind": kind,
        "event": str(matched.event.frame),
        "first_difference": str(matched.first_difference),
        "severity": f"{matched.severity:.4f}",
    }
    for side in ("possible", "impossible"):
        for place, frames in enumerate(getattr(matched, side), start=1):
            row[f"{side}_{place}"] = name = f"{kind}/{number:05d}_{side}_{place}.mp4"
            with written_atomically(folder / name) as draft:
                encode_video(draft, frames, settings.frame_rate)
    return row


def _write_list(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, MATCHED_COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
