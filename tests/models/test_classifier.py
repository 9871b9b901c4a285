"""Heads, what they see, and the learning rates of their encoder's layers."""

import pytest
import torch
from timm.optim import param_groups_layer_decay

from vjepa.config import OptimConfig
from vjepa.layers.pixels import PixelNormalizer
from vjepa.models.classifier import AttentiveHead, Classifier, build_head
from vjepa.models.encoder import VideoEncoder
from vjepa.models.head_grid import HeadGrid, TokenClassifier
from vjepa.training.optimizer import (
    Schedules,
    build_classifier_optimizer,
    build_grid_optimizer,
    build_optimizer,
)

WIDTH, CLASSES = 24, 3


def encoder_of(**changes):
    torch.manual_seed(0)
    return VideoEncoder(embed_dim=WIDTH, depth=3, num_heads=2, tubelet=(2, 8, 8), **changes).eval()


def video(clips=2):
    return torch.randint(0, 256, (clips, 4, 3, 16, 16), dtype=torch.uint8)


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "linear"},
        {"kind": "mlp"},
        {"kind": "mlp", "hidden_dim": 10},
        {"kind": "attentive"},
        {"kind": "attentive", "depth": 4, "queries": 3},
    ],
    ids=str,
)
def test_heads_see_a_set_of_tokens(arguments):
    torch.manual_seed(0)
    head = build_head(embed_dim=WIDTH, num_classes=CLASSES, **arguments).eval()
    tokens = torch.randn(2, 7, WIDTH)
    logits = head(tokens)
    assert logits.shape == (2, CLASSES)
    torch.testing.assert_close(head(tokens[:, torch.randperm(7)]), logits)
    other = tokens.clone()
    other[0, 3] += torch.randn(WIDTH)  # a constant would be taken out by the norm
    changed = (head(other) - logits).abs().amax(dim=1)
    assert changed[0] > 1e-4
    assert changed[1] == 0


def test_init_scale_and_dropout_are_of_the_last_layer():
    torch.manual_seed(0)
    tokens = torch.randn(64, 5, WIDTH)
    quiet = build_head("linear", WIDTH, CLASSES, init_scale=0.001).eval()
    assert quiet(tokens).abs().max() < 1e-3
    dropped = build_head("linear", WIDTH, CLASSES, dropout=0.5)
    assert not torch.equal(dropped.train()(tokens), dropped.eval()(tokens))


def test_several_levels_are_further_tokens():
    encoder = encoder_of(class_token=True, positions="sincos_plane")
    head = build_head("attentive", WIDTH, CLASSES)
    pixels = PixelNormalizer()(video())
    with torch.no_grad():
        final, (first, last) = encoder.forward_intermediates(pixels, (0, 2), norm=True)
        assert torch.equal(final, last)
        assert torch.equal(last, encoder(pixels))
        assert torch.equal(encoder.transformer.norm(encoder.forward_intermediates(pixels, (0,))[1][0]), first)
    torch.manual_seed(1)
    clip = video()
    tokens = Classifier(encoder, head, PixelNormalizer(), (0, 2)).features(clip)
    assert tokens.shape == (2, 2 * 8, WIDTH)
    alone = Classifier(encoder, head, PixelNormalizer()).features(clip)
    torch.testing.assert_close(tokens[:, 8:], alone)


def test_queries_have_no_weight_decay_however_a_head_is_trained():
    classifier = Classifier(encoder_of(), build_head("attentive", WIDTH, CLASSES), PixelNormalizer())
    alone, grid = TokenClassifier(classifier.head), HeadGrid([classifier.head])
    config = OptimConfig(weight_decay=0.05)
    found = []
    for optimizer in (
        build_classifier_optimizer(classifier, config, 1.0),
        build_optimizer(alone, config),
        build_grid_optimizer(grid, config, [(1e-3, 0.05)]),
    ):
        Schedules(config).apply(optimizer, 0)
        decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
        found.append({name: decay_of[id(p)] for name, p in classifier.head.named_parameters()})
    assert found[0] == found[1] == found[2]
    assert (found[0]["pool.queries_QD"], found[0]["fc.weight"]) == (0, 0.05)


def test_learning_rates_fall_from_layer_to_layer():
    classifier = Classifier(
        encoder_of(class_token=True, positions="sincos_plane"),
        build_head("attentive", WIDTH, CLASSES),
        PixelNormalizer(),
    )
    groups = param_groups_layer_decay(classifier, 0.05, tuple(classifier.no_weight_decay()), layer_decay=0.5)
    scale_of = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    decay_of = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(scale_of) == len(list(classifier.parameters()))
    names = dict(classifier.named_parameters())
    scale = {name: scale_of[id(parameter)] for name, parameter in names.items()}
    assert scale["encoder.patch_embed.proj.weight"] == 0.5**4
    assert scale["encoder.class_token"] == 0.5**4
    for block in range(3):
        assert scale[f"encoder.transformer.blocks.{block}.attn.qkv.weight"] == 0.5 ** (3 - block)
    assert scale["encoder.transformer.norm.weight"] == scale["head.fc.weight"] == 1
    undecayed = (
        "encoder.class_token",
        "head.pool.queries_QD",
        "head.fc.bias",
        "encoder.transformer.norm.weight",
    )
    assert all(decay_of[id(names[name])] == 0 for name in undecayed)
    assert decay_of[id(names["head.fc.weight"])] == 0.05


def test_heads_of_a_grid_share_nothing():
    torch.manual_seed(0)
    grid = HeadGrid([build_head("linear", WIDTH, CLASSES) for _ in range(2)])
    tokens = torch.randn(2, 5, WIDTH)
    logits_GBX = grid(tokens)
    assert torch.equal(logits_GBX[1], grid.heads[1](tokens))
    logits_GBX[0].sum().backward()
    assert grid.heads[1].fc.weight.grad.abs().sum() == 0


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="embed_dim 24 cannot be shared by 5 heads"):
        AttentiveHead(WIDTH, CLASSES, num_heads=5)
    with pytest.raises(ValueError, match="num_classes is 1"):
        build_head("linear", WIDTH, 1)
    with pytest.raises(ValueError, match=r"levels are \[0, 3\] of 3 blocks"):
        Classifier(encoder_of(), build_head("linear", WIDTH, 2), PixelNormalizer(), (0, 3))
