"""The read-out at the end of a run: the trained encoder beside the same encoder untrained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vjepa import build
from vjepa.config import Config
from vjepa.data.dataset import ClipDataset
from vjepa.evaluation.features import extract_features, probe_classes
from vjepa.evaluation.probe import ridge_probe
from vjepa.models.world import WorldModel
from vjepa.weights import from_pretrained


def probe_encoders(config: Config, model: Path, device: torch.device) -> dict[str, dict[str, float]]:
    """Balanced accuracy of a linear probe: ``{"linear": {"trained": ..., "random": ..., "chance": ...}}``.

    Empty where the configuration names no labelled videos.
    """
    parts = build.probe_sources(config)
    if parts is None:
        return {}
    classes, known = probe_classes(*parts)
    clips = [build.probe_dataset(config, videos, classes) for videos in parts]
    trained = from_pretrained(model)
    torch.manual_seed(config.seed)
    untrained = WorldModel(trained.config).eval()
    return {
        "linear": {
            "trained": _accuracy(trained.to(device), clips, config.data.workers),
            "random": _accuracy(untrained.to(device), clips, config.data.workers),
            "chance": 1 / known,
        }
    }


def _accuracy(model: WorldModel, clips: list[ClipDataset], workers: int) -> float:
    device = next(model.parameters()).device

    def encode(video_BTCHW: Tensor) -> Tensor:
        return model.encode(video_BTCHW).mean(dim=1)

    train, test = (extract_features(encode, part, device=device, workers=workers) for part in clips)
    return ridge_probe(train, test)
