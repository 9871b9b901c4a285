"""Small objectives and batches."""

import copy
from dataclasses import replace

import torch

from vjepa.batch import Batch, TokenMask, ViewGroup
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.encoder import VideoEncoder
from vjepa.models.predictor import Predictor
from vjepa.objectives.energy_score import Futures
from vjepa.objectives.jepa import JEPA
from vjepa.objectives.pixels import PixelReconstruction
from vjepa.objectives.regularizers import Projector, SIGReg
from vjepa.objectives.views import Views

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


def assert_gradients_of_halves_add_up(jepa, batch):
    """What accumulation and several processes rely on: the loss is a mean over clips."""
    jepa(batch)["loss"].backward()
    whole = [parameter.grad.clone() for parameter in jepa.parameters() if parameter.requires_grad]
    jepa.zero_grad()
    middle = len(batch.paths) // 2
    for half in (slice(0, middle), slice(middle, None)):
        part = replace(batch.map(lambda tensor: tensor[half]), paths=batch.paths[half])  # noqa: B023
        (jepa(part)["loss"] / 2).backward()
    halves = [parameter.grad for parameter in jepa.parameters() if parameter.requires_grad]
    torch.testing.assert_close(halves, whole, atol=1e-6, rtol=1e-4)


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


def small_views(projected=True, class_token=False, weight=0.1):
    torch.manual_seed(0)
    return Views(
        encoder=VideoEncoder(embed_dim=36, depth=2, num_heads=3, tubelet=(2, 8, 8), class_token=class_token),
        projector=Projector(36, 20, 6) if projected else None,
        normalizer=PixelNormalizer(),
        regularizer=SIGReg(weight=weight, directions=8, places=9),
    )


def views_batch(clips=4, num_global=1, num_local=3, keep=None, seed=0):
    """Global views of 8 x 24 x 24 (36 tokens) and local ones of 4 x 16 x 16 (8 tokens)."""
    generator = torch.Generator().manual_seed(seed)
    groups = []
    for views, shape, tokens in ((num_global, (8, 3, 24, 24), TOKENS), (num_local, (4, 3, 16, 16), 8)):
        video = torch.randint(0, 256, (clips, views, *shape), dtype=torch.uint8, generator=generator)
        order = torch.rand(clips, views, tokens, generator=generator).argsort(dim=-1)
        groups.append(ViewGroup(video, None if keep is None else order[..., :keep]))
    whole = groups[0].video_BvTCHW[:, 0]
    return Batch(whole, (), torch.zeros(clips, dtype=torch.long), ("",) * clips, step=3, views=tuple(groups))
