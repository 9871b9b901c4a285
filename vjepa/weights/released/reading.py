"""Read released weights into what a model folder of ours holds."""

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
    """Released weights, as a model folder of ours has them.

    Attributes:
        family: of the weights (`vjepa.weights.released.families.Family`).
        config: of a model folder: networks, ``clip``, ``future``, ``pixels``, and of a classifier its head and classes.
        tensors: named ``encoder.*``, ``target_encoder.*``, ``predictor.*``, ``decoder.*``, ``head.*``.
        notes: what a user must know: what was left out, what the weights do not tell.
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
    """Read a file, or a folder of transformers.

    Args:
        source: ``.pt``, ``.pth.tar``, ``.safetensors``, or a folder with transformers' config.json.
        probe: a file with an attentive probe of V-JEPA 2, to stand on an encoder from `source`.
        strict: missing, unexpected and reshaped tensors are an error; else they are named in the notes and left aside.
        by_user: what a user says of the weights that they do not tell.

    Raises:
        ValueError: it is damaged, wants code to be run, is of no known family, does not fit its family, or does not tell what no
            published table knows and nobody said; every missing, unexpected or reshaped name is listed.
    """
    container = open_container(Path(source))
    if probe is not None:
        container = _with_probe(container, open_container(Path(probe)))
    return from_container(container.with_statements(by_user), strict=strict, by_user=by_user)


def is_released(path: Path) -> bool:
    """Whether weights here are others': a file, or a folder whose config.json is transformers'."""
    description = path / "config.json"
    return path.is_file() or (description.is_file() and "model_type" in read_json(description))


def from_container(container: Container, *, strict: bool = True, by_user: StatedByUser = NOTHING) -> Released:
    """The same, of an open file, or of a state dictionary in memory: ``Container(Path("mine"), state)``."""
    plain = plain_names(container.state)
    shapes = {name: tuple(value.shape) for name, value in plain.items()}
    try:
        family, layout = recognise(shapes, container.stated.get("family"))
        draft = _draft(family, layout, container, plain)
        _refuse_needless(by_user, draft, layout)
        rows = meta_rows if layout == "meta" else transformers_rows
        expected = expected_shapes(draft.config, draft.networks)
        tensors, problems = read_rows(rows(draft.config, draft.networks), draft.state, expected)
    except Exception as error:  # whatever odd names and shapes of a damaged file lead to is that file's fault
        where = str(container.path)
        raise ValueError(str(error) if where in str(error) else f"{where}: {error}") from error
    if problems and strict:
        raise ValueError(
            f"the weights in {container.path} are not all of {TITLES[family]}'s; strict=False takes what fits:\n  "
            + "\n  ".join(problems)
        )
    notes = (*draft.notes, *problems)
    origin = {"family": family, "layout": layout, "file": container.path.name, "notes": list(notes)}
    config = {**draft.config, "released": origin}
    if family in LICENCES:
        config["licence"] = LICENCES[family]
    # What a folder would give back: lists for tuples.
    return Released(family, json.loads(json.dumps(config)), tensors, notes)


def _refuse_needless(by_user: StatedByUser, draft: Draft, layout: Layout) -> None:
    """ValueError where a user says something that is not asked: it would go unused without a word."""
    for network in by_user.heads:
        if network not in draft.config:
            raise ValueError(f"heads are given for the {network}, and the weights have none")
        known = draft.config[network].get("heads")
        if known != by_user.heads[network]:
            raise ValueError(
                f"heads of the {network} are given as {by_user.heads[network]}, and config.json says {known}"
            )
    if by_user.levels is not None and not draft.config["encoder"].get("levels"):
        raise ValueError(
            "levels are given, and only an encoder of V-JEPA 2.1 has norms of levels: leave them out"
        )
    if by_user.probe_levels is not None and ("head" not in draft.networks or layout == "transformers"):
        raise ValueError(
            "levels are given, and the weights have no attentive probe of the authors: leave them out"
        )


def _draft(family: Family, layout: Layout, container: Container, plain: dict[str, Tensor]) -> Draft:
    if layout == "meta":
        return meta_draft(family, container)
    return transformers_draft(family, container, plain)


def _with_probe(container: Container, probe: Container) -> Container:
    if container.description is not None:
        raise ValueError(
            f"{container.path} is a folder of transformers, and a probe stands on an encoder in the authors' own file: give that, "
            "or write one (tools/convert.py FOLDER --to meta)"
        )
    found = {name: value for name, value in probe.state.items() if name.startswith("classifier.")}
    if "classifier.pooler.query_tokens" not in found:
        raise ValueError(
            f"{probe.path} holds no attentive probe: it needs `classifiers` or `classifier` with a pooler, and its names begin "
            f"{', '.join(sorted(probe.state)[:5])}"
        )
    return container._replace(
        state={**container.state, **found},
        stated={**probe.stated, **container.stated, "heads": {**_heads(probe), **_heads(container)}},
        notes=(*container.notes, *probe.notes),
    )


def _heads(container: Container) -> Mapping[str, int]:
    heads: Mapping[str, int] = container.stated.get("heads", {})
    return heads


def expected_shapes(config: Mapping[str, Any], networks: tuple[str, ...]) -> dict[str, torch.Size]:
    """Shapes of a model of ours, by name, without its memory."""
    with torch.device("meta"):
        state = dict(VideoModel(dict(config)).state_dict())
        if "head" in networks:
            width, classes = config["encoder"]["width"], len(config["classes"])
            head = build_head(width=width, num_classes=classes, **config["head"])
            state |= {f"head.{name}": value for name, value in head.state_dict().items()}
    shapes = {name: value.shape for name, value in state.items()}
    if "target_encoder" in networks:
        twins = {f"target_{name}": shape for name, shape in shapes.items() if name.startswith("encoder.")}
        shapes |= twins
    return shapes
