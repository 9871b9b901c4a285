"""Other channels than those of training."""

import pytest
import torch

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.models.channels import adapt_channels
from vjepa.weights.model_folder import save_pretrained


def save(folder, **encoder):
    pixels = {"mean": [0.2, 0.4, 0.6], "std": [0.2, 0.3, 0.4]}
    model = make_video_model(0, pixels=pixels, encoder=encoder)
    save_pretrained(folder, model.state_dict(), model.config)
    return folder


@pytest.fixture
def saved(tmp_path):
    return save(tmp_path)


@pytest.mark.parametrize("stem", ["linear", "convolutional"])
def test_grey_videos_give_the_tokens_of_their_repetition(stem, tmp_path):
    saved = save(tmp_path, stem=stem)
    with pytest.warns(UserWarning, match="was trained on 3 channels: its patch embedding is adapted to 1"):
        grey = vjepa.from_pretrained(saved, channels=1)
    video = torch.randint(0, 256, (2, 16, 1, 16, 16), dtype=torch.uint8)
    with torch.no_grad():
        expected = vjepa.from_pretrained(saved).encode(video.expand(-1, -1, 3, -1, -1))
        torch.testing.assert_close(grey.encode(video), expected, atol=1e-4, rtol=1e-4)


def test_more_channels_take_kernels_in_turn(saved):
    with pytest.warns(UserWarning, match="adapted to 5"):
        five = vjepa.from_pretrained(saved, channels=5)
    before = vjepa.from_pretrained(saved).encoder.patch_embed.proj.weight
    torch.testing.assert_close(five.encoder.patch_embed.proj.weight, before[:, [0, 1, 2, 0, 1]] * 0.6)
    assert five.config["pixels"]["std"] == pytest.approx([0.2, 0.3, 0.4, 0.2, 0.3])
    with torch.no_grad():
        tokens = five.encode(torch.randint(0, 256, (1, 16, 5, 16, 16), dtype=torch.uint8))
    assert tokens.isfinite().all()


def test_channels_that_are_repeated_give_the_tokens_that_a_convolutional_stem_gave(tmp_path):
    saved = save(tmp_path, stem="convolutional", image_tokenizer=True)
    with pytest.warns(UserWarning, match="adapted to 6"):
        six = vjepa.from_pretrained(saved, channels=6)
    for frames in (16, 1):
        video = torch.randint(0, 256, (2, frames, 3, 16, 16), dtype=torch.uint8)
        with torch.no_grad():
            expected = vjepa.from_pretrained(saved).encode(video)
            torch.testing.assert_close(
                six.encode(video.repeat(1, 1, 2, 1, 1)), expected, atol=1e-4, rtol=1e-4
            )


def test_the_same_number_changes_nothing_and_none_is_refused(saved, recwarn):
    model = vjepa.from_pretrained(saved, channels=3)
    assert torch.equal(
        model.encoder.patch_embed.proj.weight, vjepa.from_pretrained(saved).encoder.patch_embed.proj.weight
    )
    assert not recwarn
    with pytest.raises(ValueError, match="channels is 0"):
        adapt_channels({"pixels": {"mean": [0.5] * 3, "std": [0.5] * 3}}, {}, 0)
