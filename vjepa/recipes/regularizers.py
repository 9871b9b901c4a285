"""Regularizers of embeddings, built from the sections `objective.sigreg` and `objective.vicreg`."""

from __future__ import annotations

import dataclasses

from torch import nn

from vjepa.config.sections import SIGRegConfig, VICRegConfig
from vjepa.objectives.regularizers import Projector, SIGReg, VICReg


def build_regularizers(
    sigreg: SIGRegConfig | None, vicreg: VICRegConfig | None, embed_dim: int
) -> list[nn.Module]:
    """Build the regularizers that a configuration asks for, for embeddings of dimension `embed_dim`."""
    found: list[nn.Module] = []
    if sigreg is not None:
        projector = build_projector(sigreg, embed_dim)
        found.append(SIGReg(sigreg.weight, sigreg.directions, sigreg.places, projector))
    if vicreg is not None:
        found.append(VICReg(**dataclasses.asdict(vicreg)))
    return found


def build_projector(sigreg: SIGRegConfig, embed_dim: int) -> Projector | None:
    """Build the projector in front of SIGReg; None if the configuration has none."""
    sizes = sigreg.projector
    return None if sizes is None else Projector(embed_dim, sizes.hidden_dim, sizes.out_dim)
