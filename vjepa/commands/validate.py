"""Check the videos of a manifest before a run, and write a manifest of those that can be read.

    vjepa validate MANIFEST [--output CLEAN.csv] [--report REPORT.csv] [--num_workers N]

Opens each video and decodes all of it. With --quick, decodes only its first, middle and last frame, which
finds damage only there and in the header. A video is in one of four states:
    sound
    doubtful    it has one frame, or its range ends after its last frame
    damaged     it can be read in part: the decoder marks frames as corrupt, packets do not decode, or the
                header of an MP4 or AVI file counts frames that are missing at its end (an AVI file whose
                header also counts repeated, empty frames is not damaged)
    unreadable  it cannot be read at all, or its range has no frame
Prints a line for each remark, and a summary. --output has all videos but the unreadable ones and, with
--damaged skip (see data.damaged of a run), the damaged ones, with all columns of the manifest. --report lists
path, state and remark of every video that is not sound.

Exit status: 0 done; 1 some videos cannot be read, or an unexpected error; 2 the manifest, or an argument,
cannot be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Literal, NamedTuple, get_args

from tqdm import tqdm

from vjepa.config import checks
from vjepa.data.clips import ClipSampling, EmptyRangeError, spread_clips
from vjepa.data.dataset import Damaged
from vjepa.data.manifest import Video, other_cells, read_manifest, write_manifest
from vjepa.data.readers.base import VideoReader
from vjepa.data.readers.border import cause_of
from vjepa.data.readers.open import ReaderName, open_video
from vjepa.files import ready_file
from vjepa.foreign_text import in_cell, one_line
from vjepa.training.stop import command
from vjepa.workers import pool

END_SLACK = 1.0  # seconds that a range may extend past the last frame without a remark
State = Literal["sound", "doubtful", "damaged", "unreadable"]


class Finding(NamedTuple):
    """Result of checking one video.

    Attributes:
        state: State of the video.
        remarks: What is wrong or unusual about it, in words.
    """

    state: State
    remarks: list[str]


def check(video: Video, reader: str, quick: bool = False, channels: int = 3) -> Finding:
    """Open a video, decode it (with `quick`, three frames of it) and check its times; never raises."""
    try:
        with open_video(video.path, reader, channels=channels) as frames:
            frames.get_frames([0, len(frames) // 2, len(frames) - 1])
            if not quick:
                frames.examine()
            spread_clips(frames.timestamps, ClipSampling(1), video.start, video.end)
            remarks = doubts(video, frames)
            if frames.damage is not None:
                return Finding("damaged", [frames.damage, *remarks])
            return Finding("doubtful" if remarks else "sound", remarks)
    except EmptyRangeError as error:
        return Finding("unreadable", [str(error)])
    except Exception as error:  # decoders raise anything on damaged files, and only this video is read here
        return Finding("unreadable", [cause_of(error)])


def doubts(video: Video, frames: VideoReader) -> list[str]:
    """Return remarks on what is unusual about a video that can be read."""
    remarks = []
    last = float(frames.timestamps[-1])
    if len(frames) == 1:
        remarks.append("it has one frame")
    if video.end is not None and video.end > last + END_SLACK:
        remarks.append(f"its range ends at {video.end} s, but its last frame appears at {last:.2f} s")
    return remarks


def findings(
    videos: Sequence[Video], reader: str, quick: bool, num_workers: int, channels: int = 3
) -> Iterator[Finding]:
    """Iterate over the results of `check` for each video, in order, from `num_workers` processes (0: this
    one).

    A video that kills the process that reads it is identified by reading it alone, and is unreadable.
    """
    look = partial(check, reader=reader, quick=quick, channels=channels)
    if not num_workers:
        yield from map(look, videos)
        return
    done = 0
    while done < len(videos):
        try:
            for finding in _in_pool(look, videos[done:], num_workers):
                done += 1
                yield finding
        except BrokenProcessPool:
            done += 1
            yield _alone(look, videos[done - 1])


def _in_pool(look: partial[Finding], videos: Sequence[Video], num_workers: int) -> Iterator[Finding]:
    with pool(num_workers) as executor:
        yield from executor.map(look, videos, chunksize=8)


def _alone(look: partial[Finding], video: Video) -> Finding:
    try:
        return next(_in_pool(look, [video], 1))
    except BrokenProcessPool:
        return Finding(
            "unreadable", ["the process that read it died (out of memory, or a fault of the decoder)"]
        )


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _options(arguments)
    checks.options_at_least(options, num_workers=0, channels=1)
    videos, others = read_manifest(options.manifest), other_cells(options.manifest)
    for path in filter(None, (options.output, options.report)):
        ready_file(path)
    found: list[Finding] = []
    results = findings(videos, options.reader, options.quick, options.num_workers, options.channels)
    # With `disable=None`, the bar is shown only in a terminal.
    for video, finding in zip(
        videos, tqdm(results, total=len(videos), unit="video", disable=None), strict=True
    ):
        found.append(finding)
        for remark in finding.remarks:
            tqdm.write(one_line(f"{finding.state}  {video.path}: {remark}"))
    counts = Counter(finding.state for finding in found)
    print(
        f"{len(videos)} videos: {len(videos) - counts['unreadable']} can be read ({counts['damaged']} of "
        f"them damaged, {counts['doubtful']} doubtful), {counts['unreadable']} cannot"
    )
    if options.report:
        _write_report(options.report, videos, found)
    if options.output:
        left_out = {"unreadable"} | ({"damaged"} if options.damaged == "skip" else set())
        good = [finding.state not in left_out for finding in found]
        kept = itertools.compress(videos, good)
        write_manifest(options.output, kept, list(itertools.compress(others, good)))
        print(f"wrote {options.output} with {sum(good)} videos")
    return 1 if counts["unreadable"] else 0


def _write_report(path: str, videos: Sequence[Video], found: Sequence[Finding]) -> None:
    rows = [
        (in_cell(video.path), finding.state, in_cell("; ".join(finding.remarks)))
        for video, finding in zip(videos, found, strict=True)
        if finding.state != "sound"
    ]
    # The same encoding as manifests, so that file names that are not UTF-8 are preserved.
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([("path", "state", "remark"), *rows])
    print(f"wrote {path} with {len(rows)} videos")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "manifest",
        help="Manifest (CSV, JSONL or text list), folder of videos, or video; FILE.csv?split=train takes the "
        "rows with that value.",
    )
    parser.add_argument(
        "--output", help="CSV file for a manifest of the videos that can be read (default: none is written)."
    )
    parser.add_argument(
        "--report",
        help="CSV file for path, state and remark of videos that are not sound (default: none is written).",
    )
    parser.add_argument(
        "--quick", action="store_true", help="Decode three frames of each video instead of all."
    )
    parser.add_argument(
        "--damaged",
        default="keep",
        choices=get_args(Damaged),
        help="Whether --output keeps or skips the damaged videos (default keep).",
    )
    parser.add_argument(
        "--num_workers",
        type=int,
        default=0,
        help="Number of processes that check videos; 0 checks them in this one (default 0).",
    )
    parser.add_argument(
        "--reader",
        default="auto",
        choices=get_args(ReaderName),
        help="Video decoder, see data.reader of a run (default auto).",
    )
    parser.add_argument(
        "--channels",
        type=int,
        default=3,
        help="Number of channels of the videos; only .npy arrays can have another one than 3 (default 3).",
    )
    return parser.parse_args(arguments)
