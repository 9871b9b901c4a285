"""The tool that writes manifests of published data sets, on small folders laid out as they are."""

import csv
import os
from pathlib import Path

import pytest

from tests.data.action_set_layouts import LAYOUTS
from vjepa.commands.make_manifest import main
from vjepa.data.action_sets import ACTION_SETS
from vjepa.data.manifest import read_manifest


def arguments(name, folder, *more):
    paths = [
        "--annotations",
        folder / "lists",
        "--videos",
        folder / "videos",
        "--output",
        folder / "rows.csv",
    ]
    return [name, *map(str, paths), *more]


@pytest.mark.parametrize("name", ACTION_SETS)
def test_a_manifest_is_what_the_reader_reads(tmp_path, capsys, name):
    LAYOUTS[name](tmp_path)
    assert main(arguments(name, tmp_path)) == 0
    rows = ACTION_SETS[name].read(tmp_path / "lists", tmp_path / "videos")
    assert read_manifest(tmp_path / "rows.csv") == rows
    printed, errors = capsys.readouterr()
    assert f"rows.csv: {len(rows)} rows, " in printed
    assert ACTION_SETS[name].mirror_note in printed
    assert ("augment.flip must stay off" in printed) == (name in ("ssv2", "jester"))
    assert not errors


def test_classes_are_counted(tmp_path, capsys):
    LAYOUTS["epic"](tmp_path)
    assert main(arguments("epic", tmp_path, "--label", "verb")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("3 rows, 2 videos, 2 classes, 2 groups")
    assert [line.split() for line in lines[1:3]] == [["2", "open"], ["1", "turn-on"]]
    with (tmp_path / "rows.csv").open() as file:
        first = next(csv.DictReader(file))
    assert first == {
        "path": "videos/P01/videos/P01_01.MP4",
        "label": "open",
        "start": "0.14",
        "end": "3.37",
        "group": "P01_01",
    }
    assert main(arguments("epic", tmp_path, "--split", "test")) == 0
    assert "no labels: they are withheld" in capsys.readouterr().out


def test_names_that_are_no_utf8_go_through(tmp_path, capsys):
    for name in (b"lists", b"videos", b"videos/caf\xe9"):
        os.mkdir(os.path.join(os.fsencode(tmp_path), name))
    folder = os.fsencode(tmp_path)
    Path(os.fsdecode(folder + b"/videos/caf\xe9/\xe9.avi")).touch()
    Path(os.fsdecode(folder + b"/lists/caf\xe9_test_split1.txt")).write_bytes(b"\xe9.avi 1\n")
    assert main(arguments("hmdb51", tmp_path)) == 0
    (row,) = read_manifest(tmp_path / "rows.csv")
    assert os.path.exists(row.path)
    assert os.fsencode(row.label) == b"caf\xe9"
    assert r"1  caf\udce9" in capsys.readouterr().out


def test_of_many_classes_the_largest_and_smallest_are_printed(tmp_path, capsys):
    (tmp_path / "lists").mkdir()
    for size in range(1, 10):
        lines = []
        for number in range(size):
            lines.append(f"clip{number}.avi 1\n")
            (tmp_path / f"videos/class{size}").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"videos/class{size}/clip{number}.avi").touch()
        (tmp_path / f"lists/class{size}_test_split3.txt").write_text("".join(lines))
    assert main(arguments("hmdb51", tmp_path, "--fold", "3")) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:4] == [["9", "class9"], ["8", "class8"], ["7", "class7"]]
    assert lines[4] == ["...", "3", "classes", "between"]
    assert lines[5:8] == [["3", "class3"], ["2", "class2"], ["1", "class1"]]


def test_missing_videos_are_refused_or_reported(tmp_path, capsys):
    LAYOUTS["ssv2"](tmp_path)
    (tmp_path / "videos/20bn-something-something-v2/7.webm").unlink()
    for allowed in ([], ["--allow_missing", "0.4"], ["--allow_missing", "0"]):
        assert main(arguments("ssv2", tmp_path, *allowed)) == 2
        assert "error: 1 of 2 rows have no video" in capsys.readouterr().err
        assert not (tmp_path / "rows.csv").exists()
    for allowed in ("1", "0.5"):
        assert main(arguments("ssv2", tmp_path, "--allow_missing", allowed)) == 0
        assert "warning: 1 of 2 rows have no video" in capsys.readouterr().err
        assert len(read_manifest(tmp_path / "rows.csv")) == 1


def test_input_that_cannot_be_used_is_said(tmp_path, capsys):
    LAYOUTS["ucf101"](tmp_path)
    assert main(arguments("ucf101", tmp_path, "--fold", "3")) == 2
    assert "has no trainlist03.txt" in capsys.readouterr().err
    assert main([*arguments("ucf101", tmp_path), "--output", str(tmp_path / "new" / "rows.csv")]) == 0
    assert (tmp_path / "new" / "rows.csv").exists()
    assert main([*arguments("ucf101", tmp_path), "--output", str(tmp_path)]) == 2
    assert "and is a folder: give the name of a file" in capsys.readouterr().err
    for wrong in (["--split", "val"], ["--label", "verb"], ["--allow_missing", "many"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments("ucf101", tmp_path, *wrong))
        assert stopped.value.code == 2
    assert "'many' is no number: give a number of rows, or a share of them" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["imagenet"])
    assert stopped.value.code == 2
    assert "kinetics" in capsys.readouterr().err


@pytest.mark.parametrize("name", ACTION_SETS)
def test_each_subcommand_says_what_it_reads(capsys, name):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert ACTION_SETS[name].read.__doc__.splitlines()[0] in text
    assert "from memory" not in text  # what we know of a set is no help to its user
