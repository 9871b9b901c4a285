"""Readers of published data sets, on small folders laid out as the data sets are; no video is decoded."""

from __future__ import annotations

import os
import warnings

import pytest

from tests.data.action_set_layouts import (
    BRUSH,
    EPIC_HEADER,
    EPIC_LABELS,
    LAYOUTS,
    RUN,
    diving48,
    epic_kitchens,
    epic_row,
    hmdb51,
    jester,
    kinetics,
    lay,
    something_something,
    ucf101,
)
from vjepa.data.action_sets import ACTION_SETS
from vjepa.data.action_sets.hmdb51 import read_hmdb51, read_jhmdb
from vjepa.data.action_sets.reading import keep_present
from vjepa.data.manifest import Video, read_manifest, write_manifest


def read(name, folder, split="train", **options):
    """What a reader returns of a folder's lists and videos, without a warning; paths are below the latter."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = ACTION_SETS[name].read(folder / "lists", folder / "videos", split, **options)
    for row in rows:
        assert os.path.isabs(row.path)
    return [(os.path.relpath(row.path, folder / "videos"), row.label, row.group) for row in rows]


@pytest.fixture(params=ACTION_SETS)
def laid_out(request, tmp_path):
    """Name of a data set, and a folder laid out like it."""
    LAYOUTS[request.param](tmp_path)
    return request.param, tmp_path


def test_kinetics(tmp_path):
    kinetics(tmp_path)
    wanted = [
        ("abseiling/-3B32lodo2M_000059_000069.mp4", "abseiling", "-3B32lodo2M"),
        ("air_drumming/_dbcJuKJQNs_000140_000150.mp4", "air drumming", "_dbcJuKJQNs"),
        ("aaaaaaaaaaa_000000_000010.mkv", "abseiling", "aaaaaaaaaaa"),
    ]
    assert read("kinetics", tmp_path) == wanted
    assert [row[2] for row in read("kinetics", tmp_path, "val")] == ["bbbbbbbbbbb"]
    assert [row[1:] for row in read("kinetics", tmp_path, "test")] == [(None, "ccccccccccc")]


def test_kinetics_takes_one_list_of_all_splits_and_cvdf_s_replacements(tmp_path):
    text = "label,youtube_id,time_start,time_end,split\n"
    text += "waving,aaaaaaaaaaa,1.0,11.0,val\nwaving,bbbbbbbbbbb,0,10,train\n"
    lay(tmp_path, {"all.csv": text})
    lay(tmp_path / "k400", empty=["val/aaaaaaaaaaa_000001_000011.mp4", "train/bbbbbbbbbbb_000000_000010.mp4"])
    replaced = "replacement/replacement_for_corrupted_k400/aaaaaaaaaaa_000001_000011.mp4"
    lay(tmp_path / "k400", empty=[replaced])
    (row,) = ACTION_SETS["kinetics"].read(tmp_path / "all.csv", tmp_path / "k400", "val")
    assert row == Video(str(tmp_path / "k400" / replaced), "waving", group="aaaaaaaaaaa")
    with pytest.raises(ValueError, match=r"no row of .*all.csv has the split test: .* are train, val"):
        ACTION_SETS["kinetics"].read(tmp_path / "all.csv", tmp_path / "k400", "test")


def test_something_something(tmp_path):
    something_something(tmp_path)
    assert read("ssv2", tmp_path) == [
        ("20bn-something-something-v2/7.webm", "Pushing something from left to right", None),
        ("20bn-something-something-v2/12.webm", "Putting something similar on the table", None),
    ]
    assert [row[0] for row in read("ssv2", tmp_path, "val")] == ["20bn-something-something-v2/12.webm"]
    assert [row[1] for row in read("ssv2", tmp_path, "test")] == [None]
    lay(tmp_path / "lists", {"test-answers.csv": "9;Pushing something from left to right\n"})
    assert [row[1] for row in read("ssv2", tmp_path, "test")] == ["Pushing something from left to right"]
    for file in (tmp_path / "lists").iterdir():
        file.rename(file.with_name(f"something-something-v2-{file.name}"))
    assert len(read("ssv2", tmp_path)) == 2


def test_ucf101(tmp_path):
    ucf101(tmp_path)
    assert read("ucf101", tmp_path) == [
        ("UCF-101/Archery/v_Archery_g08_c01.avi", "Archery", "Archery_g08"),
        ("UCF-101/Archery/v_Archery_g08_c02.avi", "Archery", "Archery_g08"),
        (
            "UCF-101/HandstandPushups/v_HandStandPushups_g09_c01.avi",
            "HandstandPushups",
            "HandStandPushups_g09",
        ),
    ]
    assert [row[1:] for row in read("ucf101", tmp_path, "test")] == [("Archery", "Archery_g01")]
    assert [row[1:] for row in read("ucf101", tmp_path, fold=2)] == [("Archery", "Archery_g01")]


@pytest.mark.parametrize("name", ["hmdb51", "jhmdb"])
def test_hmdb51(tmp_path, name):
    hmdb51(tmp_path)
    assert read(name, tmp_path) == [
        (f"brush_hair/{BRUSH}.avi", "brush_hair", "brush_hair/Brushing_Her_Hair__[_NEW_AUDIO_]_UPDATED!!!!"),
        ("brush_hair/odd.avi", "brush_hair", "brush_hair/odd"),
        (f"run/{RUN[2]}.avi", "run", "run/Crash"),
    ]
    assert read(name, tmp_path, "test") == [(f"run/{RUN[0]}.avi", "run", "run/The_Matrix_1")]
    assert read(name, tmp_path, "test", fold=2) == [(f"run/{RUN[1]}.avi", "run", "run/The_Matrix_1")]


def test_real_names_of_j_hmdb_have_the_sources_that_were_found_by_other_means(real_data, tmp_path):
    rows = read_manifest(real_data / "jhmdb7.csv")
    for label in {row.label for row in rows}:
        lines = [f"{os.path.basename(row.path)} 1\n" for row in rows if row.label == label]
        lay(tmp_path, {f"{label}_test_split1.txt": "".join(lines)})
    found = {row.path: row for row in read_jhmdb(tmp_path, real_data / "jhmdb7")}
    assert {path: row.label for path, row in found.items()} == {row.path: row.label for row in rows}
    # Clips that a name says are of one source are of one group there, which may join several names.
    group_of = {}
    for row in rows:
        group_of.setdefault(found[row.path].group, set()).add(row.group)
    assert all(len(groups) == 1 for groups in group_of.values())
    assert len({row.group for row in rows}) <= len(group_of) < len(rows)


def test_diving48(tmp_path):
    diving48(tmp_path)
    assert read("diving48", tmp_path) == [
        ("rgb/-mmq0PT-u8k_00155.mp4", "Back_15som_05Twis_FREE", None),
        ("rgb/2x00lRzlTVQ_00000.mp4", "Inward_Dive_NoTwis_PIKE", None),
    ]
    assert [row[0] for row in read("diving48", tmp_path, "test")] == ["rgb/2x00lRzlTVQ_00000.mp4"]


def test_jester(tmp_path):
    jester(tmp_path)
    assert read("jester", tmp_path) == [("34870", "Swiping Left", None), ("56557", "Swiping Right", None)]
    assert read("jester", tmp_path, "val") == [("9223", "Swiping Right", None)]
    assert read("jester", tmp_path, "test") == [("115393", None, None)]
    for file in (tmp_path / "lists").iterdir():
        file.rename(file.with_name(file.name.removeprefix("jester-v1-")))
    lay(tmp_path / "lists", {"test-answers.csv": "115393;Swiping Left\n"})
    assert read("jester", tmp_path, "test") == [("115393", "Swiping Left", None)]
    lay(tmp_path / "lists", {"test-answers.csv": "115394;Swiping Left\n"})
    with pytest.raises(ValueError, match=r"no answer for 1 of 1 test videos, e.g. 115393"):
        read("jester", tmp_path, "test")


def test_epic_kitchens(tmp_path):
    epic_kitchens(tmp_path)
    assert read("epic", tmp_path) == [
        ("P01/videos/P01_01.MP4", "open cupboard", "P01_01"),
        ("P01/videos/P01_01.MP4", "turn-on tap", "P01_01"),
        ("P01/videos/P01_102.MP4", "open board:chopping", "P01_102"),
    ]
    assert [row[1] for row in read("epic", tmp_path, label="verb")] == ["open", "turn-on", "open"]
    assert [row[1] for row in read("epic", tmp_path, label="noun")] == ["cupboard", "tap", "board:chopping"]
    assert [row[1:] for row in read("epic", tmp_path, "val")] == [("open tap", "P01_11")]
    assert [row[1:] for row in read("epic", tmp_path, "test")] == [(None, "P01_101")]
    rows = ACTION_SETS["epic"].read(tmp_path / "lists", tmp_path / "videos")
    assert [(row.start, row.end) for row in rows] == [(0.14, 3.37), (3723.5, 3724.25), (0.54, 2.23)]
    with pytest.raises(ValueError, match="label is 'verbs': give one of verb, noun, action"):
        read("epic", tmp_path, label="verbs")


def test_rows_go_through_a_manifest(laid_out):
    name, folder = laid_out
    rows = ACTION_SETS[name].read(folder / "lists", folder / "videos")
    write_manifest(folder / "rows.csv", rows)
    assert read_manifest(folder / "rows.csv") == rows


def test_what_is_not_there_is_said(laid_out):
    name, folder = laid_out
    lists, videos = folder / "lists", folder / "videos"
    reader = ACTION_SETS[name].read
    with pytest.raises(ValueError, match="split is 'all': give one of train, "):
        reader(lists, videos, "all")
    with pytest.raises(ValueError, match=r"has no .*: give the folder in which"):
        reader(folder / "elsewhere", videos)
    with pytest.raises(ValueError, match=r"no folder .*elsewhere: give the one to which the videos"):
        reader(lists, folder / "elsewhere")
    with pytest.raises(
        ValueError, match=r"none of the \d listed rows has its video under .*looked for .*unpacked"
    ):
        reader(lists, lists, allow_missing=1.0)


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "jhmdb"])
def test_a_split_that_is_not_official_is_refused(tmp_path, name):
    LAYOUTS[name](tmp_path)
    with pytest.raises(ValueError, match="fold is 4: give one of 1, 2, 3"):
        read(name, tmp_path, fold=4)


BROKEN = [
    ("kinetics", "train.csv", "id,label\na,b\n", r"begins with 'id,label': .* lacks youtube_id, time_start"),
    ("kinetics", "train.csv", "", r"begins with '': its header must name youtube_id"),
    (
        "kinetics",
        "train.csv",
        "youtube_id,time_start,time_end,split\na,0,x,train\n",
        "times '0' and 'x' for a",
    ),
    ("kinetics", "train.csv", "youtube_id,time_start,time_end,split\na,0\n", "line 2 has fewer cells"),
    ("ssv2", "train.json", "[{", "train.json is not JSON"),
    ("ssv2", "train.json", '{"id": "7"}', "holds a dict: it must be a list"),
    ("ssv2", "train.json", '[{"id": "7"}]', "entry 0 is .*must be an object with id, template"),
    ("ssv2", "labels.json", "[]", "holds a list: it must map each template"),
    (
        "ssv2",
        "train.json",
        '[{"id": "7", "template": "[A] jump"}]',
        "video 7 has the label 'A jump', which .*labels",
    ),
    ("ucf101", "classInd.txt", "Archery 1\n", "line 'Archery 1': it must be a number and the name"),
    ("ucf101", "trainlist01.txt", "Archery/Archery_1.avi 1\n", "must be 'Class/v_Class_g01_c01.avi'"),
    ("ucf101", "trainlist01.txt", "Archery/v_Archery_g08_c01.avi 2\n", "numbers 'Archery' as 1"),
    ("ucf101", "trainlist01.txt", "Arch/v_Arch_g08_c01.avi 1\n", "numbers 'Arch' as None"),
    ("hmdb51", "run_test_split1.txt", "a.avi 3\n", "line 'a.avi 3': .*0, 1 or 2"),
    ("hmdb51", "run_test_split1.txt", "a.avi\n", "line 'a.avi': .*0, 1 or 2"),
    ("diving48", "Diving48_V2_train.json", '[{"vid_name": "a", "label": 2}]', "label 2: .*classes 0 to 1"),
    (
        "diving48",
        "Diving48_V2_train.json",
        '[{"vid_name": "a", "label": "1"}]',
        "label '1': .*classes 0 to 1",
    ),
    ("diving48", "Diving48_vocab.json", "{}", "must be a list with a list of words"),
    (
        "jester",
        "jester-v1-train.csv",
        "1,Swiping Left\n",
        "line 1 is '1,Swiping Left': it must be 'id;label'",
    ),
    ("jester", "jester-v1-train.csv", "1;Swiping\n", "video 1 has the label 'Swiping', which .*labels.csv"),
    ("epic", "EPIC_100_train.csv", EPIC_HEADER + "\n", "lacks verb_class, noun_class"),
    (
        "epic",
        "EPIC_100_train.csv",
        f"{EPIC_HEADER}{EPIC_LABELS}\n{epic_row(0, 'P01_01', '0.14', '3.37', 3, 3)}",
        "P01_01_0 has the time '0.14': it must be HH:mm:ss.SS",
    ),
    (
        "epic",
        "EPIC_100_train.csv",
        f"{EPIC_HEADER}{EPIC_LABELS}\n{epic_row(0, 'P01_01', '00:00:03.00', '00:00:03.00', 3, 3)}",
        "stops at 3.0 s and starts at 3.0 s",
    ),
    (
        "epic",
        "EPIC_100_train.csv",
        f"{EPIC_HEADER}{EPIC_LABELS}\n{epic_row(0, 'P01_01', '00:00:01', '00:00:03', 3, 99)}",
        "the noun_class 99, which the list",
    ),
]


@pytest.mark.parametrize(("name", "file", "text", "message"), BROKEN)
def test_annotations_of_another_form_are_refused(tmp_path, name, file, text, message):
    LAYOUTS[name](tmp_path)
    lay(tmp_path / "lists", {file: text})
    with pytest.raises(ValueError, match=message):
        read(name, tmp_path)


def test_missing_videos_are_counted_and_refused_beyond_what_is_allowed():
    rows = [Video(str(number), "ab"[number > 97]) for number in range(100)]
    files = {str(number): f"/{number}.mp4" for number in range(98)}
    for allowed in (0, 1, 0.0, 0.01):
        with pytest.raises(
            ValueError, match=r"2 of 100 rows have no video under f \(2 missing, e.g. 98, 99\)"
        ):
            keep_present(rows, files, "f", allowed)
    for allowed in (2, 0.02, 1.0):
        with pytest.warns(
            UserWarning, match=r"2 of 100 rows .*left out; no video is left of b \(1 classes\)"
        ):
            kept = keep_present(rows, files, "f", allowed)
        assert kept == [Video(f"/{number}.mp4", "a") for number in range(98)]
    few = {str(number): f"/{number}.mp4" for number in range(71)}
    with pytest.warns(UserWarning, match="29 of 100 rows"):
        assert len(keep_present(rows, few, "f", 0.29)) == 71  # though 0.29 * 100 is less than 29
    for wrong in (-1, -0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"allow_missing is .*: give a whole number of rows, or a share"):
            keep_present(rows, files, "f", wrong)
    with pytest.raises(ValueError, match="list no video of this split"):
        keep_present([], files, "f", 0.5)


def test_one_missing_file_takes_all_its_segments_along(tmp_path):
    epic_kitchens(tmp_path)
    (tmp_path / "videos/P01/videos/P01_01.MP4").unlink()
    with pytest.raises(ValueError, match=r"2 of 3 rows have no video .*\(1 missing, e.g. P01_01\)"):
        read("epic", tmp_path, allow_missing=1)
    with pytest.warns(UserWarning, match="2 of 3 rows"):
        rows = ACTION_SETS["epic"].read(tmp_path / "lists", tmp_path / "videos", allow_missing=2)
    assert [row.group for row in rows] == ["P01_102"]


def test_a_percent_may_be_missing_unless_told_otherwise(tmp_path):
    lines = "".join(f"clip{number}_run_f.avi 1\n" for number in range(100))
    lay(tmp_path / "lists", {"run_test_split1.txt": lines})
    lay(tmp_path / "videos", empty=[f"run/clip{number}_run_f.avi" for number in range(99)])
    with pytest.warns(UserWarning, match="1 of 100 rows have no video"):
        assert len(read_hmdb51(tmp_path / "lists", tmp_path / "videos")) == 99
    (tmp_path / "videos/run/clip0_run_f.avi").unlink()
    with pytest.raises(ValueError, match="2 of 100 rows have no video"):
        read_hmdb51(tmp_path / "lists", tmp_path / "videos")


def test_flips_are_for_classes_without_a_direction():
    assert {name for name, action_set in ACTION_SETS.items() if not action_set.may_mirror} == {
        "ssv2",
        "jester",
    }
