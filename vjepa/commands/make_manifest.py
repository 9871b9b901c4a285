"""Write a manifest of a published data set from its annotation files and videos.

    vjepa make_manifest kinetics --annotations lists/ --videos k400/ --split val --output val.csv

One subcommand per data set; `SUBCOMMAND --help` lists the files that it reads. No video is decoded;
vjepa validate checks the videos of a manifest. Prints the number of rows per class.

Exit status: 0 done; 1 an unexpected error; 2 input that cannot be used, or more videos missing than
--allow_missing; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Sequence

from vjepa.data.action_sets import ACTION_SETS, MISSING_SHARE, ActionSet
from vjepa.data.manifest import Video, write_manifest
from vjepa.files import ready_file
from vjepa.foreign_text import one_line
from vjepa.training.stop import command

_ENDS = 3  # number of largest and of smallest classes that are printed


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = vars(_parser().parse_args(arguments))
    chosen, output = ACTION_SETS[options.pop("set")], ready_file(options.pop("output"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        videos = chosen.read(**options)
    write_manifest(output, videos)
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    print(f"wrote {output}: {_counts(videos)}")
    flips = "may be on" if chosen.may_mirror else "must stay off"
    print(f"augment.flip {flips}: {chosen.mirror_note}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="set", required=True, metavar="SET")
    for name, action_set in ACTION_SETS.items():
        text = inspect.getdoc(action_set.read) or ""
        command = commands.add_parser(
            name,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_arguments(command, action_set)
    return parser


def _add_arguments(command: argparse.ArgumentParser, action_set: ActionSet) -> None:
    """Add the arguments of a data set's reader; optional ones are found in its signature."""
    command.add_argument("--annotations", required=True, help="Folder of the annotation files.")
    command.add_argument("--videos", required=True, help="Folder of the videos.")
    command.add_argument(
        "--split",
        choices=tuple(action_set.splits),
        default="train",
        help="Split to write (default train).",
    )
    command.add_argument("--output", required=True, help="CSV file to write.")
    command.add_argument(
        "--allow_missing",
        type=_allowance,
        default=MISSING_SHARE,
        help="Rows whose video may be missing, as a number (20) or a share (0.05) of all rows "
        f"(default {MISSING_SHARE}).",
    )
    parameters = inspect.signature(action_set.read).parameters
    if "fold" in parameters:
        command.add_argument("--fold", type=int, default=1, help="Official split, 1 to 3 (default 1).")
    if "label" in parameters:
        command.add_argument(
            "--label", default="action", help="What is labelled: verb, noun or action (default action)."
        )


def _allowance(text: str) -> float:
    """Parse --allow_missing: a whole number counts rows, any other number is a share."""
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no number: give a number of rows, or a share of them from 0.0 to 1.0"
        ) from None


def _counts(videos: Sequence[Video]) -> str:
    """Describe the numbers of rows, files, classes and groups, and the largest and smallest classes."""
    classes = Counter(video.label for video in videos if video.label is not None)
    files, groups = ({getattr(video, name) for video in videos} - {None} for name in ("path", "group"))
    counts = f"{len(videos)} rows, {len(files)} videos, {len(classes)} classes, {len(groups)} groups"
    ordered = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:8d}  {one_line(name)}" for name, count in ordered]
    if len(shown) > 2 * _ENDS + 1:
        shown[_ENDS:-_ENDS] = [f"{'...':>8}  {len(shown) - 2 * _ENDS} classes between"]
    return "\n".join([counts, *(shown or ["          no labels: they are withheld"])])
