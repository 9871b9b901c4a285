"""The checks for a GPU run on a CPU with small sizes, and report what fails."""

import json

import pytest
import torch

from tools import gpu_check
from tools.gpu_check import PARTS, main

TINY = ["--tiny", "--device", "cpu"]


def test_results_are_gathered_in_one_file_and_failures_do_not_end_the_others(tmp_path, monkeypatch, capsys):
    def broken(check):
        raise RuntimeError("out of memory")

    monkeypatch.setitem(PARTS, "flash", broken)
    path = tmp_path / "gpu.json"
    assert main(["flash", "bf16", *TINY, "--output", str(path)]) == 1
    assert main(["waits", *TINY, "--output", str(path)]) == 0
    parts = json.loads(path.read_text())["parts"]
    assert {name: found["passed"] for name, found in parts.items()} == {
        "flash": False, "bf16": True, "waits": True,
    }  # fmt: skip
    assert parts["flash"]["error"] == "RuntimeError: out of memory"
    assert parts["bf16"]["cosine"] > 0.999
    assert parts["bf16"]["machine"]
    printed = capsys.readouterr().out
    assert "FAILED RuntimeError: out of memory" in printed
    assert "not run: only CUDA tells for what it waits" in printed


def test_a_device_that_learns_otherwise_fails(tmp_path, monkeypatch):
    first = gpu_check._first_losses
    monkeypatch.setattr(gpu_check, "_tiny_recipes", list)
    check = gpu_check.Check(torch.device("cpu"), True, None, tmp_path)
    assert gpu_check.parity(check)["passed"]
    losses = iter([0.0, 0.01])
    monkeypatch.setattr(
        gpu_check, "_first_losses", lambda *given: [one + next(losses) for one in first(*given)[:1]]
    )
    assert not gpu_check.parity(check)["passed"]


def test_what_cannot_be_checked_is_refused(tmp_path, capsys):
    assert main(["speeed", *TINY, "--output", str(tmp_path / "a.json")]) == 2
    assert "'speeed' cannot be checked: choose among parity" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_part_runs(part, tmp_path):
    assert main([part, *TINY, "--output", str(tmp_path / "gpu.json")]) == 0
