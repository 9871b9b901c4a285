"""A block-causal encoder on an endless video."""

from __future__ import annotations

from typing import cast

import torch
from timm.models.eva import EvaBlock
from torch import Tensor

from vjepa.grid import Grid
from vjepa.layers.key_value_cache import KeyValueCache, block_step
from vjepa.layers.positions import rotary_table
from vjepa.models.encoder import VideoEncoder


class CausalStream:
    """Encodes a video one time step at a time, at constant cost and memory per time step.

    In every block, a time step attends to itself and to the cached keys and values of the `steps` - 1 time
    steps before it. Up to `steps` time steps, the tokens equal those that the encoder computes for the whole
    clip. After that, they equal those of an encoder whose attention is limited to the latest `steps` time
    steps.

    Args:
        encoder: Block-causal encoder with rotary positions. Other positions exist only within a clip.
        steps: Number of time steps in the cache, including the newest.

    Raises:
        ValueError: The encoder is bidirectional, or its positions are not rotary.
    """

    def __init__(self, encoder: VideoEncoder, steps: int) -> None:
        transformer = encoder.transformer
        if not transformer.causal or transformer.positions != "rotary":
            kind = "causal" if transformer.causal else "bidirectional"
            raise ValueError(
                f"a {kind} encoder with {transformer.positions} positions cannot encode a video step by "
                "step: give a causal one with rotary positions (encoder.causal: true), or encode a sliding "
                "window"
            )
        self.encoder = encoder
        self.caches = [KeyValueCache(steps) for _ in transformer.blocks]
        self.seen = 0

    @torch.no_grad()
    def step(self, video_BCTHW: Tensor) -> Tensor:
        """Encode the next time step and return its tokens of all levels, ``(B, S, Y)``.

        Args:
            video_BCTHW: Normalised frames of one time step, as many as a tubelet has.
        """
        grid = self.encoder.grid_of(video_BCTHW)
        assert grid.t == 1, f"{grid.t} time steps were given at once"
        with self.encoder.computing():
            return self._step(video_BCTHW, grid).to(video_BCTHW.dtype)

    def _step(self, video_BCTHW: Tensor, grid: Grid) -> Tensor:
        transformer = self.encoder.transformer
        tokens_BSD = self.encoder.embed_tubelets(video_BCTHW, is_image=False)
        table = rotary_table(
            grid,
            transformer.head_dim,
            transformer.rotary_layout,
            first_step=self.seen,
            trained_side=transformer.trained_side,
            device=tokens_BSD.device,
        )
        levels = []
        for number, (block, cache) in enumerate(zip(transformer.blocks, self.caches, strict=True)):
            tokens_BSD = block_step(cast(EvaBlock, block), tokens_BSD, table.unsqueeze(0), cache)
            if str(number) in transformer.level_norms:
                levels.append(transformer.level_norms[str(number)](tokens_BSD))
        self.seen += 1
        return torch.cat([*levels, transformer.norm(tokens_BSD)], dim=-1)
