"""The command `vjepa`, from a clone and from an installed wheel."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from vjepa.__main__ import main, names

ROOT = Path(__file__).parents[1]


def test_without_a_command_all_are_listed_with_what_they_do(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"^  pretrain +Pre-train a video model without labels$", listed, re.MULTILINE)
    assert names() == sorted(path.stem for path in (ROOT / "tools").glob("*.py") if path.stem in names())
    assert len(names()) > 15


def test_the_list_comes_without_importing_torch():
    code = "import sys, vjepa.__main__ as m; m.main(['--help']); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.endswith("False\n")


def test_a_misspelt_command_is_named_with_the_nearest(capsys):
    assert main(["pretran"]) == 2
    assert capsys.readouterr().err == "error: 'pretran' is no command of vjepa: did you mean 'pretrain'?\n"


def test_a_command_gets_the_rest_and_its_status_is_returned(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["anything"])
    assert main(["pack-shards", "--videos", "nothere.csv", "--output", "nowhere"]) == 2
    assert "nothere.csv" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--help"])
    assert not ended.value.code
    assert capsys.readouterr().out.startswith("usage: vjepa predict ")


def build_wheel(folder):
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(list(map(str, words)), check=True, capture_output=True, text=True)
    (wheel,) = Path(folder).glob("*.whl")
    return wheel


@pytest.mark.slow
def test_a_wheel_works_outside_the_clone(tmp_path):
    """The debug recipe, prediction and fine-tuning, by the console command, in an environment of its own.

    The environment sees the packages of this one, so that torch need not be installed again.
    """
    wheel = build_wheel(tmp_path / "wheels")
    held = set(zipfile.ZipFile(wheel).namelist())
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert {f"vjepa/{name}" for name in configs} <= held
    assert {"vjepa/py.typed", "vjepa/__init__.pyi", "vjepa/README.md"} <= held

    environment, home = tmp_path / "environment", tmp_path / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    (packages,) = (environment / "lib").glob("python*/site-packages")
    parents = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "parent.pth").write_text("\n".join(parents) + "\n")

    def run(*words):
        clean = {"PATH": f"{environment / 'bin'}:/usr/bin:/bin", "HOME": str(home), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, cwd=home, env=clean, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    run("pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    where = run("python", "-c", "import vjepa; print(vjepa.__file__)")
    assert str(environment) in where
    run("vjepa", "pretrain", "--config", "debug", "--train.device", "cpu")
    assert (home / "runs/debug/model/model.safetensors").is_file()
    videos = "runs/debug/videos/test/manifest.csv"
    assert "skill" in run("vjepa", "predict", "--model", "runs/debug", "--videos", videos)
    run(
        "python", "-m", "vjepa", "finetune", "--model.init", "runs/debug",
        "--data.train", videos, "--output_dir", "runs/classes", "--optim.epochs", "1",
        "--optim.warmup_epochs", "0", "--train.device", "cpu",
    )  # fmt: skip
    assert (home / "runs/classes/summary.json").is_file()
