"""Small objectives and batches."""

import copy
from dataclasses import replace

import torch

from vjepa.batch import Batch, TokenMask
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.objectives.energy_score import Futures
from vjepa.objectives.jepa import JEPA
from vjepa.objectives.pixels import PixelReconstruction

TOKENS = 4 * 3 * 3


def small_jepa(momentum=0.9, **changes):
    torch.manual_seed(0)
    encoder = VideoEncoder(
        embed_dim=36, depth=2, num_heads=3, tubelet=(2, 8, 8), drop_path=changes.pop("drop_path", 0.0)
    )
    predictor = Predictor(in_dim=36, out_dim=36, embed_dim=24, depth=1, num_heads=2, num_mask_tokens=2)
    arguments = {
        "target_encoder": copy.deepcopy(encoder),
        "momentum": None if momentum is None else (lambda _: momentum),
        **changes,
    }
    return JEPA(encoder=encoder, predictor=predictor, normalizer=PixelNormalizer(), **arguments)


def small_batch(clips=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = []
    for number, (context, target) in enumerate(((12, 20), (6, 30))):
        order = torch.stack([torch.randperm(TOKENS, generator=generator) for _ in range(clips)])
        masks.append(TokenMask(order[:, :context], order[:, context : context + target], number))
    video = torch.randint(0, 256, (clips, 8, 3, 24, 24), dtype=torch.uint8, generator=generator)
    return Batch(video, tuple(masks), torch.zeros(clips, dtype=torch.long), ("",) * clips)


def futures_jepa(score="energy"):
    jepa = small_jepa(futures=Futures(score))
    torch.manual_seed(1)
    jepa.predictor = Predictor(
        in_dim=36, out_dim=36, embed_dim=24, depth=1, num_heads=2, num_mask_tokens=2, noise_dim=5
    )
    return jepa


def futures_batch(clips=3, samples=4):
    noise = torch.randn(clips, samples, 5, generator=torch.Generator().manual_seed(2))
    return replace(small_batch(clips), noise_BsZ=noise)


PIXELS = 2 * 8 * 8


def small_autoencoder(targets="tubelet"):
    torch.manual_seed(0)
    return PixelReconstruction(
        encoder=VideoEncoder(embed_dim=36, depth=2, num_heads=3, tubelet=(2, 8, 8)),
        decoder=Predictor(
            in_dim=36, out_dim=3 * PIXELS, embed_dim=24, depth=1, num_heads=2, num_mask_tokens=2
        ),
        normalizer=PixelNormalizer(),
        targets=targets,
    )
