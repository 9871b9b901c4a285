"""What weights do not tell of themselves: published tables, and what a user says instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, get_args

from vjepa.weights.released.families import TITLES, Family

NETWORKS = ("encoder", "predictor", "decoder", "head")

# Sizes of ViTs with 64 numbers a head, which all families share; "tiny" and "small" are in their authors' code, too.
_VIT = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
# Heads by width. A predictor of V-JEPA and of I-JEPA has its encoder's heads, whatever its width, as has a probe of V-JEPA
# (facebookresearch/jepa at 51c59d5, app/vjepa/utils.py and evals/video_classification_frozen/eval.py; facebookresearch/ijepa at
# 52c1ae9, src/helper.py).
_HEADS: dict[tuple[Family, str], dict[int, int]] = {
    # src/models/vision_transformer.py of facebookresearch/jepa at 51c59d5, and of ijepa at 52c1ae9
    ("vjepa", "encoder"): {**_VIT, 1408: 16, 1664: 16},
    ("ijepa", "encoder"): {**_VIT, 1408: 16},
    # facebookresearch/vjepa2 at c2963a4: src/models/vision_transformer.py, src/hub/backbones.py (predictors),
    # src/models/ac_predictor.py, configs/eval and configs/inference (probes, also of giant)
    ("vjepa2", "encoder"): {**_VIT, 1408: 22, 1664: 26},
    ("vjepa2", "predictor"): {384: 12},
    ("vjepa2", "head"): {1024: 16, 1280: 16, 1408: 16},
    ("vjepa2_ac", "encoder"): {**_VIT, 1408: 22, 1664: 26},
    ("vjepa2_ac", "predictor"): {1024: 16},
    # facebookresearch/vjepa2 at 16de6c8: app/vjepa_2_1/models/vision_transformer.py, src/hub/backbones.py
    ("vjepa2_1", "encoder"): {**_VIT, 1408: 22, 1664: 26},
    ("vjepa2_1", "predictor"): {384: 12},
    # modeling_pretrain.py of MCG-NJU/VideoMAE at 14ef8d8 (its huge has a decoder of 640 with 8 heads) and of
    # OpenGVLab/VideoMAEv2 at 29eab1e, models/
    ("videomae", "encoder"): {**_VIT, 1408: 16},
    ("videomae", "decoder"): {192: 3, 384: 6, 512: 8, 640: 8},
    # facebookresearch/mae at efb2a80, models_mae.py
    ("mae", "encoder"): _VIT,
    ("mae", "decoder"): {512: 16},
}  # fmt: skip
# V-JEPA 2.1, by depth (app/vjepa_2_1/models/vision_transformer.py at be434e4).
_LEVELS = {12: [2, 5, 8, 11], 24: [5, 11, 17, 23], 40: [9, 19, 29, 39], 48: [11, 23, 37, 47]}
# Blocks that V-JEPA 2's probes see, by number of classes and, where it is not the last block alone, by depth (facebookresearch/vjepa2
# at c2963a4, configs/eval/{vitl,vitg-384}/{ssv2,diving48,jester,k400,coin,in1k}.yaml).
_SEVERAL = {24: [17, 19, 21, 23], 40: [24, 29, 34, 39]}
_PROBE_LEVELS: dict[int, dict[int, list[int]] | None] = {
    27: _SEVERAL, 48: _SEVERAL, 174: None, 180: None, 400: None, 1000: None,
}  # fmt: skip


class StatedByUser(NamedTuple):
    """What a user says of weights that they do not tell themselves.

    Attributes:
        family: one of `vjepa.weights.released.families.TITLES`; None where names tell it.
        heads: attention heads by network, of ``encoder``, ``predictor``, ``decoder``, ``head``; of those that no table has.
        levels: of an encoder of V-JEPA 2.1, the blocks that its norms follow.
        probe_levels: the blocks whose tokens a probe sees; empty for the last alone.
    """

    family: Family | None = None
    heads: Mapping[str, int] = {}
    levels: Sequence[int] | None = None
    probe_levels: Sequence[int] | None = None

    def check(self) -> StatedByUser:
        """The same in plain types; ValueError where it names no family, no network or no number of heads."""
        if self.family is not None and (self.family not in get_args(Family) or self.family == "probe"):
            raise ValueError(
                f"family is {self.family!r}: give one of {', '.join(name for name in TITLES if name != 'probe')}"
            )
        if not isinstance(self.heads, Mapping):
            raise ValueError(f"heads are {self.heads!r}: give them by network, such as {{'predictor': 12}}")
        for name, levels in (("levels", self.levels), ("levels of the probe", self.probe_levels)):
            if levels is not None and not _are_whole_numbers(levels):
                raise ValueError(
                    f"{name} are {levels!r}: give a list of numbers of blocks, such as [17, 19, 21, 23]"
                )
        for network, heads in self.heads.items():
            if network not in NETWORKS:
                raise ValueError(f"heads names {network!r}: give heads of {', '.join(NETWORKS)}")
            if not _are_whole_numbers([heads]) or heads < 1:
                raise ValueError(f"heads of the {network} are {heads!r}: give a whole number above 0")
        # Numbers of numpy would not go into a config.json.
        return self._replace(
            heads={network: int(heads) for network, heads in self.heads.items()},
            levels=_as_integers(self.levels),
            probe_levels=_as_integers(self.probe_levels),
        )

    def as_stated(self) -> dict[str, Any]:
        """In the form of `Container.stated`: what is not None."""
        named: dict[str, Any] = {name: value for name, value in self._asdict().items() if value is not None}
        return named if self.heads else {key: value for key, value in named.items() if key != "heads"}


def _as_integers(values: Sequence[int] | None) -> list[int] | None:
    return None if values is None else [int(value) for value in values]


def _are_whole_numbers(values: Any) -> bool:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return False
    return all(isinstance(value, Integral) and not isinstance(value, bool) for value in values)


def heads_of(
    network: str, width: int, family: Family, stated: Mapping[str, Any], *, encoder_heads: int = 0
) -> int:
    """Attention heads of a network.

    Args:
        network: of `NETWORKS`.
        width: of its tokens.
        family: of the weights.
        stated: of the container: ``heads`` has those that a user or `to_meta` said.
        encoder_heads: of the encoder that it stands on, which some families' other networks share.

    Raises:
        ValueError: nobody said it, and no published network of the family has this width.
    """
    said: Mapping[str, int] = stated.get("heads", {})
    if network in said:
        return said[network]
    shares = (family in ("vjepa", "ijepa") and network == "predictor") or (family, network) == (
        "vjepa",
        "head",
    )
    if shares and encoder_heads:
        return encoder_heads
    published = _HEADS.get((family, network), {})
    if width in published:
        return published[width]
    known = ", ".join(f"{heads} of {size}" for size, heads in sorted(published.items()))
    name = {"head": "probe"}.get(network, network)
    said_by = "heads=N" if network == "head" else f'heads={{"{network}": N}}'
    if (family, network) != ("vjepa2_ac", "predictor"):  # a model with actions has no other layout
        said_by += f" (tools/convert.py --heads {network}=N writes a model folder that says it)"
    raise ValueError(
        f"how many heads {'an' if name == 'encoder' else 'a'} {name} of width {width} has cannot be told from its shapes, and no published {name} of "
        f"{TITLES[family]} has that width (heads of widths: {known or 'none'}): say it, {said_by}"
    )


def levels_of(depth: int, norms: int, stated: Mapping[str, Any]) -> list[int]:
    """Blocks that the norms of levels of a V-JEPA 2.1 encoder follow; ValueError where nobody knows."""
    levels = list(stated.get("levels", _LEVELS.get(depth, [])))
    if norms != len(levels):
        raise ValueError(
            f"it has {norms} norms of levels and {depth} blocks, and the levels are {levels or 'unknown'}: published models have "
            "12, 24, 40 or 48 blocks and four levels; say which blocks the norms follow, levels=[...] (tools/convert.py --levels)"
        )
    return levels


def probe_levels_of(classes: int, depth: int, family: Family, stated: Mapping[str, Any]) -> list[int]:
    """Blocks whose tokens a probe sees, empty for the last alone; ValueError where nobody knows."""
    if "probe_levels" in stated:
        return list(stated["probe_levels"])
    if family == "vjepa":
        return []  # evals/video_classification_frozen/eval.py of facebookresearch/jepa at 51c59d5 has no other
    if classes in _PROBE_LEVELS:
        by_depth = _PROBE_LEVELS[classes]
        if by_depth is None or depth in by_depth:
            return [] if by_depth is None else by_depth[depth]
    raise ValueError(
        f"which blocks a probe of {classes} classes on {depth} blocks sees cannot be told from its shapes, and no published probe "
        "is such: say it, levels=[] for the last block alone, or levels=[17, 19, 21, 23] for several (tools/convert.py --levels)"
    )
