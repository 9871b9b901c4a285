"""Conversion of the authors' checkpoint of V-JEPA 2-AC to arguments and tensors of an `ActionModel`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vjepa.models.action_model import ActionModel
from vjepa.weights.released.containers import Container, open_container
from vjepa.weights.released.families import TITLES, recognise
from vjepa.weights.released.mapping import Row, layer, layers, read_rows
from vjepa.weights.released.meta_config import meta_draft
from vjepa.weights.released.meta_layout import BLOCK
from vjepa.weights.released.shapes import count, needed
from vjepa.weights.released.stated import StatedByUser, num_heads_of

# Side of a frame in pixels, and frames of a window, in the authors' training (facebookresearch/vjepa2 at
# c2963a4, configs/train/vitg16/droid-256px-8f.yaml).
SIZE, FRAMES = 256, 8
_UNUSED = "predictor.extrinsics_encoder."  # camera poses, which the released model was not trained with


def read_action_model(
    source: str | Path, num_heads: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the configuration and tensors that a model folder of the action-conditioned model would hold.

    The frozen encoder is the file's target encoder where there is one, else its encoder: the same network in
    the authors' training. The configuration has no statistics of states and actions, because the authors use
    poses and their changes unnormalised.

    Args:
        source: The authors' ``.pt`` file.
        num_heads: Number of attention heads of the ``encoder`` and of the ``predictor``. Needed only for a
            width that no published model has.

    Returns:
        The configuration, and the tensors by their names in an `ActionModel`.

    Raises:
        ValueError: The file is damaged or is not V-JEPA 2-AC's, its tensors do not fit (all misfits are
            listed), or `num_heads` must be given.
    """
    needless = [network for network in num_heads if network not in ("encoder", "predictor")]
    if needless:
        raise ValueError(
            f"heads names {needless[0]!r}, which V-JEPA 2-AC does not have: give heads of encoder, predictor"
        )
    container = open_container(Path(source)).with_statements(StatedByUser(num_heads=num_heads))
    try:
        return _from_container(container)
    except Exception as error:  # odd names and shapes in a damaged file may raise anything
        where = str(container.path)
        raise ValueError(str(error) if where in str(error) else f"{where}: {error}") from error


def _from_container(container: Container) -> tuple[dict[str, Any], dict[str, Tensor]]:
    family, _ = recognise(
        {name: tuple(value.shape) for name, value in container.state.items()}, container.stated.get("family")
    )
    if family != "vjepa2_ac":
        raise ValueError(f"it is {TITLES[family]}'s, which has no action-conditioned predictor")
    state = {name: value for name, value in container.state.items() if not name.startswith(_UNUSED)}
    draft = meta_draft(family, container)
    network = "target_encoder" if "target_encoder" in draft.networks else "encoder"
    config = {
        "library": "vjepa",
        "encoder": draft.config["encoder"],
        "pixels": dict(container.pixels),
        "size": [SIZE, SIZE],
        "dynamics": _dynamics(state, container.stated),
        "pool": "none",
        "normalised": True,
        "window": FRAMES,
        "trajectories": {"frames": FRAMES, "skip": 1, "combine": "sum"},
    }
    rows = list(_rows(network, config["encoder"]["depth"], config["dynamics"]["depth"]))
    wanted = {name for row in rows for name in row.theirs}
    others = ("encoder.", "target_encoder.")
    kept = {name: value for name, value in state.items() if name in wanted or not name.startswith(others)}
    tensors, problems = read_rows(rows, kept, _shapes(config))
    if problems:
        raise ValueError(
            f"the weights in {container.path} do not fit {TITLES[family]}:\n  " + "\n  ".join(problems)
        )
    return config, tensors


def _dynamics(state: Mapping[str, Tensor], stated: Mapping[str, Any]) -> dict[str, Any]:
    embed_dim = len(needed(state, "predictor.predictor_embed.weight"))
    return {
        "embed_dim": embed_dim,
        "depth": count(state, "predictor.predictor_blocks.{}.mlp.fc1.weight"),
        "num_heads": num_heads_of("predictor", embed_dim, "vjepa2_ac", stated),
        "action_size": needed(state, "predictor.action_encoder.weight").shape[1],
        "state_size": needed(state, "predictor.state_encoder.weight").shape[1],
        "conditioning": "tokens",
        "rotary_layout": "tile",
    }


def _rows(network: str, depth: int, predictor_depth: int) -> Iterator[Row]:
    yield from layer("encoder.patch_embed.proj", f"{network}.patch_embed.proj")
    for number in range(depth):
        yield from layers(f"encoder.transformer.blocks.{number}", f"{network}.blocks.{number}", BLOCK)
    yield from layer("encoder.transformer.norm", f"{network}.norm")
    theirs = "predictor.predictor"
    yield from layer("dynamics.embed", f"{theirs}_embed")
    yield from layer("dynamics.action_embed", "predictor.action_encoder")
    yield from layer("dynamics.state_embed", "predictor.state_encoder")
    for number in range(predictor_depth):
        yield from layers(f"dynamics.blocks.{number}", f"{theirs}_blocks.{number}", BLOCK)
    yield from layer("dynamics.norm", f"{theirs}_norm")
    yield from layer("dynamics.proj", f"{theirs}_proj")


def _shapes(config: Mapping[str, Any]) -> dict[str, torch.Size]:
    arguments = {name: value for name, value in config.items() if name not in ("library", "trajectories")}
    with torch.device("meta"):
        return {name: value.shape for name, value in ActionModel(**arguments).state_dict().items()}
