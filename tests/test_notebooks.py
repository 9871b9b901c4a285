"""The notebooks of the documentation run from their first cell to their last."""

import pytest

from tests.documents import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))


@pytest.mark.slow  # minutes each
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    jupytext = pytest.importorskip("jupytext", reason="notebooks need the extra `docs`")
    nbclient = pytest.importorskip("nbclient", reason="notebooks need the extra `docs`")
    notebook = jupytext.read(path)
    assert notebook.cells[0].source.startswith("# ")
    folder = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=3000, kernel_name="python3", resources=folder).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3
