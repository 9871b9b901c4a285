"""Small networks."""

import torch

from vjepa.models.action_model import ActionModel
from vjepa.models.encoder import VideoEncoder

B, T, SPACE, D, A, Q = 2, 4, (2, 3), 20, 5, 3


def make_model(**options):
    torch.manual_seed(0)
    encoder = {"embed_dim": 24, "depth": 2, "num_heads": 2, "tubelet": (2, 8, 8)}
    dynamics = {
        "embed_dim": 24, "depth": 1, "num_heads": 2, "action_size": A, "state_size": Q,
        "predicts_state": True,
    }  # fmt: skip
    pixels = {"mean": [0.5] * 3, "std": [0.25] * 3}
    statistics = {
        "action_mean": [1.0] * A, "action_std": [2.0] * A, "state_mean": [-1.0] * Q, "state_std": [3.0] * Q,
    }  # fmt: skip
    return ActionModel(
        encoder=encoder, dynamics=dynamics, pixels=pixels, size=(16, 24), statistics=statistics,
        **{"window": 2, **options},
    ).eval()  # fmt: skip


def small_encoder(**changes):
    torch.manual_seed(0)
    return VideoEncoder(
        **{"embed_dim": 48, "depth": 2, "num_heads": 4, "tubelet": (2, 8, 8), **changes}
    ).eval()
