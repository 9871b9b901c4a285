"""The predictor of the action-conditioned model: embeddings of the next frame from frames and actions."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from timm.models.eva import EvaBlock
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.choices import Conditioning, RotaryLayout
from vjepa.grid import Grid
from vjepa.layers.blocks import init_weights, rotary_block
from vjepa.layers.conditioned_block import ConditionedBlock
from vjepa.layers.positions import rotary_table
from vjepa.models.network import Network, in_own_precision


class NextFrame(NamedTuple):
    """Predictions, for each input frame, of the frame after it.

    Attributes:
        tokens_BTSD: Embeddings of the next frames.
        states_BTQ: Standardised states in the next frames. None if the predictor does not predict states.
    """

    tokens_BTSD: Tensor
    states_BTQ: Tensor | None


class ActionPredictor(Network):
    """A frame-causal ViT: tokens of a frame attend to those of this and earlier frames and to their actions.

    Args:
        in_dim: Width D of a frame's tokens.
        embed_dim: Width E of the predictor's blocks.
        depth: Number of blocks.
        num_heads: Number of attention heads per block; it must divide `embed_dim`.
        mlp_ratio: Width of each block's MLP divided by `embed_dim`.
        action_size: Numbers of an action, A. 0 builds a predictor of the next frame without actions.
        state_size: Numbers of a state (proprioception), Q. 0 builds a predictor without states.
        conditioning: How actions and states enter. `tokens` puts an action and a state token in front of each
            frame's tokens (V-JEPA 2-AC, arXiv 2506.09985, section 3). `adaln` scales and shifts the norms
            with them (jepa-wms, arXiv 2512.24497; LeWM, arXiv 2603.19312).
        predicts_state: Also predict the next state. A rollout of several steps needs it if the model takes
            states and their kinematics are not known.
        normalised: Normalise predictions to mean 0 and standard deviation 1 over their features, as the
            targets are.
        rotary_layout: Layout of rotary positions: `interleave` for new models, `tile` for released V-JEPA
            2-AC weights.

    Raises:
        ValueError: If `num_heads` does not divide `embed_dim`, or if `predicts_state` is set with a
            `state_size` of 0.
    """

    def __init__(
        self,
        *,
        in_dim: int,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        action_size: int = 0,
        state_size: int = 0,
        conditioning: Conditioning = "tokens",
        predicts_state: bool = False,
        normalised: bool = False,
        rotary_layout: RotaryLayout = "interleave",
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(
                f"embed_dim {embed_dim} cannot be shared by {num_heads} heads: give a multiple of the heads"
            )
        if predicts_state and not state_size:
            raise ValueError("predicts_state with state_size 0: there is no state to predict; leave it out")
        self.head_dim = embed_dim // num_heads
        self.in_dim = in_dim
        self.action_size = action_size
        self.state_size = state_size
        self.conditioning = conditioning
        self.normalised = normalised
        self.rotary_layout: RotaryLayout = rotary_layout
        self.embed = nn.Linear(in_dim, embed_dim)
        self.action_embed = nn.Linear(action_size, embed_dim) if action_size else None
        self.state_embed = nn.Linear(state_size, embed_dim) if state_size else None
        if conditioning == "tokens":
            self.blocks = nn.ModuleList(rotary_block(embed_dim, num_heads, mlp_ratio) for _ in range(depth))
        else:
            self.blocks = nn.ModuleList(
                ConditionedBlock(embed_dim, num_heads, mlp_ratio, embed_dim) for _ in range(depth)
            )
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.proj = nn.Linear(embed_dim, in_dim)
        self.state_proj = nn.Linear(embed_dim, state_size) if predicts_state else None
        init_weights(self)
        for block in self.blocks:
            if isinstance(block, ConditionedBlock):
                block.reset_modulation()

    @in_own_precision
    def forward(
        self,
        tokens_BTSD: Tensor,
        actions_BTA: Tensor | None,
        states_BTQ: Tensor | None,
        space: tuple[int, int],
    ) -> NextFrame:
        """Predict the next frame after each frame.

        Args:
            tokens_BTSD: Embeddings of T frames.
            actions_BTA: Standardised action taken in each frame. None for a predictor without actions.
            states_BTQ: Standardised state in each frame. None for a predictor without states.
            space: Rows and columns of the grid of a frame's S tokens.

        Raises:
            ValueError: If a shape does not fit the predictor.
        """
        _, frames, places, _ = tokens_BTSD.shape
        self._check(tokens_BTSD, actions_BTA, states_BTQ, space)
        grid = Grid(frames, *space)
        conditions = self._conditions(actions_BTA, states_BTQ)
        rope = rotary_table(grid, self.head_dim, self.rotary_layout, device=tokens_BTSD.device)
        rope_TS = rope.unflatten(0, (frames, places))
        tokens_BTSE = self.embed(tokens_BTSD)
        if self.conditioning == "tokens":
            tokens_BTSE = self._through_tokens(tokens_BTSE, conditions, rope_TS)
        else:
            tokens_BTSE = self._through_adaln(tokens_BTSE, conditions, rope_TS)
        state_BTE = tokens_BTSE[:, :, :-places].sum(dim=2) + tokens_BTSE[:, :, -places:].mean(dim=2)
        predicted_BTSD = self.proj(self.norm(tokens_BTSE[:, :, -places:]))
        if self.normalised:
            predicted_BTSD = F.layer_norm(predicted_BTSD, (self.in_dim,))
        states = None if self.state_proj is None else self.state_proj(self.norm(state_BTE))
        return NextFrame(predicted_BTSD, states)

    def _conditions(self, actions_BTA: Tensor | None, states_BTQ: Tensor | None) -> list[Tensor]:
        """Embed the actions and states of all frames, ``(B, T, E)`` each, those that the predictor takes."""
        pairs = ((self.action_embed, actions_BTA), (self.state_embed, states_BTQ))
        return [embed(values) for embed, values in pairs if embed is not None]

    def _through_tokens(self, tokens_BTSE: Tensor, conditions: list[Tensor], rope_TS: Tensor) -> Tensor:
        """Run the blocks with condition tokens in front of each frame's tokens, at row and column 0."""
        frames, places = tokens_BTSE.shape[1:3]
        tokens_BTNE = torch.cat([*(part.unsqueeze(2) for part in conditions), tokens_BTSE], dim=2)
        # The released V-JEPA 2-AC rotates condition tokens by their time only, which equals row and column 0.
        corner = rope_TS[:, :1].expand(-1, len(conditions), -1)
        rope = torch.cat([corner, rope_TS], dim=1).flatten(0, 1).unsqueeze(0)
        mask = frame_causal_mask(frames, places + len(conditions), tokens_BTSE.device)
        tokens_BNE = tokens_BTNE.flatten(1, 2)
        for block in self.blocks:
            tokens_BNE = cast(EvaBlock, block)(tokens_BNE, rope=rope, attn_mask=mask)
        return tokens_BNE.unflatten(1, (frames, -1))

    def _through_adaln(self, tokens_BTSE: Tensor, conditions: list[Tensor], rope_TS: Tensor) -> Tensor:
        frames, places = tokens_BTSE.shape[1:3]
        none = tokens_BTSE.new_zeros(len(tokens_BTSE), frames, tokens_BTSE.shape[-1])
        condition_BTE = sum(conditions, none)
        mask = frame_causal_mask(frames, places, tokens_BTSE.device)
        rope = rope_TS.flatten(0, 1).unsqueeze(0)
        for block in self.blocks:
            tokens_BTSE = cast(ConditionedBlock, block)(tokens_BTSE, condition_BTE, rope, mask)
        return tokens_BTSE

    def _check(
        self,
        tokens_BTSD: Tensor,
        actions_BTA: Tensor | None,
        states_BTQ: Tensor | None,
        space: tuple[int, int],
    ) -> None:
        batch, frames, places, _ = tokens_BTSD.shape
        if space[0] * space[1] != places:
            raise ValueError(f"frames have {places} tokens and space is {space}: give their rows and columns")
        wanted = (("actions", self.action_size, actions_BTA), ("states", self.state_size, states_BTQ))
        for name, size, values in wanted:
            found = None if values is None else tuple(values.shape)
            if found != ((batch, frames, size) if size else None):
                raise ValueError(
                    f"{name} have shape {found} for {batch} clips of {frames} frames: this model takes "
                    + (f"{(batch, frames, size)}" if size else f"no {name}")
                )


def frame_causal_mask(frames: int, places: int, device: torch.device | None = None) -> Tensor | None:
    """Attention mask, bool ``(N, N)`` with N = frames * places, that is true where a query may see a key.

    A query sees the tokens of its own and of earlier frames. For a single frame the mask is None: every token
    sees all others.
    """
    if frames == 1:
        return None
    frame_N = torch.arange(frames, device=device).repeat_interleave(places)
    return frame_N[:, None] >= frame_N[None, :]
