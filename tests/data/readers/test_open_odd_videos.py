"""Real odd files: each gives the frames that decode, or an error with its path and cause."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vjepa.data.manifest import read_manifest
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.readers.open import open_video

# Where the reader rightly gives another count than the table's probe, which took the first video
# stream, opened without metadata_errors="ignore", and counted all that decodes.
OTHER = {
    "torchcodec__nasa_13013.mp4": 390,  # of two video streams, players choose the second
    "exoplayer__video_desks.3gp": 71,  # only its tags were unreadable
    "mp4parse__no_timescale.mp4": 182,  # damage found late: 12 of the promised frames repeat others
}


def table(folder):
    """File name to the number of frames that decode, 0 where none do."""
    lines = [
        line.split("|") for line in (folder / "TABLE.md").read_text().splitlines() if line.startswith("|")
    ]
    counts = {cells[1].strip(): cells[7].split("/")[0].strip() for cells in lines[2:]}
    return {name: int(count) if count.isdigit() else 0 for name, count in counts.items()}


def test_every_odd_file_decodes_as_known_or_says_why_not(real_data):
    known = table(real_data / "odd")
    assert len(known) > 100
    wrong = []
    for name, count in known.items():
        expected = OTHER.get(name, count)
        try:
            with open_video(str(real_data / "odd" / name)) as video:
                found = len(video)
                frames = video.get_frames([0])
                sound = np.all(np.diff(video.timestamps) >= 0) and video.timestamps[0] == 0
            if found != expected or frames.dtype != torch.uint8 or not sound:
                wrong.append(f"{name}: {found} frames instead of {expected}")
        except VideoDecodeError as error:
            if expected or name not in str(error) or len(error.cause) < 10:
                wrong.append(f"{name}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "name",
    [
        "mmaction2__test.avi",  # packed B-frames, times out of order
        "derived__bitflips60_ucf_test.avi",
        "mp4parser__MOV00006.3gp",  # variable rate
        "lipnet__bbaf2n.mpg",  # does not seek exactly
        "mp4parse__no_timescale.mp4",  # damaged in the middle
        "ucf101__BenchPress_g01_c01.avi",
        "torchcodec__av1_video.mkv",
        "mediabunny__no-initial-keyframe.ts",
    ],
)
def test_random_access_gives_the_frames_of_one_pass(real_data, name):
    path = str(real_data / "odd" / name)
    with open_video(path) as video:
        everything = video.get_frames(range(len(video)))
    order = np.random.default_rng(0).integers(0, len(everything), 6)
    for index in order:
        with open_video(path) as video:
            assert torch.equal(video.get_frames([index])[0], everything[index]), index
    with open_video(path) as video:
        assert torch.equal(video.get_frames(order), everything[order])


def test_headers_that_claim_too_much_are_not_believed(real_data):
    """Every JHMDB header claims more frames than there are."""
    for row in read_manifest(real_data / "jhmdb7.csv")[::40]:
        with open_video(row.path) as video:
            assert 15 <= len(video) <= 40
            assert len(video.get_frames(range(len(video)))) == len(video)
