"""SIGReg and VICReg against plain references, and what each must find in good and in collapsed embeddings."""

import math

import pytest
import torch
import torchvision

from tests.objectives.builders import small_batch, small_jepa
from vjepa.objectives.regularizers import Projector, SIGReg, VICReg, epps_pulley


def reference_epps_pulley(values):
    """The integral over the whole line, with the same points, one sample and one frequency at a time."""
    points = [-3 + 6 * i / 32 for i in range(33)]
    heights = []
    for t in points:
        gauss = math.exp(-t * t / 2)
        real = sum(math.cos(t * x) for x in values) / len(values)
        imaginary = sum(math.sin(t * x) for x in values) / len(values)
        heights.append(((real - gauss) ** 2 + imaginary**2) * gauss)
    step = points[1] - points[0]
    return len(values) * step * (sum(heights) - (heights[0] + heights[-1]) / 2)


def test_the_statistic_is_the_integral():
    torch.manual_seed(0)
    values = 0.3 + 2 * torch.randn(20, dtype=torch.float64)
    assert epps_pulley(values).item() == pytest.approx(reference_epps_pulley(values.tolist()), rel=1e-5)


def test_a_normal_sample_has_a_small_statistic_and_constants_a_large_one():
    torch.manual_seed(0)
    regularizer = SIGReg(weight=1.0, directions=64, places=4)
    normal, constant = torch.randn(256, 6, 32), torch.ones(256, 6, 1).expand(-1, -1, 32)
    by_place = torch.randn(1, 6, 32).expand(
        256, -1, -1
    )  # tokens differ by where they are and by nothing else
    metrics = [regularizer(x, [], step=0)["sigreg"].item() for x in (normal, constant, by_place)]
    assert metrics[0] < 2
    assert min(metrics[1:]) > 20 * metrics[0]


def test_directions_are_a_function_of_the_step():
    torch.manual_seed(0)
    regularizer, embedding = SIGReg(weight=1.0, directions=8, places=2), torch.randn(16, 6, 32)
    first, again, other = (regularizer(embedding, [], step)["sigreg"] for step in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def reference_vicreg(tokens):
    """Variance and covariance term of tokens that are centred already, in plain loops."""
    count, embed_dim = len(tokens), len(tokens[0])
    covariance = [
        [sum(x[d] * x[e] for x in tokens) / count for e in range(embed_dim)] for d in range(embed_dim)
    ]
    variance = sum(max(0, 1 - math.sqrt(covariance[d][d] + 1e-4)) for d in range(embed_dim)) / embed_dim
    off = sum(covariance[d][e] ** 2 for d in range(embed_dim) for e in range(embed_dim) if d != e) / embed_dim
    return variance, off


def test_the_terms_are_vicreg_s_of_embeddings_and_predictions():
    torch.manual_seed(0)
    embedding, predicted = 0.5 * torch.randn(5, 4, 3), 0.5 * torch.randn(5, 2, 3)
    target = torch.stack([torch.randperm(4)[:2] for _ in range(5)])
    mean = embedding.mean(dim=0)
    of_encoder = reference_vicreg((embedding - mean).flatten(0, 1).tolist())
    of_predictor = reference_vicreg((predicted - mean[target]).flatten(0, 1).tolist())
    terms = VICReg(2.0, 3.0, predictions=1.0)(embedding, [(predicted, target)], step=0)
    assert terms["variance"].item() == pytest.approx(2 * (of_encoder[0] + of_predictor[0]) / 2, rel=1e-4)
    assert terms["covariance"].item() == pytest.approx(3 * (of_encoder[1] + of_predictor[1]) / 2, rel=1e-4)
    lighter = VICReg(variance=2.0, covariance=3.0, predictions=0.25)(embedding, [(predicted, target)], step=0)
    expected = 2 * (of_encoder[0] + 0.25 * of_predictor[0]) / 1.25
    assert lighter["variance"].item() == pytest.approx(expected, rel=1e-4)


def test_places_by_themselves_are_vicreg_s_mean_over_them():
    torch.manual_seed(0)
    embedding = 0.5 * torch.randn(7, 4, 3)
    by_place = [reference_vicreg(x.tolist()) for x in (embedding - embedding.mean(dim=0)).unbind(dim=1)]
    variance, covariance = (sum(term) / 4 for term in zip(*by_place, strict=True))
    terms = VICReg(variance=2.0, covariance=3.0, places=4)(embedding, [], step=0)
    assert terms["variance"].item() == pytest.approx(2 * variance, rel=1e-4)
    assert terms["covariance"].item() == pytest.approx(3 * covariance, rel=1e-4)
    one = VICReg(variance=2.0, covariance=3.0, places=1)
    of_one = {round(one(embedding, [], step)["variance"].item(), 5) for step in range(20)}
    assert of_one == {round(2 * variance, 5) for variance, _ in by_place}


def test_a_few_places_that_vary_much_are_enough_for_all_together_and_not_for_each_by_itself():
    torch.manual_seed(0)
    embedding = torch.zeros(64, 8, 4)
    embedding[:, 0] = 4 * torch.randn(64, 4)
    together, apart = (VICReg(1.0, 0.0, places=places)(embedding, [], 0)["variance"] for places in (None, 8))
    assert together < 0.1
    assert apart > 0.8


def test_embeddings_that_differ_by_place_alone_have_no_variance():
    by_place = torch.randn(1, 6, 32).expand(64, -1, -1)
    for places in (None, 6):
        terms = VICReg(variance=1.0, covariance=1.0, places=places)(by_place, [], step=0)
        assert terms["variance"].item() == pytest.approx(0.99, abs=1e-3)


@pytest.mark.parametrize(
    "regularizer", [SIGReg(0.1, 16, 3), VICReg(1.0, 0.1, 1.0), VICReg(1.0, 0.1, places=3)]
)
def test_without_target_encoder_the_gradient_reaches_all(regularizer):
    jepa = small_jepa(target_encoder=None, momentum=None, regularizers=[regularizer], distance="l2")
    outputs = jepa(small_batch(clips=6))
    parts = [value for name, value in outputs.items() if name in ("sigreg", "variance", "covariance")]
    assert parts
    assert all(part > 0 for part in parts)
    assert outputs["loss"] > sum(parts)
    outputs["loss"].backward()
    for name, parameter in jepa.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


PRESENT = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [1, 1, 0]]


def rows_of(embedding, place):
    """Tokens of the clips in which a position is present."""
    return [row[place].tolist() for row, there in zip(embedding, PRESENT, strict=True) if there[place]]


def centred(rows):
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return [[x - m for x, m in zip(row, mean, strict=True)] for row in rows]


def test_absent_tokens_count_nowhere():
    """Position 2 is in one clip alone: it has no statistics, and is left out."""
    torch.manual_seed(0)
    embedding, present = 0.5 * torch.randn(5, 3, 2), torch.tensor(PRESENT, dtype=torch.bool)
    places = [centred(rows_of(embedding, place)) for place in range(3)]
    apart = [sum(term) / 2 for term in zip(*map(reference_vicreg, places[:2]), strict=True)]
    together = reference_vicreg([row for place in places for row in place])
    for chosen, expected in ((3, apart), (None, together)):
        terms = VICReg(2.0, 3.0, places=chosen)(embedding, (), 0, present)
        assert terms["variance"].item() == pytest.approx(2 * expected[0], rel=1e-4)
        assert terms["covariance"].item() == pytest.approx(3 * expected[1], rel=1e-4)
    statistic = epps_pulley(embedding[..., 0], present)
    for place in range(2):
        values = [row[0] for row in rows_of(embedding, place)]
        assert statistic[place].item() == pytest.approx(reference_epps_pulley(values), rel=1e-4)


@pytest.mark.parametrize("projector", [None, Projector(2, 8, 4)])
def test_values_of_absent_tokens_change_nothing(projector):
    torch.manual_seed(0)
    embedding, present = torch.randn(5, 3, 2), torch.tensor(PRESENT, dtype=torch.bool)
    other = torch.where(present.unsqueeze(-1), embedding, 100.0)
    for regularizer in (SIGReg(1.0, 8, 3, projector), VICReg(1.0, 1.0), VICReg(1.0, 1.0, places=3)):
        first, second = (regularizer(tokens, (), 0, present) for tokens in (embedding, other))
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_projector_is_torchvision_s_mlp():
    """LeJEPA's own projector is ``torchvision.ops.MLP`` with batch norm; this one has its values."""
    torch.manual_seed(0)
    ours = Projector(6, 8, 4)
    theirs = torchvision.ops.MLP(6, [8, 8, 4], norm_layer=torch.nn.BatchNorm1d).train()
    for block, place in ((0, 0), (1, 4)):
        theirs[place].weight.data.copy_(ours.linear[block].weight.data)
        theirs[place + 1].weight.data.uniform_(0.5, 2)
        theirs[place + 1].bias.data.normal_()
        ours.scale[block].data.copy_(theirs[place + 1].weight.data)
        ours.shift[block].data.copy_(theirs[place + 1].bias.data)
    theirs[8].load_state_dict(ours.last.state_dict())
    tokens = torch.randn(5, 3, 6)
    torch.testing.assert_close(ours(tokens), theirs(tokens.flatten(0, 1)).view(5, 3, 4))


@pytest.mark.parametrize("kind", ["ema", "frozen"])
def test_beside_a_target_encoder_the_loss_is_of_the_context_tokens(kind):
    """It is the loss of the encoder's tokens on the grid, and only the encoder feels it."""
    momentum = 0.9 if kind == "ema" else None
    vicreg, batch = VICReg(2.0, 0.5, places=3), small_batch(clips=6)
    plain, both = (small_jepa(momentum=momentum, regularizers=terms) for terms in ([], [vicreg]))
    both.load_state_dict(plain.state_dict())
    alone, outputs = plain(batch)["loss"], both(batch)
    video, expected = both.normalizer(batch.video_BTCHW), []
    for mask in batch.masks:
        context = both.encoder(video, mask.context_BK)
        grid = torch.full((6, both.encoder.grid_of(video).size, context.shape[-1]), 7.0)
        present = torch.zeros(grid.shape[:2], dtype=torch.bool)
        for clip, places in enumerate(mask.context_BK):
            grid[clip, places], present[clip, places] = context[clip], True
        expected.append(sum(vicreg(grid, (), batch.step, present).values()))
    added = outputs["variance"] + outputs["covariance"]
    assert added > 0.1
    torch.testing.assert_close(added, torch.stack(expected).mean())
    torch.testing.assert_close(outputs["loss"], alone + added)
    added.backward()
    assert all(parameter.grad is None for parameter in both.predictor.parameters())
    assert both.encoder.transformer.blocks[0].attn.qkv.weight.grad.abs().sum() > 0


def test_two_terms_of_one_name_are_both_in_the_loss():
    torch.manual_seed(0)
    batch, term = small_batch(clips=6), VICReg(1.0, 0.0, places=3)
    once, twice = (small_jepa(regularizers=[term] * count) for count in (1, 2))
    twice.load_state_dict(once.state_dict(), strict=False)
    torch.testing.assert_close(twice(batch)["variance"], 2 * once(batch)["variance"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_encoder": None, "momentum": None}, "neither a target encoder nor a regularizer"),
        ({"target_encoder": None, "regularizers": [VICReg(1.0, 0.0)]}, "leave momentum out"),
        ({"regularizers": [VICReg(1.0, 0.0, predictions=0.5)]}, "weight for predictions"),
        ({"frozen_encoder": True}, "gives the targets itself"),
        (
            {
                "frozen_encoder": True,
                "target_encoder": None,
                "momentum": None,
                "regularizers": [VICReg(1.0, 0.0)],
            },
            "gives the targets itself",
        ),
    ],
)
def test_arguments_that_would_do_nothing_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_jepa(**arguments)


def test_a_frozen_teacher_stays_as_it_is():
    jepa = small_jepa(momentum=None)
    before = {name: value.clone() for name, value in jepa.target_encoder.state_dict().items()}
    jepa(small_batch())["loss"].backward()
    with torch.no_grad():
        for parameter in jepa.encoder.parameters():
            parameter.add_(1)
    jepa.after_step(1)
    for name, value in jepa.target_encoder.state_dict().items():
        assert torch.equal(value, before[name])
