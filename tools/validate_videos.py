"""Check the videos of a manifest before a run; write a manifest of those that can be read.

    python tools/validate_videos.py MANIFEST [--output CLEAN.csv] [--workers N] [--reader auto]

Opens each video and decodes its first, middle and last frame. Prints a line for each one that
cannot be read (they are left out of the clean manifest) or is doubtful (they stay), and a summary.
Exit status 1 if any cannot be read, 2 if the manifest cannot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple, get_args

from vjepa.data.clips import ClipSampling, EmptyRangeError, spread_clips
from vjepa.data.manifest import Video, read_manifest, write_manifest
from vjepa.data.readers.base import VideoDecodeError, VideoReader
from vjepa.data.readers.open import ReaderName, open_video
from vjepa.foreign_text import one_line
from vjepa.training.stop import command
from vjepa.workers import pool

END_SLACK = 1.0  # seconds by which a range may end after the last frame without a remark


class Finding(NamedTuple):
    """What a check says of one video: readable or not, and remarks in words."""

    readable: bool
    remarks: list[str]


def check(video: Video, reader: str) -> Finding:
    """Open a video, decode three frames of it and look at its times."""
    try:
        with open_video(video.path, reader) as frames:
            frames.get_frames([0, len(frames) // 2, len(frames) - 1])
            spread_clips(frames.timestamps, ClipSampling(1), video.start, video.end)
            return Finding(True, doubts(video, frames))
    except (VideoDecodeError, EmptyRangeError) as error:
        return Finding(False, [getattr(error, "cause", str(error))])


def doubts(video: Video, frames: VideoReader) -> list[str]:
    """What is odd about a video that can be read."""
    remarks = []
    broken = getattr(frames, "broken_packets", 0)  # not every reader can tell
    last = float(frames.timestamps[-1])
    if broken:
        remarks.append(f"{broken} of its packets do not decode")
    if len(frames) == 1:
        remarks.append("it has one frame")
    if video.end is not None and video.end > last + END_SLACK:
        remarks.append(f"its range ends at {video.end} s, but its last frame appears at {last:.2f} s")
    return remarks


def findings(videos: Sequence[Video], reader: str, workers: int) -> Iterator[Finding]:
    """`check` of each video, in order, in `workers` processes (0: in this one)."""
    if not workers:
        yield from (check(video, reader) for video in videos)
        return
    with pool(workers) as executor:
        yield from executor.map(partial(check, reader=reader), videos, chunksize=8)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; the exit status."""
    options = _options(arguments)
    try:
        select = dict(_column_value(text) for text in options.select)
        videos = read_manifest(options.manifest, select)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    good: list[Video] = []
    doubtful = 0
    for video, finding in zip(videos, findings(videos, options.reader, options.workers), strict=True):
        if finding.readable:
            good.append(video)
            doubtful += bool(finding.remarks)
        for remark in finding.remarks:
            state = "doubtful" if finding.readable else "unreadable"
            print(one_line(f"{state}  {video.path}: {remark}"), flush=True)
    bad = len(videos) - len(good)
    print(f"{len(videos)} videos: {len(good)} can be read ({doubtful} of them doubtful), {bad} cannot")
    if options.output:
        write_manifest(options.output, good)
        print(f"wrote {options.output} with {len(good)} videos")
    return 1 if bad else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("manifest", help="CSV, JSONL or text list, or a folder")
    parser.add_argument("--output", help="write the videos that can be read to this CSV")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 for none beside this one")
    parser.add_argument("--reader", default="auto", choices=get_args(ReaderName), help="as in a run")
    parser.add_argument(
        "--select", nargs="*", default=[], metavar="COLUMN=VALUE", help="check only rows with these values"
    )
    return parser.parse_args(arguments)


def _column_value(text: str) -> tuple[str, str]:
    column, mark, value = text.partition("=")
    if not mark:
        raise ValueError(f"--select got '{text}': write COLUMN=VALUE, for example split1=train")
    return column, value


if __name__ == "__main__":
    sys.exit(main())
