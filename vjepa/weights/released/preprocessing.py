"""What transformers' processors know of a model's clips: read and written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vjepa.weights.released.json_files import read_json

# In the order in which transformers looks for them (transformers 5.24, video_processing_utils.py and image_processing_base.py), with
# the keys under which the first, which is for all processors of a model, has them.
_FILES = (
    ("processor_config.json", ("video_processor", "image_processor")),
    ("video_preprocessor_config.json", ()),
    ("preprocessor_config.json", ()),
)


class Processor(NamedTuple):
    """What a folder's processor says.

    Attributes:
        pixels: means and deviations, as of `PixelNormalizer`; None where it says none.
        whole_frame: frames are brought to the model's size without a margin that is cropped away; None where it does not say.
    """

    pixels: dict[str, list[float]] | None = None
    whole_frame: bool | None = None


def read_processor(folder: Path) -> Processor:
    """The processor of a folder of transformers.

    Raises:
        ValueError: they are no numbers, or cannot be divided by.
    """
    for name, keys in _FILES:
        if not (folder / name).is_file():
            continue
        settings = read_json(folder / name)
        for found in [*(settings.get(key) for key in keys), settings]:
            if isinstance(found, dict) and ("image_mean" in found or "do_normalize" in found):
                return Processor(_pixels(found, folder / name), _whole_frame(found))
    return Processor()


def _whole_frame(settings: Mapping[str, Any]) -> bool | None:
    """Whether the short side is resized to that of the crop itself."""
    size, crop = settings.get("size"), settings.get("crop_size")
    edge = size.get("shortest_edge") if isinstance(size, dict) else None
    sides: list[Any] = [crop.get("height"), crop.get("width")] if isinstance(crop, dict) else [crop]
    if edge is None or not settings.get("do_center_crop", True) or not all(map(_is_finite, [edge, *sides])):
        return None
    return bool(edge == min(sides))


def _pixels(settings: Mapping[str, Any], path: Path) -> dict[str, list[float]] | None:
    """``(scale * byte - mean) / std`` in the words of `PixelNormalizer`, whose scale is 1 / 255."""
    mean, std = settings.get("image_mean"), settings.get("image_std")
    if settings.get("do_normalize", True) is False:
        channels = len(mean) if isinstance(mean, list) else 3
        mean, std = [0.0] * channels, [1.0] * channels
    if mean is None and std is None:
        return None
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    if not _are_pixels(mean, std, factor):
        raise ValueError(
            f"{path} has image_mean {mean}, image_std {std} and rescale_factor {factor}: give a list of finite numbers, one a "
            "channel, for mean and std, and deviations and a factor above 0"
        )
    scale = 255 * factor
    if math.isclose(scale, 1.0):
        scale = 1.0  # as it is nearly always: then nothing is rounded
    return {"mean": [value / scale for value in mean or ()], "std": [value / scale for value in std or ()]}


def _are_pixels(mean: Any, std: Any, factor: Any) -> bool:
    if not isinstance(mean, list) or not isinstance(std, list) or not len(mean) == len(std) > 0:
        return False
    return all(_is_finite(value) for value in [*mean, *std, factor]) and min([*std, factor]) > 0


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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
