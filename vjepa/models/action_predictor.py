"""What an action does: from frames and actions to the next frame, in embedding space.

Shape letters as in `vjepa.tokens`; T frames, S tokens of a frame, A numbers of an action, Q numbers of a state
(proprioception), E the predictor's own width, G condition tokens of a frame.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

import torch
from timm.models.eva import EvaBlock
from torch import Tensor, nn
from torch.nn import functional as F

from vjepa.layers.blocks import init_weights, rotary_block
from vjepa.layers.conditioned_block import ConditionedBlock
from vjepa.layers.positions import RotaryLayout, rotary_table
from vjepa.tokens import Grid

Conditioning = Literal["tokens", "adaln"]


class NextFrame(NamedTuple):
    """The prediction of the frame after each one.

    Attributes:
        tokens_BTSD: its embedding.
        states_BTQ: its state, standardised; None where the predictor does not predict states.
    """

    tokens_BTSD: Tensor
    states_BTQ: Tensor | None


class ActionPredictor(nn.Module):
    """A frame-causal ViT: the tokens of a frame see those of their own and of earlier frames, with their actions.

    Args:
        in_width: of a frame's tokens, D.
        width, depth, heads, mlp_ratio: of the predictor itself.
        action_size: A; 0 for no actions, a plain predictor of the next frame.
        state_size: Q; 0 for no states.
        conditioning: `tokens`, an action and a state token in front of each frame's (V-JEPA 2-AC, arXiv 2506.09985,
            section 3); `adaln`, where they scale and shift the norms (jepa-wms, arXiv 2512.24497; LeWM, arXiv 2603.19312).
        predicts_state: also predict the next state, which a rollout of several steps needs.
        normalised: predictions are brought to mean 0 and deviation 1 over their features, as their targets are.
        rotary_layout: `interleave` for new models, `tile` for released V-JEPA 2-AC weights.
    """

    def __init__(
        self,
        *,
        in_width: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        action_size: int = 0,
        state_size: int = 0,
        conditioning: Conditioning = "tokens",
        predicts_state: bool = False,
        normalised: bool = False,
        rotary_layout: RotaryLayout = "interleave",
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be shared by {heads} heads: give a multiple of the heads")
        if predicts_state and not state_size:
            raise ValueError("predicts_state with state_size 0: there is no state to predict; leave it out")
        self.head_width = width // heads
        self.in_width = in_width
        self.action_size = action_size
        self.state_size = state_size
        self.conditioning = conditioning
        self.normalised = normalised
        self.rotary_layout: RotaryLayout = rotary_layout
        self.embed = nn.Linear(in_width, width)
        self.action_embed = nn.Linear(action_size, width) if action_size else None
        self.state_embed = nn.Linear(state_size, width) if state_size else None
        if conditioning == "tokens":
            self.blocks = nn.ModuleList(rotary_block(width, heads, mlp_ratio) for _ in range(depth))
        else:
            self.blocks = nn.ModuleList(
                ConditionedBlock(width, heads, mlp_ratio, width) for _ in range(depth)
            )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.proj = nn.Linear(width, in_width)
        self.state_proj = nn.Linear(width, state_size) if predicts_state else None
        init_weights(self)
        for block in self.blocks:
            if isinstance(block, ConditionedBlock):
                block.reset_modulation()

    def forward(
        self,
        tokens_BTSD: Tensor,
        actions_BTA: Tensor | None,
        states_BTQ: Tensor | None,
        space: tuple[int, int],
    ) -> NextFrame:
        """Predict, after each frame, the next.

        Args:
            tokens_BTSD: embeddings of T frames.
            actions_BTA: what is done in each of them, standardised; None without actions.
            states_BTQ: the state in each of them, standardised; None without states.
            space: rows and columns that the S tokens of a frame stand in.
        """
        _, frames, places, _ = tokens_BTSD.shape
        self._check(tokens_BTSD, actions_BTA, states_BTQ, space)
        grid = Grid(frames, *space)
        conditions = self._conditions(actions_BTA, states_BTQ)
        rope = rotary_table(grid, self.head_width, self.rotary_layout, tokens_BTSD.device)
        rope_TS = rope.unflatten(0, (frames, places))
        tokens_BTSE = self.embed(tokens_BTSD)
        if self.conditioning == "tokens":
            tokens_BTSE = self._through_tokens(tokens_BTSE, conditions, rope_TS)
        else:
            tokens_BTSE = self._through_adaln(tokens_BTSE, conditions, rope_TS)
        state_BTE = tokens_BTSE[:, :, :-places].sum(dim=2) + tokens_BTSE[:, :, -places:].mean(dim=2)
        predicted_BTSD = self.proj(self.norm(tokens_BTSE[:, :, -places:]))
        if self.normalised:
            predicted_BTSD = F.layer_norm(predicted_BTSD, (self.in_width,))
        states = None if self.state_proj is None else self.state_proj(self.norm(state_BTE))
        return NextFrame(predicted_BTSD, states)

    def _conditions(self, actions_BTA: Tensor | None, states_BTQ: Tensor | None) -> list[Tensor]:
        """Embedded action and state of each frame, ``(B, T, E)``, those that there are."""
        pairs = ((self.action_embed, actions_BTA), (self.state_embed, states_BTQ))
        return [embed(values) for embed, values in pairs if embed is not None]

    def _through_tokens(self, tokens_BTSE: Tensor, conditions: list[Tensor], rope_TS: Tensor) -> Tensor:
        """Conditions stand in front of each frame's tokens; in space, they are at its corner."""
        frames, places = tokens_BTSE.shape[1:3]
        tokens_BTXE = torch.cat([*(part.unsqueeze(2) for part in conditions), tokens_BTSE], dim=2)
        # Released V-JEPA 2-AC turns condition tokens by their time alone: what a row and column of 0 amount to.
        corner_TG = rope_TS[:, :1].expand(-1, len(conditions), -1)
        rope = torch.cat([corner_TG, rope_TS], dim=1).flatten(0, 1).unsqueeze(0)
        mask = frame_causal_mask(frames, places + len(conditions), tokens_BTSE.device)
        tokens_BXE = tokens_BTXE.flatten(1, 2)
        for block in self.blocks:
            tokens_BXE = cast(EvaBlock, block)(tokens_BXE, rope=rope, attn_mask=mask)
        return tokens_BXE.unflatten(1, (frames, -1))

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
    """Which key each query may see, bool ``(T * places, T * places)``: all of its own frame and of earlier ones.

    Made for the length in use, which is short; None where one frame sees all of itself.
    """
    if frames == 1:
        return None
    frame_X = torch.arange(frames, device=device).repeat_interleave(places)
    return frame_X[:, None] >= frame_X[None, :]
