"""No double precision on a device that has none: networks, losses, metrics, probes and images on such a
device.

Every test compares with the CPU, too, so that it proves that the work was done.
"""

import ast
import copy
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import vjepa
from tests.inference.conftest import make_video_model
from tests.models.builders import A, Q, make_model
from tests.small_device import DEVICE, SmallDevice
from tests.training.methods import METHODS
from vjepa.batch import LabelledBatch, TrajectoryBatch
from vjepa.config import read_config
from vjepa.data.manifest import Video
from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.window import WindowConfig
from vjepa.evaluation.collapse import embedding_measures, lidar
from vjepa.evaluation.future.anticipation_probe import AnticipationProbe, mean_class_recall
from vjepa.evaluation.future.imagination import measure_imagination
from vjepa.evaluation.probes.linear import balanced_accuracy, ridge_probe, ridge_regression
from vjepa.evaluation.probes.pixels import psnr
from vjepa.grid import Grid
from vjepa.layers.positions import POSITION_TABLES, rotary_table, sinusoid_table
from vjepa.models.classifier import Classifier, build_head
from vjepa.objectives.action_jepa import ActionJEPA, RollOut
from vjepa.objectives.batch_metric import BatchMetric, of_whole_batch
from vjepa.objectives.classification import Classification
from vjepa.objectives.regularizers import SIGReg, VICReg
from vjepa.planning.cem import CEM
from vjepa.planning.gradient import GradientPlanner
from vjepa.planning.planner import Bounds
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import example_batch

ROOT = Path(__file__).parents[1]
# The only place that makes doubles of what may be on another device.
HOME = ROOT / "vjepa" / "double_precision.py"
SMALL = (
    "--config=configs/debug.yaml", "--data.synthetic=null", "--data.train=videos.csv", "--data.size=16",
    "--data.clip.num_frames=4", "--encoder.embed_dim=24", "--encoder.num_heads=2", "--encoder.depth=2",
    "--encoder.tubelet=[2, 4, 4]", "--predictor.embed_dim=12", "--predictor.num_heads=1",
)  # fmt: skip


def doubles_of(path):
    """Line and text of everything in a file that makes a tensor of doubles on a device that is not named."""
    for node in ast.walk(ast.parse(path.read_text())):
        for call in (node,) if isinstance(node, ast.Call) else ():
            on_cpu = any(
                word.arg == "device" and isinstance(word.value, ast.Constant) and word.value.value == "cpu"
                for word in call.keywords
            )
            for word in call.keywords:
                if ast.unparse(word.value) in ("torch.float64", "torch.double") and not on_cpu:
                    yield call.lineno, ast.unparse(call)
            if isinstance(call.func, ast.Attribute) and call.func.attr == "double":
                yield call.lineno, ast.unparse(call)
            for given in call.args:
                if ast.unparse(given) in ("torch.float64", "torch.double"):
                    yield call.lineno, ast.unparse(call)


def test_doubles_are_made_in_one_place():
    sources = [path for folder in ("vjepa", "tools") for path in (ROOT / folder).rglob("*.py")]
    sources = [path for path in sources if re.search(r"double|float64", path.read_text())]
    found = [(str(path), *where) for path in sources if path != HOME for where in doubles_of(path)]
    assert not found, "use vjepa.double_precision.in_double, or name the CPU as the device"
    assert list(doubles_of(HOME))


def test_the_small_device_has_no_doubles():
    with SmallDevice():
        for make in (
            lambda: torch.zeros(2, dtype=torch.float64, device=DEVICE),
            lambda: torch.zeros(2, dtype=torch.float64).to(DEVICE),
            lambda: torch.zeros(2, device=DEVICE).double(),
            lambda: (
                torch.tensor([0.5], device=DEVICE) * torch.tensor(2.0, dtype=torch.float64, device=DEVICE)
            ),
        ):
            with pytest.raises(TypeError, match="no float64"):
                make()
        assert (torch.arange(3.0, device=DEVICE) + 1).square().sum().item() == 14


@pytest.mark.parametrize("positions", POSITION_TABLES)
def test_fixed_positions_are_the_same_and_come_from_the_cpu_once(positions):
    grid = Grid(2, 3, 4)
    table = POSITION_TABLES[positions](grid, 48)
    with SmallDevice():
        there = POSITION_TABLES[positions](grid, 48, device=DEVICE)
    assert torch.equal(there.inner, table)
    if positions == "sinusoid":
        assert sinusoid_table(grid, 48) is table


def test_a_kept_table_can_be_trained_with_and_a_stand_in_is_not_kept():
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    grid = Grid(1, 5, 7)
    with FakeTensorMode():
        assert isinstance(sinusoid_table(grid, 8), FakeTensor)
    with torch.inference_mode():
        table = sinusoid_table(grid, 8)
    assert type(table) is torch.Tensor
    weight = torch.ones(8, requires_grad=True)
    (weight * table).sum().backward()
    assert weight.grad.isfinite().all()


def test_rotary_positions_far_into_a_stream():
    table = rotary_table(Grid(1, 2, 2), 12, first_step=30_000)
    with SmallDevice():
        there = rotary_table(Grid(1, 2, 2), 12, device=DEVICE, first_step=30_000)
    assert torch.equal(there.inner, table)


def trained(objective, batch):
    """Metrics of a step, and what the weights are after it, in one number."""
    outputs = objective(batch)
    outputs["loss"].backward()
    learning = [parameter for parameter in objective.parameters() if parameter.grad is not None]
    with torch.no_grad():
        torch._foreach_add_(learning, [parameter.grad for parameter in learning], alpha=-0.1)
    objective.after_step(1)
    metrics = {"weights": sum(value.float().abs().sum().item() for value in objective.state_dict().values())}
    for name, value in outputs.items():
        if isinstance(value, BatchMetric):
            metrics[name] = of_whole_batch([value, value], lambda means: means).item()
        elif value.ndim == 0:
            metrics[name] = value.item()
        else:
            metrics |= {f"{name}/{key}": measure for key, measure in embedding_measures(value).items()}
    return metrics


def check_on_both(objective, batch):
    """The same on the CPU and on the small device."""
    expected = trained(copy.deepcopy(objective), batch)
    with SmallDevice():
        found = trained(objective.to(DEVICE), batch.to(DEVICE))
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True)
    assert math.isfinite(found["loss"])


@pytest.mark.parametrize("method", ["future", "futures", "videomae", "mae", "vjepa2_1", "vicreg"])
def test_steps_of_methods_of_all_kinds(method):
    images = ("--data.images=videos.csv",) if method == "vjepa2_1" else ()
    config = read_config([*SMALL, *METHODS[method], *images], PretrainConfig)
    torch.manual_seed(0)
    batch, generator = example_batch(config), torch.Generator().manual_seed(0)
    batch.video_BTCHW.copy_(torch.randint(0, 256, batch.video_BTCHW.shape, generator=generator))
    check_on_both(build.build_objective(build.Resolved(config)), batch)


@pytest.mark.parametrize("regularizer", [VICReg(2.0, 0.5), SIGReg(0.1, 8, 2)])
def test_steps_of_a_world_model(regularizer):
    model = make_model(window=8, pool="flatten", pool_dim=12, inverse="pair")
    objective = ActionJEPA(
        model=model,
        frozen=False,
        rollout=RollOut(2, True),
        regularizers=[regularizer],
        smoothness=0.1,
        inverse=0.5,
    )
    check_on_both(objective, trajectories())


def trajectories():
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (3, 4, 3, 16, 24), dtype=torch.uint8, generator=generator)
    actions, states = (torch.randn(3, n, embed_dim, generator=generator) for n, embed_dim in ((3, A), (4, Q)))
    return TrajectoryBatch(video, actions, states, ("",) * 3)


@pytest.mark.parametrize("kind", ["linear", "attentive"])
def test_steps_of_a_classifier(kind):
    torch.manual_seed(0)
    model = make_video_model()
    head = build_head(kind, 24, 3)
    video = torch.randint(0, 256, (4, 16, 3, 16, 16), dtype=torch.uint8)
    batch = LabelledBatch(video, torch.eye(3)[torch.tensor([0, 1, 2, 0])], ("",) * 4)
    network = Classifier(model.encoder, head, model.normalizer)
    check_on_both(Classification(network, smoothing=0.1, average=0.9), batch)


def test_what_is_predicted_and_measured_of_the_future(tmp_path):
    videos = []
    for number in range(4):
        path = tmp_path / f"{number}.npy"
        np.save(path, np.random.default_rng(number).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8))
        videos.append(Video(str(path)))
    model = make_video_model()

    def metrics():
        report = vjepa.evaluate_future(model, videos, steps=4)
        surprise = vjepa.surprise(model, videos[0].path)
        return [
            h.skill[name].value for h in report.horizons for name in ("copy_last", "mean")
        ], surprise.curve

    skills, curve = metrics()
    with SmallDevice():
        model.to(DEVICE)
        skills_there, curve_there = metrics()
    assert skills_there == pytest.approx(skills, abs=1e-4)
    torch.testing.assert_close(curve_there, curve, equal_nan=True)


class Frames:
    path = "walk"

    def __init__(self, seed):
        self.frames = np.random.default_rng(seed).integers(0, 256, (8, 3, 16, 24), dtype=np.uint8)

    def read(self, index_K, damage=None):
        return torch.from_numpy(self.frames[index_K])


def test_what_a_world_model_imagines_and_plans():
    model, random = make_model(window=2), np.random.default_rng(0)
    episodes = [
        Episode(Frames(seed), *(random.normal(size=(8, n)).astype(np.float32) for n in (A, Q)))
        for seed in range(4)
    ]

    def metrics():
        report = measure_imagination(model, episodes, WindowConfig(frames=4), lambda video: video)
        errors = [each.value for each in (*report.error, *report.permuted_error)]
        return [*errors, *report.state_r2, *report.true_state_r2]

    expected = metrics()
    with SmallDevice():
        model.to(DEVICE)
        assert metrics() == pytest.approx(expected, rel=1e-3)
        bounds = Bounds(-torch.ones(2, device=DEVICE), torch.ones(2, device=DEVICE))
        for planner in (CEM(samples=8, elites=2, iterations=2), GradientPlanner(starts=4, steps=2)):
            plan = planner.plan(
                lambda candidates: candidates.square().sum(dim=(-2, -1)),
                bounds.centre_A.expand(1, 3, -1), bounds, torch.Generator().manual_seed(0),
            )  # fmt: skip
            assert plan.actions_BFA.device == DEVICE


def test_probes_and_figures_of_what_is_on_the_device():
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(40, 6, generator=generator), torch.arange(40) % 4
    features[:, 0] += labels
    clips = torch.randn(8, 3, 5, generator=generator)
    targets = features[:, :2] + 0.1 * torch.randn(40, 2, generator=generator)

    def metrics(place):
        train, test = (
            (features[rows].to(place), labels[rows].to(place)) for rows in (slice(30), slice(30, 40))
        )
        r2 = ridge_regression((train[0], targets[:30].to(place)), (test[0], targets[30:].to(place)))
        return [
            ridge_probe(train, test),
            *r2.tolist(),
            balanced_accuracy(train[0].argmax(dim=1) % 4, train[1]),
            mean_class_recall(train[0], train[1], 2),
            lidar(clips.to(place)),
            psnr(clips.to(place), (clips + 0.1).to(place)),
            *embedding_measures(features.to(place)).values(),
        ]

    expected = metrics("cpu")
    with SmallDevice():
        assert metrics(DEVICE) == pytest.approx(expected, rel=1e-4)


def test_a_probe_that_is_trained_on_the_device(monkeypatch):
    monkeypatch.setattr("vjepa.evaluation.future.anticipation_probe.LEAST_STEPS", 2)
    monkeypatch.setattr("vjepa.evaluation.future.anticipation_probe.EPOCHS", 1)
    tokens, labels = torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
    expected = AnticipationProbe.fit(tokens, labels, 2, seed=0).scores(tokens)
    with SmallDevice():
        probe = AnticipationProbe.fit(tokens, labels, 2, seed=0, device=DEVICE)
        assert probe.mean_D.device == DEVICE
        torch.testing.assert_close(probe.scores(tokens), expected, atol=1e-4, rtol=1e-4)
