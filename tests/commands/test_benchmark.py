"""The benchmark's table has every row and sound metrics; how fast anything is, no test asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vjepa.commands import benchmark
from vjepa.config import read_config
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.profiling.flops import step_cost
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import example_batch

ROOT = Path(__file__).parents[2]
PARTS = ["step", "encode", "decode", "loader", "train", "gemm"]
CHANGES = ["--encoder.depth=1", "--optim.batch_size=4", "--data.num_workers=0", "--train.device=cpu"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    settings = RenderSettings(size=32, frames=8)
    return write_videos(tmp_path_factory.mktemp("videos"), settings, num_videos=6, seed=0)


def with_metrics(path):
    """Read a report, with the metrics of its rows in place of the rows."""
    report = json.loads(path.read_text())
    return report | {"rows": [row["metrics"] for row in report["rows"]]}


@pytest.fixture(scope="module")
def report(manifest, tmp_path_factory):
    """What a run of all splits on the debug configuration writes."""
    folder = tmp_path_factory.mktemp("report")
    config = ["--config", str(ROOT / "configs" / "debug.yaml"), f"--data.cache.folder={folder / 'cache'}"]
    files = ["--videos", str(manifest), "--json", str(folder / "report.json")]
    assert benchmark.main([*PARTS, *config, *files, "--repeats", "1", *CHANGES]) == 0
    return with_metrics(folder / "report.json")


def test_every_row_is_there(report):
    rows = [(row["name"], row["precision"]) for row in report["rows"]]
    computed = [
        (name, precision) for name in ("gemm", "step", "encode", "train") for precision in ("no", "bf16")
    ]
    assert set(rows) >= {*computed, ("decode pyav", None), ("loader", None), ("loader cached", None)}
    assert len(set(rows)) == len(rows)


def test_figures_are_positive(report):
    assert f"{torch.get_num_threads()} threads" in report["machine"]
    for row in report["rows"]:
        assert row["milliseconds"] > 0
        assert row["seconds"]
        if row["name"] != "gemm":
            assert row["clips_per_second"] == pytest.approx(1e3 * row["clips"] / row["milliseconds"])
        if row["precision"] is not None:
            assert row["gemm_share"] > 0
            assert row["gflop_per_second"] == pytest.approx(1e3 * row["gflop"] / row["milliseconds"])


def test_flops_of_a_step_are_those_of_step_cost(report):
    config = read_config(["--config", str(ROOT / "configs" / "debug.yaml"), *CHANGES], PretrainConfig)
    with torch.device("meta"):
        objective = build.build_objective(build.Resolved(config))
    expected = 4 * step_cost(objective, example_batch(config, 4)).flops / 1e9
    found = [row["gflop"] for row in report["rows"] if row["name"] == "step"]
    assert found == pytest.approx([expected, expected])


def test_design_has_its_fixed_lengths():
    setting = benchmark.Setting(
        read_config(benchmark.DEFAULT_SETTINGS, PretrainConfig), True, ["no"], torch.device("cpu")
    )
    batch = setting.batch()
    lengths = tuple((mask.context_BK.shape[1], mask.target_BM.shape[1]) for mask in batch.masks)
    assert lengths == ((112, 168), (56, 240))
    assert batch.video_BTCHW.shape == (8, 16, 3, 112, 112)
    for mask in batch.masks:
        for context_K, target_M in zip(mask.context_BK, mask.target_BM, strict=True):
            assert not set(context_K.tolist()) & set(target_M.tolist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stpe"], "'stpe' cannot be measured: choose among step"),
        (["step", "--data.size=128"], "clips have 512 tokens"),
        (["step", "--repeats", "0"], "repeats is 0"),
        (["decode"], "data.train"),
        (["peers", "--config", str(ROOT / "configs" / "debug.yaml")], "leave out --config, or peers"),
        (["peers", "--meta", "configs", *CHANGES], "configs is no clone of facebookresearch/vjepa2"),
        (["step", "--optim.batchsize=3"], "did you mean 'optim.batch_size'"),
        (["--optim.batch_size", "--repeats", "2", "gemm"], "--optim.batch_size: expected one argument"),
    ],
)
def test_arguments_that_cannot_be_used(capsys, arguments, message):
    assert benchmark.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "benchmark", lambda *_: [])
    assert benchmark.main(["step", "--json", str(tmp_path / "new" / "report.json")]) == 0
    assert (tmp_path / "new" / "report.json").exists()
    monkeypatch.setattr(benchmark, "benchmark", None)
    assert benchmark.main(["step", "--json", str(tmp_path)]) == 2
    assert "is to be a file of results, and is a folder" in capsys.readouterr().err


def test_measurements_may_follow_settings():
    given = ["--optim.batch_size", "2", "gemm", "--train.device=cpu", "--repeats", "3", "--seed", "1", "step"]
    options, changes = benchmark._options(given)
    assert (options.parts, options.repeats) == (["gemm", "step"], 3)
    assert changes == ["--optim.batch_size=2", "--train.device=cpu", "--seed=1"]


@pytest.mark.slow
def test_peers_are_timed_on_the_same_clips_and_compared(tmp_path, capsys):
    pytest.importorskip("transformers")
    report = tmp_path / "report.json"
    small = ["--encoder.depth=1", "--optim.batch_size=2", "--train.device=cpu"]
    chosen = ["encode", "videomae", "peers", "--precision", "no", "--repeats", "2", "--json", str(report)]
    assert benchmark.main([*chosen, *small]) == 0
    rows = {row["name"]: row for row in with_metrics(report)["rows"]}
    printed = []
    for work in ("encode", "videomae"):
        own, peer = rows[work], rows[f"{work} (transformers)"]
        assert peer["clips"] == own["clips"] == 2
        assert peer["gflop"] == pytest.approx(own["gflop"], rel=0.15)  # the same work, up to details
        ratio = peer["our_speed_against_it"]
        assert 0 < ratio["lowest"] <= ratio["speed"] <= ratio["highest"]
        printed.append(f"{work}, no: {ratio['speed']:.2f} times as fast as transformers")
    out = capsys.readouterr().out
    assert all(line in out for line in printed)
