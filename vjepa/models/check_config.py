"""Validation of a model folder's config.json, before a network is built from it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vjepa.choices import TargetNorm
from vjepa.models.action_predictor import ActionPredictor
from vjepa.models.classifier import AttentiveHead, MeanHead
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor

_NETWORKS: dict[str, Callable[..., Any]] = {
    "encoder": VideoEncoder,
    "teacher": VideoEncoder,
    "predictor": Predictor,
    "decoder": Predictor,
    "dynamics": ActionPredictor,
}
_HEADS: dict[str, Callable[..., Any]] = {"linear": MeanHead, "mlp": MeanHead, "attentive": AttentiveHead}
# Constructor arguments that come from other sections of the configuration.
_GIVEN = {"dynamics": {"in_dim", "normalised"}, "head": {"embed_dim", "num_classes"}}
_ABOVE_ZERO = {
    "embed_dim", "depth", "num_heads", "mlp_ratio", "channels", "tubelet", "in_dim", "out_dim",
    "num_mask_tokens", "queries", "hidden_dim", "trained_side", "norm_eps",
}  # fmt: skip
_MOST = {"depth": 1000, "embed_dim": 1_000_000, "mlp_ratio": 1000}


def check_config(config: Mapping[str, Any], place: str) -> None:
    """Check the names, types and ranges in a model's configuration.

    Args:
        config: Content of config.json. Sections on how the model was trained are not checked.
        place: Where the configuration is from, such as its path; it is named in the error message.

    Raises:
        ValueError: If anything is wrong; the message lists all problems.
    """
    problems = list(_problems(config))
    if problems:
        raise ValueError(f"{place} is no configuration of a model: " + "; ".join(problems))


def _problems(config: Mapping[str, Any]) -> Iterator[str]:
    if "encoder" not in config:
        yield "it has no 'encoder'"
    for name, network in _NETWORKS.items():
        if name in config:
            yield from _of_arguments(name, config[name], network)
    if "head" in config:
        yield from _of_head(config)
    yield from _of_pixels(config)
    if "clip" in config:
        yield from _of_clip(config["clip"])
    if "future" in config:
        yield from _of_future(config["future"])


def _of_arguments(name: str, given: Any, network: Callable[..., Any]) -> Iterator[str]:
    if not isinstance(given, Mapping):
        yield f"{name} is {_shown(given)}: give a dictionary of arguments"
        return
    parameters = dict(inspect.signature(network).parameters)
    for argument in _GIVEN.get(name, ()):
        parameters.pop(argument)
    hints = get_type_hints(network.__init__)  # type: ignore[misc]
    for argument in given.keys() - parameters.keys():
        yield f"{name} has no argument {argument!r}: it has {', '.join(parameters)}"
    for argument, parameter in parameters.items():
        if argument in given:
            yield from _of_value(f"{name}.{argument}", given[argument], hints[argument])
        elif parameter.default is inspect.Parameter.empty:
            yield f"{name}.{argument} is missing"
    embed_dim, num_heads = given.get("embed_dim"), given.get("num_heads")
    if isinstance(embed_dim, int) and isinstance(num_heads, int) and num_heads > 0 and embed_dim % num_heads:
        yield f"{name}.embed_dim {embed_dim} cannot be shared by {name}.num_heads {num_heads}"


def _of_value(name: str, value: Any, hint: Any) -> Iterator[str]:
    """Problems of one argument: its type, its choices, and its range.

    Numbers must be finite and 0 or more, some of them above 0. A list is accepted for a tuple, because JSON
    has no tuples.
    """
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in kinds:
        return
    literals = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if literals:
        if value not in literals:
            yield f"{name} is {_shown(value)}: give one of {', '.join(map(repr, literals))}"
        return
    argument = name.rsplit(".", 1)[-1]
    if bool in kinds:
        if not isinstance(value, bool):
            yield f"{name} is {_shown(value)}: give true or false"
        return
    numbers = value if isinstance(value, list | tuple) and not {int, float} & set(kinds) else [value]
    whole = float not in kinds
    least = 1 if argument in _ABOVE_ZERO and whole else 0
    most = _MOST.get(argument, 1_000_000)
    for number in numbers:
        if (
            not _is_number(number, whole)
            or not least <= number <= most
            or (number == 0 and argument in _ABOVE_ZERO)
        ):
            kind = "whole numbers" if whole else "finite numbers"
            lowest = f"{least}{'' if whole else ' (above it)'}"
            yield f"{name} is {_shown(value)}: give {kind} from {lowest} to {most}"
            return
    if argument == "tubelet" and len(numbers) != 3:
        yield f"{name} is {_shown(value)}: give frames, rows and columns"


def _of_head(config: Mapping[str, Any]) -> Iterator[str]:
    head, classes = config["head"], config.get("classes")
    if (
        not isinstance(classes, list)
        or len(classes) < 2
        or not all(isinstance(name, str) for name in classes)
    ):
        yield f"classes are {_shown(classes)}: give the names of 2 or more"
    kind = head.get("kind") if isinstance(head, Mapping) else None
    if kind not in _HEADS:
        yield f"head.kind is {_shown(kind)}: give one of {', '.join(_HEADS)}"
        return
    yield from _of_arguments(
        "head", {key: value for key, value in head.items() if key != "kind"}, _HEADS[kind]
    )
    for name in ("levels", "token_norm"):
        if name not in config:
            yield f"{name} is missing"


def _of_pixels(config: Mapping[str, Any]) -> Iterator[str]:
    pixels = config.get("pixels")
    if not isinstance(pixels, Mapping) or pixels.keys() != {"mean", "std"}:
        yield f"pixels are {_shown(pixels)}: give mean and std"
        return
    mean, std = pixels["mean"], pixels["std"]
    lists = isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) > 0
    if not lists or not all(_is_number(value, whole=False) for value in (*mean, *std)) or min(std) <= 0:
        yield (
            f"pixels have mean {_shown(mean)} and std {_shown(std)}: give a finite number for each channel, "
            "and deviations above 0"
        )


def _of_clip(clip: Any) -> Iterator[str]:
    names = {"num_frames", "fps", "stride", "size", "whole_frame"}
    if not isinstance(clip, Mapping) or clip.keys() != names:
        yield f"clip is {_shown(clip)}: give {', '.join(sorted(names))}"
        return
    size = clip["size"]
    if not isinstance(size, list | tuple) or len(size) != 2:
        yield f"clip.size is {_shown(size)}: give height and width"
        return
    for name, values in (("num_frames", [clip["num_frames"]]), ("size", size)):
        if not all(_is_number(value, whole=True) and 1 <= value <= 1_000_000 for value in values):
            yield f"clip.{name} is {_shown(clip[name])}: give whole numbers above 0"
    for name in ("fps", "stride"):
        value = clip[name]
        if value is not None and not (_is_number(value, whole=name == "stride") and value > 0):
            yield f"clip.{name} is {_shown(value)}: give a number above 0, or null"


def _of_future(future: Any) -> Iterator[str]:
    names = {"context_steps", "mask_token", "normalisation"}
    if not isinstance(future, Mapping) or not names <= future.keys():
        yield f"future is {_shown(future)}: give {', '.join(sorted(names))}"
        return
    for name, least in (("context_steps", 1), ("mask_token", 0)):
        if not _is_number(future[name], whole=True) or future[name] < least:
            yield f"future.{name} is {_shown(future[name])}: give a whole number from {least}"
    if future["normalisation"] not in get_args(TargetNorm):
        choices = " or ".join(map(repr, get_args(TargetNorm)))
        yield f"future.normalisation is {_shown(future['normalisation'])}: give {choices}"
    blocks = future.get("target_blocks", 1)
    if not _is_number(blocks, whole=True) or blocks < 1:
        yield f"future.target_blocks is {_shown(blocks)}: give a whole number from 1"


def _is_number(value: Any, whole: bool) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."
