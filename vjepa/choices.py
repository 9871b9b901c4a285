"""Values that settings choose among, by name.

For configurations and networks alike, so that a configuration needs no network.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["videos", "images"]
"""What a training step is on; a run on both has steps of either."""

Shape = Literal["cosine", "linear", "constant"]
"""Course of a schedule from its first value to its last."""

ReaderName = Literal["auto", "pyav", "torchcodec", "torchcodec_cuda", "decord"]
"""Decoders of video files; `auto` is PyAV."""

LoaderName = Literal["torch", "ray"]
"""What makes training batches: processes of torch's DataLoader, or actors of a Ray cluster."""

Stem = Literal["linear", "convolutional"]
"""What makes a token of the pixels of a tubelet: one linear layer, or a stack of convolutions."""

Precision = Literal["no", "bf16", "fp16"]
"""Mixed precision of networks; `no` is float32. The names are those of accelerate."""

PositionKind = Literal["rotary", "sincos", "sincos_plane", "sinusoid"]
"""Position encodings.

Rotary (V-JEPA 2), 3-D sin-cos (V-JEPA), 2-D sin-cos (MAE, I-JEPA), 1-D sinusoids (VideoMAE).
"""

RotaryLayout = Literal["interleave", "tile"]
"""How the frequencies of rotary positions lie in a head; released V-JEPA 2 weights need `tile`."""

PixelTargets = Literal["tubelet", "patch", "raw"]
"""Normalisation of pixel targets: in each tubelet and channel (VideoMAE), in each patch (MAE), or none."""

TargetNorm = Literal["layer_norm", "batch", "none"]
"""Normalisation of target embeddings: over each token's features (V-JEPA), over the batch, or none."""

DistanceName = Literal["l1", "smooth_l1", "l2"]
"""Distances between embeddings."""

Score = Literal["energy", "best"]
"""Losses on several samples of the future: the energy score, or the error of the best sample."""

OnlineProbe = Literal["knn", "ridge"]
"""Probes that are cheap enough to be fitted during training, without steps of their own."""

Pool = Literal["none", "mean", "flatten"]
"""What an action-conditioned model makes of a frame's tokens.

Nothing, their mean, or one vector of all of them.
"""

Conditioning = Literal["tokens", "adaln"]
"""How actions enter the predictor: as tokens, or through adaptive layer norms."""

InverseSource = Literal["pair", "change"]
"""What inverse dynamics see: both frames, or the change between them."""

Combine = Literal["concat", "sum"]
"""How the actions between two frames of a window become one."""

STRONGEST = 10
"""Largest strength of the operations of RandAugment."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of each channel of ImageNet's pixels, in [0, 1]."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of each channel of ImageNet's pixels, in [0, 1]."""
