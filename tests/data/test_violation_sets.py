"""Matched videos on disk, in small folders laid out like the published data sets."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.builders import BOX
from vjepa.data.readers.open import open_video
from vjepa.data.synthetic.matched import CONTROLS, VIOLATIONS, render_matched
from vjepa.data.synthetic.write_matched import write_matched
from vjepa.data.violation_sets import Matched, read_grasp, read_inflevel, read_intphys, read_matched


def frames_of(path):
    with open_video(path) as video:
        return video.get_frames(range(len(video)))


def test_sets_are_written_and_read_back(tmp_path):
    write_matched(tmp_path, BOX, num_sets=2, seed=3, kinds=("teleport", "fast"))
    sets = read_matched(tmp_path)
    assert [matched.kind for matched in sets] == ["teleport"] * 2 + ["fast"] * 2
    luma = np.array([0.299, 0.587, 0.114])
    for number, matched in enumerate(sets):
        drawn = render_matched(BOX, matched.kind, 3, number % 2)
        assert (matched.event, matched.first_difference) == (drawn.event.frame, drawn.first_difference)
        assert matched.severity == pytest.approx(drawn.severity, abs=1e-4)
        videos = {side: [frames_of(path) for path in getattr(matched, side)] for side in SIDES}
        for side, frames in videos.items():
            assert len(frames) == len(getattr(drawn, side))
            for decoded, painted in zip(frames, getattr(drawn, side), strict=True):
                assert decoded.shape == (32, 3, 32, 32)
                assert np.abs(decoded.permute(0, 2, 3, 1).numpy() @ luma - painted @ luma).mean() < 3
        if matched.kind != "fast":  # What the encoder makes of a frame depends on no later one.
            for possible, impossible in zip(videos["possible"], videos["impossible"], strict=True):
                assert (possible[: drawn.event.frame] == impossible[: drawn.event.frame]).all()


SIDES = ("possible", "impossible")


def test_all_kinds_are_written_unless_told_otherwise(tmp_path):
    write_matched(tmp_path, BOX, num_sets=1, seed=0)
    assert [matched.kind for matched in read_matched(tmp_path)] == [*VIOLATIONS, *CONTROLS]


def test_a_folder_of_sets_is_kept_completed_or_refused(tmp_path):
    source = write_matched(tmp_path, BOX, num_sets=1, seed=0, kinds=["stop"])
    content, video = source.read_text(), tmp_path / "stop" / "00000_possible_1.mp4"
    before = video.stat().st_mtime_ns
    assert write_matched(tmp_path, BOX, num_sets=1, seed=0, kinds=["stop"]) == source
    assert video.stat().st_mtime_ns == before
    source.unlink()
    video.unlink()
    write_matched(tmp_path, BOX, num_sets=1, seed=0, kinds=["stop"])
    assert source.read_text() == content
    assert video.exists()
    with pytest.raises(ValueError, match=r"seed 0 .now 1.*another folder"):
        write_matched(tmp_path, BOX, num_sets=1, seed=1, kinds=["stop"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_sets": 0}, "num_sets is 0"),
        ({"kinds": ["stop", "stop"]}, "each once"),
        ({"kinds": ["stop", "fly"]}, "kind is 'fly'"),
        ({"settings": replace(BOX, occluder=0)}, "occluder is 0"),
    ],
)
def test_wrong_sets_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_matched(tmp_path / "sets", **{"settings": BOX, "num_sets": 1, "seed": 0, **arguments})
    assert not (tmp_path / "sets").exists()


def test_lists_that_are_not_of_sets_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no matched.csv.*write_matched"):
        read_matched(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*elsewhere"):
        read_matched(tmp_path / "elsewhere")
    source = tmp_path / "matched.csv"
    header = "kind,possible_1,possible_2,impossible_1,impossible_2,event,first_difference,severity\n"
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    for text, message in (
        ("kind,possible\n", "must have kind, possible_1, possible_2, impossible_1, impossible_2, event"),
        (header, "has no sets"),
        (header + "stop,a.mp4,,c.mp4,,3,3,1\n", "line 2 names .*c.mp4, which is not there"),
        (header + "stop,a.mp4,,b.mp4,,three,3,1\n", "line 2: event and first_difference must be frames"),
        (header + "stop,a.mp4,,b.mp4,,3,3,much\n", "line 2: .*severity a number"),
    ):
        source.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_matched(tmp_path)


def test_sides_of_a_set_must_be_pairs():
    with pytest.raises(ValueError, match="2 possible and 1 impossible"):
        Matched("O1", ("a", "b"), ("c",))
    with pytest.raises(ValueError, match="0 possible and 0 impossible"):
        Matched("O1", (), ())


# Pixel values of the frames of a quadruplet: two beginnings, two endings, and each beginning with each
# ending.
MOVIES = {"aa": [1, 2, 3, 4], "ab": [1, 2, 7, 8], "bb": [5, 6, 7, 8], "ba": [5, 6, 3, 4]}
POSSIBLE = ("aa", "bb")


def write_scene(folder, order, status=None):
    """Movies 1 to 4 with these contents."""
    for number, name in enumerate(order, 1):
        movie = folder / str(number)
        (movie / "scene").mkdir(parents=True)
        for frame, value in enumerate(MOVIES[name], 1):
            Image.new("RGBA", (4, 4), (value, 0, 0, 255)).save(movie / "scene" / f"scene_{frame:03d}.png")
        content = {"header": {"is_possible": name in POSSIBLE, "block_name": folder.parent.name}}
        (movie / "status.json").write_text(json.dumps(content) if status is None else status)


def contents(path):
    return [int(frame[0, 0, 0]) for frame in frames_of(path)]


@pytest.mark.parametrize(
    "order", [("aa", "bb", "ab", "ba"), ("ba", "aa", "ab", "bb"), ("ab", "ba", "bb", "aa")]
)
def test_intphys_movies_are_matched_by_their_first_difference(tmp_path, order):
    write_scene(tmp_path / "O1" / "01", order)
    write_scene(tmp_path / "O3" / "02", order)
    write_scene(tmp_path / "O3" / "10", order)
    sets = read_intphys(tmp_path)
    assert [matched.kind for matched in sets] == ["O1", "O3", "O3"]
    assert [Path(matched.possible[0]).parents[1].name for matched in sets] == ["01", "02", "10"]
    for matched in sets:
        pairs = {
            (tuple(contents(possible)), tuple(contents(impossible)))
            for possible, impossible in zip(matched.possible, matched.impossible, strict=True)
        }
        wanted = (("aa", "ab"), ("bb", "ba"))
        assert pairs == {(tuple(MOVIES[one]), tuple(MOVIES[other])) for one, other in wanted}


def test_equal_frames_match_however_they_were_compressed(tmp_path):
    write_scene(tmp_path / "O1" / "01", ("aa", "bb", "ab", "ba"))
    for number in (1, 2):
        file = tmp_path / "O1" / "01" / "3" / "scene" / f"scene_{number:03d}.png"
        before = file.read_bytes()
        Image.open(file).convert("RGB").save(file, compress_level=0)
        assert file.read_bytes() != before
    (matched,) = read_intphys(tmp_path)
    assert contents(matched.impossible[0]) == MOVIES["ab"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("{", "header.is_possible .JSONDecodeError"),
        ('{"header": {}}', "header.is_possible .KeyError: 'is_possible'"),
        ('["header"]', "header.is_possible .TypeError"),
        ('{"header": {"is_possible": "yes"}}', "is_possible 'yes': it must be true or false"),
        ('{"header": {"is_possible": true}}', "4 possible movies of 4"),
    ],
)
def test_labels_of_intphys_that_cannot_be_are_refused(tmp_path, status, message):
    write_scene(tmp_path / "O1" / "01", ("aa", "bb", "ab", "ba"), status)
    with pytest.raises(ValueError, match=message):
        read_intphys(tmp_path)


def test_folders_that_are_not_intphys_are_refused(tmp_path):
    with pytest.raises(ValueError, match="none of the blocks O1, O2, O3"):
        read_intphys(tmp_path)
    (tmp_path / "O2").mkdir()
    with pytest.raises(ValueError, match="no scenes"):
        read_intphys(tmp_path)
    write_scene(tmp_path / "O2" / "01", ("aa", "bb", "ab"))
    with pytest.raises(ValueError, match="01/4 has no folder 'scene'"):
        read_intphys(tmp_path)
    write_scene(tmp_path / "O1" / "01", ("aa", "bb", "ab", "ba"))
    (tmp_path / "O1" / "01" / "2" / "status.json").unlink()
    with pytest.raises(ValueError, match=r"no .*2/status.json: .*test set has none"):
        read_intphys(tmp_path)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_grasp_videos_are_matched_by_their_number(tmp_path):
    touch(tmp_path, *(f"{side}_Gravity/{n:03d}.mp4" for side in ("P", "IP") for n in (0, 2, 10)))
    touch(tmp_path, "P_Inertia2/000.mp4", "IP_Inertia2/000.mp4", "P_Gravity/.DS_Store")
    sets = read_grasp(tmp_path)
    assert [(matched.kind, Path(matched.possible[0]).name) for matched in sets] == [
        ("Gravity", "000.mp4"),
        ("Gravity", "002.mp4"),
        ("Gravity", "010.mp4"),
        ("Inertia2", "000.mp4"),
    ]
    for matched in sets:
        assert matched.possible[0].replace("/P_", "/IP_") == matched.impossible[0]


def test_folders_that_are_not_grasp_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no folders P_... and IP_...: give the folder 'level2'"):
        read_grasp(tmp_path)
    touch(tmp_path, "P_Gravity/000.mp4", "IP_Gravity/000.mp4", "IP_Gravity/001.mp4")
    with pytest.raises(
        ValueError, match=r"of Gravity the video 001.mp4 is in one of P_Gravity and IP_Gravity"
    ):
        read_grasp(tmp_path)
    touch(tmp_path, "P_Gravity/001.mp4", "P_Solidity/000.mp4")
    with pytest.raises(ValueError, match=r"of Solidity the video 000.mp4"):
        read_grasp(tmp_path)


def test_inflevel_videos_are_matched_by_their_trial(tmp_path):
    trials = ("vv", "vi", "ii", "iv")
    touch(
        tmp_path,
        *(f"continuity/left__continuity__cup__egg__{t}__{d}.mp4" for t in trials for d in ("LR", "RL")),
    )
    touch(tmp_path, "gravity/left__gravity__cup__egg__ui.mp4", "gravity/left__gravity__cup__egg__uv.mp4")
    touch(tmp_path, "gravity/left__gravity__cup__egg__cv.mp4", "gravity/right__gravity__cup__egg__cv.mp4")
    sets = read_inflevel(tmp_path)
    assert [(matched.kind, len(matched.possible)) for matched in sets] == [
        ("continuity", 2),
        ("continuity", 2),
        ("gravity", 1),
    ]
    names = [
        (Path(possible).stem.split("__", 4)[4], Path(impossible).stem.split("__", 4)[4])
        for matched in sets
        for possible, impossible in zip(matched.possible, matched.impossible, strict=True)
    ]
    assert names == [
        *[("vv__LR", "vi__LR"), ("ii__LR", "iv__LR")],
        *[("vv__RL", "vi__RL"), ("ii__RL", "iv__RL"), ("ui", "uv")],
    ]


def test_folders_that_are_not_inflevel_are_refused(tmp_path):
    with pytest.raises(ValueError, match="none of the folders continuity, gravity, solidity"):
        read_inflevel(tmp_path)
    touch(tmp_path, "solidity/left__solidity__pot__egg__ui.mp4")
    with pytest.raises(ValueError, match="no trials with both sides"):
        read_inflevel(tmp_path)
    touch(tmp_path, "solidity/left__solidity__pot__egg__vv.mp4")
    with pytest.raises(ValueError, match=r"__vv.mp4: a video is called .*trial of ci, cv, ui, uv"):
        read_inflevel(tmp_path)


def test_the_list_says_which_columns_it_has(tmp_path):
    rows = list(csv.DictReader(write_matched(tmp_path, BOX, 1, 0, ["shape"]).open()))
    assert list(rows[0]) == [
        "kind", "possible_1", "possible_2", "impossible_1", "impossible_2", "event", "first_difference",
        "severity",
    ]  # fmt: skip
    assert rows[0]["possible_2"] == "shape/00000_possible_2.mp4"
