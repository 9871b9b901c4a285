"""A block-causal encoder on an endless video."""

from __future__ import annotations

from typing import cast

import torch
from timm.models.eva import EvaBlock
from torch import Tensor

from vjepa.layers.key_value_cache import KeyValueCache, block_step
from vjepa.layers.positions import rotary_table
from vjepa.models.encoder import VideoEncoder


class CausalStream:
    """Encodes a video one time step at a time; every time step costs the same, and memory does not grow.

    In every block, a time step attends to itself and to the `steps` - 1 before it, whose keys and values are
    kept. Up to `steps` time steps this gives what the encoder gives for the whole clip; after that, what it
    would give with its attention limited to that many time steps.

    Args:
        encoder: Block-causal encoder with rotary positions; other positions end with the clip.
        steps: Time steps that are kept, the newest included.
    """

    def __init__(self, encoder: VideoEncoder, steps: int) -> None:
        transformer = encoder.transformer
        if not transformer.causal or transformer.positions != "rotary":
            kind = "causal" if transformer.causal else "bidirectional"
            raise ValueError(
                f"a {kind} encoder with {transformer.positions} positions cannot be continued step by step: "
                "give a causal one "
                "with rotary positions (encoder.causal: true), or encode a sliding window"
            )
        self.encoder = encoder
        self.caches = [KeyValueCache(steps) for _ in transformer.blocks]
        self.seen = 0

    @torch.no_grad()
    def step(self, video_BCTHW: Tensor) -> Tensor:
        """Encode the normalised frames of the next time step, one tubelet deep.

        Tokens of all levels, ``(B, S, Y)``.
        """
        transformer, grid = self.encoder.transformer, self.encoder.grid_of(video_BCTHW)
        assert grid.t == 1, f"{grid.t} time steps were given at once"
        tokens_BSD = self.encoder.patch_embed(video_BCTHW)
        table = rotary_table(
            grid,
            transformer.head_width,
            transformer.rotary_layout,
            tokens_BSD.device,
            self.seen,
            transformer.trained_side,
        )
        levels = []
        for number, (block, cache) in enumerate(zip(transformer.blocks, self.caches, strict=True)):
            tokens_BSD = block_step(cast(EvaBlock, block), tokens_BSD, table.unsqueeze(0), cache)
            if str(number) in transformer.level_norms:
                levels.append(transformer.level_norms[str(number)](tokens_BSD))
        self.seen += 1
        return torch.cat([*levels, transformer.norm(tokens_BSD)], dim=-1).to(video_BCTHW.dtype)
