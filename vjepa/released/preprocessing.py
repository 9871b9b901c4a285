"""What transformers' processors must know of a model's clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def transformers_preprocessor(config: Mapping[str, Any], model_type: str) -> tuple[str, dict[str, Any]]:
    """Name and content of the file from which AutoVideoProcessor or AutoImageProcessor knows sizes and normalisation.

    Args:
        config: of a model of ours, with ``clip``.
        model_type: `vjepa2` or `videomae`.

    VJEPA2VideoProcessor crops the customary margin away whatever the file says, also for a model that was trained on whole
    frames.

    Raises:
        ValueError: the model does not say which clips it knows.
    """
    if "clip" not in config:
        raise ValueError(
            'the model does not say which clips it knows ("clip"): transformers could not prepare any'
        )
    height, width = config["clip"]["size"]
    short = min(height, width)
    # The customary margin of evaluations, where training cropped (`vjepa.data.transforms.eval_transform`).
    edge = short if config["clip"].get("whole_frame") else int(short * 256 / 224)
    shared = {
        "do_resize": True,
        "size": {"shortest_edge": edge},
        "do_center_crop": True,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(config["pixels"]["mean"]),
        "image_std": list(config["pixels"]["std"]),
    }
    if model_type == "vjepa2":
        kind = {"video_processor_type": "VJEPA2VideoProcessor"}
        return "video_preprocessor_config.json", {**kind, **shared}
    return "preprocessor_config.json", {"image_processor_type": "VideoMAEImageProcessor", **shared}
