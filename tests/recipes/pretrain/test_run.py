"""What a run leaves behind, and what it refuses."""

import json
import math
import re
from dataclasses import replace

import pytest
import torch

import vjepa
from tests.accelerate_state import fresh_accelerate
from tests.tiny_run import STEPS, metrics
from tests.training.methods import changes_of
from vjepa.config import read_config
from vjepa.data.manifest import read_manifest, write_manifest
from vjepa.objectives.jepa import JEPA
from vjepa.profiling.timing import machine_name
from vjepa.recipes.pretrain import build, run
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.run import pretrain
from vjepa.source_commit import source_commit
from vjepa.training.errors import NonFiniteError
from vjepa.training.run_folder import RunFolder
from vjepa.training.unreadable import UnreadableVideosError
from vjepa.weights import model_folder


@pytest.fixture
def quick(monkeypatch):
    """Leave out the outline before a run and the plot after it, which take longer than its steps."""
    monkeypatch.setattr(run, "describe_run", lambda *_: "")
    monkeypatch.setattr(run, "draw_report", lambda *_: None)


def test_a_run_leaves_all_that_is_promised(tiny_config, manifest, tmp_path, capsys):
    source = str(manifest)
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    videos = read_manifest(source)
    write_manifest(train, videos[:8])
    write_manifest(test, videos[:2])
    with pytest.raises(ValueError, match="in both"):
        pretrain(tiny_config("refused", f"--probe.train={train}", f"--probe.test={test}"))
    write_manifest(test, [*videos[8:]])
    summary = pretrain(tiny_config("run", f"--probe.train={train}", f"--probe.test={test}"))

    folder = tmp_path / "run"
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert set(summary["probe"]["linear"]) == {"trained", "random", "chance"}
    assert summary["clips"] == STEPS * 4
    assert (summary["commit"], summary["machine"]) == (source_commit(), machine_name(torch.device("cpu")))
    records = metrics(folder)
    assert [record["step"] for record in records] == list(range(1, STEPS + 1))
    for part in ("context", "target", "predicted"):
        for measure in ("std", "rank", "cosine"):
            assert math.isfinite(records[-1][f"{part}/{measure}"])
    assert (folder / "report.png").stat().st_size > 10_000
    assert (folder / "config.yaml").exists()

    printed = capsys.readouterr().out
    assert (
        "12 steps of 4 clips (1 process x 1 micro-batch x 4), 48 clips in all, 4.8 times each of 10 videos"
        in printed
    )
    assert "ridge probe, frozen" in printed
    assert re.search(r"trained \S+, untrained \S+, chance", printed)

    model = vjepa.from_pretrained(folder)
    tokens = model.encode(torch.zeros(1, 4, 3, 16, 16, dtype=torch.uint8))
    assert tokens.shape == (1, 2 * 4 * 4, 24)
    assert model.config["training"]["optim"]["steps"] == STEPS


def test_steps_on_images_are_told_from_steps_on_videos(tiny_config, quick, manifest, tmp_path):
    summary = pretrain(tiny_config("run", "--train.log_every=3", *changes_of("vjepa2_1", manifest)))
    records = metrics(tmp_path / "run")
    kinds = [record["kind"] for record in records]
    assert {record["step"] for record in records} >= {1, 3, 6, 9, 12}
    assert set(kinds) == {"videos", "images"}
    for kind, name in (("videos", "final"), ("images", "final_on_images")):
        last = [record for record in records if record["kind"] == kind][-1]
        assert {"step": last["step"], "kind": kind, **summary[name]}.items() >= last.items()
    state = json.loads((tmp_path / "run/checkpoints/step_0000012/trainer.json").read_text())
    bests = [state["alarms"][kind]["best"]["context/std"] for kind in ("videos", "images")]
    assert bests[0] != bests[1]


def test_a_run_on_views_tells_of_them_and_leaves_an_encoder(tiny_config, manifest, tmp_path, capsys):
    summary = pretrain(tiny_config("run", "--optim.steps=4", *changes_of("views", manifest)))
    printed = capsys.readouterr().out
    # Clips of 4 x 16 x 16 pixels and parts of 2 x 8 x 8, in tokens of 2 x 4 x 4, half of which are dropped.
    assert "2 global views of a clip: grid 2 x 4 x 4 = 32 tokens, of which 16 are encoded" in printed
    assert "2 local views of a clip: grid 1 x 2 x 2 = 4 tokens, of which 2 are encoded" in printed
    assert summary["final"]["loss"] == pytest.approx(
        summary["final"]["invariance"] + summary["final"]["sigreg"], rel=1e-5
    )
    assert {"relative_error", "target/rank", "context/std"} <= summary["final"].keys()
    model = vjepa.from_pretrained(tmp_path / "run")
    assert [name for name, _ in model.named_children()] == ["encoder", "normalizer"]
    assert model.encode(torch.zeros(1, 4, 3, 16, 16, dtype=torch.uint8)).shape == (1, 32, 24)
    fresh_accelerate()
    tree = f"--init={tmp_path / 'run'}"
    config = tiny_config("next", tree, "--optim.steps=1", "--optim.lr=0", "--optim.warmup_steps=0")
    pretrain(config)
    again = vjepa.from_pretrained(tmp_path / "next", "encoder").encoder.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.encoder.state_dict().items())


def test_a_student_goes_on_with_other_settings_of_steps_and_its_finished_teacher_stays(
    tiny_config, quick, manifest, tmp_path, capsys
):
    salt = ("--objective.target_encoder=frozen", "--objective.teacher_steps=1", "--optim.warmup_steps=0",
            "--encoder.levels=[0, 1]")  # fmt: skip
    pretrain(tiny_config("run", *salt, "--optim.steps=1"))
    teacher = tmp_path / "run" / "teacher"
    # Pixels need one level: norms of others would have no gradient, on which several processes would wait.
    assert not any("level_norms" in name for name in vjepa.from_pretrained(teacher).state_dict())
    before = {path: path.read_bytes() for path in teacher.rglob("*") if path.is_file()}
    cleaned = tmp_path / "cleaned.csv"
    write_manifest(cleaned, read_manifest(manifest)[:8])
    fresh_accelerate()
    changed = ("--optim.steps=2", "--optim.lr=1e-4", "--train.precision=bf16", f"--data.train={cleaned}")
    assert pretrain(tiny_config("run", *salt, *changed))["steps"] == 2
    assert f"{teacher} is finished" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in teacher.rglob("*") if path.is_file()} == before
    more = tiny_config("run", *salt, "--objective.teacher_steps=2")
    assert not RunFolder(teacher).complete(build.teacher_config(more))
    fresh_accelerate()
    with pytest.raises(
        ValueError, match=r"teacher holds a run with another configuration .*predictor\.depth"
    ):
        pretrain(tiny_config("run", *salt, "--predictor.depth=2"))


def test_views_of_which_the_batch_is_divided_are_refused(tiny_config, manifest):
    with pytest.raises(ValueError, match=r"objective\.sigreg .*micro_batch|micro_batch.*objective\.sigreg"):
        pretrain(tiny_config("run", "--train.micro_batch=2", *changes_of("views", manifest)))


def test_images_are_rendered_beside_the_videos(tmp_path):
    run = [
        "--config=configs/debug.yaml",
        f"--output_dir={tmp_path / 'run'}",
        f"--data.synthetic.folder={tmp_path / 'rendered'}",
        "--data.synthetic.num_train=10",
        "--data.synthetic.num_test=10",
        "--data.synthetic.images={objects: [1, 1], frames: 2, size: 32}",
        "--encoder.image_tokenizer=true",
        "--optim={steps: 4, batch_size: 2, warmup_steps: 1}",
        "--data.num_workers=0",
        "--train.trackers=[]",
        "--train.device=cpu",
    ]
    summary = pretrain(read_config(run, PretrainConfig))
    assert len(read_manifest(tmp_path / "rendered" / "images" / "manifest.csv")) == 10
    assert {record["kind"] for record in metrics(tmp_path / "run")} == {"videos", "images"}
    assert math.isfinite(summary["final_on_images"]["loss"])


def test_schedules_are_those_of_the_configuration(tiny_config, quick, tmp_path):
    pretrain(tiny_config("run", "--optim.lr=0.01", "--optim.start_lr=0.001", "--optim.final_lr=0"))
    records = metrics(tmp_path / "run")
    assert records[0]["lr"] == pytest.approx(0.001)
    assert records[1]["lr"] == pytest.approx(0.004)
    assert records[3]["lr"] == pytest.approx(0.01)
    assert records[7]["lr"] == pytest.approx(0.01 * 0.5 * (1 + math.cos(math.pi * 4 / 9)))
    assert records[0]["weight_decay"] == pytest.approx(0.04)
    assert records[6]["weight_decay"] == pytest.approx(0.22)


def with_broken_video(manifest, folder):
    """The manifest's ten videos and an eleventh that is no video."""
    broken = folder / "broken.mp4"
    broken.write_text("not a video")
    videos = read_manifest(manifest)
    listed = folder / "with_broken.csv"
    write_manifest(listed, [*videos, videos[0].__class__(path=str(broken))])
    return listed


def test_an_unreadable_video_is_reported_once_and_counted(tiny_config, quick, manifest, tmp_path, capsys):
    listed = with_broken_video(manifest, tmp_path)
    pretrain(tiny_config("run", f"--data.train={listed}", "--data.max_unreadable=0.1"))
    assert capsys.readouterr().out.count("unreadable video, replaced by another") == 1
    records = metrics(tmp_path / "run")
    assert records[-1]["unreadable"] == 1


def test_an_unreadable_video_of_a_probe_is_left_out_and_counted(
    tiny_config, quick, manifest, tmp_path, capsys
):
    videos = read_manifest(manifest)
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    parts = {"train": videos[:8], "test": [*videos[8:], replace(videos[8], path=str(broken))]}
    for name, listed in parts.items():
        write_manifest(tmp_path / f"{name}.csv", listed)
    lists = [f"--probe.{name}={tmp_path / name}.csv" for name in parts]
    short = ("--optim.steps=1", "--optim.warmup_steps=0", *lists)
    with pytest.raises(UnreadableVideosError, match=r"1 of 3 videos of probe\.test cannot be read"):
        pretrain(tiny_config("run", *short))
    fresh_accelerate()
    summary = pretrain(tiny_config("run", *short, "--data.max_unreadable=0.4"))
    assert summary["unreadable"] == {"probe.test": 1}
    assert 0 <= summary["probe"]["linear"]["trained"] <= 1
    assert "1 of 3 videos of probe.test cannot be read and are left out" in capsys.readouterr().out
    # What is not there is told before the first step.
    broken.unlink()
    with pytest.raises(UnreadableVideosError, match=r"probe\.test .*\n.*broken\.mp4: there is no such file"):
        pretrain(tiny_config("new", *short))
    assert not (tmp_path / "new" / "metrics.jsonl").exists()


def test_too_many_unreadable_videos_end_the_run(tiny_config, quick, manifest, tmp_path):
    listed = with_broken_video(manifest, tmp_path)
    with pytest.raises(UnreadableVideosError, match=r"1 of 11 videos .* more than 1.0%") as error:
        pretrain(tiny_config("run", f"--data.train={listed}"))
    assert "broken.mp4" in str(error.value)
    assert "vjepa validate" in str(error.value)


def test_a_loss_that_is_not_finite_ends_the_run_with_its_files(tiny_config, tmp_path, monkeypatch):
    forward, calls = JEPA.forward, []

    def broken(self, batch):
        outputs = forward(self, batch)
        calls.append(batch.paths)
        return outputs | {"loss": outputs["loss"] * math.nan} if len(calls) == 6 else outputs

    # The run's own description takes one forward pass before the first step.
    monkeypatch.setattr(JEPA, "forward", broken)
    with pytest.raises(NonFiniteError, match="step 5: loss is nan") as error:
        pretrain(tiny_config("run"))
    assert all(path in str(error.value) for path in calls[5])
    assert "The last good checkpoint is of step 3" in str(error.value)
    kept = torch.load(
        tmp_path / "run" / "checkpoints" / "step_0000003" / "optimizer.bin",
        weights_only=True,
        map_location="cpu",
    )
    assert all(value["exp_avg"].isfinite().all() for value in kept["state"].values())


def test_the_same_seed_gives_the_same_run_and_another_does_not(tiny_config, quick, tmp_path):
    for name, seed, num_workers in (("a", 0, 0), ("b", 0, 2), ("c", 1, 0)):
        pretrain(tiny_config(name, f"--seed={seed}", f"--data.num_workers={num_workers}", "--optim.steps=4"))
        fresh_accelerate()
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert metrics(tmp_path / "a") != metrics(tmp_path / "c")


def test_accumulated_parts_are_the_whole_batch(tiny_config, quick, tmp_path):
    for name, most in (("whole", 4), ("parts", 1)):
        pretrain(tiny_config(name, "--optim.steps=4", "--encoder.drop_path=0", f"--train.micro_batch={most}"))
        fresh_accelerate()
    for whole, parts in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "parts"), strict=True):
        for metric in ("loss", "relative_error", "target/std", "context/rank"):
            assert whole[metric] == pytest.approx(parts[metric], rel=1e-4 if "/" in metric else 1e-5)
        assert whole["lr"] == parts["lr"]


def test_a_trained_model_is_a_starting_point(tiny_config, quick, tmp_path):
    pretrain(tiny_config("first", "--optim.steps=2", "--optim.warmup_steps=1"))
    trained = vjepa.from_pretrained(tmp_path / "first")
    fresh_accelerate()
    pretrain(
        tiny_config(
            "second",
            f"--init={tmp_path / 'first'}",
            "--optim.steps=1",
            "--optim.lr=0",
            "--optim.warmup_steps=0",
        )
    )
    again = vjepa.from_pretrained(tmp_path / "second")
    for name, value in trained.encoder.state_dict().items():
        assert torch.equal(value, again.encoder.state_dict()[name]) or "target" in name
    fresh_accelerate()
    with pytest.raises(ValueError, match=r"the predictor of init does not fit .* must be \(24"):
        pretrain(tiny_config("third", f"--init={tmp_path / 'first'}", "--predictor.embed_dim=24"))


def test_a_predictor_of_the_future_is_trained_on_the_encoder_of_a_model(
    tiny_config, quick, manifest, tmp_path
):
    """The encoder stays as it was, and the untrained predictor copies what it saw last."""
    pretrain(tiny_config("first", "--optim.steps=2", "--optim.warmup_steps=1"))
    encoder = vjepa.from_pretrained(tmp_path / "first").encoder
    second = (
        f"--init={tmp_path / 'first'}",
        "--objective.target_encoder=init",
        "--masks={multiblock: [], future: [{context: [0.5, 0.5]}]}",
        "--predictor={residual: true, embed_dim: 24}",
    )
    for folder, steps, lr in (("copies", 1, 0.0), ("trained", 4, 0.01)):
        fresh_accelerate()
        rate = (f"--optim.lr={lr}", f"--optim.final_lr={lr}", "--optim.warmup_steps=0")
        pretrain(tiny_config(folder, *second, f"--optim.steps={steps}", *rate))
        model = vjepa.from_pretrained(tmp_path / folder)
        for name, value in encoder.state_dict().items():
            assert torch.equal(value, model.encoder.state_dict()[name]), name
        skill = vjepa.evaluate_future(model, manifest, steps=1).horizons[0].skill["copy_last"].value
        assert (skill == 0) == (folder == "copies")
    fresh_accelerate()
    with pytest.raises(ValueError, match=r"init null .*: give a model as init"):
        pretrain(tiny_config("third", "--objective.target_encoder=init"))


def test_a_run_with_a_convolutional_stem_goes_on_and_keeps_it(tiny_config, quick, tmp_path):
    """Two halves are the whole, bit for bit, and the model folder has the stem."""
    changes = ("--encoder.stem=convolutional", "--optim.steps=6")
    stretched = ("--optim.steps=3", "--optim.schedule_stretch=2")
    pretrain(tiny_config("whole", *changes))
    fresh_accelerate()
    pretrain(tiny_config("parts", *changes, *stretched))
    fresh_accelerate()
    pretrain(tiny_config("parts", *changes))
    assert metrics(tmp_path / "parts") == metrics(tmp_path / "whole")
    weights = [tmp_path / run / "model" / "model.safetensors" for run in ("whole", "parts")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert vjepa.from_pretrained(tmp_path / "parts").config["encoder"]["stem"] == "convolutional"
    fresh_accelerate()
    with pytest.raises(ValueError, match=r"encoder\.stem: convolutional there, linear here"):
        pretrain(tiny_config("parts", *changes, "--encoder.stem=linear"))


def test_each_model_that_a_run_names_is_read_once(tiny_config, quick, tmp_path, monkeypatch):
    pretrain(tiny_config("first", "--optim.steps=2", "--optim.warmup_steps=1"))
    read = []
    load = model_folder.load_tensors
    monkeypatch.setattr(model_folder, "load_tensors", lambda path: read.append(path) or load(path))
    first = tmp_path / "first"
    models = [f"--init={first}", "--objective.target_encoder=frozen", f"--objective.teacher={first}"]
    fresh_accelerate()
    pretrain(tiny_config("second", *models, "--optim.steps=1", "--optim.warmup_steps=0"))
    assert read == 2 * [first / "model" / "model.safetensors"]  # init and objective.teacher


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        (("--data.train=null",), "give data.train"),
        (("--data.size=18",), "resize or crop"),
        (("--data.clip.num_frames=5",), "multiple of 2"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_step(changes, remedy, tiny_config):
    with pytest.raises(ValueError, match=remedy):
        pretrain(tiny_config("run", *changes))
