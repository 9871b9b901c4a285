"""Facts about weights that files do not store: tables of published models, and statements by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, get_args

from vjepa.weights.released.families import TITLES, Family

NETWORKS = ("encoder", "predictor", "decoder", "head")

# Heads by width of standard ViTs, which all families share; the authors' code has "tiny" and "small", too.
_VIT = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
# Heads by width. A predictor of V-JEPA or I-JEPA, and a probe of V-JEPA, has as many heads as its encoder,
# whatever its width (facebookresearch/jepa at 51c59d5, app/vjepa/utils.py and
# evals/video_classification_frozen/eval.py; facebookresearch/ijepa at 52c1ae9, src/helper.py).
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
# Indices of the blocks that V-JEPA 2.1's level norms follow, by depth
# (app/vjepa_2_1/models/vision_transformer.py at be434e4).
_LEVELS = {12: [2, 5, 8, 11], 24: [5, 11, 17, 23], 40: [9, 19, 29, 39], 48: [11, 23, 37, 47]}
# Indices of the blocks that V-JEPA 2's probes see, by number of classes and by depth; None for the last block
# alone (facebookresearch/vjepa2 at c2963a4,
# configs/eval/{vitl,vitg-384}/{ssv2,diving48,jester,k400,coin,in1k}.yaml).
_SEVERAL = {24: [17, 19, 21, 23], 40: [24, 29, 34, 39]}
_PROBE_LEVELS: dict[int, dict[int, list[int]] | None] = {
    27: _SEVERAL, 48: _SEVERAL, 174: None, 180: None, 400: None, 1000: None,
}  # fmt: skip


class StatedByUser(NamedTuple):
    """What a user states about weights because their file does not store it.

    Attributes:
        family: Family of the weights, a key of `vjepa.weights.released.families.TITLES`; None recognises it
            by the tensors' names.
        num_heads: Number of attention heads by network (``encoder``, ``predictor``, ``decoder``, ``head``).
            Needed only for networks whose width no published model has.
        levels: Indices of the blocks that the level norms of a V-JEPA 2.1 encoder follow; None takes those of
            the published model of this depth.
        probe_levels: Indices of the blocks whose tokens a probe sees; empty for the last block alone. None
            takes those of the published probe.
    """

    family: Family | None = None
    num_heads: Mapping[str, int] = {}
    levels: Sequence[int] | None = None
    probe_levels: Sequence[int] | None = None

    def check(self) -> StatedByUser:
        """The same statements in plain Python types.

        Raises:
            ValueError: The family or a network is unknown, or a number of heads or a block index is
                impossible.
        """
        if self.family is not None and (self.family not in get_args(Family) or self.family == "probe"):
            known = ", ".join(name for name in TITLES if name != "probe")
            raise ValueError(f"family is {self.family!r}: give one of {known}")
        if not isinstance(self.num_heads, Mapping):
            raise ValueError(
                f"heads are {self.num_heads!r}: give them by network, such as {{'predictor': 12}}"
            )
        for name, levels in (("levels", self.levels), ("levels of the probe", self.probe_levels)):
            if levels is not None and not _are_whole_numbers(levels):
                raise ValueError(
                    f"{name} are {levels!r}: give a list of block indices, such as [17, 19, 21, 23]"
                )
        for network, num_heads in self.num_heads.items():
            if network not in NETWORKS:
                raise ValueError(f"heads names {network!r}: give heads of {', '.join(NETWORKS)}")
            if not _are_whole_numbers([num_heads]) or num_heads < 1:
                raise ValueError(f"heads of the {network} are {num_heads!r}: give a whole number above 0")
        # NumPy integers cannot be written to config.json.
        return self._replace(
            num_heads={network: int(num_heads) for network, num_heads in self.num_heads.items()},
            levels=_as_integers(self.levels),
            probe_levels=_as_integers(self.probe_levels),
        )

    def as_stated(self) -> dict[str, Any]:
        """The statements that were made, by field name, as `Container.stated` holds them."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def _as_integers(values: Sequence[int] | None) -> list[int] | None:
    return None if values is None else [int(value) for value in values]


def _are_whole_numbers(values: Any) -> bool:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return False
    return all(isinstance(value, Integral) and not isinstance(value, bool) for value in values)


def num_heads_of(
    network: str, embed_dim: int, family: Family, stated: Mapping[str, Any], *, encoder_num_heads: int = 0
) -> int:
    """Look up a network's number of attention heads: as stated, else by the family's published sizes.

    Args:
        network: Name of the network, one of `NETWORKS`.
        embed_dim: Embedding dimension of the network's tokens.
        family: Family of the weights.
        stated: Facts stated in the file or by the user (`Container.stated`); ``num_heads`` maps networks to
            their numbers of heads.
        encoder_num_heads: Number of heads of the encoder that the network belongs to, which other networks of
            some families share; 0 where it is unknown.

    Raises:
        ValueError: The number is not stated, and no published network of the family has this width.
    """
    said: Mapping[str, int] = stated.get("num_heads", {})
    if network in said:
        return said[network]
    shares = (family in ("vjepa", "ijepa") and network == "predictor") or (family, network) == (
        "vjepa",
        "head",
    )
    if shares and encoder_num_heads:
        return encoder_num_heads
    published = _HEADS.get((family, network), {})
    if embed_dim in published:
        return published[embed_dim]
    known = ", ".join(f"{num_heads} of {size}" for size, num_heads in sorted(published.items()))
    name = {"head": "probe"}.get(network, network)
    remedy = "num_heads=N" if network == "head" else f'num_heads={{"{network}": N}}'
    if (family, network) != ("vjepa2_ac", "predictor"):  # vjepa convert has no action-conditioned models
        remedy += f" (vjepa convert --num_heads {network}=N writes a model folder that stores it)"
    raise ValueError(
        f"how many heads {'an' if name == 'encoder' else 'a'} {name} of embed_dim {embed_dim} has cannot be "
        f"read from its shapes, and no published {name} of {TITLES[family]} has that width (heads of widths: "
        f"{known or 'none'}): give {remedy}"
    )


def levels_of(depth: int, norms: int, stated: Mapping[str, Any]) -> list[int]:
    """Look up the blocks that the level norms of a V-JEPA 2.1 encoder follow.

    Args:
        depth: Number of blocks of the encoder.
        norms: Number of its level norms.
        stated: Facts stated in the file or by the user (`Container.stated`).

    Returns:
        Indices of the blocks.

    Raises:
        ValueError: They are not stated and no published model has this depth, or their number is not `norms`.
    """
    levels = list(stated.get("levels", _LEVELS.get(depth, [])))
    if norms != len(levels):
        raise ValueError(
            f"it has {norms} level norms and {depth} blocks, and the levels are {levels or 'unknown'}: "
            "published models have 12, 24, 40 or 48 blocks and four levels; give the indices of the blocks "
            "that the norms follow, levels=[...] (vjepa convert --levels)"
        )
    return levels


def probe_levels_of(classes: int, depth: int, family: Family, stated: Mapping[str, Any]) -> list[int]:
    """Look up the blocks whose tokens a probe sees.

    Args:
        classes: Number of classes of the probe.
        depth: Number of blocks of its encoder.
        family: Family of the encoder.
        stated: Facts stated in the file or by the user (`Container.stated`).

    Returns:
        Indices of the blocks; empty for the last block alone.

    Raises:
        ValueError: They are not stated, and no published probe has these classes and this depth.
    """
    if "probe_levels" in stated:
        return list(stated["probe_levels"])
    if family == "vjepa":
        # The only choice in facebookresearch/jepa at 51c59d5, evals/video_classification_frozen/eval.py.
        return []
    if classes in _PROBE_LEVELS:
        by_depth = _PROBE_LEVELS[classes]
        if by_depth is None or depth in by_depth:
            return [] if by_depth is None else by_depth[depth]
    raise ValueError(
        f"which blocks a probe of {classes} classes on {depth} blocks sees cannot be read from its shapes, "
        "and there is no such published probe: give levels=[] for the last block alone, or "
        "levels=[17, 19, 21, 23] for several (vjepa convert --levels)"
    )
