"""What is measured of a cell: figures and predictions agree, and the slow whole of a comparison."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from tests.recipes.compare.tiny_comparison import ARMS, BASE, OWN_CLIPS, PIXELS, written
from vjepa.commands.compare import main
from vjepa.config import read_config
from vjepa.evaluation.probes.small_frame import encode_frame
from vjepa.recipes.compare.cells import _write_results, all_cells
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.measure import measure_cell
from vjepa.recipes.compare.predictions import read_predictions
from vjepa.recipes.pretrain.data import render_synthetic


def balanced(rows, column):
    """Mean over classes of the share of right predictions, written plainly."""
    shares = []
    for label in {row["label"] for row in rows}:
        of_class = [row for row in rows if row["label"] == label]
        shares.append(sum(row[column] == label for row in of_class) / len(of_class))
    return sum(shares) / len(shares)


def test_an_untrained_arm_is_measured_without_a_run(tmp_path):
    synthetic = {"num_train": 40, "num_test": 16, "render": {"size": 16, "frames": 8}}
    base = {**BASE, "data": {**BASE["data"], "synthetic": synthetic}}
    comparison = read_config(written(tmp_path, base=base, horizons=[0, 2]), CompareConfig)
    cell = next(cell for cell in all_cells(comparison) if cell.arm == "untrained")
    render_synthetic(cell.config.data.synthetic, 1, lambda _: None)
    _write_results(measure_cell, cell)
    found = json.loads(cell.results_file.read_text())
    with cell.predictions_file.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    for measure in ("ridge", "knn"):
        for share in ("0.5", "1"):
            assert found["accuracy"][measure][share] == pytest.approx(balanced(rows, f"{measure}/{share}"))
            assert "block" in found["level"][measure][share] or "last" in found["level"][measure][share]
    assert found["factors"]["position"].keys() == {"0", "2"}
    assert found["factors"]["count"].keys() == {"0"}
    assert {score["block"] for score in found["factors"]["position"].values()} <= {1, 2}
    assert found["training"] == found["cost"] == {}
    assert not (cell.folder / "checkpoints").exists()


def test_one_frame_tells_no_direction_of_time():
    video = torch.randint(0, 256, (2, 5, 3, 64, 48), dtype=torch.uint8)
    encoded = encode_frame(video)
    assert encoded.shape == (2, 1, 3 * 32 * 32)
    assert torch.equal(encode_frame(video.flip(1)), encoded)
    # Each value is the mean of the pixels below it: two rows, and one or two columns.
    assert encoded[0, 0, 0].item() == pytest.approx(video[0, 2, 0, :2, :2].float().mean().item() / 255)
    assert torch.equal(encode_frame(video[..., :16, :16])[0, 0], video[0, 2, :, :16, :16].flatten() / 255)


class Tables(HTMLParser):
    """Parser that counts the cells of all tables and lists the links to other files."""

    def __init__(self):
        super().__init__()
        self.cells, self.fetched = 0, []

    def handle_starttag(self, tag, attributes):
        self.cells += tag == "td"
        self.fetched += [value for name, value in attributes if name in ("src", "href") and value[:1] != "#"]


@pytest.mark.slow
def test_a_comparison_of_rendered_videos_from_end_to_end(tmp_path):
    """Small cells are trained and measured, and a cell whose results were lost is repeated."""
    point = {"regime": "r", "strength": 1.0, "overrides": {"data": {"synthetic": {"render": {"noise": 3.0}}}}}
    arguments = written(
        tmp_path,
        arms={
            "vjepa": {"title": "V-JEPA"},
            "pixels": {"title": "pixels", "overrides": PIXELS, "flops_of": "vjepa"},
        },
        measures=["ridge", "attentive"],
        horizons=[0, 2],
        sweep={"title": "noise", "arms": ["vjepa"], "seeds": [0], "points": {"loud": point}},
        jobs=2,
    )
    assert main(arguments) == 0
    results = sorted((tmp_path / "out" / "cells").rglob("results.json"))
    assert len(results) == 2 * 3 + 1
    stamp, before = results[0].stat().st_mtime_ns, json.loads(results[1].read_text())
    results[1].unlink()
    assert main(arguments) == 0
    again = json.loads(results[1].read_text())
    assert again["accuracy"] == before["accuracy"]
    assert results[0].stat().st_mtime_ns == stamp
    page = Tables()
    page.feed((tmp_path / "out" / "report.html").read_text())
    assert page.cells > 50
    assert page.fetched == []
    # Two whole steps of one arm cost as much as three of the other only roughly.
    contrast = r"\| V-JEPA minus pixels, with 0.67 times the clips and 0.9\d times the FLOPs \|"
    assert re.search(contrast, (tmp_path / "out" / "report.md").read_text())


@pytest.mark.slow
def test_arms_of_all_kinds_are_measured_on_own_clips(manifest, tmp_path):
    """Groups are kept apart, and what is fine-tuned is tested on the same videos as frozen features."""
    with open(manifest) as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group", "split1"))
        for number, row in enumerate(rows):
            path = Path(manifest).parent / row["path"]
            part = "test" if number >= 6 else "train"
            writer.writerow((path, ("up", "down")[number % 2], f"g{number // 2}", part))
    arms = {**ARMS, "pca": {"title": "PCA", "kind": "pca"}, "frame": {"title": "one frame", "kind": "frame"}}
    clips = f"{tmp_path}/clips.csv?split1"
    arguments = written(
        tmp_path, base=OWN_CLIPS, splits=[{"train": f"{clips}=train", "test": f"{clips}=test"}], arms=arms,
        measures=["ridge", "knn", "finetune"],
        finetune={"optim": {"epochs": 1, "warmup_epochs": 0, "batch_size": 2}},
    )  # fmt: skip
    cells = [cell for cell in all_cells(read_config(arguments, CompareConfig)) if cell.seed == 0]
    assert {cell.arm for cell in cells} == arms.keys()
    for cell in cells:
        _write_results(measure_cell, cell)
        assert cell.finished()
        predictions = read_predictions(cell.predictions_file)
        assert predictions.groups == ["g3", "g3", "g4", "g4"]
        assert ("finetune/1" in predictions.predicted) == (cell.arm not in ("pca", "frame"))
        found = json.loads(cell.results_file.read_text())
        assert found["factors"] == {}
        for name in predictions.predicted:
            measure, share = name.split("/")
            hits = predictions.hits(name)
            # Four videos, two of each class: the balanced accuracy is the mean.
            assert found["accuracy"][measure][share] == sum(hits) / 4
