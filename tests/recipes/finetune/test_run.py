"""Fine-tuning: what it learns, that it goes on where it was, and what it refuses."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import vjepa
from tests.accelerate_state import fresh_accelerate
from tests.precision_watch import precisions
from tests.tiny_run import metrics, result_bytes
from tests.training.processes import forked_processes
from tests.weights.released.files import vjepa2_file
from vjepa.commands.classify import main as classify
from vjepa.commands.finetune import main as tool
from vjepa.config import ConfigError, read_config
from vjepa.data.manifest import Video, read_manifest, write_manifest
from vjepa.data.python_datasets import dataset_of, name_dataset
from vjepa.data.readers.open import open_video
from vjepa.data.sampling import SampleKey
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.evaluation.features.cache import FeatureShards
from vjepa.evaluation.recognition.scores import read_scores
from vjepa.layers.blocks import TokenTransformer
from vjepa.models.video_model import VideoModel
from vjepa.recipes.finetune import build
from vjepa.recipes.finetune import run as finetune_run
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.finetune.run import finetune
from vjepa.training.stop import Stopped
from vjepa.training.trainer import Trainer
from vjepa.training.unreadable import UnreadableVideosError
from vjepa.weights.model_folder import save_pretrained

CONFIG = {
    "encoder": {"embed_dim": 24, "depth": 2, "num_heads": 2, "tubelet": [2, 4, 4]},
    "pixels": {"mean": [0.5] * 3, "std": [0.25] * 3},
    "clip": {"num_frames": 4, "fps": None, "stride": 1, "size": [16, 16], "whole_frame": True},
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A model folder with random weights, and videos of two classes, told by how bright their frames are."""
    folder = tmp_path_factory.mktemp("world")
    torch.manual_seed(0)
    save_pretrained(folder / "model", VideoModel(CONFIG).state_dict(), CONFIG)
    for part, seed, count in (("train", 0, 24), ("test", 1, 12)):
        manifest = write_videos(folder / part, RenderSettings(size=16, frames=6), num_videos=count, seed=seed)
        videos = read_manifest(manifest)
        rows = [
            Video(bright(folder, video, n % 2), "bright" if n % 2 else "dark")
            for n, video in enumerate(videos)
        ]
        write_manifest(folder / f"{part}.csv", rows)
        shuffled = np.random.default_rng(3).permutation(len(rows))
        labels = [rows[row].label for row in shuffled]
        guess = [Video(video.path, label) for video, label in zip(videos, labels, strict=True)]
        write_manifest(folder / f"{part}-shuffled.csv", guess)
    return folder


def bright(folder, video, label):
    """The same video as an array with its class in the pixels."""
    with open_video(video.path) as reader:
        frames = reader.get_frames(np.arange(len(reader))).permute(0, 2, 3, 1).numpy()
    path = folder / f"{video.path.replace('/', '_')}.npy"
    np.save(path, frames // 2 + 120 * label)
    return str(path)


@pytest.fixture
def arguments(pretrained, tmp_path):
    def make(folder="run", *changes):
        return [
            f"--output_dir={tmp_path / folder}",
            f"--model.init={pretrained}",
            f"--data.train={pretrained / 'train.csv'}",
            f"--data.test={pretrained / 'test.csv'}",
            "--data.num_workers=0",
            "--optim.epochs=3",
            "--optim.batch_size=8",
            "--optim.warmup_epochs=1",
            "--optim.lr=0.003",
            "--train.log_every=1",
            "--train.checkpoint_every=2",
            "--train.trackers=[]",
            "--train.device=cpu",
            "--train.threads=1",
            *changes,
        ]

    return make


@pytest.fixture
def run(arguments):
    def start(*changes):
        fresh_accelerate()
        return finetune(read_config(arguments(*changes), FinetuneConfig))

    return start


AUGMENTED = (
    "--model.drop_path=0.2",
    "--data.repeats=2",
    "--augment={randaugment: [2, 5], erase: 0.3, mixup: 0.8, cutmix: 1.0}",
    "--optim.average=0.9",
    "--optim.layer_decay=0.75",
)
QUICK = ("--train.log_every=50", "--train.checkpoint_every=50")
FROZEN = ("--model.tune=none", "--head.kind=attentive", "--optim.epochs=12", "--optim.lr=0.005")


@pytest.mark.parametrize("kind", ["linear", "mlp", "attentive"])
def test_labels_in_the_pixels_are_found(kind, run, tmp_path):
    summary = run("run", *FROZEN, f"--head.kind={kind}")
    assert summary["test"]["top1"][0] == 1.0
    scores = read_scores(tmp_path / "run" / "scores.csv")
    assert len(scores.paths) == 12
    assert scores.classes == ["bright", "dark"]
    torch.testing.assert_close(scores.scores_VX.sum(dim=1), torch.ones(12), atol=1e-5, rtol=0)
    assert (tmp_path / "run" / "confusion.png").exists()
    assert "| bright | 6 | 100.0 | 100.0 |" in (tmp_path / "run" / "classes.md").read_text()


@pytest.mark.parametrize("changes", [(), FROZEN[:2]])
def test_a_run_is_tested_in_the_precision_in_which_it_trained(changes, run, tmp_path):
    features = (f"--features.folder={tmp_path / 'features'}",) if changes else ()
    with precisions() as seen:
        run("run", *changes, *features, "--optim.epochs=2", "--train.precision=bf16")
    assert set(seen) == {torch.bfloat16}


@pytest.mark.slow
def test_shuffled_labels_stay_at_chance(run, pretrained, tmp_path):
    features = f"--features={{folder: {tmp_path / 'features'}}}"
    shuffled = [f"--data.{part}={pretrained / f'{part}-shuffled.csv'}" for part in ("train", "test")]
    rates = [
        run(f"run{seed}", *FROZEN, features, *shuffled, f"--seed={seed}")["test"]["top1"][0]
        for seed in range(3)
    ]
    assert 0.2 < np.mean(rates) < 0.8


def test_a_folder_per_class_gives_an_accuracy(run, pretrained, tmp_path, capsys):
    """A part is held back whatever the seed of the run, and a file that is there twice is on one side."""
    for number, video in enumerate(read_manifest(pretrained / "train.csv")):
        link = tmp_path / "videos" / video.label / f"{number}.npy"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(video.path)
    (link.parent / "again.npy").symlink_to(video.path)
    copy = tmp_path / "videos" / "dark" / "copy.npy"
    copy.write_bytes((tmp_path / "videos" / "dark" / "0.npy").read_bytes())
    folder = (f"--data.train={tmp_path / 'videos'}", "--data.test=null")
    summary = run("run", *FROZEN, *QUICK, *folder)
    assert summary["videos"] == {"train": 21, "val": 0, "test": 5}
    assert summary["test"]["top1"][0] == 1.0
    printed = capsys.readouterr().out
    assert "21 to train, 5 to test (held back from data.train: data.test_share 0.2)" in printed
    assert "test split: accuracy 100.0% (95 %: 100.0% to 100.0%) on 5 videos; metrics and model:" in printed
    assert printed.rstrip().endswith(str(tmp_path / "run"))
    tested = read_scores(tmp_path / "run" / "scores.csv").paths
    for twins in (("bright/23", "bright/again"), ("dark/0", "dark/copy")):
        assert sum(str(tmp_path / "videos" / f"{twin}.npy") in tested for twin in twins) in (0, 2)
    run("other", *folder, "--seed=7", "--optim.epochs=1")
    assert read_scores(tmp_path / "other" / "scores.csv").paths == tested
    summary = run("none", *folder, "--data.test_share=0", "--optim.epochs=1")
    assert summary["videos"] == {"train": 26, "val": 0, "test": 0}
    assert (
        "nothing was tested (data.test null, data.test_share 0); accuracy in training"
        in capsys.readouterr().out
    )


def test_names_of_classes_and_files_are_data(run, pretrained, tmp_path, capsys):
    """Formulas of matplotlib and of spreadsheets, marks of Markdown, and bytes that are no UTF-8."""
    names = {"bright": "$x_$|a", "dark": "=1+caf\udce9"}
    for part in ("train", "test"):
        videos = read_manifest(pretrained / f"{part}.csv")
        copy = tmp_path / f"{part}\udce9.npy"
        copy.write_bytes(Path(videos[0].path).read_bytes())
        rows = [Video(video.path, names[video.label]) for video in videos]
        write_manifest(tmp_path / f"{part}.csv", [Video(str(copy), rows[0].label), *rows[1:]])
    sources = [f"--data.{part}={tmp_path / part}.csv" for part in ("train", "test")]
    assert run("run", *FROZEN, *QUICK, *sources)["test"]["top1"][0] == 1.0
    scores = read_scores(tmp_path / "run" / "scores.csv")
    assert scores.classes == sorted(names.values())
    assert scores.paths[0] == str(tmp_path / "test\udce9.npy")
    assert r"| \$x\_\$\|a | 6 |" in (tmp_path / "run" / "classes.md").read_text()
    capsys.readouterr()
    arguments = ["--model", str(tmp_path / "run"), "--videos", str(tmp_path / "test.csv"), "--clips", "1"]
    assert classify(arguments) == 0
    printed = capsys.readouterr().out
    assert "accuracy 100.0%" in printed
    assert r"test\udce9.npy: =1+caf\udce9" in printed
    with pytest.raises(ConfigError, match=r"train=.*\\udce9\.csv' has bytes that are no UTF-8"):
        run("run", f"--data.train={tmp_path}/\udce9.csv")


def test_classes_that_training_lacks_count_as_missed(run, pretrained, tmp_path, capsys):
    test = read_manifest(pretrained / "test.csv")
    rows = [Video(video.path, "dim" if n < 3 else video.label) for n, video in enumerate(test)]
    summary = run("run", *FROZEN, *QUICK, f"--data.test={listed(tmp_path, 'k.csv', rows)}")
    assert summary["test"]["top1"][0] == pytest.approx(9 / 12)
    assert summary["test"]["mean_class"][0] == pytest.approx(2 / 3)
    assert summary["test"]["unseen"] == {"classes": ["dim"], "videos": 3}
    assert "3 of them of 1 classes that training lacks, which count as missed" in capsys.readouterr().out
    assert read_scores(tmp_path / "run" / "scores.csv").classes == ["bright", "dark"]
    assert "| dim | 3 | 0.0 | - |" in (tmp_path / "run" / "classes.md").read_text()


@pytest.mark.parametrize("changes", [(), AUGMENTED, FROZEN], ids=["plain", "augmented", "frozen"])
def test_stopping_and_going_on_changes_no_byte(changes, run, tmp_path, monkeypatch):
    run("whole", *changes)
    step = Trainer._train_step

    def stop_in_the_middle(trainer, batches, request):
        request.requested = trainer.step == 3
        return step(trainer, batches, request)

    monkeypatch.setattr(Trainer, "_train_step", stop_in_the_middle)
    with pytest.raises(Stopped):
        run("parts", *changes)
    monkeypatch.undo()
    run("parts", *changes, "--data.num_workers=2")
    expected, actual = result_bytes(tmp_path / "whole"), result_bytes(tmp_path / "parts")
    assert expected.keys() == actual.keys()
    assert not [name for name in expected if expected[name] != actual[name] and name != "model/config.json"]
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
    scores = [(tmp_path / name / "scores.csv").read_text() for name in ("whole", "parts")]
    assert scores[0] == scores[1]


def test_two_processes_are_one(run, arguments, tmp_path):
    changes = ("--data.repeats=2", "--augment={mixup: 0.8, cutmix: 1.0}")
    run("one", *changes)
    fresh_accelerate()
    two = arguments("two", *changes, "--train.micro_batch=2")
    statuses, said = forked_processes(lambda: tool(two), tmp_path)
    assert statuses == [0, 0], said
    assert "2 processes x 2 micro-batches" in said[0]
    for ours, theirs in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    first, second = (read_scores(tmp_path / name / "scores.csv") for name in ("one", "two"))
    assert first.paths == second.paths
    torch.testing.assert_close(first.scores_VX, second.scores_VX, atol=1e-3, rtol=0)


def test_the_best_of_a_grid_is_chosen_without_the_test_part(run, tmp_path):
    grid = "--grid={lr: [1.0e-7, 0.01], weight_decay: [0.01, 0.1]}"
    features = f"--features={{folder: {tmp_path / 'features'}}}"
    summary = run("run", *FROZEN, grid, features)
    assert summary["videos"] == {"train": 19, "val": 5, "test": 12}
    assert summary["chosen"]["lr"] == 0.01
    assert summary["val"]["mean_class"][0] == summary["test"]["mean_class"][0] == 1.0
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"encoder", "head"}
    answer = vjepa.VideoClassifier.from_pretrained(tmp_path / "run").predict(
        read_scores(tmp_path / "run" / "scores.csv").paths[0]
    )
    assert answer.label == "dark"


def test_tokens_from_the_disk_are_those_of_the_encoder(run, tmp_path):
    """With full precision and no augmentation, a cached probe learns what an uncached one learns."""
    plain = (*FROZEN, "--augment={scale: [1, 1], ratio: [1, 1]}", "--data.clip={num_frames: 6, stride: 1}")
    run("live", *plain)
    run("cached", *plain, f"--features={{folder: {tmp_path / 'features'}, precision: fp32}}")
    live, cached = ([r["loss"] for r in metrics(tmp_path / name)] for name in ("live", "cached"))
    np.testing.assert_allclose(live, cached, rtol=1e-4)


def test_segments_are_seen_together_from_training_to_use(run, tmp_path):
    """Two clips under one head, three crops, two levels; the same without and with features on disk."""
    several = (
        "--data.segments=2",
        "--evaluation={clips: 4, crops: 3}",
        "--model.levels=[0, 1]",
        "--data.repeats=2",
    )
    live = run("live", *FROZEN, *several)
    assert live["test"]["top1"][0] == 1.0
    features = f"--features={{folder: {tmp_path / 'features'}, views: 2}}"
    cached = run("cached", *FROZEN, *several, features)
    assert cached["test"]["top1"][0] == 1.0
    scores = read_scores(tmp_path / "cached" / "scores.csv")
    answer = vjepa.VideoClassifier.from_pretrained(tmp_path / "cached").predict(scores.paths[1])
    expected = scores.scores_VX[1, scores.classes.index("bright")].item()
    assert dict(answer.top(2))["bright"] == pytest.approx(
        expected, abs=2e-3
    )  # the cache is in half precision


def test_augmented_views_take_turns(run, pretrained, tmp_path):
    """Two views of each video are kept, and an epoch has another one than the epoch before."""
    views = f"--features={{folder: {tmp_path / 'features'}, views: 2, precision: fp32}}"
    run("run", *FROZEN, "--optim.epochs=1", views, "--augment={scale: [0.3, 0.5]}")
    entry = next(
        path for path in (tmp_path / "features").iterdir() if len(FeatureShards(path, 24, 2).load()[0]) == 24
    )
    shards = FeatureShards(entry, 24, 2)
    first, again, second = (shards[SampleKey(serial, 3, 0)][0] for serial in (3, 2 * 24 + 3, 24 + 3))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_lora_leaves_a_plain_model(run, pretrained, tmp_path):
    pytest.importorskip("peft")
    run("run", "--model.tune=lora", "--model.lora={rank: 2, alpha: 4}", "--optim.epochs=6")
    before = load_file(pretrained / "model" / "model.safetensors")
    after = load_file(tmp_path / "run" / "model" / "model.safetensors")
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert all(name.endswith(("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight")) for name in moved)
    for name in moved:
        assert torch.linalg.matrix_rank(after[name] - before[name], atol=1e-6) <= 2
    scores = read_scores(tmp_path / "run" / "scores.csv")
    classifier = vjepa.VideoClassifier.from_pretrained(tmp_path / "run")
    answer = dict(classifier.predict(scores.paths[0]).top(2))
    for name, score in zip(scores.classes, scores.scores_VX[0].tolist(), strict=True):
        assert answer[name] == pytest.approx(score, abs=1e-4)


def test_random_weights_are_other_weights(run, pretrained, tmp_path):
    run("run", "--model.weights=random", "--model.tune=none", "--optim.epochs=1")
    before = load_file(pretrained / "model" / "model.safetensors")
    after = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert not torch.equal(
        before["encoder.patch_embed.proj.weight"], after["encoder.patch_embed.proj.weight"]
    )


def listed(folder, name, videos):
    write_manifest(folder / name, videos)
    return str(folder / name)


def test_bad_input_is_named(run, pretrained, tmp_path):
    train, test = (read_manifest(pretrained / f"{part}.csv") for part in ("train", "test"))
    unlabelled = listed(tmp_path, "u.csv", [Video(train[0].path), *train[1:]])
    with pytest.raises(ValueError, match=r"1 of 24 videos of data.train have no label, e\.g\. "):
        run("a", f"--data.train={unlabelled}")
    missing = listed(tmp_path, "m.csv", [Video(test[0].path), *test[1:]])
    with pytest.raises(ValueError, match=r"videos of data.test have no label"):
        run("a", f"--data.test={missing}")
    unknown = listed(tmp_path, "k.csv", [Video(video.path, "dim") for video in test])
    with pytest.raises(
        ValueError, match=r"data.test has the labels dim, none of which a video of data.train has"
    ):
        run("a", f"--data.test={unknown}")
    rare = listed(tmp_path, "r.csv", [Video(train[0].path, "rare"), *train[1:]])
    with pytest.raises(
        ValueError, match=r"videos of rare are of one group.*data.test_share 0 to test nothing"
    ):
        run("a", f"--data.train={rare}", "--data.test=null")
    with pytest.raises(ValueError, match=r"data.train and data.test share what"):
        run("a", f"--data.test={listed(tmp_path, 'l.csv', [*test, train[0]])}")
    with pytest.raises(ValueError, match="has the class bright alone"):
        run("a", f"--data.train={listed(tmp_path, 'o.csv', [v for v in train if v.label == 'bright'])}")
    (tmp_path / "classes" / "empty").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"the class folder .*empty has no videos"):
        run("a", f"--data.train={tmp_path / 'classes'}")
    pixels = torch.zeros(4, 6, 3, 16, 16, dtype=torch.uint8)
    clips = name_dataset(pixels, "data.train")
    dataset_of(clips).labels = ["bright", "dark"] * 2
    with pytest.raises(ValueError, match=r"features on disk are asked for, and python:.*leave features out"):
        run("a", f"--data.train={clips}", *FROZEN, f"--features={{folder: {tmp_path / 'features'}}}")
    with pytest.raises(ValueError, match="cannot be cut into patches of 4 x 4"):
        run("a", "--data.size=18")
    with pytest.raises(ValueError, match=r"model.init is null"):
        run("a", "--model.init=null")
    with pytest.raises(ValueError, match="is not a model"):
        run("a", f"--model.init={tmp_path}")


def test_randaugment_of_frames_that_are_not_rgb_is_refused_at_the_start(run, tmp_path):
    grey = {"encoder": {**CONFIG["encoder"], "channels": 1}, "pixels": {"mean": [0.5], "std": [0.25]}}
    save_pretrained(tmp_path / "grey", VideoModel(CONFIG | grey).state_dict(), CONFIG | grey)
    with pytest.raises(
        ValueError, match=r"augment\.randaugment is for red, green and blue, .* 1 channels: leave"
    ):
        run("a", f"--model.init={tmp_path / 'grey'}", "--augment.randaugment=[2, 5]")


def test_a_run_does_not_go_on_with_a_list_of_which_it_would_be_tested_on_what_it_learnt(
    run, pretrained, tmp_path
):
    train = read_manifest(pretrained / "train.csv")
    whole, fewer = (listed(tmp_path, f"{n}.csv", train[: len(train) - n]) for n in (0, 2))
    run("a", f"--data.train={whole}", "--data.test=null", "--data.test_share=0.5", "--optim.epochs=1")
    with pytest.raises(ValueError, match=r"list of training videos has changed .*test_share would hold"):
        run("a", f"--data.train={fewer}", "--data.test=null", "--data.test_share=0.5", "--optim.epochs=2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--model.drop_path=0.1"], r"model\.drop_path is 0\.1, .* and model\.tune none"),
        (["--optim.layer_decay=0.5"], r"optim\.layer_decay 0\.5 and model\.tune none"),
        (["--features={folder: f}", "--data.repeats=2"], r"data\.repeats is 2 and features\.views 0"),
        (["--features={folder: f}", "--augment.flip=true"], r"augment\.flip is true and features\.views 0"),
        (["--features={folder: f}", "--augment.erase=0.1"], r"augment\.erase is 0\.1 and features\.views 0"),
        (
            ["--features={folder: f}", "--augment.randaugment=[2, 5]"],
            r"augment\.randaugment is .*2, 5.* and features\.views 0",
        ),
        (["--grid={}", "--optim.clip_grad=1"], r"optim\.clip_grad is 1\.0 with a grid: .* clipped together"),
    ],
)
def test_what_a_frozen_encoder_does_not_use_is_refused(changes, message, run):
    with pytest.raises(ValueError, match=message):
        run("a", *FROZEN, *changes)


def test_a_process_without_a_video_of_its_own_gets_the_scores_of_the_others(monkeypatch):
    """Of one test video and two processes, this is the second."""
    video, scores_GX = Video("a.npy", "bright"), torch.tensor([[0.25, 0.75]])
    others = iter(([(0, scores_GX)], []))  # scores, then what could not be read
    monkeypatch.setattr(finetune_run, "wait_for_all", lambda _: None)
    monkeypatch.setattr(finetune_run, "gather_object", lambda own: [*next(others), *own])
    run = SimpleNamespace(config=FinetuneConfig(), splits=SimpleNamespace(test=[video]))
    place = SimpleNamespace(process_index=1, num_processes=2, print=print)
    found, videos = finetune_run._scores(run, None, SimpleNamespace(views={"test": [None]}), "test", place)
    assert torch.equal(found, scores_GX.unsqueeze(1))
    assert videos == [video]


def test_a_classifier_is_executed_as_the_run_says(arguments, monkeypatch):
    compiled = []
    monkeypatch.setattr(TokenTransformer, "compile_blocks", lambda network: compiled.append(network))
    given = [*arguments("a"), "--train.activation_checkpointing=true", "--train.compile=true"]
    config = read_config(given, FinetuneConfig)
    resolved, model = build.resolve(config, build.labelled_splits(config))
    network = build.build_classifier(resolved, model)
    assert network.encoder.transformer.grad_checkpointing
    assert compiled == [network.encoder.transformer]


def test_a_checkpoint_of_another_size_is_refused(run, pretrained, tmp_path):
    bigger = {**CONFIG, "encoder": {**CONFIG["encoder"], "embed_dim": 32}}
    save_pretrained(tmp_path / "other", VideoModel(bigger).state_dict(), bigger)
    broken = tmp_path / "other" / "config.json"
    broken.write_text(json.dumps(CONFIG))
    with pytest.raises(
        ValueError,
        match=r"encoder\.embed_dim 24, and the weights of the encoder do not fit .* 2 blocks of width 32",
    ):
        run("a", f"--model.init={tmp_path / 'other'}")
    run("run", "--optim.epochs=1")
    save_pretrained(tmp_path / "wide", VideoModel(bigger).state_dict(), bigger)
    with pytest.raises(ValueError, match="holds a run with another configuration"):
        run("run", "--optim.epochs=1", f"--model.init={tmp_path / 'wide'}")


@pytest.fixture
def damaged(pretrained, tmp_path):
    """The test split, and a video more that is there and none: one of thirteen."""
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    write_manifest(
        tmp_path / "damaged.csv", [Video(str(broken), "dark"), *read_manifest(pretrained / "test.csv")]
    )
    return tmp_path / "damaged.csv"


@pytest.mark.parametrize(
    "features", [(), ("--features={folder: FEATURES, precision: fp32}",)], ids=["clips", "features"]
)
def test_an_unreadable_test_video_is_left_out_of_the_figures(features, run, damaged, tmp_path, capsys):
    changes = [change.replace("FEATURES", str(tmp_path / "features")) for change in features]
    probe = ("--model.tune=none", "--optim.epochs=1", *changes)
    whole = run("whole", *probe)
    assert "unreadable" not in whole

    with pytest.raises(
        UnreadableVideosError, match=r"1 of 13 videos of data\.test cannot be read, more than 1\.0%"
    ):
        run("run", *probe, f"--data.test={damaged}")
    # The training is not lost, and what the message advises lets the same folder be finished: a limit, or
    # another list.
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
    assert not (tmp_path / "run" / "summary.json").exists()
    steps = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    capsys.readouterr()
    summary = run("run", *probe, f"--data.test={damaged}", "--data.max_unreadable=0.1")
    assert "1 of 13 videos of data.test cannot be read and are left out:\n" in capsys.readouterr().out
    assert summary["test"] == whole["test"]
    assert summary["unreadable"] == {"data.test": 1}
    assert len(read_scores(tmp_path / "run" / "scores.csv").paths) == 12
    assert run("run", *probe)["test"] == whole["test"]
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == steps


def test_files_of_the_test_part_that_are_gone_are_told_before_the_first_step(run, pretrained, tmp_path):
    gone = tmp_path / "gone.csv"
    write_manifest(gone, [*read_manifest(pretrained / "test.csv"), Video("/gone.mp4", "dark")])
    with pytest.raises(UnreadableVideosError, match=r"/gone\.mp4: there is no such file"):
        run("run", *QUICK, f"--data.test={gone}")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_unreadable_training_videos_have_no_features_and_are_left_out(run, pretrained, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    listed = tmp_path / "train.csv"
    write_manifest(listed, [Video(str(broken), "dark"), *read_manifest(pretrained / "train.csv")])
    probe = (*QUICK, "--model.tune=none", "--optim.epochs=1", f"--features.folder={tmp_path / 'f'}")
    with pytest.raises(UnreadableVideosError, match=r"1 of 25 videos of data\.train"):
        run("run", *probe, f"--data.train={listed}")
    assert run("run", *probe, f"--data.train={listed}", "--data.max_unreadable=0.05")["test"]
    assert "1 of 25 videos of data.train cannot be read and are left out" in capsys.readouterr().out


def test_a_released_file_is_opened_once(arguments, tmp_path, monkeypatch):
    """Whatever a run needs to know of the model it starts from, it reads the file a single time."""
    opened = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda path, **rest: opened.append(str(path)) or load(path, **rest))
    encoder = vjepa2_file()["target_encoder"]
    encoder = {name: tensor for name, tensor in encoder.items() if not name.endswith("pos_embed")}
    torch.save({"target_encoder": encoder}, tmp_path / "released.pt")
    given = [word for word in arguments("run") if not word.startswith("--model.init")]
    changes = ["--model.tune=none", "--data.size=16", "--optim.epochs=1", "--optim.warmup_epochs=0"]
    config = read_config([*given, f"--model.init={tmp_path / 'released.pt'}", *changes], FinetuneConfig)
    assert config.data.clip is None
    finetune(config)
    assert opened == [str(tmp_path / "released.pt")]
