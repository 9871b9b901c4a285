"""The command that checks a manifest before a run."""

from __future__ import annotations

import csv
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import av
import numpy as np
import pytest

from vjepa.commands import validate
from vjepa.data.manifest import Video, read_manifest, write_manifest


@pytest.fixture
def manifest(write_video, tmp_path):
    good, one = write_video("good.mp4"), write_video("one.mp4", frames=1)
    (tmp_path / "text.mp4").write_text("not a video")
    videos = [
        Video(good, "a"),
        Video(one, "b"),
        Video(str(tmp_path / "text.mp4"), "b"),
        Video(str(tmp_path / "none.mp4"), "b"),
        Video(good, "a", start=9.0),
        Video(good, "a", start=0.2, end=9.0),
    ]
    write_manifest(tmp_path / "m.csv", videos)
    return tmp_path / "m.csv"


@pytest.mark.parametrize("reader", ["auto", "decord"])
def test_what_is_wrong_is_listed_and_left_out(manifest, tmp_path, capsys, reader):
    if reader == "decord":
        pytest.importorskip("decord", reason="decord is not installed")
    clean = tmp_path / "clean.csv"
    assert validate.main([str(manifest), "--output", str(clean), "--reader", reader]) == 1
    lines = capsys.readouterr().out.splitlines()
    for words in (
        ("doubtful", "one.mp4: it has one frame"),
        ("unreadable", "text.mp4: "),
        ("unreadable", "none.mp4: there is no such file"),
        ("unreadable", "good.mp4: no frame is shown from 9.0 s"),
        ("doubtful", "good.mp4: its range ends at 9.0 s, but its last frame appears at 0.76 s"),
    ):
        assert any(all(word in line for word in words) for line in lines), (words, lines)
    assert "6 videos: 3 can be read (0 of them damaged, 2 doubtful), 3 cannot" in lines
    kept = read_manifest(clean)
    assert [(Path(video.path).name, video.start) for video in kept] == [
        ("good.mp4", None),
        ("one.mp4", None),
        ("good.mp4", 0.2),
    ]
    assert validate.main([str(clean), "--reader", reader]) == 0


def test_the_clean_list_keeps_the_columns_of_the_manifest(write_video, tmp_path):
    write_video("a.mp4")
    write_video("c.mp4")
    (tmp_path / "m.csv").write_text("path,label,split1\na.mp4,x,train\nnone.mp4,x,train\nc.mp4,y,test\n")
    clean = tmp_path / "clean.csv"
    assert validate.main([str(tmp_path / "m.csv"), "--quick", "--output", str(clean)]) == 1
    for split, name in (("train", "a.mp4"), ("test", "c.mp4")):
        assert [Path(video.path).name for video in read_manifest(f"{clean}?split1={split}")] == [name]


@pytest.mark.parametrize("channels", [1, 4])
def test_arrays_of_other_channels_are_checked_as_such(tmp_path, channels):
    np.save(tmp_path / "a.npy", np.zeros((4, 8, 8, channels), np.uint8))
    assert validate.main([str(tmp_path), "--channels", str(channels)]) == 0
    assert validate.main([str(tmp_path)]) == 1


def test_folders_are_made_before_the_work(manifest, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out dir"
    files = ["--output", str(out / "videos.csv"), "--report", str(out / "more" / "report.csv")]
    assert validate.main([str(manifest), "--quick", *files]) == 1
    assert len(read_manifest(out / "videos.csv")) == 3
    assert (out / "more" / "report.csv").exists()
    monkeypatch.setattr(validate, "findings", None)
    for option in ("--output", "--report"):
        assert validate.main([str(manifest), option, str(manifest / "list.csv")]) == 2
        assert "m.csv for results cannot be created (File exists): give another" in capsys.readouterr().err


def test_workers_give_the_same_report(manifest, tmp_path, capsys):
    outputs = []
    for num_workers in ("0", "1"):
        assert validate.main([str(manifest), "--num_workers", num_workers]) == 1
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_select_and_unusable_manifests(tmp_path, capsys):
    (tmp_path / "m.csv").write_text("path,split\na.mp4,train\nb.mp4,test\n")
    assert validate.main([f"{tmp_path}/m.csv?split=test"]) == 1
    assert "1 videos: 0 can be read" in capsys.readouterr().out
    assert validate.main([f"{tmp_path}/m.csv?split"]) == 2
    assert "give column=value" in capsys.readouterr().err
    assert validate.main([str(tmp_path / "absent.csv")]) == 2
    assert "there is no manifest" in capsys.readouterr().err


def test_damaged_videos_are_listed_and_stay_unless_skipped(write_video, tmp_path, capsys):
    """Damage in the 25th frame: only decoding everything finds it."""
    path = Path(write_video("a.mp4", frames=90, options={"bf": "0"}))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][25]
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(content)
    manifest, report, clean = (tmp_path / name for name in ("m.csv", "report.csv", "clean.csv"))
    write_manifest(manifest, [Video(str(path))])
    assert validate.main([str(manifest), "--report", str(report), "--output", str(clean)]) == 0
    assert "damaged  " in capsys.readouterr().out
    (row,) = csv.DictReader(report.open())
    assert row["path"] == str(path)
    assert row["state"] == "damaged"
    assert "packets that do not decode: " in row["remark"]
    assert len(read_manifest(clean)) == 1
    assert validate.main([str(manifest), "--quick"]) == 0
    assert "(0 of them damaged" in capsys.readouterr().out
    assert validate.main([str(manifest), "--damaged", "skip", "--output", str(clean)]) == 0
    assert "wrote" in capsys.readouterr().out
    assert str(path) not in clean.read_text()


def test_a_video_that_kills_its_process_is_unreadable(monkeypatch):
    """The second of three; what else was under way when the pool broke is checked again."""

    def in_pool(look, videos, num_workers):
        for video in videos:
            if video.path == "killer.mp4":
                raise BrokenProcessPool
            yield validate.Finding("sound", [])

    monkeypatch.setattr(validate, "_in_pool", in_pool)
    videos = [Video("a.mp4"), Video("killer.mp4"), Video("b.mp4")]
    states = [finding.state for finding in validate.findings(videos, "auto", False, num_workers=2)]
    assert states == ["sound", "unreadable", "sound"]


def test_a_video_alone_is_checked(write_video, capsys):
    assert validate.main([write_video("a.mp4", frames=6)]) == 0
    assert "1 videos: 1 can be read (0 of them damaged" in capsys.readouterr().out
