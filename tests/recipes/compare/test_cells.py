"""Cells of a comparison: which runs there are, which videos they see, and that finished ones are kept."""

import csv
import json
from pathlib import Path

import pytest

from tests.recipes.compare.tiny_comparison import ARMS, OWN_CLIPS, PIXELS, written
from vjepa.config import config_tree, read_config
from vjepa.data.manifest import read_manifest
from vjepa.recipes.compare.cells import _write_results, all_cells, run_cells
from vjepa.recipes.compare.config import CompareConfig


def cells_of(folder, **changes):
    return all_cells(read_config(written(folder, **changes), CompareConfig))


SWEEP = {
    "title": "noise",
    "arms": ["pixels"],
    "seeds": [5, 6, 7, 8, 9],
    "points": {
        "loud": {
            "regime": "r",
            "strength": 3.0,
            "overrides": {"data": {"synthetic": {"render": {"noise": 3.0}}}},
        }
    },
}


def test_cells_are_arms_by_videos_by_seeds_and_overrides_are_nested(tmp_path):
    measures = {"measures": ["ridge", "finetune"], "finetune": {"optim": {"epochs": 5}}}
    cells = cells_of(tmp_path, sweep=SWEEP, **measures)
    assert [(cell.videos, cell.arm, cell.seed) for cell in cells] == [
        *(("base", arm, seed) for seed in (0, 1, 2) for arm in ("vjepa", "pixels", "untrained")),
        *(("loud", "pixels", seed) for seed in (5, 6, 7, 8, 9)),
    ]
    last = cells[-1].config
    assert (last.objective.predict, last.data.synthetic.render.noise, last.seed) == ("pixels", 3.0, 9)
    assert last.data.synthetic.render.size == 16
    assert (cells[0].measures, cells[-1].measures) == (("ridge", "finetune"), ("ridge",))
    assert len({cell.config.output_dir for cell in cells}) == len(cells)
    assert cells[0].config.data.synthetic.folder != last.data.synthetic.folder


def test_an_untrained_arm_has_the_encoder_of_its_overrides_and_pixels_have_no_tokens_to_read(tmp_path):
    arms = {
        **ARMS,
        "wide": {"title": "wide", "kind": "untrained", "overrides": {"encoder": {"embed_dim": 48}}},
        "pca": {"title": "PCA", "kind": "pca"},
        "frame": {"title": "frame", "kind": "frame"},
    }
    cells = {cell.arm: cell for cell in cells_of(tmp_path, arms=arms, measures=["ridge", "attentive"])}
    assert (cells["untrained"].config.encoder.embed_dim, cells["wide"].config.encoder.embed_dim) == (24, 48)
    assert cells["pca"].measures == cells["frame"].measures == ("ridge",)


def test_every_split_trains_on_its_own_videos_and_never_on_its_test_videos(tmp_path):
    splits = [{"train": f"a.csv?split{n}=train", "test": f"a.csv?split{n}=test"} for n in (1, 2)]
    cells = cells_of(tmp_path, base=OWN_CLIPS, splits=splits, extra_train=["more.csv"])
    assert len(cells) == 2 * 3 * 3
    for cell in cells:
        split = splits[int(cell.videos.removeprefix("split")) - 1]
        assert (cell.train, cell.test) == (split["train"], split["test"])
        assert cell.config.data.train == [split["train"], "more.csv"]
        assert split["test"] not in json.dumps(config_tree(cell.config))


def test_an_online_probe_sees_the_training_videos_and_no_run_may_end_early(tmp_path):
    splits = [{"train": "a.csv", "test": "b.csv"}]
    changed = {
        **OWN_CLIPS,
        "probe": {"online": "knn", "every": 2},
        "train": {**OWN_CLIPS["train"], "keep_best": True},
    }
    cell = cells_of(tmp_path, base=changed, splits=splits)[0]
    assert (cell.config.probe.online, cell.config.probe.train) == ("knn", "a.csv")
    early = {**changed, "probe": {"online": "knn", "every": 1}, "train": {"patience": 1}}
    with pytest.raises(ValueError, match=r"train\.patience is 1: .* no run may end early"):
        cells_of(tmp_path, base=early, splits=splits)


def test_an_arm_is_given_the_flops_of_another(tmp_path):
    more = {"title": "pixels, more steps", "overrides": PIXELS, "flops_of": "vjepa"}
    cells = {cell.arm: cell.config for cell in cells_of(tmp_path, arms={**ARMS, "more": more})}
    assert cells["pixels"].optim.steps == cells["vjepa"].optim.steps < cells["more"].optim.steps


def fake_metrics(cell):
    return {"accuracy": {"ridge": {"1": 0.5}}}


def test_finished_cells_are_kept_and_say_where_they_were_made(tmp_path):
    cells = cells_of(tmp_path)
    for cell in cells:
        _write_results(fake_metrics, cell)
    said = []
    run_cells(cells, fake_metrics, jobs=1, say=said.append)
    assert said == ["9 cells, 9 finished already"]
    results = json.loads(cells[0].results_file.read_text())
    assert ", torch " in results["machine"]
    assert results["commit"] is None or len(results["commit"].split(",")[0]) == 40
    assert results["seed"] == 0


def test_metrics_of_another_configuration_are_not_mixed_in(tmp_path):
    _write_results(fake_metrics, cells_of(tmp_path)[0])
    with pytest.raises(ValueError, match=r"of other settings \(label_shares\): .* measure the run again"):
        run_cells(cells_of(tmp_path, label_shares=[1.0]), fake_metrics, jobs=1, say=lambda _: None)


@pytest.fixture
def lists(manifest, tmp_path):
    """Two lists of labelled videos, with groups, and one of the test videos alone without labels."""
    videos = read_manifest(manifest)

    def write(name, rows, groups):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label", "group"))
            writer.writerows(
                (videos[row].path, videos[row].label, group) for row, group in zip(rows, groups, strict=True)
            )
        return str(tmp_path / name)

    return {
        "train": write("train.csv", range(6), "aabbcc"),
        "test": write("test.csv", range(6, 10), "ddee"),
        "shared": write("shared.csv", range(6, 10), "ddaa"),
        "copied": write("copied.csv", [7], "z"),
        "same_name": write("same_name.csv", [5], "d"),
    }


@pytest.mark.parametrize(
    ("test", "extra", "message"),
    [
        ("shared", [], "share 1 groups, e.g. a"),
        ("train", [], "share 3 groups"),
        ("test", ["copied"], r"extra_train .*copied\.csv and test .*test\.csv share"),
    ],
)
def test_test_videos_among_the_training_videos_are_refused_before_the_first_run(
    lists, tmp_path, test, extra, message
):
    changes = {
        "base": OWN_CLIPS,
        "splits": [{"train": lists["train"], "test": lists[test]}],
        "extra_train": [lists[name] for name in extra],
    }
    with pytest.raises(ValueError, match=message):
        run_cells(cells_of(tmp_path, **changes), fake_metrics, jobs=1, say=lambda _: None)


@pytest.mark.parametrize(
    ("label", "message"),
    [("", r"1 videos of .*odd\.csv have no label"), ("UP", r".*odd\.csv has the classes UP, none of which")],
)
def test_labels_that_cannot_be_read_out_are_refused_before_the_first_run(lists, tmp_path, label, message):
    rows = Path(lists["test"]).read_text().splitlines()
    path, _, group = rows[1].split(",")
    (tmp_path / "odd.csv").write_text(f"{rows[0]}\n{path},{label},{group}\n")
    splits = [{"train": lists["train"], "test": str(tmp_path / "odd.csv")}]
    with pytest.raises(ValueError, match=message):
        run_cells(cells_of(tmp_path, base=OWN_CLIPS, splits=splits), fake_metrics, 1, lambda _: None)


def test_a_cell_is_not_finished_once_its_lists_have_changed(lists, tmp_path):
    splits = [{"train": lists["train"], "test": lists["test"]}]
    cell = cells_of(tmp_path, base=OWN_CLIPS, splits=splits)[0]
    _write_results(fake_metrics, cell)
    assert cell.finished()
    rows = Path(lists["test"]).read_text().splitlines()
    Path(lists["test"]).write_text("\n".join(rows[:-1]) + "\n")
    with pytest.raises(ValueError, match=r"of other settings \(lists\)"):
        cell.finished()


def test_groups_of_further_videos_may_have_the_same_names(lists, tmp_path):
    from vjepa.recipes.compare.cells import _check_lists

    splits = [{"train": lists["train"], "test": lists["test"]}]
    _check_lists(cells_of(tmp_path, base=OWN_CLIPS, splits=splits, extra_train=[lists["same_name"]]))
