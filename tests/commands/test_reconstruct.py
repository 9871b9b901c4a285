"""Images and films of what models make of videos."""

import json
import shutil

import av
import matplotlib.image
import pytest
import torch

from tests.accelerate_state import fresh_accelerate
from vjepa.commands.reconstruct import main, reconstruct
from vjepa.config import config_from_tree
from vjepa.data.readers.open import open_video
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.evaluation.probes.pixels import train_pixel_decoder
from vjepa.plots.strip import write_film
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain
from vjepa.tokens import gather_tokens, patchify
from vjepa.weights.model_folder import from_pretrained


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A masked auto-encoder and a model of embeddings, hardly trained, and videos of two parts."""
    folder = tmp_path_factory.mktemp("runs")
    for part, seed in (("train", 0), ("test", 1)):
        write_videos(folder / part, RenderSettings(size=16, frames=4), num_videos=8, seed=seed)
    for predict in ("pixels", "embeddings"):
        tree = {
            "output_dir": str(folder / predict),
            "data": {
                "train": str(folder / "train" / "manifest.csv"),
                "clip": {"num_frames": 4, "stride": 1},
                "size": 16,
                "num_workers": 0,
                "crop_scale": [1.0, 1.0],
                "crop_ratio": [1.0, 1.0],
                "flip": False,
            },
            "masks": {"multiblock": [], "tube": [{"ratio": 0.75}, {"ratio": 0.5}]},
            "encoder": {"size": "nano", "embed_dim": 24, "num_heads": 2, "depth": 1, "tubelet": [2, 4, 4]},
            "predictor": {"embed_dim": 12, "depth": 1, "num_heads": 1},
            "objective": {"predict": predict},
            "optim": {"steps": 3, "batch_size": 4, "warmup_steps": 1, "lr": 1e-3},
            "train": {"trackers": [], "device": "cpu", "threads": 1},
        }
        pretrain(config_from_tree(tree, PretrainConfig))
        fresh_accelerate()
    return folder


@pytest.fixture
def show(runs, tmp_path, monkeypatch):
    """Run the tool on two clips, with hardly any training of the small decoder; the exit status."""
    monkeypatch.setattr(
        "vjepa.commands.reconstruct.train_pixel_decoder", lambda *a: train_pixel_decoder(*a, steps=5)
    )
    fixed = ["--videos", str(runs / "test" / "manifest.csv"), "--clips", "2", "--output", str(tmp_path)]
    return lambda model, *more: main(["--model", str(runs / model), *fixed, *more])


@pytest.fixture
def two_clips(runs):
    """The masked auto-encoder, its masks and two clips of noise."""
    model = from_pretrained(runs / "pixels")
    masks = config_from_tree(model.config["training"], PretrainConfig).masks.all
    random = torch.Generator().manual_seed(0)
    return model, masks, torch.randint(256, (2, 4, 3, 16, 16), dtype=torch.uint8, generator=random)


def film_size(path):
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    return len(frames), *frames[0].shape


def test_a_masked_auto_encoder_is_shown(show, tmp_path, capsys):
    assert show("pixels") == 0
    assert matplotlib.image.imread(tmp_path / "reconstruction.png").shape[0] > 6 * 100
    for number in (1, 2):
        assert film_size(tmp_path / f"clip_{number}.mp4") == (4, 16 + 192, 3 * 192 + 2 * 8, 3)
    printed = capsys.readouterr().out
    for line in ("hidden pixels, reconstruction", "true mean colour instead", "they are not predicted"):
        assert line in printed


def test_images_of_a_model_of_the_hub_lie_under_another_name_than_its_own(
    runs, on_hub, tmp_path, monkeypatch
):
    videos = ["--videos", str(runs / "test" / "manifest.csv"), "--clips", "1"]
    arguments = ["--model", on_hub(runs / "pixels"), *videos]
    assert main(arguments) == 0
    assert (tmp_path / "here" / "acme-model" / "reconstruction" / "clip_1.mp4").exists()
    monkeypatch.setattr("vjepa.commands.reconstruct.reconstruct", None)  # refused before the work
    assert main([*arguments, "--output", str(runs / "test" / "manifest.csv")]) == 2


def test_what_is_seen_is_the_input_s_own(two_clips):
    for clip in reconstruct(*two_clips, 0, seed=0).panels:
        seen = clip["seen"] != 128
        assert 0 < seen.float().mean() < 0.5
        assert torch.equal(clip["input"][seen], clip["reconstruction"][seen])
        assert not torch.equal(clip["input"], clip["reconstruction"])


def test_a_perfect_decoder_gives_a_perfect_image(two_clips, monkeypatch):
    model, masks, video_BTCHW = two_clips
    model.config = {**model.config, "pixel_targets": "raw"}
    true_BNP = patchify(video_BTCHW.transpose(1, 2), model.encoder.tubelet) / 255
    monkeypatch.setattr(
        model.decoder, "forward", lambda tokens, context, target_BM, *rest: gather_tokens(true_BNP, target_BM)
    )
    shown = reconstruct(model, masks, video_BTCHW, 0, seed=0)
    assert all(torch.equal(clip["input"], clip["reconstruction"]) for clip in shown.panels)
    assert shown.metrics["hidden pixels, reconstruction"] == float("inf")
    assert "not predicted" not in shown.caption


def test_mask_and_seed_choose_what_is_hidden(two_clips):
    first, again, other, half = (
        torch.stack([clip["seen"] for clip in reconstruct(*two_clips, number, seed).panels])
        for number, seed in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (half == 128).sum() < (first == 128).sum()


@pytest.mark.parametrize("model", [["embeddings"], ["pixels", "--readout"]], ids=" ".join)
def test_embeddings_are_decoded_beside_an_untrained_encoder_s(model, show, runs, tmp_path, capsys):
    train = ["--train", str(runs / "train" / "manifest.csv")]
    assert show(*model, *train) == 0
    first = matplotlib.image.imread(tmp_path / "reconstruction.png")
    assert "an untrained encoder's" in capsys.readouterr().out
    assert film_size(tmp_path / "clip_1.mp4") == (4, 16 + 192, 4 * 192 + 3 * 8, 3)
    assert show(*model, *train) == 0
    assert (matplotlib.image.imread(tmp_path / "reconstruction.png") == first).all()


def test_released_weights_are_shown_with_the_mask_of_their_family(show, runs, tmp_path, capsys):
    """They have no configuration of a run; their family's masks stand in config.json."""
    shutil.copytree(runs / "pixels" / "model", runs / "released")
    config = json.loads((runs / "released" / "config.json").read_text())
    del config["training"]
    for masks, status in ({"masks": {"tube": [{"ratio": 0.75}]}}, 0), ({}, 2):
        (runs / "released" / "config.json").write_text(json.dumps({**config, **masks}))
        assert show("released") == status
    assert "which masks it was trained with" in capsys.readouterr().err
    assert len(list(tmp_path.glob("clip_*.mp4"))) == 2


def test_one_video_is_shown(show, runs, tmp_path):
    assert show("pixels", "--videos", str(runs / "test" / "videos" / "000001.mp4")) == 0
    assert len(list(tmp_path.glob("clip_*.mp4"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embeddings"], "give --train, other videos"),
        (["pixels", "--readout"], "give --train, other videos"),
        (["pixels", "--mask", "2"], "--mask is 2: the model knows 2"),
        (["pixels", "--clips", "0"], "--clips is 0: give 1 or more"),
        (["nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments, message, show, capsys):
    assert show(*arguments) == 2
    assert message in capsys.readouterr().err


def test_clips_that_were_trained_on_are_refused(show, runs, capsys):
    assert show("embeddings", "--train", str(runs / "test" / "manifest.csv")) == 2
    assert "8 videos are in both --videos and --train" in capsys.readouterr().err


def test_a_film_has_enlarged_panels_below_their_names(tmp_path):
    panel = torch.zeros(2, 3, 5, 5, dtype=torch.uint8)
    panel[:, :, 0, 0] = 200
    enlarged = 39  # a pixel becomes 39, so that 5 are 195, the first multiple of 5 above 192
    write_film({"true": panel, "predicted": panel}, tmp_path / "named.mp4", 8)
    write_film({"": panel}, tmp_path / "bare.mp4", 8)
    with open_video(tmp_path / "named.mp4") as named, open_video(tmp_path / "bare.mp4") as bare:
        named_CHW, bare_CHW = named.get_frames([0])[0].float(), bare.get_frames([0])[0].float()
    assert bare_CHW.shape == (3, 196, 196)
    line = named_CHW.shape[1] - 196
    assert named_CHW.shape[2] >= 2 * 195
    for left in (0, named_CHW.shape[2] // 2):
        name_CHW = named_CHW[:, :line, left : left + 60]
        assert name_CHW.max() > 240, "the line is not white"
        assert name_CHW.min() < 100, "nothing is written"
    inside = slice(4, enlarged - 4)
    assert (named_CHW[:, line:][:, inside, inside] - 200).abs().max() < 12
    assert named_CHW[:, line + enlarged + 4 : line + 190, 4:190].max() < 30
