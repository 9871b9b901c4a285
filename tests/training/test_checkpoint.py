"""A checkpoint proves itself.

What is damaged is passed over with its reason, what is foreign is left alone.
"""

import json
import os
import shutil

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from tests.accelerate_state import fresh_accelerate
from vjepa.training.checkpoint import Checkpoints


@pytest.fixture
def run(tmp_path):
    """A prepared network with dropout, its optimiser, and checkpoints of steps 3 and 6."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    network = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    network, optimizer = accelerator.prepare(network, torch.optim.AdamW(network.parameters(), lr=0.1))

    def take_steps(count):
        for _ in range(count):
            optimizer.zero_grad()
            network(torch.ones(4, 8)).mean().backward()
            optimizer.step()

    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    for step in (3, 6):
        take_steps(3)
        checkpoints.save(accelerator, step, {"step": step})
    yield accelerator, network, optimizer, take_steps, tmp_path / "checkpoints"
    fresh_accelerate()


def weights(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def flip(path):
    """One bit, in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


FILES = ("model.safetensors", "optimizer.bin", "random_states_0.pkl", "trainer.json", "checksums.json")


@pytest.mark.parametrize("damage", [flip, truncate, empty, remove])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_passed_over(name, damage, run, capsys):
    accelerator, network, _, take_steps, folder = run
    after_six = weights(network)
    damage(folder / "step_0000006" / name)
    again = Checkpoints(folder, keep=2)
    assert again.load_latest(accelerator) == {"step": 3}
    printed = capsys.readouterr().out
    assert f"checkpoint {folder / 'step_0000006'} is passed over: " in printed
    assert name in printed
    # From the older one the same steps, with the same random numbers, are taken again.
    take_steps(3)
    assert torch.equal(weights(network), after_six)
    # The damaged one counts for nothing: neither as the newest nor as one of those that are kept.
    assert again.steps() == [3]
    again.save(accelerator, 6, {"step": 6})
    assert Checkpoints(folder, keep=2).load_latest(accelerator) == {"step": 6}
    assert sorted(path.name for path in folder.iterdir()) == ["step_0000003", "step_0000006"]


def test_checkpoints_that_others_need_are_kept(run):
    accelerator, network, _, take_steps, folder = run
    after_six, needs = weights(network), {6: 3, 9: 6, 12: 6, 15: 15, 18: 15}
    checkpoints, left = Checkpoints(folder, keep=1, needed_by=needs.get), []
    for step in (9, 12, 15, 18):
        take_steps(3)
        checkpoints.save(accelerator, step, {"step": step})
        left.append(checkpoints.steps())
    assert left == [[6, 9], [6, 12], [15], [15, 18]]
    with pytest.raises(ValueError, match=r"0006 cannot be used, it has no checksums\.json: ask again"):
        checkpoints.load(accelerator, 6, "ask again")
    checkpoints.load(accelerator, 15, "ask again")
    after_fifteen = weights(network)
    assert not torch.equal(after_fifteen, after_six)
    take_steps(3)
    again = weights(network)
    checkpoints.load(accelerator, 18, "ask again")
    assert torch.equal(weights(network), again)


def test_without_a_whole_checkpoint_nothing_starts(run):
    accelerator, _, _, _, folder = run
    flip(folder / "step_0000003" / "optimizer.bin")
    remove(folder / "step_0000006" / "random_states_0.pkl")
    with pytest.raises(
        ValueError, match=r"no checkpoint in .* is whole .*random_states_0\.pkl is missing"
    ) as error:
        Checkpoints(folder, keep=2).load_latest(accelerator)
    assert "step_0000003: optimizer.bin and checksums.json do not agree" in str(error.value)
    shutil.move(folder, folder.with_name("moved"))  # what the message says
    assert Checkpoints(folder, keep=2).load_latest(accelerator) is None


def test_what_is_foreign_is_left_alone(run, tmp_path):
    accelerator, _, _, _, folder = run
    other = tmp_path / "other"
    shutil.copytree(folder / "step_0000003", other)
    (folder / "step_0000099").write_text("a file")
    (folder / "step_0000098").mkdir()
    (folder / "step_0000001").symlink_to(other)
    (folder / "partial_x").write_text("a file")
    (folder / "partial_0000002").symlink_to(other)
    (folder / "removed_0000002").mkdir()  # of a kill
    (folder / "notes.txt").write_text("mine")
    (folder / "step_0000097").symlink_to(tmp_path / "nowhere")
    checkpoints = Checkpoints(folder, keep=1)
    assert checkpoints.load_latest(accelerator) == {"step": 6}
    checkpoints.save(accelerator, 9, {"step": 9})
    assert checkpoints.steps() == [9]
    kept = {path.name for path in folder.iterdir()}
    foreign = {
        "step_0000099",
        "step_0000098",
        "step_0000097",
        "step_0000001",
        "partial_x",
        "partial_0000002",
        "notes.txt",
    }
    assert kept == foreign | {"step_0000009"}
    assert (other / "trainer.json").exists()
    # A name that a checkpoint needs is freed, and what bore it is kept.
    checkpoints.save(accelerator, 99, {"step": 99})
    assert (folder / "step_0000099_moved_aside_0").read_text() == "a file"


def test_a_link_to_a_checkpoint_is_read_like_one(run, tmp_path):
    accelerator, _, _, _, folder = run
    for step in (3, 6):
        moved = tmp_path / f"disk_{step}"
        shutil.move(folder / f"step_000000{step}", moved)
        (folder / f"step_000000{step}").symlink_to(moved)
    assert Checkpoints(folder, keep=2).load_latest(accelerator) == {"step": 6}


def test_the_settings_of_the_optimiser_are_those_of_the_configuration(run):
    """Else a remedy such as a lower rate for some layers, or other betas, would be ignored without a word."""
    accelerator, _, optimizer, _, folder = run
    optimizer.param_groups[0].update(lr=0.01, betas=(0.8, 0.9), weight_decay=0.5)
    Checkpoints(folder, keep=2).load_latest(accelerator)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.01, (0.8, 0.9), 0.5)
    assert optimizer.state[group["params"][0]]["step"] == 6


def test_a_random_state_that_cannot_be_restored_is_an_error(run, monkeypatch):
    accelerator, _, _, _, folder = run

    def refuse(_):
        raise RuntimeError("of another version")

    torch.rand(1)
    monkeypatch.setattr(torch, "set_rng_state", refuse)
    with pytest.raises(ValueError, match=r"random state in .* cannot be restored"):
        Checkpoints(folder, keep=2).load_latest(accelerator)


def test_checksums_are_written_last(run, monkeypatch):
    """A kill while a checkpoint is written leaves none of that name, and no list under another."""
    accelerator, _, _, _, folder = run
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Checkpoints(folder, keep=2).save(accelerator, 9, {"step": 9})
    listed = json.loads((folder / "partial_0000009" / "checksums.json").read_text())
    assert set(listed["files"]) == set(FILES) - {"checksums.json"}
    assert Checkpoints(folder, keep=2).steps() == [3, 6]
