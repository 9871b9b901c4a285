"""The same network without training: the baseline of every measure of a trained one."""

from __future__ import annotations

from vjepa.models.network import set_precision
from vjepa.models.video_model import VideoModel
from vjepa.seeding import seeded


def untrained_copy(model: VideoModel, seed: int) -> VideoModel:
    """Return a model of the same configuration with new random weights.

    A target encoder that is an exponential moving average of the encoder starts as its copy.
    """
    with seeded(seed):
        null = VideoModel(model.config).eval()
    set_precision(null, model.encoder.precision)
    kind = model.config.get("training", {}).get("objective", {}).get("target_encoder", "ema")
    if null.teacher is not None and kind == "ema":
        null.teacher.load_state_dict(null.encoder.state_dict())
    return null.to(next(model.parameters()).device)
