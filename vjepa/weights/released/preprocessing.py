"""Reading and writing of transformers' processor files: frame size, crop and pixel normalisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vjepa.weights.released.json_files import read_json

# Processor files in the order in which transformers looks for them (transformers 5.24,
# video_processing_utils.py and image_processing_base.py), each with the keys of the processors in it: the
# first file may hold several.
_FILES = (
    ("processor_config.json", ("video_processor", "image_processor")),
    ("video_preprocessor_config.json", ()),
    ("preprocessor_config.json", ()),
)


class Processor(NamedTuple):
    """Settings of a processor of transformers.

    Attributes:
        pixels: Arguments ``mean`` and ``std`` of `PixelNormalizer`; None where none are stored.
        whole_frame: Whether frames are resized to the model's size without cropping a margin; None where the
            file does not store it.
    """

    pixels: dict[str, list[float]] | None = None
    whole_frame: bool | None = None


def read_processor(folder: Path) -> Processor:
    """Read the processor's settings from a folder of transformers; all None where there is no processor file.

    Raises:
        ValueError: A mean, standard deviation or rescale factor is not a finite number, the numbers of
            channels differ, or a deviation or the factor is not above 0.
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
    """Whether a frame's short side is resized to that of the crop, so that no margin of it is cut off."""
    size, crop = settings.get("size"), settings.get("crop_size")
    edge = size.get("shortest_edge") if isinstance(size, dict) else None
    sides: list[Any] = [crop.get("height"), crop.get("width")] if isinstance(crop, dict) else [crop]
    if edge is None or not settings.get("do_center_crop", True) or not all(map(_is_finite, [edge, *sides])):
        return None
    return bool(edge == min(sides))


def _pixels(settings: Mapping[str, Any], path: Path) -> dict[str, list[float]] | None:
    """Convert ``(factor * byte - mean) / std`` to `PixelNormalizer`'s arguments, whose factor is 1 / 255."""
    mean, std = settings.get("image_mean"), settings.get("image_std")
    if settings.get("do_normalize", True) is False:
        channels = len(mean) if isinstance(mean, list) else 3
        mean, std = [0.0] * channels, [1.0] * channels
    if mean is None and std is None:
        return None
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    if not _are_pixels(mean, std, factor):
        raise ValueError(
            f"{path} has image_mean {mean}, image_std {std} and rescale_factor {factor}: give lists of "
            "finite numbers, one for each channel, for mean and std, with every std and the factor above 0"
        )
    scale = 255 * factor
    if math.isclose(scale, 1.0):
        scale = 1.0  # the usual case, in which dividing must not round mean and std
    return {"mean": [value / scale for value in mean or ()], "std": [value / scale for value in std or ()]}


def _are_pixels(mean: Any, std: Any, factor: Any) -> bool:
    if not isinstance(mean, list) or not isinstance(std, list) or not len(mean) == len(std) > 0:
        return False
    return all(_is_finite(value) for value in [*mean, *std, factor]) and min([*std, factor]) > 0


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def transformers_preprocessor(config: Mapping[str, Any], model_type: str) -> tuple[str, dict[str, Any]]:
    """Make the file from which AutoVideoProcessor or AutoImageProcessor reads sizes and normalisation.

    VJEPA2VideoProcessor crops a margin whatever the file says, also for a model trained on whole frames.

    Args:
        config: Configuration of a model of this library, with ``clip`` and ``pixels``.
        model_type: ``vjepa2`` or ``videomae``, as in transformers' config.json.

    Returns:
        Name and content of the file.

    Raises:
        ValueError: The configuration has no ``clip``.
    """
    if "clip" not in config:
        raise ValueError('the model\'s configuration has no "clip": transformers needs its frame size')
    height, width = config["clip"]["size"]
    short = min(height, width)
    # The usual margin in evaluation of models trained on crops (`vjepa.data.transforms.eval_transform`).
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
