"""Exported files give what the model gives, for any number of clips, without this library."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.commands.export import main
from vjepa.export.formats import example, export_graph, greatest_difference
from vjepa.export.graphs import ClassifierGraph, EncoderGraph, FutureGraph
from vjepa.inference.classifier import VideoClassifier
from vjepa.weights.model_folder import save_pretrained

ENDINGS = {"onnx": "onnx", "torch": "pt2"}


def require(kind):
    if kind == "onnx":
        for name in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    model = make_video_model(0, encoder={"depth": 1}, predictor={"depth": 1})
    save_pretrained(folder, model.state_dict(), model.config)
    return folder


@pytest.mark.parametrize("kind", [pytest.param("onnx", marks=pytest.mark.slow), "torch"])
def test_a_future_is_the_model_s(kind, saved, tmp_path):
    require(kind)
    model = vjepa.from_pretrained(saved)
    graph = FutureGraph(model, [1, 5])
    run = export_graph(graph, tmp_path / f"future.{ENDINGS[kind]}", kind)
    for clips in (1, 4):
        video = example(graph, clips, seed=clips)
        assert greatest_difference(run, graph, video) < 1e-4
    expected = vjepa.FuturePredictor(model).observe(video).predict(steps=[1, 5]).embeddings_BFhwY
    torch.testing.assert_close(run(video), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [pytest.param("onnx", marks=pytest.mark.slow), "torch"])
def test_an_encoder_with_a_convolutional_stem_is_the_model_s(kind, tmp_path):
    require(kind)
    graph = EncoderGraph(make_video_model(0, encoder={"stem": "convolutional", "depth": 1}))
    run = export_graph(graph, tmp_path / f"stem.{ENDINGS[kind]}", kind)
    for clips in (1, 4):
        assert greatest_difference(run, graph, example(graph, clips, seed=clips)) < 1e-4


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_classifier_is_the_model_s(kind, classifier_folder, tmp_path):
    require(kind)
    one = VideoClassifier.from_pretrained(classifier_folder, clips=1, crops=1)
    graph = ClassifierGraph(one)
    run = export_graph(graph, tmp_path / f"c.{ENDINGS[kind]}", kind)
    video = example(graph, 3)
    torch.testing.assert_close(run(video), one.probabilities(video.unsqueeze(1)), atol=1e-5, rtol=0)


def test_segments_stand_one_after_the_other(classifier_folder):
    loaded = VideoClassifier.from_pretrained(classifier_folder)
    two = VideoClassifier(loaded.network, loaded.classes, loaded.processor, clips=2, segments=2)
    video = example(ClassifierGraph(two), 2)
    assert video.shape[1] == 8
    with torch.no_grad():
        found = ClassifierGraph(two)(video)
    torch.testing.assert_close(found, two.probabilities(video.unflatten(1, (2, 4))), atol=1e-6, rtol=0)


RUN_ALONE = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
videos = numpy.load(sys.argv[2])
numpy.savez(sys.argv[3], **{name: session.run(None, {"video": videos[name]})[0] for name in videos})
assert "torch" not in sys.modules and "vjepa" not in sys.modules
"""


def test_the_tool_writes_a_file_that_runs_alone(saved, tmp_path, capsys):
    require("onnx")
    output = tmp_path / "out" / "encoder.onnx"
    assert main(["--model", str(saved), "--what", "encoder", "--output", str(output)]) == 0
    assert "largest difference from the model" in capsys.readouterr().out
    model = vjepa.from_pretrained(saved)
    videos = {str(clips): example(EncoderGraph(model), clips, seed=5) for clips in (1, 2, 4)}
    np.savez(tmp_path / "videos.npz", **{clips: video.numpy() for clips, video in videos.items()})
    files = [str(output), str(tmp_path / "videos.npz"), str(tmp_path / "tokens.npz")]
    subprocess.run([sys.executable, "-c", RUN_ALONE, *files], check=True)
    tokens = np.load(tmp_path / "tokens.npz")
    for clips, video in videos.items():
        with torch.no_grad():
            np.testing.assert_allclose(tokens[clips], model.encode(video).numpy(), atol=1e-4)


def test_what_cannot_be_exported_is_refused(saved, tmp_path, capsys):
    wrong = [
        (["--what", "encoder", "--output", str(tmp_path / "a.bin")], "ends in .onnx or .pt2"),
        (["--what", "encoder", "--steps", "1", "--output", str(tmp_path / "a.pt2")], "steps are for future"),
        (["--what", "classifier", "--output", str(tmp_path / "a.pt2")], "has no classification head"),
        (["--what", "future", "--steps", "0", "--output", str(tmp_path / "a.pt2")], "give 1 or more"),
    ]
    for arguments, message in wrong:
        assert main(["--model", str(saved), *arguments]) == 2
        assert message in capsys.readouterr().err
