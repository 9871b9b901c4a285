"""The tool that names what videos show."""

import json

import av
import numpy as np
import pytest

from vjepa.commands.classify import main
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.evaluation.recognition.scores import read_scores


@pytest.fixture
def videos(tmp_path):
    write_videos(tmp_path / "v", RenderSettings(size=24, frames=10), num_videos=2, seed=0)
    return tmp_path / "v"


def test_a_manifest_is_named_and_films_are_written(classifier_folder, videos, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = [
        "--model",
        str(classifier_folder),
        "--videos",
        str(videos / "manifest.csv"),
        "--output",
        str(output),
    ]
    assert main([*arguments, "--film", "--top", "2", "--clips", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert lines[0].count("%") == 2
    assert "on 2 videos, 1 of them of classes that the model lacks and missed" in lines[-2]
    scores = read_scores(output / "scores.csv")
    assert scores.labels == ["still", "left"]
    assert f"{scores.scores_VX[0].max():.1%}" in lines[0]
    with av.open(str(output / "0000_000000.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 10
    assert frames[0].shape[0] >= 240
    assert (frames[0][4:14, 4:40] < 40).mean() > 0.3  # the black box behind the text


def test_scores_of_a_model_of_the_hub_lie_under_another_name_than_its_own(
    classifier_folder, videos, on_hub, tmp_path
):
    arguments = ["--model", on_hub(classifier_folder), "--videos", str(videos / "manifest.csv")]
    for _ in range(2):
        assert main(arguments) == 0
    assert len(read_scores(tmp_path / "here" / "acme-model" / "classified" / "scores.csv").paths) == 2
    assert main([*arguments, "--output", str(videos / "manifest.csv")]) == 2


def test_a_broken_video_is_named_and_the_rest_is_done(classifier_folder, videos, tmp_path, capsys):
    (videos / "videos" / "broken.mp4").write_bytes(np.random.default_rng(0).bytes(500))
    (videos / "videos" / "000000.npz").unlink()
    arguments = [
        "--model",
        str(classifier_folder),
        "--videos",
        str(videos / "videos"),
        "--output",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "broken.mp4: not read" in printed.err
    assert len(printed.out.splitlines()) == 3


def test_labels_give_an_accuracy_without_training(classifier_folder, videos, tmp_path, capsys):
    """By name; by number, where the list has numbers and the model names.

    Not at all, where nothing is known.
    """
    paths = [videos / "videos" / f"{number:06d}.mp4" for number in range(2)]

    def classify(*labels):
        rows = [f"{path}\t{label}" for path, label in zip(paths, labels, strict=True)]
        (tmp_path / "list.txt").write_text("\n".join(rows))
        arguments = [
            "--model",
            str(classifier_folder),
            "--videos",
            str(tmp_path / "list.txt"),
            "--clips",
            "1",
        ]
        assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
        return capsys.readouterr()

    classify("a", "b")
    scores = read_scores(tmp_path / "out" / "scores.csv")
    right = [int(row.argmax()) for row in scores.scores_VX]
    wrong = (right[1] + 1) % 3
    for labels in ([right[0], wrong], [scores.classes[right[0]], scores.classes[wrong]]):
        printed = classify(*labels).out
        assert "accuracy 50.0%" in printed
        assert ("the labels are numbers, which are taken as" in printed) == isinstance(labels[0], int)
        assert json.loads((tmp_path / "out" / "accuracy.json").read_text())["top1"][0] == 0.5
    assert "accuracies are not computed: no label of the test split" in classify("7", "8").err


def test_what_is_no_classifier_is_refused(videos, capsys):
    assert main(["--model", str(videos), "--videos", str(videos / "manifest.csv")]) == 2
    assert "is not a model" in capsys.readouterr().err
