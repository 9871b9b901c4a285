"""The tool that names what videos show."""

import av
import numpy as np
import pytest

from tests.inference.test_video_classifier import folder  # noqa: F401  (a fixture)
from tools.classify import main
from vjepa.data.synthetic import WorldSettings, write_videos
from vjepa.evaluation.score_file import read_scores


@pytest.fixture
def videos(tmp_path):
    write_videos(tmp_path / "v", WorldSettings(size=24, frames=10), num_videos=2, seed=0)
    return tmp_path / "v"


def test_a_manifest_is_named_and_films_are_written(folder, videos, tmp_path, capsys):  # noqa: F811
    output = tmp_path / "out"
    arguments = ["--model", str(folder), "--videos", str(videos / "manifest.csv"), "--output", str(output)]
    assert main([*arguments, "--film", "--top", "2", "--clips", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].count("%") == 2
    scores = read_scores(output / "scores.csv")
    assert scores.labels == ["still", "left"]
    assert f"{scores.scores_VX[0].max():.1%}" in lines[0]
    with av.open(str(output / "0000_000000.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 10
    assert frames[0].shape[0] >= 240
    assert (frames[0][4:14, 4:40] < 40).mean() > 0.3  # the black box behind the text


def test_a_broken_video_is_named_and_the_rest_is_done(folder, videos, tmp_path, capsys):  # noqa: F811
    (videos / "videos" / "broken.mp4").write_bytes(np.random.default_rng(0).bytes(500))
    (videos / "videos" / "000000.npz").unlink()
    arguments = [
        "--model",
        str(folder),
        "--videos",
        str(videos / "videos"),
        "--output",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "broken.mp4: not read" in printed.err
    assert len(printed.out.splitlines()) == 2


def test_what_is_no_classifier_is_refused(videos, capsys):
    assert main(["--model", str(videos), "--videos", str(videos / "manifest.csv")]) == 2
    assert "is not a model" in capsys.readouterr().err
