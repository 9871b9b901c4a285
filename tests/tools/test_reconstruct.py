"""Pictures and films of what models make of videos."""

import math

import av
import matplotlib.image
import pytest
import torch
from accelerate import state as STATES

from tools.reconstruct import main, reconstruct
from vjepa.config import config_from_tree
from vjepa.data.synthetic import WorldSettings, write_videos
from vjepa.evaluation.pixel_decoder import psnr, train_pixel_decoder
from vjepa.evaluation.strip import side_by_side
from vjepa.tokens import Grid, Tubelet, patchify
from vjepa.training.pretrain import pretrain
from vjepa.weights import from_pretrained


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A masked auto-encoder and a model of embeddings, hardly trained, and their videos."""
    folder = tmp_path_factory.mktemp("runs")
    manifest = write_videos(folder / "videos", WorldSettings(size=16, frames=4), num_videos=8, seed=0)
    for predict in ("pixels", "embeddings"):
        tree = {
            "output_dir": str(folder / predict),
            "data": {"train": str(manifest), "clip": {"num_frames": 4, "stride": 1}, "size": 16, "workers": 0,
                     "crop_scale": [1.0, 1.0], "crop_ratio": [1.0, 1.0], "flip": False},
            "masks": {"multiblock": [], "tube": [{"ratio": 0.75}]},
            "encoder": {"size": "nano", "width": 24, "heads": 2, "depth": 1, "tubelet": [2, 4, 4]},
            "predictor": {"width": 12, "depth": 1, "heads": 1},
            "objective": {"predict": predict},
            "optim": {"steps": 3, "batch_size": 4, "warmup_steps": 1, "lr": 1e-3},
            "train": {"trackers": [], "device": "cpu", "threads": 1},
        }  # fmt: skip
        pretrain(config_from_tree(tree))
        for state in (STATES.AcceleratorState, STATES.GradientState, STATES.PartialState):
            state._reset_state()
    return folder, str(manifest)


def test_a_masked_auto_encoder_is_shown(runs, tmp_path, capsys):
    folder, manifest = runs
    arguments = [
        "--model",
        str(folder / "pixels"),
        "--videos",
        manifest,
        "--clips",
        "2",
        "--output",
        str(tmp_path),
    ]
    assert main(arguments) == 0
    assert matplotlib.image.imread(tmp_path / "reconstruction.png").shape[0] > 300
    with av.open(str(tmp_path / "clip_2.mp4")) as film:
        assert film.streams.video[0].frames == 4
        assert film.streams.video[0].width > 3 * 192
    printed = capsys.readouterr().out
    assert "hidden pixels, reconstruction" in printed
    assert "true mean colour instead" in printed


def test_what_is_seen_is_the_input_s_own(runs):
    folder, _ = runs
    world = from_pretrained(folder / "pixels")
    video = torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8)
    panels, _, _ = reconstruct(world, config_from_tree(world.config["training"]), video, seed=0)
    for clip in panels:
        seen = clip["seen"] != 128
        assert 0 < seen.float().mean() < 0.5
        assert torch.equal(clip["input"][seen], clip["reconstruction"][seen])
        assert not torch.equal(clip["input"], clip["reconstruction"])


def test_embeddings_are_decoded_beside_an_untrained_encoder_s(runs, tmp_path, capsys, monkeypatch):
    folder, manifest = runs
    monkeypatch.setattr("tools.reconstruct.train_pixel_decoder", lambda *a: train_pixel_decoder(*a, steps=5))
    arguments = [
        "--model",
        str(folder / "embeddings"),
        "--videos",
        manifest,
        "--clips",
        "2",
        "--output",
        str(tmp_path),
    ]
    assert main([*arguments, "--train", manifest]) == 0
    first = (tmp_path / "reconstruction.png").read_bytes()
    assert "an untrained encoder's" in capsys.readouterr().out
    assert main([*arguments, "--train", manifest]) == 0
    assert (tmp_path / "reconstruction.png").read_bytes() == first
    assert main(arguments) == 2
    assert "give --train" in capsys.readouterr().err


def test_nothing_reaches_the_encoder(runs):
    """Not even where its parameters ask for gradients."""
    folder, manifest = runs
    world = from_pretrained(folder / "embeddings")
    world.requires_grad_(True)
    before = {name: value.clone() for name, value in world.state_dict().items()}
    from tools.reconstruct import _clips

    dataset = _clips(config_from_tree(world.config["training"]), manifest)
    tubelet = Tubelet(2, 4, 4)
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    decoder = train_pixel_decoder(
        world.encode,
        lambda video: patchify(video.transpose(1, 2), tubelet),
        dataset,
        Grid(2, 4, 4),
        0,
        steps=8,
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in world.parameters())
    assert all(torch.equal(value, before[name]) for name, value in world.state_dict().items())
    assert decoder(torch.randn(1, 32, 24)).shape == (1, 32, 96)


def test_decibels():
    assert psnr(torch.zeros(4), torch.full((4,), 0.1)) == pytest.approx(20)
    assert psnr(torch.ones(3), torch.ones(3)) == math.inf


def test_panels_are_enlarged_by_whole_numbers():
    panel = torch.arange(2 * 3 * 5 * 5, dtype=torch.uint8).reshape(2, 3, 5, 5)
    film = side_by_side([panel, panel])
    assert film.shape[1] % 2 == film.shape[2] % 2 == 0
    times = 39  # 195 pixels, the first multiple of 5 above 192
    assert (film[0, :times, :times] == panel[0, :, 0, 0].numpy()).all()
