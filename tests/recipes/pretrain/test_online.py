"""The online probe measures what `from_pretrained` would load, on held-back videos, and disturbs nothing."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.accelerate_state import fresh_accelerate
from tests.precision_watch import precisions
from tests.tiny_run import STEPS, metrics, result_bytes
from tests.training.methods import METHODS, changes_of
from tests.training.processes import forked_processes
from vjepa.commands.pretrain import main as tool
from vjepa.config import ConfigError, read_config
from vjepa.data.manifest import Video, read_manifest, write_manifest
from vjepa.recipes.pretrain import build, data, run
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.online import OnlineProbe, chosen_videos, online_measurements
from vjepa.training.stop import Stopped
from vjepa.training.trainer import Trainer
from vjepa.training.unreadable import UnreadableVideosError
from vjepa.weights.model_folder import from_pretrained

OFTEN = ("--probe.online=knn", "--probe.every=4")


@pytest.fixture
def lists(manifest, tmp_path):
    """Settings of two lists of two classes, eight videos of four groups to learn from and two to test on."""
    videos = [
        Video(video.path, label=str(number % 2), group=f"g{number // 2}")
        for number, video in enumerate(read_manifest(manifest))
    ]
    write_manifest(tmp_path / "train.csv", videos[:8])
    write_manifest(tmp_path / "test.csv", videos[8:])
    return tuple(f"--probe.{name}={tmp_path / name}.csv" for name in ("train", "test"))


@pytest.fixture
def quick(monkeypatch):
    """Leave out what surrounds the training: the outline, the plot and the probes at the end."""
    monkeypatch.setattr(run, "describe_run", lambda *_: "")
    monkeypatch.setattr(run, "draw_report", lambda *_: None)
    monkeypatch.setattr(run, "probe_encoders", lambda *_: ({}, {}))


@pytest.fixture
def go(tiny_config, lists):
    def start(folder, *changes, build_objective=None):
        fresh_accelerate()
        return run.pretrain(tiny_config(folder, *lists, *changes), build_objective)

    return start


def measured(folder):
    """What the online probe said, by step."""
    return {
        record["step"]: record[key]
        for record in metrics(folder)
        for key in record
        if key.startswith("probe/")
    }


def unmeasured(folder):
    return [
        {key: value for key, value in record.items() if not key.startswith("probe/")}
        for record in metrics(folder)
    ]


def test_probes_encode_in_the_precision_of_the_run(go):
    with precisions() as seen:
        summary = go("run", *OFTEN, "--train.precision=bf16")
    assert set(seen) == {torch.bfloat16}
    assert summary["precision"] == "bf16"


@pytest.mark.parametrize("probe", ["knn", "ridge"])
def test_training_is_the_same_with_and_without_it(probe, go, quick, tmp_path):
    go("plain")
    go("probed", f"--probe.online={probe}", "--probe.every=5", "--data.num_workers=1")
    assert unmeasured(tmp_path / "probed") == metrics(tmp_path / "plain")
    assert list(measured(tmp_path / "probed")) == [5, 10, 12]
    plain, probed = (result_bytes(tmp_path / name) for name in ("plain", "probed"))
    # Weights, optimiser and random states, byte by byte; the trainer's own state has the history.
    differing = {name for name in plain if plain[name] != probed[name]}
    last = f"checkpoints/step_{STEPS:07d}"
    assert differing == {f"{last}/trainer.json", f"{last}/checksums.json", "model/config.json"}


def test_it_is_the_same_for_any_number_of_workers_and_after_a_stop(go, quick, tmp_path, monkeypatch):
    go("whole", *OFTEN)
    take = Trainer._train_step

    def stopping(trainer, batches, request):
        request.requested = trainer.step == 6
        return take(trainer, batches, request)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_train_step", stopping)
        with pytest.raises(Stopped):
            go("parts", *OFTEN)
    go("parts", *OFTEN, "--data.num_workers=2")
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    assert list(measured(tmp_path / "whole")) == [4, 8, 12]


def votes(train, labels, test):
    """A plain nearest-neighbour vote: everyone votes, weighted by exp(cosine / .07)."""
    centre = train.mean(axis=0)
    train, test = ((rows - centre) / np.linalg.norm(rows - centre, axis=1)[:, None] for rows in (train, test))
    weights = np.exp(test @ train.T / 0.07)
    return np.stack([weights[:, labels == label].sum(axis=1) for label in (0, 1)], axis=1).argmax(axis=1)


@pytest.fixture
def encoded(monkeypatch):
    """Features of the last measurement, by the path of the video."""
    found, features = {}, OnlineProbe._features

    def follow(probe, *arguments):
        result = features(probe, *arguments)
        paths = [video.path for video in probe.clips.videos]
        found.update(zip(paths, result[0].numpy(), strict=True))
        return result

    monkeypatch.setattr(OnlineProbe, "_features", follow)
    return found


def reference(config, model, encoded):
    """The accuracy of the vote on each group while all others vote, from the model folder."""
    videos, _ = data.probe_sources(config)
    clips = data.probe_dataset(config, videos, ["0", "1"])
    with torch.no_grad():
        rows = [model.encode(clips[row].video_RTCHW).mean(dim=(0, 1)).numpy() for row in range(len(clips))]
    np.testing.assert_allclose(rows, [encoded[video.path] for video in videos], rtol=1e-4, atol=1e-5)
    features, labels = np.stack(rows), np.array([int(video.label) for video in videos])
    groups = np.array([video.group for video in videos])
    hits = []
    for group in sorted(set(groups)):
        held = groups == group
        hits.append(votes(features[~held], labels[~held], features[held]) == labels[held])
    return np.concatenate(hits).mean()


def test_it_measures_the_encoder_that_the_model_folder_gives(
    go, quick, tiny_config, lists, tmp_path, encoded
):
    """Four groups make four parts of one video of each class, so accuracy and balanced accuracy agree."""
    summary = go("run", *OFTEN, "--optim.lr=0.01")
    model = from_pretrained(tmp_path / "run")
    assert model.config["which"] == "target_encoder"
    config = tiny_config("run", *lists)
    value = reference(config, model, encoded)
    assert summary["online_probe"]["last"] == {"step": STEPS, "value": pytest.approx(value)}
    assert summary["model_step"] == STEPS


def test_an_objective_of_ones_own_is_measured_by_its_encoder(
    go, quick, tiny_config, lists, tmp_path, encoded
):
    summary = go("run", *OFTEN, "--optim.lr=0.01", build_objective=build.build_objective)
    model = from_pretrained(tmp_path / "run")
    assert model.config["which"] == "encoder"
    value = reference(tiny_config("run", *lists), model, encoded)
    assert summary["online_probe"]["last"]["value"] == pytest.approx(value)


@pytest.mark.parametrize("method", METHODS)
def test_it_measures_every_method(method, go, quick, manifest, tmp_path):
    go("run", *OFTEN[:1], "--probe.every=1", "--optim.steps=3", *changes_of(method, manifest))
    assert list(measured(tmp_path / "run")) == [1, 2, 3]
    assert all(0 <= value <= 1 for value in measured(tmp_path / "run").values())
    teacher = tmp_path / "run" / "teacher"
    assert not teacher.exists() or measured(teacher) == {}


def test_each_video_is_held_back_once_and_no_group_is_on_both_sides(tiny_config, lists, tmp_path):
    config = tiny_config("run", *lists, *OFTEN)
    known = build.model_config(build.Resolved(config))
    probe = online_measurements(config, known, torch.device("cpu"), print, own=False).measure
    learnt, tested = (read_manifest(tmp_path / f"{name}.csv") for name in ("train", "test"))
    assert sorted(video.path for video in probe.clips.videos) == sorted(video.path for video in learnt)
    assert not {video.path for video in probe.clips.videos} & {video.path for video in tested}
    calls = []
    probe.probe = lambda kept, held, folds: calls.append((kept, held)) or 0.0
    torch.manual_seed(0)
    probe({f"encoder.{key}": value for key, value in build.build_objective(
        build.Resolved(config)).encoder.state_dict().items()}, print)  # fmt: skip
    sides = [[{tuple(row.tolist()) for row in part[0]} for part in call] for call in calls]
    everything = sides[0][0] | sides[0][1]
    assert len(everything) == 8
    assert all(not kept & held and kept | held == everything for kept, held in sides)
    assert sum(len(held) for _, held in sides) == 8
    fold_of_group = {(v.group, int(fold)) for v, fold in zip(probe.clips.videos, probe.fold_V, strict=True)}
    assert len(fold_of_group) == 4


def test_classes_of_one_group_are_left_out_and_named(tiny_config, lists, tmp_path, capsys):
    videos = read_manifest(tmp_path / "train.csv")
    rare = Video(videos[0].path.replace("0", "9"), label="rare", group="alone")
    write_manifest(tmp_path / "train.csv", [*videos, rare])
    config = tiny_config("run", *lists, *OFTEN)
    known = build.model_config(build.Resolved(config))
    probe = online_measurements(config, known, torch.device("cpu"), print, own=False).measure
    assert rare.path not in {video.path for video in probe.clips.videos}
    assert "leaves out 1 classes of probe.train, whose videos are of one group alone: rare" in (
        capsys.readouterr().out
    )
    write_manifest(tmp_path / "train.csv", [*(v for v in videos if v.label == "0"), rare])
    with pytest.raises(ValueError, match=r"2 classes, of which 1 have videos of one group alone"):
        online_measurements(config, known, torch.device("cpu"), print, own=False)


def test_few_videos_of_each_class_are_spread_over_the_list():
    videos = [Video(f"/v/{n}", label="often" if n % 10 else "rare") for n in range(100)]
    chosen = chosen_videos(videos, 20)
    assert [video.label for video in chosen].count("rare") == 10
    assert [video.label for video in chosen].count("often") == 10
    rows = [int(Path(video.path).name) for video in chosen]
    assert rows == sorted(rows)
    assert rows[0] == 0
    assert rows[-1] == 99
    assert np.diff(rows).max() <= 12
    assert [v.label for v in chosen_videos(videos, 50)].count("often") == 25
    assert chosen_videos(videos, None) == videos
    with pytest.raises(
        ValueError, match=r"online_videos is 3, and probe.train has 2 classes: give 4 or more"
    ):
        chosen_videos(videos, 3)


def test_an_unreadable_video_is_left_out_and_told_once(go, quick, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    videos = read_manifest(tmp_path / "train.csv")
    write_manifest(tmp_path / "train.csv", [*videos, Video(str(broken), label="0", group="g9")])
    with pytest.raises(UnreadableVideosError, match=r"1 of 9 videos of probe\.train cannot be read"):
        go("run", *OFTEN)
    go("run", *OFTEN, "--data.max_unreadable=0.2")
    assert capsys.readouterr().out.count("1 of 9 videos of probe.train cannot be read and are left out") == 1
    assert list(measured(tmp_path / "run")) == [4, 8, 12]


def test_it_is_shown_while_training_at_the_end_and_in_the_plot(go, tmp_path, capsys):
    go("plain", "--optim.steps=4")
    capsys.readouterr()
    go("run", *OFTEN, "--train.log_every=100", "--optim.steps=8")
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("step ")]
    assert [line.split("/")[0] for line in lines] == ["step 1", "step 4", "step 8"]
    assert ["k-NN" in line for line in lines] == [False, True, True]
    assert "online probe (k-NN)        best " in printed
    plots = [(tmp_path / name / "report.png").read_bytes() for name in ("plain", "run")]
    widths = [int.from_bytes(plot[16:20], "big") for plot in plots]
    assert widths[1] > widths[0]  # one more panel


def test_two_processes_agree_on_the_best_and_on_the_end(tiny_arguments, lists, quick, tmp_path, monkeypatch):
    values, measure = iter([0.3, 0.5, 0.4, 0.4, 0.9]), OnlineProbe.__call__

    def falling(probe, state, say):
        assert 0 <= measure(probe, state, say) <= 1
        return next(values)

    monkeypatch.setattr(OnlineProbe, "__call__", falling)
    rules = (
        "--probe.every=2",
        "--train.patience=2",
        "--train.keep_best=true",
        "--train.checkpoint_every=100",
    )
    arguments = tiny_arguments("two", *lists, "--probe.online=ridge", *rules)
    statuses, said = forked_processes(lambda: tool(arguments), tmp_path)
    assert statuses == [0, 0], said
    summary = json.loads((tmp_path / "two/summary.json").read_text())
    assert (summary["steps"], summary["model_step"]) == (8, 4)
    assert measured(tmp_path / "two") == {2: 0.3, 4: 0.5, 6: 0.4, 8: 0.4}
    folder = tmp_path / "two"
    model, kept = (
        load_file(folder / part / "model.safetensors") for part in ("model", "checkpoints/step_0000004")
    )
    assert model.keys() == kept.keys()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.items())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (("--train.keep_best=true",), "train.keep_best is True and probe.online is null, so nothing is"),
        (("--train.patience=3",), "train.patience is 3 and probe.online is null"),
        (("--probe.online=knn",), "there are no labelled videos to measure on: give probe.train and"),
        (
            ("--probe.online=knn", "--data.synthetic={}", "--train.patience=2", "--optim.steps=1500",
             "--optim.warmup_steps=0"),
            "could not end early, at step 1500 at the earliest: lower train.patience or probe.every",
        ),
        (
            ("--probe.online=knn", "--data.synthetic={}", "--train.keep_best=true", "--optim.steps=500",
             "--optim.warmup_steps=0"),
            "only the last step is measured: lower probe.every",
        ),
        (("--probe.online=svm",), "svm"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_together_are_refused(changes, sentence):
    with pytest.raises(ConfigError) as error:
        read_config(list(changes), PretrainConfig)
    assert sentence in str(error.value)


def test_the_probe_of_few_videos_has_all_classes(tiny_config, tmp_path):
    """A list that is sorted by class, as a folder per class is."""
    rows = "".join(f"{label}{number}.mp4,class {label}\n" for label in range(5) for number in range(10))
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("path,label\n" + rows)
    lists = [f"--probe.{name}={tmp_path / name}.csv" for name in ("train", "test")]
    for videos in data.probe_sources(tiny_config(tmp_path / "run", *lists, "--probe.max_videos=20")):
        assert Counter(video.label for video in videos) == {f"class {label}": 4 for label in range(5)}
