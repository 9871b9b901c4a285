"""Removal of the names that trainers wrap around a network's own tensor names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

NETWORKS = {
    "encoder": "encoder",
    "context_encoder": "encoder",
    "student": "encoder",
    "target_encoder": "target_encoder",
    "teacher": "target_encoder",
    "ema_encoder": "target_encoder",  # distilled V-JEPA 2.1; replaces a target encoder in the same file
    "predictor": "predictor",
    "classifier": "classifier",
}
"""Keys under which files keep networks, with the names of the networks in this library."""
WHOLE = ("model", "module", "state_dict", "model_state_dict", "net", "network")
"""Keys under which files keep all tensors together."""

# Names of wrappers: DataParallel, torch.compile, FSDP, activation checkpointing, and attributes in which
# users' classes keep a network. No family's own names have such components, so they are removed anywhere.
_WRAPPERS = frozenset(
    ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "model", "net", "backbone")
)


def networks_of(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Collect the tensors of all networks in a checkpoint, without names of wrappers.

    Args:
        checkpoint: Content of the file.

    Returns:
        Tensors by name, which begins with the network's name where that is known; and remarks for the user.

    Raises:
        ValueError: Two tensors have the same name after removal of the wrappers.
    """
    state: dict[str, Tensor] = {}
    notes: tuple[str, ...] = ()
    for key, network in NETWORKS.items():
        found = _of_network(checkpoint.get(key), network)
        if found.keys() & state.keys() and key != "ema_encoder":
            raise ValueError(
                f"{key!r} and another of its keys both hold {network!r}: keep one of them in the file"
            )
        state |= found
    probes = checkpoint.get("classifiers")
    if isinstance(probes, list | tuple) and probes:
        state |= _of_network(probes[0], "classifier")
        if len(probes) > 1:
            notes = (f"the file has {len(probes)} probes, and the first of them is taken",)
    if state:
        return state, notes
    for key in WHOLE:
        if isinstance(checkpoint.get(key), Mapping):
            state, notes = networks_of(checkpoint[key])
            if state:
                return state, notes
    return _with_network(_plain(checkpoint)), notes


def _of_network(network: Any, name: str) -> dict[str, Tensor]:
    if not isinstance(network, Mapping):
        return {}
    plain = _plain(network)
    inner = f"{name}."
    if plain and all(own.startswith(inner) for own in plain):
        return plain
    return {inner + own: value for own, value in plain.items()}


def _plain(network: Mapping[Any, Any]) -> dict[str, Tensor]:
    plain: dict[str, Tensor] = {}
    for name, value in network.items():
        if not isinstance(value, Tensor):
            continue
        short = ".".join(_unwrapped(str(name)))
        if short in plain:
            raise ValueError(
                f"{name} and another tensor are both {short} without the names of wrappers "
                f"({', '.join(sorted(_WRAPPERS))}): save one network at a time"
            )
        plain[short] = value
    return plain


def _unwrapped(name: str) -> Iterator[str]:
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    if len(parts) > 1 and parts[0] in NETWORKS:
        outer, *parts = parts
        network = NETWORKS[outer]
        yield network
        # `student.encoder.blocks...`: the inner attribute names the same network again.
        if outer != network and parts[0] == "encoder" and network.endswith("encoder"):
            parts = parts[1:]
    yield from parts


def _with_network(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put the network's name in front of the tensors of a single network in V-JEPA's or I-JEPA's layout.

    Files with several networks have these prefixes already.
    """
    whose = None
    if "patch_embed.proj.weight" in state:
        by_itself = "cls_token" in state or any(name.endswith(".attn.q_bias") for name in state)
        whose = None if by_itself else "encoder"  # MAE's and VideoMAE's names have no network in front
    elif "predictor_embed.weight" in state or "predictor_embed.0.weight" in state:
        whose = "predictor"
    elif "pooler.query_tokens" in state and "linear.weight" in state:
        whose = "classifier"
    if whose is None:
        return state
    known = tuple(f"{network}." for network in NETWORKS.values())
    return {name if name.startswith(known) else f"{whose}.{name}": value for name, value in state.items()}
