"""Reading of released weights: recognise the family, and convert configuration and tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vjepa.models.classifier import build_head
from vjepa.models.video_model import VideoModel
from vjepa.weights.released.containers import Container, open_container, read_json
from vjepa.weights.released.families import LICENCES, TITLES, Family, Layout, recognise
from vjepa.weights.released.mapping import read_rows
from vjepa.weights.released.meta_config import Draft, meta_draft
from vjepa.weights.released.meta_layout import meta_rows
from vjepa.weights.released.stated import StatedByUser
from vjepa.weights.released.transformers_config import transformers_draft
from vjepa.weights.released.transformers_layout import plain_names, transformers_rows

NOTHING = StatedByUser()


@dataclass(frozen=True)
class Released:
    """Released weights, converted to the content of a model folder.

    Attributes:
        family: Family of the weights.
        config: Content of ``config.json``: arguments of the networks, ``clip``, ``future`` and ``pixels``;
            for a classifier also ``head``, ``classes``, ``levels``, ``token_norm`` and ``views``.
        tensors: Tensors by name; a name begins with its network: ``encoder.``, ``target_encoder.``,
            ``predictor.``, ``decoder.`` or ``head.``.
        notes: Remarks for the user: what was left out, and what was assumed where the file does not store it.
    """

    family: Family
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


def read_released(
    source: str | Path,
    *,
    probe: str | Path | None = None,
    strict: bool = True,
    by_user: StatedByUser = NOTHING,
) -> Released:
    """Read released weights from a file or from a folder of transformers.

    Args:
        source: A ``.pt``, ``.pth.tar`` or ``.safetensors`` file, or a folder with transformers' config.json.
        probe: File with an attentive probe of V-JEPA or V-JEPA 2 for the encoder from `source`. None reads
            `source` alone.
        strict: Whether missing, unexpected or reshaped tensors raise an error. If False they are left out,
            and listed in the notes.
        by_user: The user's statements about facts that the file does not store.

    Raises:
        ValueError: The weights are damaged, need code to be run, are of no known family or do not fit it (all
            misfits are listed), or a fact must be stated that neither the file nor a published model has.
    """
    container = open_container(Path(source))
    if probe is not None:
        container = _with_probe(container, open_container(Path(probe)))
    return from_container(container.with_statements(by_user), strict=strict, by_user=by_user)


def is_released(path: Path) -> bool:
    """Whether `path` holds released weights: it is a file, or a folder whose config.json is transformers'."""
    description = path / "config.json"
    return path.is_file() or (description.is_file() and "model_type" in read_json(description))


def from_container(container: Container, *, strict: bool = True, by_user: StatedByUser = NOTHING) -> Released:
    """Read released weights from an opened file, or from a state dict in memory.

    Args:
        container: Content of a file or folder; for a state dict in memory ``Container(Path("mine"), state)``.
        strict: Whether misfits raise an error; see `read_released`.
        by_user: The user's statements that `container` includes already; they are checked to be of use.

    Raises:
        ValueError: Any reason of `read_released` but damage.
    """
    plain = plain_names(container.state)
    shapes = {name: tuple(value.shape) for name, value in plain.items()}
    try:
        family, layout = recognise(shapes, container.stated.get("family"))
        draft = _draft(family, layout, container, plain)
        _refuse_needless(by_user, draft, layout)
        rows = meta_rows if layout == "meta" else transformers_rows
        expected = expected_shapes(draft.config, draft.networks)
        tensors, problems = read_rows(rows(draft.config, draft.networks), draft.state, expected)
    except Exception as error:  # odd names and shapes in a damaged file may raise anything
        where = str(container.path)
        raise ValueError(str(error) if where in str(error) else f"{where}: {error}") from error
    if problems and strict:
        raise ValueError(
            f"the weights in {container.path} do not fit {TITLES[family]}; strict=False takes what fits:\n  "
            + "\n  ".join(problems)
        )
    notes = (*draft.notes, *problems)
    origin = {"family": family, "layout": layout, "file": container.path.name, "notes": list(notes)}
    config = {**draft.config, "released": origin}
    if family in LICENCES:
        config["licence"] = LICENCES[family]
    # Through JSON, so that it equals the configuration read from a folder: tuples become lists.
    return Released(family, json.loads(json.dumps(config)), tensors, notes)


def _refuse_needless(by_user: StatedByUser, draft: Draft, layout: Layout) -> None:
    """Raise ValueError where a user's statement does not apply, instead of ignoring it silently."""
    for network in by_user.num_heads:
        if network not in draft.config:
            raise ValueError(f"heads are given for the {network}, and the weights have none")
        known = draft.config[network].get("num_heads")
        if known != by_user.num_heads[network]:
            raise ValueError(
                f"heads of the {network} are given as {by_user.num_heads[network]}, and config.json "
                f"has {known}"
            )
    if by_user.levels is not None and not draft.config["encoder"].get("levels"):
        raise ValueError(
            "levels are given, and only an encoder of V-JEPA 2.1 has level norms: leave them out"
        )
    if by_user.probe_levels is not None and ("head" not in draft.networks or layout == "transformers"):
        raise ValueError(
            "levels are given, and the weights have no attentive probe in the authors' layout: leave them out"
        )


def _draft(family: Family, layout: Layout, container: Container, plain: dict[str, Tensor]) -> Draft:
    if layout == "meta":
        return meta_draft(family, container)
    return transformers_draft(family, container, plain)


def _with_probe(container: Container, probe: Container) -> Container:
    if container.description is not None:
        raise ValueError(
            f"{container.path} is a folder of transformers, and a probe needs an encoder in the authors' own "
            "layout: give such a file, or write one (vjepa convert FOLDER --to meta)"
        )
    found = {name: value for name, value in probe.state.items() if name.startswith("classifier.")}
    if "classifier.pooler.query_tokens" not in found:
        raise ValueError(
            f"{probe.path} holds no attentive probe: it needs `classifiers` or `classifier` with a pooler, "
            f"and its first tensor names are {', '.join(sorted(probe.state)[:5])}"
        )
    return container._replace(
        state={**container.state, **found},
        stated={**probe.stated, **container.stated, "num_heads": {**_heads(probe), **_heads(container)}},
        notes=(*container.notes, *probe.notes),
    )


def _heads(container: Container) -> Mapping[str, int]:
    num_heads: Mapping[str, int] = container.stated.get("num_heads", {})
    return num_heads


def expected_shapes(config: Mapping[str, Any], networks: tuple[str, ...]) -> dict[str, torch.Size]:
    """Compute the tensors' shapes, by name, of this library's networks, without allocating their memory.

    Args:
        config: Content of ``config.json``.
        networks: Names of the networks that the weights have; ``target_encoder`` and ``head`` add tensors to
            those of a `VideoModel`.
    """
    with torch.device("meta"):
        state = dict(VideoModel(dict(config)).state_dict())
        if "head" in networks:
            embed_dim, classes = config["encoder"]["embed_dim"], len(config["classes"])
            head = build_head(embed_dim=embed_dim, num_classes=classes, **config["head"])
            state |= {f"head.{name}": value for name, value in head.state_dict().items()}
    shapes = {name: value.shape for name, value in state.items()}
    if "target_encoder" in networks:
        twins = {f"target_{name}": shape for name, shape in shapes.items() if name.startswith("encoder.")}
        shapes |= twins
    return shapes
