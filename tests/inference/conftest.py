"""Models with random weights that know clips of 16 frames, tubelets of two, 16 x 16 pixels."""

import copy

import numpy as np
import pytest
import torch

from vjepa.models.video_model import VideoModel

ENCODER = {"embed_dim": 24, "depth": 3, "num_heads": 2, "tubelet": [2, 8, 8]}
PREDICTOR = {"in_dim": 24, "out_dim": 24, "embed_dim": 12, "depth": 2, "num_heads": 1, "num_mask_tokens": 2}
CLIP = {"num_frames": 16, "fps": None, "stride": 1, "size": [16, 16], "whole_frame": True}
FUTURE = {"context_steps": 5, "mask_token": 1, "normalisation": "layer_norm"}
PIXELS = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def make_video_model(seed=0, **changes):
    """A model; `changes` are merged into the sections of its configuration."""
    config = {
        "encoder": ENCODER, "predictor": PREDICTOR, "pixels": PIXELS, "clip": CLIP, "future": FUTURE,
        "which": "target_encoder",
    }  # fmt: skip
    config = copy.deepcopy(config)
    for section, change in changes.items():
        config[section] = {**config.get(section, {}), **change} if isinstance(change, dict) else change
    torch.manual_seed(seed)
    model = VideoModel(config).eval()
    with torch.no_grad():  # far from zero, so that everything has an effect
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture
def video():
    """Noise: 40 frames, uint8 ``(T, 3, H, W)``."""
    return torch.randint(
        0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.fixture
def video_file(video, tmp_path):
    """The same as a file of 25 frames a second."""
    path = tmp_path / "video.npy"
    np.save(path, video.permute(0, 2, 3, 1).numpy())
    return path
