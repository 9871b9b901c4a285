"""The report of a comparison whose figures are known: what its sentences and tables say."""

import json
from html.parser import HTMLParser

import pytest

from tests.recipes.compare.tiny_comparison import ARMS, OWN_CLIPS, PIXELS, written
from vjepa.config import read_config
from vjepa.data.manifest import Video
from vjepa.evaluation.statistics import Metric
from vjepa.recipes.compare.cells import _write_results, all_cells
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.predictions import write_predictions
from vjepa.recipes.compare.report import write_report
from vjepa.recipes.compare.report_answer import answer
from vjepa.recipes.compare.report_sections import all_sections
from vjepa.recipes.compare.report_words import Named, with_interval
from vjepa.recipes.compare.results import Results

VIDEOS = [Video(f"v{number}.mp4", f"class {number % 4}", group=f"g{number // 4}") for number in range(80)]


def fake(levels):
    """A function that measures a cell as if its arm recognised that share of every class."""

    def measure(cell):
        right = round(20 * levels[cell.arm]) * 4  # of 80 videos, the same number of each class
        turned = [(number + 8 * cell.seed) % 80 for number in range(80)]
        known = [video.label if turned[number] < right else "wrong" for number, video in enumerate(VIDEOS)]
        names = [
            f"{measure}/{share:g}"
            for measure in cell.measures
            for share in ([1.0] if measure == "finetune" else cell.label_shares)
        ]
        cell.folder.mkdir(parents=True, exist_ok=True)
        write_predictions(cell.predictions_file, VIDEOS, dict.fromkeys(names, known))
        accuracy, level = {}, {}
        for name in names:
            measure, share = name.split("/")
            accuracy.setdefault(measure, {})[share] = levels[cell.arm]
            level.setdefault(measure, {})[share] = "block 1" if cell.seed else "block 2"
        r2 = {"r2": levels[cell.arm] + 0.01 * cell.seed, "block": 2}
        clips = cell.config.optim.steps * 4
        flops = clips * (2e9 if cell.config.objective.predict == "embeddings" else 1e9)
        return {
            "chance": 0.25,
            "accuracy": accuracy,
            "level": level,
            "features": {"rank": 9.0},
            "pixels": 0.5,
            "factors": {
                "velocity": {str(ahead): r2 for ahead in cell.horizons},
                "position": {str(ahead): r2 for ahead in cell.horizons},
                "colour": {"0": None},
            },
            "training": {"seconds": 60.0, "relative_error": 0.9} if cell.kind == "trained" else {},
            "cost": {"clips": clips, "total_flops": flops} if cell.kind == "trained" else {},
        }

    return measure


def reported(folder, levels, **changes):
    comparison = read_config(written(folder, **changes), CompareConfig)
    cells = all_cells(comparison)
    for cell in cells:
        _write_results(fake(levels), cell)
    return comparison, Results(cells)


LEVELS = {"vjepa": 0.8, "pixels": 0.5, "untrained": 0.5}


def test_the_first_sentence_answers_the_question(tmp_path):
    comparison, results = reported(tmp_path, LEVELS, contrasts=[["vjepa", "pixels"], ["pixels", "untrained"]])
    first, *others = answer(comparison, results)
    assert first.startswith(
        "Embeddings or pixels? On these videos, of 1 contrasts, embeddings are better in 1. By ridge "
        "regression, all labels: V-JEPA is 30.0 points above pixels at equal clips (95 % interval "
    )
    assert others[0].startswith("By k-NN, all labels: V-JEPA is 30.0 points above pixels")
    assert any(
        "no difference between pixels and untrained is found: pixels is 0.0 points" in text for text in others
    )
    assert "3 seeds and 80 test videos of 20 groups" in others[-1]


def test_an_interval_that_includes_zero_is_called_no_difference(tmp_path):
    comparison, results = reported(tmp_path, {**LEVELS, "vjepa": 0.55})
    first = answer(comparison, results)[0]
    assert "On these videos no difference is found." in first
    assert (
        "no difference between V-JEPA and pixels is found at equal clips: V-JEPA is 5.0 points above" in first
    )


def test_pixels_may_win_and_the_size_is_given_without_a_sign(tmp_path):
    comparison, results = reported(tmp_path, {**LEVELS, "vjepa": 0.2})
    first = answer(comparison, results)[0]
    assert "of 1 contrasts, pixels are better in 1." in first
    assert "V-JEPA is 30.0 points below pixels" in first
    low, high = (float(part) for part in first.split("95 % interval ")[1].rstrip(").").split(" to "))
    assert 0 < low < 30 < high


def test_equal_flops_are_said_to_be_equal(tmp_path):
    arms = {**ARMS, "more": {"title": "pixels, more steps", "overrides": PIXELS, "flops_of": "vjepa"}}
    levels = {**LEVELS, "more": 0.8}
    comparison = read_config(
        written(tmp_path, arms=arms, contrasts=[["vjepa", "pixels"], ["vjepa", "more"]]), CompareConfig
    )
    cells = all_cells(comparison)
    for cell in cells:
        metrics = fake(levels)(cell)
        if cell.kind == "trained":
            metrics["cost"]["total_flops"] = 1e12 if cell.arm != "pixels" else 5e11
        _write_results(lambda _, metrics=metrics: metrics, cell)
    first = answer(comparison, Results(cells))[0]
    assert "of 2 contrasts, embeddings are better in 1, and no difference is found in 1." in first
    assert "V-JEPA is 30.0 points above pixels at equal clips" in first
    assert "between V-JEPA and pixels, more steps is found at equal FLOPs" in first


def test_the_sweep_has_a_sentence_and_differences_with_intervals(tmp_path):
    points = {
        name: {
            "regime": "fixed noise",
            "strength": strength,
            "overrides": {"optim": {"eps": 1e-8 * strength}},
        }
        for name, strength in (("low", 1.0), ("high", 3.0))
    }
    sweep = {"title": "Noise.", "arms": ["vjepa", "pixels"], "seeds": [0, 1, 2, 3, 4], "points": points}
    comparison, results = reported(tmp_path, LEVELS, sweep=sweep, horizons=[0, 2])
    texts = answer(comparison, results)
    assert any(
        "As fixed noise rises from 1 to 3, V-JEPA minus pixels goes from +30.0 points (" in text
        for text in texts
    )
    section = next(section for section in all_sections(comparison, results) if section.title == "Sweep")
    assert "5 seed(s)" in section.text[0]
    assert len(section.tables[0].rows) == 4
    assert [row[0] for row in section.tables[1].rows] == ["fixed noise 1", "fixed noise 3"]
    assert "R² of position 2 frames ahead" in section.tables[1].header


class Links(HTMLParser):
    """Parser that lists the links to other files."""

    def __init__(self):
        super().__init__()
        self.fetched = []

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href") and value[:1] != "#"]


def test_the_report_is_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a1", "b1", "a2", "b2"):
        (tmp_path / f"{name}.csv").write_text(f"path,label\n{name}.mp4,walk\n")
    splits = [{"train": f"a{n}.csv", "test": f"b{n}.csv"} for n in (1, 2)]
    comparison, results = reported(
        tmp_path, LEVELS, base=OWN_CLIPS, splits=splits, measures=["ridge", "finetune"]
    )
    page, text, figures = write_report(comparison, results, "python tools/compare.py --config x.yaml")
    lines = text.read_text().splitlines()
    assert lines[0] == "# T"
    assert lines[4].startswith("Embeddings or pixels? ")
    assert "| all labels |" in next(line for line in lines if line.startswith("| ridge regression"))
    row = next(line for line in lines if line.startswith("| V-JEPA | 80.0"))
    assert row.endswith("| block 1 (4 of 6) |")
    assert "Split: a1.csv, b1.csv." in text.read_text()
    assert "Commit: " in text.read_text()
    links = Links()
    links.feed(page.read_text())
    assert links.fetched == []
    assert "<svg" in page.read_text()
    found = json.loads(figures.read_text())
    assert found["rows"][0]["metrics"]["accuracy"]["ridge"]["100"]["value"] == pytest.approx(0.8)
    assert found["rows"][0]["predicts"] == "embeddings"
    difference = found["contrasts"][0]["metrics"]["accuracy"]["ridge"]["50"]
    assert difference["low"] < 0.3 < difference["high"]
    assert found["commit"]
    assert found["answer"] == answer(comparison, results)


def test_what_rounds_to_zero_has_no_sign():
    of = Named("", "")
    assert with_interval(Metric(-0.001), of) == "0.00"
    assert with_interval(Metric(-0.006, -0.01, -0.002), of) == "-0.01 (-0.01 to -0.00)"
    assert with_interval(None, of) == "-"
