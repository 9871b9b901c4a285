"""What happens to clips that a classifier learns from: uint8, and one draw for all frames of a clip."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2

from vjepa.data.transforms import Size, train_transform

_STRENGTHS = 11  # operations have the strengths 0 to 10


def augment_transform(
    size: Size,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (0.75, 1.3333),
    flip: bool = False,
    randaugment: tuple[int, int] | None = None,
    erase: float = 0.0,
) -> nn.Module:
    """Crop, flip, RandAugment, erase: uint8 ``(T, C, H, W) -> (T, C, h, w)``. It draws from torch's global generator.

    VideoMAE and V-JEPA's probes have timm's "rand-m7-n4-mstd0.5-inc1" and erase a quarter of the clips: here
    ``randaugment=(4, 7), erase=0.25``. RandAugment is torchvision's: the same operations, whose strength does not vary
    around the given one.

    Args:
        size: pixels of a side, or (h, w).
        scale, ratio, flip: of the crop, as of `train_transform`.
        randaugment: number of operations of a clip, and their strength from 0 to 10; None for none.
        erase: share of the clips in which a box is filled with noise.
    """
    parts = [train_transform(size, scale, ratio, flip)]
    if randaugment is not None:
        operations, strength = randaugment
        if operations < 1 or not 0 <= strength < _STRENGTHS:
            raise ValueError(
                f"randaugment is {randaugment}: give a number of operations and a strength from 0 to {_STRENGTHS - 1}"
            )
        parts.append(v2.RandAugment(operations, strength, num_magnitude_bins=_STRENGTHS))
    if not 0 <= erase <= 1:
        raise ValueError(f"erase is {erase}: give a share of the clips in [0, 1]")
    if erase:
        parts.append(NoiseErasing(p=erase))
    return v2.Compose(parts)


class NoiseErasing(v2.RandomErasing):
    """torchvision's, with noise in bytes: its own is for floats."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The box, and what it is filled with: the same in all frames."""
        params = super().make_params(flat_inputs)
        value = params["v"]
        if value is not None:
            params["v"] = torch.randint(
                0, 256, (flat_inputs[0].shape[-3], params["h"], params["w"]), dtype=torch.uint8
            )
        return params
