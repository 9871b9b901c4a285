"""Logged metrics do not depend on how the batch is cut.

Each against a computation over the whole batch, written anew.
"""

import pytest
import torch
from torch import nn

from tests.models.builders import A, Q, make_model
from tests.objectives.builders import futures_batch, futures_jepa, small_autoencoder, small_batch, small_jepa
from vjepa.batch import LabelledBatch, TrajectoryBatch
from vjepa.objectives import jepa as jepa_module
from vjepa.objectives.action_jepa import ActionJEPA
from vjepa.objectives.batch_metric import BatchMetric, of_whole_batch, ratio
from vjepa.objectives.classification import Classification
from vjepa.tokens import patchify

CLIPS = 16
CUTS = [16, 4, 2, 1]


def logged(objective, batch, name, clips):
    """The metric of the batch, given to the objective in parts of so many clips."""
    parts = [batch.map(lambda t: t[first : first + clips]) for first in range(0, CLIPS, clips)]  # noqa: B023
    with torch.no_grad():
        metrics = [objective(part)[name] for part in parts]
    return of_whole_batch(metrics, lambda means: means).item()


def relative_error_of(distance, predicted, targets, masks):
    """`predicted` and `targets` of whole clips, (B, N, Y), at the hidden positions of each mask."""
    mean = targets.mean(dim=0)
    errors, mean_errors = [], []
    for number, mask in enumerate(masks):
        for clip, places in enumerate(mask.target_BM):
            for row, place in enumerate(places.tolist()):
                errors.append(distance(predicted[number][clip, row], targets[clip, place]) / len(places))
                mean_errors.append(distance(mean[place], targets[clip, place]) / len(places))
    return (sum(errors) / sum(mean_errors)).item()


@pytest.mark.parametrize(
    ("name", "distance"),
    [("l1", lambda a, b: (a - b).abs().mean()), ("l2", lambda a, b: (a - b).square().mean())],
)
def test_relative_error_of_embeddings(name, distance):
    jepa, batch = small_jepa(distance=name), small_batch(CLIPS)
    with torch.no_grad():
        video = jepa.normalizer(batch.video_BTCHW)
        grid, (_, targets) = jepa.encoder.grid_of(video), jepa.forward_target(video)
        predicted = [
            jepa.predictor(
                jepa.encoder(video, mask.context_BK), mask.context_BK, mask.target_BM, grid, number
            )
            for number, mask in enumerate(batch.masks)
        ]
    expected = relative_error_of(distance, predicted, targets, batch.masks)
    for cut in CUTS:
        assert logged(jepa, batch, "relative_error", cut) == pytest.approx(expected, rel=1e-5)


def test_of_large_clips_some_values_tell_the_relative_error(monkeypatch):
    """36 tokens of 36 numbers: of 1,296 values, 500 are kept."""
    jepa, batch = small_jepa(), small_batch(CLIPS)
    everything = logged(jepa, batch, "relative_error", CLIPS)
    monkeypatch.setattr(jepa_module, "_KEPT_VALUES", 500)
    some = [logged(jepa, batch, "relative_error", cut) for cut in CUTS]
    assert some == pytest.approx([some[0]] * len(CUTS), rel=1e-5)
    assert some[0] != everything
    assert some[0] == pytest.approx(everything, rel=0.03)


def test_one_clip_alone_has_no_relative_error():
    metric = small_jepa()(small_batch(clips=1))["relative_error"]
    assert of_whole_batch([metric], lambda means: means).isnan()


@pytest.mark.parametrize("targets", ["tubelet", "raw"])
def test_relative_error_of_pixels(targets):
    autoencoder, batch = small_autoencoder(targets), small_batch(CLIPS)
    tubelets = patchify(batch.video_BTCHW.transpose(1, 2), autoencoder.encoder.tubelet)
    losses, mean_losses = [], []
    with torch.no_grad():
        for mask in batch.masks:
            hidden = torch.stack([tubelets[clip, places] for clip, places in enumerate(mask.target_BM)])
            wanted = autoencoder.target_pixels(hidden).double()
            _, predicted = autoencoder.forward_context(autoencoder.normalizer(batch.video_BTCHW), mask)
            losses.append((predicted - wanted).square().mean())
            mean_losses.append((wanted - wanted.flatten(0, 1).mean(dim=0)).square().mean())
    expected = (sum(losses) / sum(mean_losses)).item()
    for cut in CUTS:
        assert logged(autoencoder, batch, "relative_error", cut) == pytest.approx(expected, rel=1e-5)


def test_relative_spread_of_futures():
    jepa, batch = futures_jepa(), futures_batch(CLIPS)
    with torch.no_grad():
        video = jepa.normalizer(batch.video_BTCHW)
        grid, (_, targets) = jepa.encoder.grid_of(video), jepa.forward_target(video)
        ratios = []
        for number, mask in enumerate(batch.masks):
            tokens = jepa.encoder(video, mask.context_BK)
            samples = [
                jepa.predictor(tokens, mask.context_BK, mask.target_BM, grid, number, noise_BZ=noise)
                for noise in batch.noise_BsZ.unbind(1)
            ]
            wanted = torch.stack([targets[clip, places] for clip, places in enumerate(mask.target_BM)])
            norms = [(sample - wanted).square().mean(dim=-1).sqrt().mean() for sample in samples]
            gaps = [
                (first - second).square().mean(dim=-1).sqrt().mean()
                for at, first in enumerate(samples)
                for second in samples[:at]
            ]
            ratios.append((sum(gaps) / len(gaps)) / (sum(norms) / len(norms)))
    expected = (sum(ratios) / len(ratios)).item()
    for cut in CUTS:
        assert logged(jepa, batch, "relative_spread", cut) == pytest.approx(expected, rel=1e-5)


def test_error_over_copying():
    model = make_model(window=8)
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (CLIPS, 4, 3, 16, 24), dtype=torch.uint8, generator=generator)
    # Half of the clips hardly move, so that a mean of the splits' ratios would be another number.
    video[::2, 1:] = video[::2, :1]
    video[::2, 1:, :, 0, 0] += 1
    actions, states = (torch.randn(CLIPS, n, w, generator=generator) for n, w in ((3, A), (4, Q)))
    batch = TrajectoryBatch(video, actions, states, ("",) * CLIPS)
    objective = ActionJEPA(model=model, frozen=True, distance="l1")
    with torch.no_grad():
        tokens = model.encode(video)
        following = model.dynamics(tokens[:, :-1], (actions - 1) / 2, (states[:, :-1] + 1) / 3, model.space)
        error = (following.tokens_BTSD - tokens[:, 1:]).abs().mean()
        expected = (error / (tokens[:, 1:] - tokens[:, :-1]).abs().mean()).item()
    for cut in CUTS:
        assert logged(objective, batch, "over_copy", cut) == pytest.approx(expected, rel=1e-5)


class TwoHeads(nn.Module):
    """Logits are given as features: those of the first head, then those of the second."""

    def features(self, inputs):
        return inputs

    def head(self, tokens):
        return tokens.squeeze(1).unflatten(-1, (2, -1)).transpose(0, 1)


def test_accuracy_is_that_of_the_head_that_is_best_in_the_whole_batch():
    """Each head is right in another half.

    Whatever the cut, neither is right in more than half of the batch.
    """
    labels = torch.arange(CLIPS) % 3
    right, wrong = (5.0 * torch.eye(3)[(labels + shift) % 3] for shift in (0, 1))
    first, second = torch.cat([right[:8], wrong[8:]]), torch.cat([wrong[:8], right[8:]])
    inputs = torch.cat([first, second], dim=-1).unsqueeze(1)
    objective = Classification(TwoHeads())
    for cut in CUTS:
        parts = [
            LabelledBatch(inputs[at : at + cut], torch.eye(3)[labels[at : at + cut]], ("",) * cut)
            for at in range(0, CLIPS, cut)
        ]
        outputs = [objective(part) for part in parts]
        assert of_whole_batch([o["accuracy"] for o in outputs], lambda means: means).item() == 0.5
        assert sum(o["loss_of_a_head"] for o in outputs).item() == pytest.approx(
            sum(o["loss"] for o in outputs).item() / 2
        )


def test_processes_are_averaged_before_anything_is_divided():
    """Two processes of two splits: (1 + 2 + 3 + 6) / (1 + 1 + 4 + 2) is no mean of ratios."""
    first = [ratio(torch.tensor(a), torch.tensor(b)) for a, b in ((1.0, 1.0), (2.0, 1.0))]
    second = torch.stack([torch.tensor([3.0, 4.0]), torch.tensor([6.0, 2.0])]).mean(dim=0)
    metric = of_whole_batch(first, lambda means: (means + second) / 2)
    assert metric.item() == pytest.approx(12 / 8)
    assert of_whole_batch([BatchMetric(torch.zeros(2), first[0].then)], lambda means: means).isnan()
