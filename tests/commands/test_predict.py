"""The tool as a user runs it: one file, a folder, a manifest; what it writes; what it refuses."""

import json

import av
import numpy as np
import pytest
import torch
from safetensors import safe_open

import vjepa
from tests.inference.conftest import make_video_model
from tests.precision_watch import precisions
from vjepa.commands import predict
from vjepa.commands.predict import _names, main
from vjepa.data.manifest import Video
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.plots.future import EmbeddingColours, nearest_steps
from vjepa.weights.model_folder import save_pretrained


@pytest.fixture
def model(tmp_path):
    video_model = make_video_model()
    state = {name.replace("encoder.", "target_encoder.", 1) if name.startswith("encoder.") else name: tensor
             for name, tensor in video_model.state_dict().items()}  # fmt: skip
    save_pretrained(tmp_path / "model", state, video_model.config)
    return str(tmp_path / "model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("videos")
    write_videos(place, RenderSettings(size=16, frames=24), num_videos=3, seed=0)
    return place


def test_the_page_of_a_calibrated_model_has_a_p_value(model, folder, tmp_path):
    loaded = vjepa.from_pretrained(model)
    vjepa.calibrate_surprise(loaded, 7 * list(vjepa.read_manifest(str(folder / "manifest.csv")))).save(model)
    video = str(folder / "videos" / "000000.mp4")
    assert main(["--model", model, "--videos", video, "--page", "--output", str(tmp_path)]) == 0
    p = vjepa.surprise(vjepa.from_pretrained(model), video).judged.p
    text = (tmp_path / "000000.html").read_text()
    assert f"p-value of the most surprising time step among those of ordinary videos: {p:.3g}." in text


def test_all_is_computed_in_the_precision_asked_for(model, folder, tmp_path):
    videos = ["--videos", str(folder), "--page", "--plots", "1", "--output", str(tmp_path)]
    with precisions() as seen:
        assert main(["--model", model, *videos, "--precision", "bf16"]) == 0
    assert set(seen) == {torch.bfloat16}


def test_one_video(model, folder, tmp_path, capsys):
    video = folder / "videos" / "000000.mp4"
    assert (
        main(
            [
                *["--model", model, "--videos", str(video), "--film", "--page", "--output", str(tmp_path)],
                *["--device", "cpu"],
            ]
        )
        == 0
    )
    assert "2 contexts of 1 videos" in capsys.readouterr().out
    with safe_open(tmp_path / "000000.safetensors", "pt") as file:
        metadata, predicted = file.metadata(), file.get_tensor("predicted")
        ends = file.get_tensor("context_end")
    assert predicted.shape == (2, 6, 2, 2, 24)
    assert json.loads(metadata["normalisation"]) == "layer_norm"
    assert json.loads(metadata["steps"]) == [1, 2, 3, 4, 5, 6]
    with vjepa.open_video(str(video)) as reader:
        frames, period = reader.get_frames(range(24)), float(reader.timestamps[1])
    assert ends.tolist() == pytest.approx([10 * period, 12 * period])
    expected = vjepa.FuturePredictor(vjepa.from_pretrained(model)).observe(frames[2:12]).rollout(steps=6)
    torch.testing.assert_close(predicted[1:], expected.embeddings_BFhwY, atol=1e-5, rtol=1e-5)
    assert (tmp_path / "000000.png").stat().st_size > 10_000
    assert "What model predicts in 000000" in (tmp_path / "000000.html").read_text()
    with av.open(str(tmp_path / "000000.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 12
    metrics = json.loads((tmp_path / "future.json").read_text())
    assert [horizon["step"] for horizon in metrics["horizons"]] == [1, 2, 3, 4, 5, 6]
    assert set(metrics["horizons"][0]["skill"]) == {"copy_last", "mean", "linear", "shuffled"}


def test_videos_of_any_channels_have_films_and_pages(tmp_path, monkeypatch):
    channels = 12
    monkeypatch.setattr(predict, "draw_future", lambda *_: None)  # tested by itself, and slow
    pixels = {"mean": channels * [0.5], "std": channels * [0.5]}
    made = make_video_model(encoder={"channels": channels}, pixels=pixels, which="encoder")
    save_pretrained(tmp_path / "model", made.state_dict(), made.config)
    np.save(
        tmp_path / "video.npy", np.random.default_rng(0).integers(0, 256, (20, 16, 16, channels), np.uint8)
    )
    arguments = [
        "--model",
        str(tmp_path / "model"),
        "--videos",
        str(tmp_path / "video.npy"),
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--film", "--page", "--output", str(tmp_path)]) == 0
    assert all((tmp_path / f"video.{kind}").stat().st_size > 5000 for kind in ("mp4", "html"))


def test_a_folder_and_a_manifest_give_the_same(model, folder, tmp_path):
    for name, source, plots in (("a", folder / "videos", "1"), ("b", folder / "manifest.csv", "0")):
        arguments = ["--model", model, "--videos", str(source), "--output", str(tmp_path / name)]
        arguments += ["--seconds", "0.3", "--format", "npz", "--plots", plots, "--device", "cpu"]
        assert main(arguments) == 0
    first, second = (np.load(tmp_path / name / "000002.npz") for name in "ab")
    assert np.array_equal(first["predicted"], second["predicted"])
    assert first["predicted"].shape[1] == 1
    assert json.loads(str(first["metadata"]))["steps"] == [2]  # 8 frames a second: .3 s is in the second step
    assert [len(list((tmp_path / name).glob("*.png"))) for name in "ab"] == [1, 0]


def noise(path, frames):
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.random.default_rng(frames).integers(0, 256, (frames, 16, 16, 3), dtype=np.uint8))
    return path


def test_a_short_video_is_left_out_and_each_horizon_counts_the_contexts_that_reach_it(
    model, tmp_path, capsys
):
    """A context takes 5 time steps of 2 frames, and the window 8."""
    for name, frames in (("a", 40), ("b", 10), ("c", 18)):
        noise(tmp_path / "in" / f"{name}.npy", frames)
    videos = ["--videos", str(tmp_path / "in"), "--plots", "0"]
    assert main(["--model", model, *videos, "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "not read" in said.err
    assert "b.npy has 10 frames" in said.err
    horizons = json.loads((tmp_path / "out/future.json").read_text())["horizons"]
    assert [horizon["step"] for horizon in horizons] == [1, 2, 3, 4, 5, 6]
    assert [horizon["clips"] for horizon in horizons] == [12, 12, 12, 10, 10, 10]
    assert "10 of 12 clips" in said.out


def test_a_model_that_cannot_be_rolled_out_predicts_as_far_as_its_window(folder, tmp_path):
    """As those of the recipe pretrain/clips, whose targets are averages of blocks."""
    built = make_video_model(future={"target_blocks": 2})
    config = {name: part for name, part in built.config.items() if name != "which"}
    save_pretrained(tmp_path / "model", built.state_dict(), config)
    assert main(["--model", str(tmp_path / "model"), "--videos", str(folder / "videos"), "--plots", "0"]) == 0
    found = json.loads((tmp_path / "model/future/future.json").read_text())
    assert [horizon["step"] for horizon in found["horizons"]] == [1, 2, 3]


def test_a_single_context_is_predicted_without_skills(model, tmp_path, capsys):
    video = noise(tmp_path / "in" / "a.npy", 12)
    videos = ["--videos", str(video), "--plots", "0"]
    assert main(["--model", model, *videos, "--output", str(tmp_path / "out")]) == 0
    assert "one context alone: skills over baselines need two" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/future.json").read_text())["horizons"] == []


def test_seconds_are_pooled_by_what_was_asked_where_frame_rates_differ(model, tmp_path):
    """A model of every frame: half a second is two time steps at 8 frames a second, and three at 12."""
    for rate in (8, 12):
        write_videos(tmp_path / f"{rate}", RenderSettings(size=16, frames=24, frame_rate=rate), 2, seed=rate)
    rows = [video.path for rate in (8, 12) for video in vjepa.read_manifest(str(tmp_path / f"{rate}"))]
    (tmp_path / "all.csv").write_text("path\n" + "\n".join(rows) + "\n")
    arguments = ["--model", model, "--videos", str(tmp_path / "all.csv"), "--seconds", "0.5", "--plots", "0"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    (horizon,) = json.loads((tmp_path / "out/future.json").read_text())["horizons"]
    assert (horizon["step"], horizon["seconds"], horizon["clips"]) == (None, 0.5, 4 * 5)
    steps = []
    for path in (tmp_path / "out").glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            steps.append(json.loads(file.metadata()["steps"]))
    assert sorted(steps) == [[2], [2], [3], [3]]


def test_every_video_has_a_name_of_its_own():
    videos = [Video(path) for path in ("a/a.mp4", "b/a.mp4", "c/a_1.mp4", "d/b.mp4")]
    assert _names(videos) == ["a_0", "a_2", "a_1", "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--steps", "0"], "future begins after the context"),
        (["--steps", "20"], "a horizon of 20 time steps"),
        (["--context", "8"], "give 1 to 7"),
        (["--model", "nowhere"], "is not a model"),
        (["--videos", "nowhere.mp4"], "there is no video"),
        (["--device", "cuda:77"], "does not have"),
        (["--plots", "-1"], "--plots is -1"),
        (["--which", "encoder"], "choose with which="),
    ],
)
def test_what_cannot_be_done_is_said(changes, message, model, folder, capsys):
    video = str(folder / "videos" / "000000.mp4")
    assert main(["--model", model, "--videos", video, "--device", "cpu", *changes]) == 2
    assert message in capsys.readouterr().err


def test_a_model_without_predictor_is_refused(tmp_path, folder, capsys):
    video_model = make_video_model()
    video_model.predictor = None
    config = {name: part for name, part in video_model.config.items() if name != "predictor"}
    save_pretrained(tmp_path / "bare", video_model.state_dict(), config)
    assert (
        main(["--model", str(tmp_path / "bare"), "--videos", str(folder / "videos"), "--device", "cpu"]) == 2
    )
    assert "no predictor of embeddings" in capsys.readouterr().err


def test_colours_are_those_of_one_basis():
    tokens = torch.randn(200, 8) * torch.tensor([9.0, 5, 3, 1, 1, 1, 1, 1])
    colours = EmbeddingColours(tokens)
    shown = colours(tokens)
    assert shown.shape == (200, 3)
    assert 0 <= float(shown.min()) <= float(shown.max()) <= 1
    for channel in range(3):  # the three strongest directions, in order
        correlation = torch.corrcoef(torch.stack([shown[:, channel], tokens[:, channel]]))[0, 1]
        assert abs(correlation) > 0.8
    assert torch.equal(colours(tokens[:5]), shown[:5])


def test_the_nearest_step_is_found():
    true = torch.randn(6, 4, 8)
    assert nearest_steps(3 * true[[4, 0, 2]] + 0.01, true).tolist() == [4, 0, 2]
