"""The tool as a user runs it: labelled videos, a broken one among them, too few."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.inference.conftest import make_video_model
from tests.page_data import data_of
from vjepa.commands.embeddings import main
from vjepa.data.manifest import Video, read_manifest, write_manifest
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.weights.model_folder import save_pretrained


@pytest.fixture
def given(tmp_path):
    """Arguments of the tool: a model, and a folder with two folders of videos."""
    model = make_video_model()
    save_pretrained(tmp_path / "model", model.state_dict(), model.config)
    write_videos(tmp_path / "rendered", RenderSettings(size=16, frames=12), num_videos=6, seed=0)
    for number, video in enumerate(sorted((tmp_path / "rendered" / "videos").glob("*.mp4"))):
        folder = tmp_path / "videos" / ("odd" if number % 2 else "even")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, folder)
    return ["--model", str(tmp_path / "model"), "--videos", str(tmp_path / "videos"), "--device", "cpu"]


def test_the_page_has_every_video_with_its_label(given, tmp_path, capsys):
    assert main(given) == 0
    data = data_of(tmp_path / "model" / "embeddings.html")
    assert sorted(zip(data["names"], (data["classes"][label] for label in data["labels"]), strict=True)) == [
        (f"00000{number}.mp4", "odd" if number % 2 else "even") for number in range(6)
    ]
    assert "6 of 6 videos: " in capsys.readouterr().out


def test_a_broken_video_is_named_and_left_out(given, tmp_path, capsys):
    (tmp_path / "videos" / "odd" / "broken.mp4").write_bytes(b"no video")
    assert main([*given, "--output", str(tmp_path / "page.html")]) == 1
    assert len(data_of(tmp_path / "page.html")["names"]) == 6
    assert "broken.mp4 cannot be read" in capsys.readouterr().err


def test_a_range_beyond_the_end_is_named_and_left_out(given, tmp_path, capsys):
    videos = read_manifest(given[3])
    listed = tmp_path / "list.csv"
    write_manifest(listed, [Video(videos[0].path, start=99.0), *videos])
    given[3] = str(listed)
    assert main([*given, "--output", str(tmp_path / "page.html")]) == 1
    assert len(data_of(tmp_path / "page.html")["names"]) == 6
    assert f"not read: {videos[0].path}: no frame is shown from 99.0 s" in capsys.readouterr().err


def test_a_name_that_is_no_utf8_goes_onto_the_page(given, tmp_path):
    video = tmp_path / "videos" / "odd" / "000001.mp4"
    video.rename(video.with_name(os.fsdecode(b"clip\xff1.mp4")))
    assert main(given) == 0
    assert r"clip\udcff1.mp4" in data_of(tmp_path / "model" / "embeddings.html")["names"]


@pytest.mark.parametrize("channels", [1, 2, 12])
def test_videos_of_any_channels_have_pictures_and_a_model_here_has_its_name(channels, tmp_path, monkeypatch):
    pixels = {"mean": channels * [0.5], "std": channels * [0.5]}
    model = make_video_model(encoder={"channels": channels}, pixels=pixels)
    save_pretrained(tmp_path / "mine", model.state_dict(), model.config)
    (tmp_path / "videos").mkdir()
    for number in range(4):
        np.save(tmp_path / "videos" / f"{number}.npy", np.full((16, 16, 16, channels), 60 * number, np.uint8))
    monkeypatch.chdir(tmp_path / "mine")
    assert main(["--model", ".", "--videos", str(tmp_path / "videos"), "--device", "cpu"]) == 0
    assert "alike for mine?" in Path("embeddings.html").read_text()


def test_a_model_of_the_hub_stays_one(given, on_hub, tmp_path):
    """Its page lies under another name than its own, which would be taken for a folder the second time."""
    given[1] = on_hub(given[1])
    for _ in range(2):
        assert main(given) == 0
    assert len(data_of(tmp_path / "here" / "acme-model" / "embeddings.html")["names"]) == 6


def test_an_output_that_cannot_be_written_is_refused_before_the_work(given, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vjepa.commands.embeddings._look_at", None)
    assert main([*given, "--output", str(tmp_path)]) == 2
    assert "is to be a file of results, and is a folder" in capsys.readouterr().err


def test_too_few_videos_are_refused(given, capsys):
    assert main([*given, "--most", "3"]) == 2
    assert "--most is 3: give 4 or more" in capsys.readouterr().err
