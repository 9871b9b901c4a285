"""What is hidden of each clip: the section `masks`."""

from __future__ import annotations

from dataclasses import dataclass

from vjepa.masks.future import FutureMask
from vjepa.masks.image_blocks import ImageBlocks
from vjepa.masks.multiblock import MultiBlock
from vjepa.masks.random import RandomMask, TubeMask


@dataclass(frozen=True, kw_only=True)
class MasksConfig:
    """Masks of every clip; each listed mask is one prediction task.

    All listed masks are drawn for every clip, unless `future_share` alternates between kinds of steps.

    Attributes:
        multiblock: Multi-block masks: unions of blocks are hidden (V-JEPA). The default is the published
            pair.
        tube: Tube masks: the same positions are hidden at all times (VideoMAE).
        random: Random masks: single tokens are hidden (MAE).
        image_blocks: Block masks for images: one large block is the context, several smaller ones are
            separate targets (I-JEPA).
        future: Future masks: the end of the clip is hidden.
        future_share: Share of the optimiser steps, in (0, 1), that draw the future masks alone; the other
            steps draw all other masks. Null draws all masks at every step.
    """

    multiblock: tuple[MultiBlock, ...] = (
        MultiBlock(num_blocks=8, spatial_scale=(0.15, 0.15)),
        MultiBlock(num_blocks=2, spatial_scale=(0.7, 0.7)),
    )
    tube: tuple[TubeMask, ...] = ()
    random: tuple[RandomMask, ...] = ()
    image_blocks: tuple[ImageBlocks, ...] = ()
    future: tuple[FutureMask, ...] = ()
    future_share: float | None = None

    @property
    def all(self) -> tuple[MultiBlock | TubeMask | RandomMask | ImageBlocks | FutureMask, ...]:
        """All masks, in the order of their mask tokens in the predictor."""
        return tuple(self.by_name.values())

    @property
    def each_step(self) -> bool:
        """Whether any mask predicts each time step from those before it."""
        return any(mask.each_step for mask in self.future)

    @property
    def by_name(self) -> dict[str, MultiBlock | TubeMask | RandomMask | ImageBlocks | FutureMask]:
        """The same masks by their key in the configuration, such as ``masks.multiblock[0]``."""
        families: dict[str, tuple[MultiBlock | TubeMask | RandomMask | ImageBlocks | FutureMask, ...]] = {
            "multiblock": self.multiblock,
            "tube": self.tube,
            "random": self.random,
            "image_blocks": self.image_blocks,
            "future": self.future,
        }
        return {
            f"masks.{family}[{number}]": mask
            for family, masks in families.items()
            for number, mask in enumerate(masks)
        }

    def __post_init__(self) -> None:
        if self.future_share is None:
            return
        if not 0 < self.future_share < 1:
            raise ValueError(
                f"masks.future_share is {self.future_share}: give a share of the steps in (0, 1)"
            )
        if not self.future or len(self.all) == len(self.future):
            raise ValueError(
                "masks.future_share needs masks.future and another kind of mask to choose between"
            )
