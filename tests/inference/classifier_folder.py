"""A saved classifier."""

import torch

from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.weights.model_folder import save_pretrained

ENCODER = {"embed_dim": 24, "depth": 1, "num_heads": 2, "tubelet": [2, 8, 8]}


PIXELS = {"mean": [0.5] * 3, "std": [0.25] * 3}


CLIP = {"num_frames": 4, "fps": None, "stride": 2, "size": [16, 16], "whole_frame": True}


CLASSES = ["left", "right", "up"]


def save_classifier(path):
    """A classifier with random weights as the folder of a run; returns `path`."""
    torch.manual_seed(0)
    head = build_head("attentive", 24, 3)
    head.fc.weight.data *= 50  # so that answers differ
    network = Classifier(VideoEncoder(**ENCODER), head, PixelNormalizer(**PIXELS))
    config = {
        "encoder": ENCODER, "pixels": PIXELS, "clip": CLIP, "classes": CLASSES, "head": {"kind": "attentive"},
        "levels": [], "token_norm": True, "views": {"clips": 2, "crops": 3, "segments": 1},
    }  # fmt: skip
    save_pretrained(path / "model", network.state_dict(), config)
    return path
