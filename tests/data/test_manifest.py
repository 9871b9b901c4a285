"""Manifests in every accepted form, and what is said of wrong ones."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vjepa.data.manifest import Video, class_names, other_cells, read_manifest, write_manifest


def manifest(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_csv_with_all_columns(tmp_path):
    text = 'path,label,start,end,subject,split1\na b.mp4,wave,1.5,3,anna,train\n"c,d.mp4",,,,,test\n'
    videos = read_manifest(manifest(tmp_path, "m.csv", text))
    assert videos == [
        Video(str(tmp_path / "a b.mp4"), "wave", 1.5, 3.0, "anna"),
        Video(str(tmp_path / "c,d.mp4")),
    ]


def test_tab_separated_jsonl_and_byte_order_mark(tmp_path):
    tabs = read_manifest(manifest(tmp_path, "m.tsv", "\ufeffpath\tlabel\tgroup\nx/a.mp4\t3\tg1\n"))
    assert tabs == [Video(str(tmp_path / "x/a.mp4"), "3", group="g1")]
    rows = [{"path": "/abs/a.mp4", "label": 3, "start": 0.5}, {"path": "b.mp4", "group": None}]
    lines = manifest(tmp_path, "m.jsonl", "\n".join(json.dumps(row) for row in rows) + "\n\n")
    assert read_manifest(lines) == [Video("/abs/a.mp4", "3", 0.5), Video(str(tmp_path / "b.mp4"))]


@pytest.mark.parametrize(
    ("line", "path", "label"),
    [
        ("a.mp4 3", "a.mp4", "3"),
        ("my holiday/a b.mp4   wave", "my holiday/a b.mp4", "wave"),
        ("my holiday/a b.mp4", "my holiday/a b.mp4", None),
        ("a b.mp4::two words", "a b.mp4", "two words"),
        ("a.mp4,3", "a.mp4", "3"),
        ("a.mp4\t3", "a.mp4", "3"),
        ("frames/v1 7", "frames/v1", "7"),
        ("frames/v1", "frames/v1", None),
        ("a.npy", "a.npy", None),
        ("my holiday/a b.mp4 30 7", "my holiday/a b.mp4", "7"),
        ("a.mp4,30,7", "a.mp4", "7"),
        ("frames/v1\t30\t7", "frames/v1", "7"),
        ("Smith, John.mp4 3", "Smith, John.mp4", "3"),
        ("Smith, John.mp4 30 7", "Smith, John.mp4", "7"),
        ("Smith, John.mp4,two words", "Smith, John.mp4", "two words"),
        ("a.mp4 ,jump", "a.mp4", "jump"),
        ("a.mp4 , jump", "a.mp4", "jump"),
        ("u\u2028v\x0cw\x85x.mp4 3", "u\u2028v\x0cw\x85x.mp4", "3"),
        ("clips.mp4 of/may/frames 7", "clips.mp4 of/may/frames", "7"),
    ],
)
def test_lists_of_path_and_label(tmp_path, line, path, label):
    source = manifest(tmp_path, "k400_train.csv", f"\n{line}\nlast.mp4 1\n")
    videos = read_manifest(source)
    assert videos[0] == Video(str(tmp_path / path), label)
    assert len(videos) == 2


@pytest.mark.parametrize(
    ("lines", "expected"),
    [  # of docs/DATASET.md of VideoMAE v2 (29eab1e), but for the third
        (["k400/---QUuC4vJs.mp4 0 -1", "SomethingV2/frames/182040 1 58"], [None, None]),
        (["SomethingV2/frames/74225 62 140", "SomethingV2/frames/116154 51 127"], ["140", "127"]),
        (["SomethingV2/frames/182040 1 58", "SomethingV2/frames/197728 1 29"], [None, None]),
    ],
)
def test_lists_of_videomae_with_three_fields(tmp_path, lines, expected):
    videos = read_manifest(manifest(tmp_path, "l.txt", "\n".join(lines)))
    assert videos == [
        Video(str(tmp_path / line.split()[0]), label) for line, label in zip(lines, expected, strict=True)
    ]


def test_a_folder_whose_name_ends_in_a_number_keeps_it(tmp_path):
    source = manifest(tmp_path, "l.txt", "take 3 7\n")
    assert read_manifest(source) == [Video(str(tmp_path / "take"), "7")]
    (tmp_path / "take 3").mkdir()
    assert read_manifest(source) == [Video(str(tmp_path / "take 3"), "7")]


def test_names_that_are_no_utf8_come_back(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.npy")
    open(path, "wb").close()
    for name in ("m.csv", "l.txt"):
        if name == "m.csv":
            write_manifest(tmp_path / name, [Video(os.fsdecode(path), "a")])
        else:
            (tmp_path / name).write_bytes(b"caf\xe9.npy a\n")
        (video,) = read_manifest(tmp_path / name)
        assert os.fsencode(video.path) == path
        assert video.label == "a"


def test_folder_per_class(tmp_path):
    for name in (
        "walk/v10.mp4",
        "walk/v9.mp4",
        "run/a.avi",
        "run/array.npy",
        "run/notes.txt",
        ".cache/x.mp4",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "run" / "frames").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "run" / "frames" / "1.jpg")
    videos = read_manifest(tmp_path)
    assert [(video.path.removeprefix(str(tmp_path)), video.label) for video in videos] == [
        ("/run/a.avi", "run"),
        ("/run/array.npy", "run"),
        ("/run/frames", "run"),
        ("/walk/v9.mp4", "walk"),
        ("/walk/v10.mp4", "walk"),
    ]


def test_flat_folders_and_folders_of_frames(tmp_path):
    flat, frames = tmp_path / "flat", tmp_path / "frames"
    for name in (flat / "b.mp4", flat / "a.mp4", frames / "v1" / "0.png", frames / "v2" / "0.png"):
        name.parent.mkdir(parents=True, exist_ok=True)
        name.touch()
    assert read_manifest(flat) == [Video(str(flat / "a.mp4")), Video(str(flat / "b.mp4"))]
    assert read_manifest(frames) == [Video(str(frames / "v1")), Video(str(frames / "v2"))]
    assert read_manifest(frames / "v1") == [Video(str(frames / "v1"))]


@pytest.mark.parametrize("names", [["a.mp4", "b.avi"], ["walk/a.mp4", "run/b.mp4"], ["walk/v1/0.png"]])
def test_images_beside_videos_are_no_video(tmp_path, names):
    """Thumbnails, posters and what macOS leaves behind; the videos are those that are there without them."""
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    videos = read_manifest(tmp_path)
    for folder in {tmp_path, *((tmp_path / name).parents[0] for name in names if name[-3:] != "png")}:
        (folder / "thumb.jpg").touch()
        (folder / "._cover.jpg").touch()
    assert read_manifest(tmp_path) == videos


@pytest.mark.parametrize("beside", ["preview.mp4", "flow/0.png", "masks/all/0.png"])
def test_a_few_things_beside_frames_leave_them_a_video(tmp_path, beside):
    for name in (*(f"v{video}/{frame}.jpg" for video in (1, 2) for frame in range(4)), f"v1/{beside}"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert read_manifest(tmp_path) == [Video(str(tmp_path / "v1")), Video(str(tmp_path / "v2"))]
    assert read_manifest(tmp_path / "v1") == [Video(str(tmp_path / "v1"))]
    (tmp_path / "cover.png").touch()
    assert len(read_manifest(tmp_path)) == 2


def test_select_keeps_rows(tmp_path):
    source = manifest(tmp_path, "m.csv", "path,split1\na.mp4,train\nb.mp4,test\nc.mp4,dup\n")
    assert [video.path for video in read_manifest(f"{source}?split1=test")] == [str(tmp_path / "b.mp4")]
    with pytest.raises(ValueError, match=r"column 'split', which .* nearest is 'split1'"):
        read_manifest(f"{source}?split=train")
    with pytest.raises(ValueError, match=r"no row .*'split1': 'valid'.* \['dup', 'test', 'train'\]"):
        read_manifest(f"{source}?split1=valid")
    with pytest.raises(ValueError, match="has no columns"):
        read_manifest(f"{manifest(tmp_path, 'l.txt', 'a.mp4 1')}?split1=train")


@pytest.mark.parametrize("path", ["b.mp4", '"b.mp4"'], ids=["plain", "thorough"])
def test_no_value_selects_rows_with_empty_cells(tmp_path, path):
    source = manifest(tmp_path, "m.csv", f"path,split1\na.mp4,train\n{path},\n")
    assert read_manifest(f"{source}?split1=") == [Video(str(tmp_path / "b.mp4"))]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "", "names no video"),
        ("m.csv", "path,label\n", "names no video"),
        ("m.csv", "path,label\na.mp4,1\n,2\n", "line 3 has no path"),
        ("m.csv", "video,label\na.mp4,1\n", "columns video, label: one of them must be called 'path'"),
        (
            "m.csv",
            "path;label\na.mp4;walk\n",
            "has columns between semicolons: separate them by commas or tabs",
        ),
        ("m.csv", "video;label\na.mp4;walk\n", "columns video, label: one of them must be called 'path'"),
        ("m.csv", "video\na.mp4\n", "columns video: one of them must be called 'path'"),
        ("m.csv", "path,start,end\na.mp4,2,1\n", "line 2 ends at 1.0 s and starts at 2.0 s"),
        ("m.csv", "path,end\na.mp4,0\n", "line 2 ends at 0.0 s and starts at 0.0 s"),
        ("m.csv", "path,start\na.mp4,-1\n", "line 2 starts at -1.0 s"),
        ("m.csv", "path,start\na.mp4,\nb.mp4,1:30\n", "line 3 has start = '1:30': give a number of seconds"),
        ("m.csv", "path,end\na.mp4,nan\n", "line 2 has end = 'nan'"),
        ("m.jsonl", '{"path": "a"}\n{"path": \n', "line 2 is not JSON"),
        ("m.jsonl", '["a.mp4"]\n', "give an object with 'path'"),
        ("m.jsonl", '{"label": 3}\n', "line 1 has no path"),
        (
            "l.txt",
            "a.mp4 1\nb.mp4 two words\n",
            r"line 2 has 'two words' after the video b\.mp4: give a label",
        ),
        ("m.csv", f"path,label\n{'a' * 200_000},1\n", "cannot be read as CSV"),
        ("film.dat", "\x1aE\u00df\0\0matroska", "is no text: give a list of videos"),
        ("l.txt", "AVA/x 9601 300\nAVA/x 9901 300\n", "line 1 takes 300 frames from number 9601 on"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_manifest(manifest(tmp_path, name, text))


@pytest.mark.parametrize("name", ["a.mp4", "a.MOV", "a.npy", "a.png"])
def test_a_video_is_a_list_of_one(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    assert read_manifest(name) == [Video(str(tmp_path / name))]
    with pytest.raises(ValueError, match="has no columns: give a CSV or JSONL manifest"):
        read_manifest(f"{name}?split=train")
    with pytest.raises(
        FileNotFoundError, match=r"there is no video .*none\.mp4: give .*, a video, or a folder"
    ):
        read_manifest("none.mp4")
    Path("frames.mp4").mkdir()
    Path("frames.mp4", "b.avi").touch()
    assert read_manifest("frames.mp4") == [Video(str(tmp_path / "frames.mp4" / "b.avi"))]


def test_a_video_that_is_no_file_is_a_list_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for url in ("https://host/a.mp4", "s3://bucket/a.mp4", "https://host/a.mp4?token=x&y"):
        assert read_manifest(url) == [Video(url)]
    part = "shards/0.tar#1536+81747/a.mp4"
    assert read_manifest(part) == [Video(str(tmp_path / part))]


def test_what_is_wrong_with_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no manifest .*none\.csv"):
        read_manifest(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="names no video"):
        read_manifest(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"class folder .*empty has no videos"):
        read_manifest(tmp_path)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ValueError, match="folders that are no videos"):
        read_manifest(tmp_path)


def test_written_manifests_read_back(tmp_path):
    inside, outside = str(tmp_path / "sub" / "a, b.mp4"), "/elsewhere/c.mp4"
    videos = [Video(inside, "two words", 0.25, 1e-3 + 1, "g"), Video(outside), Video("python:m:clips#3")]
    write_manifest(tmp_path / "m.csv", videos)
    assert read_manifest(tmp_path / "m.csv") == videos
    assert "sub/a, b.mp4" in (tmp_path / "m.csv").read_text().splitlines()[1]


@pytest.mark.parametrize(
    "name",
    ["a\u2028b", "c\x0cd", "e\x85f", "  lead", "trail ", "new\nline", "carriage\rreturn", '"quote,', "~"],
)
def test_any_name_is_written_and_read_back(tmp_path, name):
    videos = [
        Video(str(tmp_path / name)),
        Video(str(tmp_path / name / f"{name}.mp4"), "a"),
        Video(f"/x/{name}"),
    ]
    write_manifest(tmp_path / "m.csv", videos)
    assert read_manifest(tmp_path / "m.csv") == videos
    assert str(tmp_path) not in (tmp_path / "m.csv").read_text()


LINES = ["a.mp4,x,1,train,s1", "", "b.mp4,y,,test,", 'c.mp4,x,0,train," s 3"']


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_list_that_is_written_again_keeps_its_other_columns(tmp_path, kind):
    names = ["path", "label", "start", "split1", "subject"]
    if kind == "csv":
        source = manifest(tmp_path, "m.csv", "\n".join([",".join(names), *LINES]))
    else:
        rows = [
            {name: cell for name, cell in zip(names, row, strict=True) if cell}
            for row in csv.reader(LINES)
            if row
        ]
        source = manifest(
            tmp_path, "m.jsonl", "\n".join(map(json.dumps, [*rows, {"path": "d.mp4", "depth": 3}]))
        )
    write_manifest(tmp_path / "again.csv", read_manifest(source), other_cells(source))
    for query in ("", "?split1=train", "?subject=s 3", "?split1=test&label=y"):
        assert read_manifest(f"{tmp_path / 'again.csv'}{query}") == read_manifest(f"{source}{query}"), query
    part = f"{source}?split1=train"
    write_manifest(tmp_path / "again.csv", read_manifest(part), other_cells(part))
    assert read_manifest(f"{tmp_path / 'again.csv'}?split1=train") == read_manifest(part)


def test_lists_without_other_columns_have_none(tmp_path):
    (tmp_path / "a.mp4").touch()
    for source in (
        tmp_path,
        manifest(tmp_path, "m.csv", "path,label,start,end,group\na.mp4,x,,,\n"),
        manifest(tmp_path, "m.txt", "a.mp4 3\nb.mp4 4\n"),
    ):
        assert other_cells(source) == []


def test_class_names():
    def named(*labels):
        return class_names([Video("a", label) for label in labels])

    assert named("10", "9", None, "9") == ["9", "10"]
    assert named("10", "9", "x") == ["10", "9", "x"]
    assert named(None) == []


def test_sources_of_a_configuration_select_rows(tmp_path):
    source = manifest(tmp_path, "m.csv", "path,label,split\na.mp4,x,train\nb.mp4,x,test\nc.mp4,y,test\n")
    assert [video.path[-5:] for video in read_manifest(f"{source}?split=test&label=y")] == ["c.mp4"]
    with pytest.raises(ValueError, match=r"selects by 'train': give column=value"):
        read_manifest(f"{source}?train")
    with pytest.raises(ValueError, match="selects by one column twice"):
        read_manifest(f"{source}?split=test&split=train")
    asked = manifest(tmp_path, "really?.csv", "path\na.mp4\n")
    assert len(read_manifest(str(asked))) == 1
