"""Tests of a small comparison: its cells, metrics and report, and resuming it."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from tools.compare import main
from vjepa.config import ConfigError, read_config
from vjepa.evaluation.statistics import Estimate
from vjepa.recipes.compare.cells import _write_results, all_cells, run_cells
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.report_sections import all_sections, percent, plain
from vjepa.recipes.compare.results import Results

ROOT = Path(__file__).parents[2]

BASE = {
    "data": {
        "synthetic": {
            "num_train": 16,
            "num_test": 16,
            "render": {"size": 16, "frames": 6, "objects": [1, 2]},
        },
        "clip": {"num_frames": 4, "stride": 1},
        "size": 16,
        "crop_scale": [1.0, 1.0],
        "crop_ratio": [1.0, 1.0],
        "flip": False,
        "num_workers": 0,
        "cache_short_side": 16,
    },
    "masks": {"multiblock": [{"num_blocks": 1, "spatial_scale": [0.3, 0.3]}]},
    "encoder": {"size": "nano", "embed_dim": 24, "num_heads": 2, "depth": 1, "tubelet": [2, 4, 4]},
    "predictor": {"embed_dim": 12, "depth": 1, "num_heads": 1},
    "optim": {"steps": 2, "batch_size": 4, "warmup_steps": 1, "lr": 1e-3},
    "train": {"trackers": [], "device": "cpu", "log_every": 1},
}
ARMS = {
    "vjepa": {"title": "V-JEPA"},
    "pixels": {"title": "pixels", "overrides": {"objective": {"predict": "pixels"}}},
    "random": {"title": "untrained", "kind": "random"},
}


def written(folder, **changes):
    tree = {
        "title": "T",
        "question": "Q?",
        "output_dir": str(folder / "out"),
        "base": BASE,
        "arms": ARMS,
        "contrasts": [["vjepa", "pixels"]],
        "seeds": [0, 1, 2],
        "label_shares": [0.5, 1.0],
        "jobs": 1,
        **changes,
    }
    path = folder / "compare.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return ["--config", str(path)]


def test_cells_are_arms_by_seeds_and_overrides_are_nested(tmp_path):
    sweep = {
        "title": "noise",
        "arms": ["pixels"],
        "seeds": [5],
        "points": {
            "loud": {
                "regime": "r",
                "strength": 3.0,
                "overrides": {"data": {"synthetic": {"render": {"noise": 3.0}}}},
            }
        },
    }
    cells = all_cells(read_config(written(tmp_path, sweep=sweep), CompareConfig))
    assert [(cell.point, cell.arm, cell.seed) for cell in cells] == [
        ("base", arm, seed) for seed in (0, 1, 2) for arm in ("vjepa", "pixels", "random")
    ] + [("loud", "pixels", 5)]
    last = cells[-1].config
    assert (last.objective.predict, last.data.synthetic.render.noise, last.seed) == ("pixels", 3.0, 5)
    assert last.data.synthetic.render.size == 16
    assert len({cell.config.output_dir for cell in cells}) == len(cells)
    assert cells[0].config.data.synthetic.folder != last.data.synthetic.folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 1]}, "three or more"),
        ({"contrasts": [["vjepa", "mae"]]}, "choose among vjepa"),
        ({"label_shares": [0.0]}, "shares in"),
        ({"arms": {"a": {"title": "A", "kind": "magic"}}}, "magic"),
        ({"surprise": 1}, "surprise"),
        ({"train": "a.csv"}, "give both"),
    ],
)
def test_what_makes_no_comparison_is_refused(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        read_config(written(tmp_path, **changes), CompareConfig)


def test_a_fine_tuning_at_the_end_is_checked_before_the_first_run(tmp_path):
    comparison = read_config(written(tmp_path, finetune={"optim": {"epocs": 3}}), CompareConfig)
    with pytest.raises(ConfigError, match="epocs"):
        all_cells(comparison)


class Tables(HTMLParser):
    """Parser that counts the cells of all tables and lists the links to other files."""

    def __init__(self):
        super().__init__()
        self.cells, self.fetched = 0, []

    def handle_starttag(self, tag, attributes):
        self.cells += tag == "td"
        self.fetched += [value for name, value in attributes if name in ("src", "href") and value[:1] != "#"]


def fake_metrics(cell):
    """Return metrics of a cell; those of the arm with embeddings are better by a constant."""
    level = {"vjepa": 0.8, "pixels": 0.5, "random": 0.3}[cell.arm] + 0.01 * cell.seed
    shares = {f"{share:g}": level for share in cell.label_shares}
    return {
        "chance": 0.125,
        "probe": {"knn": shares, "linear": shares, "attentive": shares},
        "features": {"rank": 9.0},
        "pixels": 0.5,
        "finetuned": level if cell.finetune is not None else None,
        "factors": {"velocity": level, "colour": None},
        "training": {},
        "cost": {},
    }


def test_the_report_is_whole_and_says_where_nothing_shows(tmp_path):
    comparison = read_config(
        written(tmp_path, finetune={"optim": {"epochs": 1, "warmup_epochs": 0}}), CompareConfig
    )
    cells = all_cells(comparison)
    for cell in cells:
        _write_results(fake_metrics, cell)
    said = []
    run_cells(cells, fake_metrics, jobs=1, say=said.append)
    assert said == ["9 cells, 9 finished already"]
    sections = all_sections(comparison, Results(cells))
    verdicts = {row[0]: row[1:] for row in sections[0].tables[0].rows}
    assert verdicts["linear probe, 100 % of labels"] == [
        "+30.00 (+30.00 to +30.00) points",
        "V-JEPA is higher",
    ]
    assert verdicts["fine-tuned, all labels"][1] == "V-JEPA is higher"
    tuned = next(table for table in sections[2].tables if table.header == ["fine-tuned", "all labels"])
    assert tuned.rows[2] == ["untrained", "31.0 ± 2.5"]
    assert verdicts["R² of pixels, linear read-out of tokens"][1] == "no difference found"


def test_what_rounds_to_zero_has_no_sign():
    assert plain(Estimate(-0.001, 0.004, 3)) == "0.00 ± 0.00"
    assert percent(Estimate(-0.0004, float("nan"), 1)) == "0.0"
    assert plain(Estimate(-0.006, 0.004, 3)) == "-0.01 ± 0.00"


def test_metrics_of_another_configuration_are_not_mixed_in(tmp_path):
    _write_results(fake_metrics, all_cells(read_config(written(tmp_path), CompareConfig))[0])
    changed = all_cells(read_config(written(tmp_path, label_shares=[1.0]), CompareConfig))
    with pytest.raises(ValueError, match="another configuration"):
        run_cells(changed, fake_metrics, jobs=1, say=lambda _: None)


@pytest.mark.slow
def test_a_comparison_from_end_to_end(tmp_path):
    """Nine small cells are trained and measured, and a cell whose results were lost is repeated."""
    arguments = written(tmp_path, finetune={"optim": {"epochs": 1, "warmup_epochs": 0, "batch_size": 8}})
    assert main(arguments) == 0
    metrics = sorted((tmp_path / "out" / "cells").rglob("results.json"))
    assert len(metrics) == 9
    stamp = metrics[0].stat().st_mtime_ns
    before = json.loads(metrics[1].read_text())
    metrics[1].unlink()
    assert main(arguments) == 0
    again = json.loads(metrics[1].read_text())
    assert again["probe"] == before["probe"]
    assert again["finetuned"] == before["finetuned"] > 0
    assert metrics[0].stat().st_mtime_ns == stamp
    page = Tables()
    page.feed((tmp_path / "out" / "report.html").read_text())
    assert page.cells > 100
    assert page.fetched == []
    assert "| V-JEPA minus pixels |" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "compare").glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_shipped_comparison_is_whole(path):
    own = ["--train", "a.csv", "--test", "b.csv"] if "--train" in path.read_text() else []
    comparison = read_config(["--config", str(path), *own], CompareConfig)
    cells = all_cells(comparison)
    if own:
        assert {(cell.config.data.train, cell.config.probe.test) for cell in cells} == {("a.csv", "b.csv")}
    assert {cell.arm for cell in cells} == comparison.arms.keys()
    for cell in cells:
        assert cell.config.optim.batch_size * cell.config.optim.steps > 0
