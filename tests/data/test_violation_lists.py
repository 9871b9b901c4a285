"""Data sets with a list of their videos, in small folders laid out like the published ones."""

from __future__ import annotations

import json

import pytest

from vjepa.data.violation_lists import read_intphys2, read_mvp, read_reversed


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_of(matched, folder):
    return tuple(
        tuple(path.removeprefix(f"{folder}/") for path in side)
        for side in (matched.possible, matched.impossible)
    )


TYPES = ("1_Impossible", "1_Possible", "2_Impossible", "2_Possible")


def intphys2(folder, rows):
    lines = ["SceneIndex,name,file_name,type,condition,Difficulty"]
    lines += [f"{scene},x,Videos/{name}.mp4,{kind},{condition},easy" for scene, name, kind, condition in rows]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    touch(folder, *(f"Videos/{name}.mp4" for _, name, _, _ in rows))


def test_a_scene_of_intphys2_is_two_pairs(tmp_path):
    rows = [("7", f"a{place}", kind, "permanence") for place, kind in enumerate(TYPES)]
    rows += [("7_0", f"b{place}", kind, "solidity") for place, kind in enumerate(TYPES)]
    rows += [("8", f"c{place}", kind, "permanence") for place, kind in enumerate(reversed(TYPES))]
    intphys2(tmp_path, rows)
    sets = read_intphys2(tmp_path)
    assert [(matched.kind, *names_of(matched, tmp_path / "Videos")) for matched in sets] == [
        ("permanence", ("a1.mp4", "a3.mp4"), ("a0.mp4", "a2.mp4")),
        ("permanence", ("c2.mp4", "c0.mp4"), ("c3.mp4", "c1.mp4")),
        ("solidity", ("b1.mp4", "b3.mp4"), ("b0.mp4", "b2.mp4")),
    ]


def test_lists_that_are_not_of_intphys2_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no metadata.csv: give the folder of a split"):
        read_intphys2(tmp_path)
    (tmp_path / "metadata.csv").write_text("file_name,condition\n")
    with pytest.raises(ValueError, match=r"no column type: give a split that has labels"):
        read_intphys2(tmp_path)
    rows = [("7", f"a{place}", kind, "permanence") for place, kind in enumerate(TYPES)]
    intphys2(tmp_path, rows[:3])
    with pytest.raises(ValueError, match=r"beginning with Videos/a0.mp4: every four rows"):
        read_intphys2(tmp_path)
    intphys2(tmp_path, rows)
    (tmp_path / "Videos" / "a2.mp4").unlink()
    with pytest.raises(ValueError, match=r"no video .*a2.mp4"):
        read_intphys2(tmp_path)


def mvp(folder, *rows):
    names = ("video_id", "video_path", "answer")
    lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows]
    (folder / "intuitive_physics.jsonl").write_text("\n".join(lines) + "\n")


def test_minimal_pairs_that_ask_whether_a_video_is_possible_are_read(tmp_path):
    mvp(
        tmp_path,
        ("intphys_O1_01_0", "/intphys/O1_01_1.mp4", "Yes"),
        ("intphys_O1_01_1", "/intphys/O1_01_2.mp4", "No"),
        ("clevrer_3_0", "clevrer/3.mp4", "the red\u2028cube"),
        ("clevrer_3_1", "clevrer/4.mp4", "the blue cube"),
        ("grasp_9_0", "grasp/IP.mp4", "implausible"),
        ("grasp_9_1", "grasp/P.mp4", "plausible"),
    )
    touch(tmp_path / "videos", *(f"intphys/O1_01_{n}.mp4" for n in (1, 2)), "grasp/IP.mp4", "grasp/P.mp4")
    (tmp_path / "empty.jsonl").write_text("\n")
    sets = read_mvp(tmp_path)
    assert [(matched.kind, *names_of(matched, tmp_path / "videos")) for matched in sets] == [
        ("intphys", ("intphys/O1_01_1.mp4",), ("intphys/O1_01_2.mp4",)),
        ("grasp", ("grasp/P.mp4",), ("grasp/IP.mp4",)),
    ]


def test_annotations_that_are_not_of_minimal_pairs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no annotations"):
        read_mvp(tmp_path)
    source = tmp_path / "a.jsonl"
    for text, message in (
        ("nothing", "line 1 is no JSON"),
        ('{"video_id": "a_0", "answer": "Yes"}', "line 1 has no text video_path"),
        ("[]", "line 1 has no text video_id"),
    ):
        source.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_mvp(tmp_path)
    source.unlink()
    mvp(tmp_path, ("a_0", "s/1.mp4", "yes"), ("a_1", "s/2.mp4", "no"))
    with pytest.raises(ValueError, match=r"no video .*1.mp4"):
        read_mvp(tmp_path)


def test_reversed_videos_are_the_impossible_side_wherever_the_list_was_written(tmp_path):
    paths = {
        "animal": ("data/processed_dataset/animal-kingdom/fwd/1.mp4", "/x/animal-kingdom/bwd/1.mp4"),
        "physics": ("physics/fwd/2.mp4", "bwd/2.mp4"),
    }
    for kind, (forward, backward) in paths.items():
        touch(tmp_path / kind, f"fwd/{forward[-5:]}", f"bwd/{backward[-5:]}")
        entry = {"id": 1, "video_path_forward": forward, "video_path_backward": backward}
        (tmp_path / kind / "dataset_metadata.json").write_text(json.dumps([entry]))
    sets = read_reversed(tmp_path)
    assert [(matched.kind, *names_of(matched, tmp_path)) for matched in sets] == [
        ("animal", ("animal/fwd/1.mp4",), ("animal/bwd/1.mp4",)),
        ("physics", ("physics/fwd/2.mp4",), ("physics/bwd/2.mp4",)),
    ]


def test_lists_that_are_not_of_reversed_videos_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no folders with a dataset_metadata.json"):
        read_reversed(tmp_path)
    touch(tmp_path, "human/dataset_metadata.json")
    for text, message in (
        ("nothing", "is no JSON"),
        ('[{"video_path_forward": "a.mp4"}]', "entry 1 has no text video_path_backward"),
        ('[{"video_path_forward": "a.mp4", "video_path_backward": "b.mp4"}]', "no video a.mp4"),
    ):
        (tmp_path / "human" / "dataset_metadata.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_reversed(tmp_path)
