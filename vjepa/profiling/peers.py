"""Other libraries' networks at work, to time beside those of this library on the same clips.

transformers is that of the installed package. The V-JEPA step of Meta (facebookresearch/vjepa2, read at
c2963a4) is that of a checkout: its encoder, predictor and their wrappers are imported, and the step takes its
course from ``train_step`` in app/vjepa/train.py, without scheduler and gradient scaler.

All peers get clips as normalised floats, while this library normalises bytes within the timed work.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from vjepa.batch import Batch

Run = Callable[[AbstractContextManager[object]], object]
"""Does the work once; its argument is the context of forward passes, which sets their precision."""


def hf_encoder(video_BTCHW: Tensor, *, depth: int) -> Run:
    """Return a forward pass of transformers' V-JEPA 2 encoder at the size of ViT-S/16."""
    transformers = _transformers()
    frames, height = video_BTCHW.shape[1], video_BTCHW.shape[3]
    config = transformers.VJEPA2Config(
        crop_size=height, frames_per_clip=frames, patch_size=16, tubelet_size=2, hidden_size=384,
        num_attention_heads=6, num_hidden_layers=depth, mlp_ratio=4.0, attn_implementation="sdpa",
    )  # fmt: skip
    model = transformers.VJEPA2Model(config).to(video_BTCHW.device).eval()

    def encode(precision: AbstractContextManager[object]) -> Tensor:
        with torch.no_grad(), precision:
            hidden: Tensor = model(video_BTCHW, skip_predictor=True).last_hidden_state
        return hidden

    return encode


def hf_videomae_step(video_BTCHW: Tensor, hidden_BN: Tensor, *, depth: int) -> Run:
    """Return a training step of transformers' VideoMAE at the size of ViT-S/16, decoder 192 wide, 4 deep.

    Args:
        video_BTCHW: Normalised clips.
        hidden_BN: Whether a token is hidden, bool; as many tokens for each clip.
        depth: Number of the encoder's blocks.
    """
    transformers = _transformers()
    frames, height = video_BTCHW.shape[1], video_BTCHW.shape[3]
    config = transformers.VideoMAEConfig(
        image_size=height, num_frames=frames, patch_size=16, tubelet_size=2, hidden_size=384,
        num_attention_heads=6, num_hidden_layers=depth, intermediate_size=1536, decoder_hidden_size=192,
        decoder_num_attention_heads=6, decoder_num_hidden_layers=4, decoder_intermediate_size=768,
        norm_pix_loss=True, attn_implementation="sdpa",
    )  # fmt: skip
    model = transformers.VideoMAEForPreTraining(config).to(video_BTCHW.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)

    def step(precision: AbstractContextManager[object]) -> None:
        with precision:
            loss = model(video_BTCHW, bool_masked_pos=hidden_BN).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


class MetaStep:
    """A V-JEPA training step of Meta's code at the size of ViT-S/16, predictor 192 wide, 6 deep.

    Args:
        checkout: Folder of a clone of facebookresearch/vjepa2.
        batch: Clips, of which the shape counts, and masks.
        video_BTCHW: Normalised clips.
        depth: Number of the encoder's blocks.

    Raises:
        ValueError: `checkout` is no such folder.
    """

    def __init__(self, checkout: str, batch: Batch, video_BTCHW: Tensor, *, depth: int) -> None:
        parts = _meta_modules(checkout)
        frames, _, height, _ = video_BTCHW.shape[1:]
        shared: dict[str, Any] = {
            "img_size": (height, height), "patch_size": 16, "num_frames": frames, "tubelet_size": 2,
            "num_heads": 6, "mlp_ratio": 4.0, "use_rope": True,
        }  # fmt: skip
        encoder = parts["vision_transformer"].VisionTransformer(embed_dim=384, depth=depth, **shared)
        predictor = parts["predictor"].VisionTransformerPredictor(
            embed_dim=384, predictor_embed_dim=192, depth=6, use_mask_tokens=True,
            num_mask_tokens=len(batch.masks), **shared,
        )  # fmt: skip
        device = video_BTCHW.device
        self._encoder = parts["wrappers"].MultiSeqWrapper(encoder).to(device)
        self._target = copy.deepcopy(self._encoder).requires_grad_(False)
        self._predictor = parts["wrappers"].PredictorMultiSeqWrapper(predictor).to(device)
        self._apply_masks = parts["masks"].apply_masks
        # One sequence, a clip of `frames`, with several masks.
        self._clips = [video_BTCHW.transpose(1, 2).contiguous()]
        self._contexts = [[mask.context_BK for mask in batch.masks]]
        self._targets = [[mask.target_BM for mask in batch.masks]]
        trained = [*self._encoder.parameters(), *self._predictor.parameters()]
        learnt = [parameter for parameter in trained if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(learnt, lr=1e-4, weight_decay=0.05)

    def forward(self) -> Tensor:
        """Return the loss."""
        with torch.no_grad():
            targets = [F.layer_norm(one, one.shape[-1:]) for one in self._target(self._clips)]
        predicted = self._predictor(self._encoder(self._clips, self._contexts), self._contexts, self._targets)
        losses = [
            (one - self._apply_masks(target, [places])).abs().mean()
            for given, target, masks in zip(predicted, targets, self._targets, strict=True)
            for one, places in zip(given, masks, strict=True)
        ]
        return torch.stack(losses).mean()

    def step(self, precision: AbstractContextManager[object]) -> None:
        """Take a training step; gradients are not clipped, as there."""
        with precision:
            loss = self.forward()
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            kept, learnt = list(self._target.parameters()), list(self._encoder.parameters())
            torch._foreach_mul_(kept, 0.999)
            torch._foreach_add_(kept, learnt, alpha=0.001)


def counted_flops(run: Run) -> float:
    """Return the floating-point operations of the matrix products of one run, as `step_cost` counts them."""
    # Without fused attention, whose backward pass has one product more. Where a peer insists on it, the CPU's
    # is counted alike; torch's counter does not know it.
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    known = {fused: _attention_flops, backward: _attention_backward_flops}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=known) as counter:
        run(nullcontext())
    return float(counter.get_total_flops())


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward_flops(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
    return 2 * int(sdpa_flop_count(query, key, value))


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ValueError(
            "peers are timed, and transformers is not installed: pip install transformers, or leave them out"
        ) from error


def _meta_modules(checkout: str) -> dict[str, Any]:
    folder = Path(checkout).resolve()
    if not (folder / "src/models/vision_transformer.py").is_file():
        raise ValueError(f"{checkout} is no clone of facebookresearch/vjepa2: give the folder of one")
    sys.path.insert(0, str(folder))
    try:
        names: Sequence[tuple[str, str]] = (
            ("vision_transformer", "src.models.vision_transformer"),
            ("predictor", "src.models.predictor"),
            ("wrappers", "src.utils.wrappers"),
            ("masks", "src.masks.utils"),
        )
        return {name: importlib.import_module(module) for name, module in names}
    finally:
        sys.path.remove(str(folder))
