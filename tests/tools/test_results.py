"""The tool that collects metrics of runs, and writes the tables of documents from them."""

import json
import re
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, name_of
from tools.results import main
from vjepa.result_tables import markdown_table

ROOT = Path(__file__).parents[2]

DOCUMENT = """# Seen

<!-- results: tiny probe -->
| seed | trained |
|---|---|
| 1 | 99.9 % |
<!-- end of results -->

That is all.
"""
TABLES = {
    "probe": {
        "title": "Accuracy of the probe",
        "columns": [
            {"header": "seed", "key": "seed"},
            {"header": "trained", "key": "metrics.probe.linear.trained", "format": "{:.1percent} %"},
            {"header": "alarms", "key": "metrics.alarms.length"},
        ],
    }
}


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with two finished runs and a document."""
    monkeypatch.chdir(tmp_path)
    for seed, trained in ((1, 0.8633), (2, 0.5)):
        folder = Path("runs") / f"tiny-{seed}"
        folder.mkdir(parents=True)
        summary = {
            "steps": 6,
            "final": {"loss": 0.78, "target/std": 0.46},
            "alarms": ["rank fell"] * (seed - 1),
            "probe": {"linear": {"trained": trained, "chance": 0.125}},
            "test": {"top1": [0.75, 0.25, 1.0]},
        }
        (folder / "summary.json").write_text(json.dumps(summary))
        (folder / "config.yaml").write_text(f"output_dir: {folder}\nseed: {seed}\noptim: {{lr: 1.0e-3}}\n")
    Path("README.md").write_text(DOCUMENT)
    return tmp_path


def collected(*more):
    runs = ["first=runs/tiny-1", "runs/tiny-2"]
    arguments = ["--output", ".results/tiny.json", "--command", "train --seed N", *more]
    assert main(["collect", *runs, *arguments]) == 0
    return json.loads(Path(".results/tiny.json").read_text())


def test_runs_become_rows(clone):
    results = collected("--machine", "a laptop")
    assert (results["command"], results["machine"]) == ("train --seed N", "a laptop")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", results["date"])
    assert re.fullmatch(r"[0-9a-f]{40}(, with changes)?", results["commit"] or "0" * 40)
    assert [(row["label"], row["seed"]) for row in results["rows"]] == [("first", 1), ("tiny-2", 2)]
    for row, folder in zip(results["rows"], ("tiny-1", "tiny-2"), strict=True):
        assert row["metrics"] == json.loads((clone / "runs" / folder / "summary.json").read_text())
    keys = [column["key"] for column in results["tables"]["all"]["columns"]]
    assert {"seed", "metrics.steps", "metrics.final.target/std", "metrics.test.top1"} < set(keys)


def test_this_machine_is_named(clone):
    assert ", torch " in collected()["machine"]


def test_tables_of_a_document_are_written_and_checked(clone, capsys):
    results = collected("--machine", "a laptop")
    Path(".results/tiny.json").write_text(json.dumps({**results, "tables": TABLES}))
    assert main(["tables", "--check", "README.md"]) == 1
    assert Path("README.md").read_text() == DOCUMENT
    assert "README.md: differs" in capsys.readouterr().out
    assert main(["tables", "README.md"]) == 0
    written = Path("README.md").read_text()
    assert "| seed | trained | alarms |\n|---|---|---|\n| 1 | 86.3 % | 0 |\n| 2 | 50.0 % | 1 |\n" in written
    assert written.startswith("# Seen\n\n<!-- results")
    assert written.endswith("<!-- end of results -->\n\nThat is all.\n")
    assert main(["tables", "--check", "README.md"]) == 0
    Path("README.md").write_text(written.replace("86.3", "96.3"))
    assert main(["tables", "--check", "README.md"]) == 1


@pytest.mark.parametrize("shown", ["{0} ± {1:.1f}", "{0} ± {1}"])
def test_a_list_with_null_is_named_with_its_file_and_table(shown, clone, capsys):
    table = {"columns": [{"header": "mean", "key": "probe", "format": shown}]}
    Path(".results").mkdir()
    Path(".results/tiny.json").write_text(
        json.dumps({"rows": [{"probe": [0.8, None]}], "tables": {"probe": table}})
    )
    assert main(["tables", "README.md"]) == 2
    assert "tiny.json, table 'probe': the column 'mean' cannot show [0.8, None] as" in capsys.readouterr().err


def test_collecting_again_keeps_the_tables(clone):
    results = collected("--machine", "a laptop")
    Path(".results/tiny.json").write_text(json.dumps({**results, "rows": [], "tables": TABLES}))
    again = collected("--machine", "a laptop")
    assert again["tables"] == TABLES
    assert again["rows"] == results["rows"]


def test_runs_of_one_label_are_averaged_over_their_seeds(clone):
    folder = Path("runs/tiny-3")
    folder.mkdir()
    summary = json.loads(Path("runs/tiny-1/summary.json").read_text())
    summary["probe"]["linear"]["trained"] = 0.7
    (folder / "summary.json").write_text(json.dumps({**summary, "unreadable": {"probe.test": 1}}))
    (folder / "config.yaml").write_text("seed: 3\n")
    runs = ["a=runs/tiny-1", "a=runs/tiny-2", "b=runs/tiny-2", "a=runs/tiny-3"]
    assert main(["collect", *runs, "--output", "all.json", "--command", "c", "--machine", "m"]) == 0
    averaged, single = json.loads(Path("all.json").read_text())["rows"]
    assert (averaged["label"], averaged["seeds"], single["seed"]) == ("a", [1, 2, 3], 2)
    trained = averaged["metrics"]["probe"]["linear"]["trained"]
    assert trained["mean"] == pytest.approx((0.8633 + 0.5 + 0.7) / 3)
    # Student's t of two degrees of freedom, 4.303, times the standard error of the three values.
    assert trained["half"] == pytest.approx(4.303 * 0.18204 / 3**0.5, rel=1e-3)
    assert averaged["metrics"]["test"]["top1"][0]["mean"] == 0.75
    assert averaged["metrics"]["alarms"] == ["rank fell"]
    assert "unreadable" not in averaged["metrics"]  # only one run has it
    shown = "{mean:.1percent} ± {half:.1percent}"
    column = {"header": "", "key": "metrics.probe.linear.trained", "format": shown}
    assert markdown_table([averaged], [column]).splitlines()[-1] == "| 68.8 ± 45.2 |"


def test_a_file_with_rows_gives_them_with_its_commit_and_machine(clone):
    rows = [{"label": name, "metrics": {"ridge": share}} for name, share in (("A", 0.4), ("B", 0.3))]
    Path("report.json").write_text(json.dumps({"rows": rows, "commit": "c0ffee", "machine": "a laptop"}))
    assert main(["collect", "report.json", "--output", "all.json", "--command", "compare"]) == 0
    results = json.loads(Path("all.json").read_text())
    assert (results["rows"], results["commit"], results["machine"]) == (rows, "c0ffee", "a laptop")


def test_a_folder_may_have_an_equals_sign(clone):
    Path("runs/tiny-1").rename("runs/lr=1")
    arguments = ["--output", "all.json", "--command", "train", "--machine", "a laptop"]
    assert main(["collect", "runs/lr=1", "one=runs/lr=1", *arguments]) == 0
    labels = [row["label"] for row in json.loads(Path("all.json").read_text())["rows"]]
    assert labels == ["lr=1", "one"]


def test_a_json_file_of_another_tool_is_a_row(clone):
    Path("planning.json").write_text('{"success": 0.97}')
    arguments = ["--output", "all.json", "--command", "plan", "--machine", "a laptop"]
    assert main(["collect", "two rooms=planning.json", *arguments]) == 0
    (row,) = json.loads(Path("all.json").read_text())["rows"]
    assert row == {"label": "two rooms", "seed": None, "metrics": {"success": 0.97}}


@pytest.mark.parametrize(
    ("format", "value", "cell"),
    [
        ("{}", "V-JEPA", "V-JEPA"),
        ("{}", 7, "7"),
        ("{:.0percent} %", 0.54, "54 %"),
        ("{0:.1percent} % ({1:.1percent} to {2:.1percent})", [0.97, 0.915, 0.99], "97.0 % (91.5 to 99.0)"),
        ("{mean:.1f} ± {half:.1f}", {"mean": 41.04, "half": 8.6}, "41.0 ± 8.6"),
        ("{0:+.2bare} ({1:.2bare})", [0.36, -0.35], "+.36 (-.35)"),
        ("{:.2bare}", 10.06, "10.06"),
        ("{}", None, "-"),
    ],
)
def test_formats_of_cells(format, value, cell):
    column = {"header": "", "key": "found.0", "format": format, "missing": "-"}
    table = markdown_table([{"found": [value]}, {"found": []}, {}], [column])
    assert table.splitlines() == ["| |", "|---|", f"| {cell} |", "| - |", "| - |"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("<!-- end of results -->", ""), "1 lines begin a table of results, 0 end one"),
        (("results: tiny probe", "results tiny probe"), "0 belong together"),
        (("tiny probe", "huge probe"), r"\.results/huge\.json is not there"),
        (("tiny probe", "tiny loss"), r"no table 'loss': it has all"),
    ],
)
def test_what_markers_must_not_name(clone, capsys, change, message):
    collected("--machine", "a laptop")
    Path("README.md").write_text(DOCUMENT.replace(*change))
    assert main(["tables", "README.md"]) == 2
    assert re.search(rf"README\.md: .*{message}", capsys.readouterr().err)
    assert Path("README.md").read_text() == DOCUMENT.replace(*change)


def test_a_run_that_is_not_finished_is_refused(clone, capsys):
    Path("runs/tiny-2/summary.json").unlink()
    arguments = ["runs/tiny-1", "runs/tiny-2", "--output", "all.json", "--command", "train"]
    assert main(["collect", *arguments]) == 2
    assert "runs/tiny-2/summary.json is not there" in capsys.readouterr().err
    assert not Path("all.json").exists()


def test_the_tables_of_the_documents_are_those_of_the_results(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["tables", "--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_no_figure_of_a_table_is_typed(path):
    """A cell that begins with a decimal number stands between markers."""
    prose = re.sub(r"<!-- results: .*?<!-- end of results -->", "", path.read_text(), flags=re.DOTALL)
    assert not re.findall(r"^\|.*\| *\**[+-]?\d*\.\d.*$", prose, re.MULTILINE)


@pytest.mark.parametrize("path", sorted((ROOT / ".results").glob("*.json")), ids=lambda path: path.stem)
def test_results_say_where_they_come_from_and_are_shown(path):
    results = json.loads(path.read_text())
    assert results["command"]
    assert results.get("source") or {"commit", "machine", "date"} < results.keys()
    shown = {
        pair
        for document in DOCUMENTS
        for pair in re.findall(r"<!-- results: (\S+) (\S+) -->", document.read_text())
    }
    assert {(path.stem, table) for table in results["tables"]} <= shown
    assert all(table["title"] for table in results["tables"].values())
