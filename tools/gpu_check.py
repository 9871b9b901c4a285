"""Check and measure on a GPU what a CPU cannot show, in parts of a few minutes.

    python tools/gpu_check.py --output gpu.json
    python tools/gpu_check.py parity waits compile --output gpu.json
    python tools/gpu_check.py --tiny --device cpu

Each part is independent, and its result is added to the JSON file when it ends. The parts are:
    parity   losses of three optimiser steps of every method, compared with those of the CPU
    bf16     features in bfloat16, compared with float32
    waits    operations of a training step for which the host waits
    flash    attention of encoder and predictor by the flash kernel alone
    compile  losses and speed of compiled blocks
    speed    clips per second, share of the matrix product and memory of ViT-S, ViT-B and ViT-L
    resume   losses of a run that goes on from a checkpoint
    fsdp2    losses of sharded training, compared with those of one process
    loader   clips per second of loading, and of training from the loader
    recipe   the quickstart: accuracy and minutes
    clips    configs/pretrain/clips.yaml on the videos of --videos: losses and minutes

With --tiny, all parts take small sizes and few steps, which shows on any machine that they run.

Exit status: 0 all parts passed; 1 a part failed, or an unexpected error; 2 arguments that cannot be used; 75
asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity

from vjepa.batch import Batch
from vjepa.config import read_config
from vjepa.files import ready_file
from vjepa.profiling.timing import machine_name
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import example_batch
from vjepa.source_commit import source_commit
from vjepa.training.optimizer import build_optimizer
from vjepa.training.stop import command

ROOT = Path(__file__).resolve().parents[1]
STEPS = 3
LOSS_TOLERANCE = 1e-3  # relative, after three steps in float32
BF16_COSINE = 0.999  # smallest mean cosine similarity of features in bfloat16 and float32


class Check(NamedTuple):
    """Where and how large the checks are.

    Attributes:
        device: Device to check.
        tiny: Whether sizes are small and steps few.
        videos: Folder or manifest of real clips; None if there are none.
        folder: Empty folder for runs.
    """

    device: torch.device
    tiny: bool
    videos: str | None
    folder: Path

    @property
    def settings(self) -> list[str]:
        """Settings of the networks that are checked in this process."""
        if self.tiny:
            return ["--config", str(ROOT / "configs" / "debug.yaml")]
        return [
            "--encoder.size=small", "--predictor.embed_dim=384", "--predictor.depth=6",
            "--predictor.num_heads=6", "--data.size=224", "--optim.batch_size=4", "--optim.warmup_steps=1",
        ]  # fmt: skip

    def config(self, *changes: str) -> PretrainConfig:
        """Return the configuration of these settings with changes."""
        return read_config([*self.settings, *changes], PretrainConfig)


def parity(check: Check) -> dict[str, Any]:
    """Compare the first losses of every method with those of the CPU, from the same weights and clips."""
    methods = {"vjepa": [], **{path.stem: ["--config", str(path)] for path in _tiny_recipes()}}
    report = {}
    for name, changes in methods.items():
        base = ["--config", str(ROOT / "configs" / "pretrain" / "quickstart.yaml"), *changes]
        config = read_config([*base, "--optim.batch_size=4"], PretrainConfig)
        losses = [_first_losses(config, device) for device in (torch.device("cpu"), check.device)]
        gap = max(abs(one - other) / abs(one) for one, other in zip(*losses, strict=True))
        report[name] = {"cpu": losses[0], "device": losses[1], "gap": gap}
    return {"passed": all(each["gap"] < LOSS_TOLERANCE for each in report.values()), "methods": report}


def _tiny_recipes() -> list[Path]:
    return sorted((ROOT / "configs" / "tiny").glob("*.yaml"))


def _first_losses(config: PretrainConfig, device: torch.device) -> list[float]:
    torch.manual_seed(0)
    objective = build.build_objective(build.resolve(config)).to(device).train()
    optimizer = build_optimizer(objective, config.optim)
    batch = _random_batch(config).to(device)
    losses = []
    for step in range(STEPS):
        loss = objective(batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        objective.after_step(step + 1)
        losses.append(loss.item())
    return losses


def _random_batch(config: PretrainConfig) -> Batch:
    """Return random clips with masks; the same at every call."""
    draws = torch.Generator().manual_seed(0)
    return example_batch(config, config.optim.batch_size).map(
        lambda values: (
            torch.randint(0, 256, values.shape, dtype=torch.uint8, generator=draws)
            if values.dtype == torch.uint8
            else values
        )
    )


def bf16(check: Check) -> dict[str, Any]:
    """Compare features in bfloat16 with those in float32."""
    config = check.config()
    torch.manual_seed(0)
    objective = build.build_objective(build.resolve(config)).to(check.device).eval()
    pixels = objective.normalizer(_random_batch(config).to(check.device).video_BTCHW)
    with torch.no_grad():
        exact = objective.encoder(pixels).float()
        with torch.autocast(check.device.type, torch.bfloat16):
            rounded = objective.encoder(pixels).float()
    cosine = cosine_similarity(exact, rounded, dim=-1).mean().item()
    error = ((exact - rounded).norm() / exact.norm()).item()
    return {"passed": cosine > BF16_COSINE, "cosine": cosine, "relative_error": error}


def waits(check: Check) -> dict[str, Any]:
    """Count, in real runs of two lengths, the operations for which the host waits: those of further steps."""
    if check.device.type != "cuda":
        return {"passed": True, "skipped": "only CUDA tells for what it waits"}
    counts = [_waits_of_run(check, steps) for steps in (10, 30)]
    return {"passed": counts[1] == counts[0], "waits_of_10_steps": counts[0], "waits_of_30_steps": counts[1]}


def _waits_of_run(check: Check, steps: int) -> int:
    code = (
        "import sys, warnings, torch; warnings.simplefilter('always'); "
        "torch.cuda.set_sync_debug_mode('warn'); "
        "from tools.pretrain import main; sys.exit(main(sys.argv[1:]))"
    )
    settings = ["--train.log_every=1000", "--train.checkpoint_every=1000", f"--optim.steps={steps}"]
    done = _run([sys.executable, "-c", code, *_debug_run(check, f"waits-{steps}", *settings)])
    return done.stderr.count("synchronizing CUDA operation")


def flash(check: Check) -> dict[str, Any]:
    """Train a step with the flash kernel alone; torch raises an error where it cannot be taken."""
    if check.device.type != "cuda":
        return {"passed": True, "skipped": "the flash kernel of torch is for CUDA"}
    config = check.config()
    objective = build.build_objective(build.resolve(config)).to(check.device).train()
    batch = _random_batch(config).to(check.device)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.autocast("cuda", torch.bfloat16):
        loss = objective(batch)["loss"]
    loss.backward()
    return {"passed": bool(torch.isfinite(loss)), "loss": loss.item()}


def compiled(check: Check) -> dict[str, Any]:
    """Compare losses and times of steps with compiled blocks."""
    if check.device.type == "cpu" and shutil.which("g++") is None:
        return {"passed": True, "skipped": "compiling for a CPU needs a C++ compiler"}
    found: dict[str, Any] = {}
    for name, flag in (("plain", "false"), ("compiled", "true")):
        config = check.config(f"--train.compile={flag}")
        losses = _first_losses(config, check.device)
        found[name] = {"losses": losses, "seconds_a_step": _seconds_a_step(config, check.device)}
    pairs = zip(found["plain"]["losses"], found["compiled"]["losses"], strict=True)
    gap = max(abs(one - other) / abs(one) for one, other in pairs)
    speed = found["plain"]["seconds_a_step"] / found["compiled"]["seconds_a_step"]
    return {"passed": gap < LOSS_TOLERANCE, "gap": gap, "times_as_fast": speed, **found}


def _seconds_a_step(config: PretrainConfig, device: torch.device) -> float:
    """Return the median time of a step in bfloat16, after steps that compile."""
    objective = build.build_objective(build.resolve(config)).to(device).train()
    batch, times = _random_batch(config).to(device), []
    for _ in range(8):
        _settled(device)
        begin = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            loss: Tensor = objective(batch)["loss"]
        loss.backward()
        objective.zero_grad()
        _settled(device)
        times.append(time.perf_counter() - begin)
    return sorted(times[3:])[2]


def _settled(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def speed(check: Check) -> dict[str, Any]:
    """Measure steps and encoding of three sizes against the matrix product of the machine."""
    if check.tiny:
        runs = {"debug": ["--config", str(ROOT / "configs" / "debug.yaml")]}
    else:
        recipe = str(ROOT / "configs" / "pretrain" / "vjepa_vitl16.yaml")
        sizes = {"small": 64, "base": 32, "large": 16}
        runs = {
            size: ["--config", recipe, f"--encoder.size={size}", f"--optim.batch_size={clips}"]
            for size, clips in sizes.items()
        }
        runs |= {f"{size}, compiled": [*given, "--train.compile=true"] for size, given in runs.items()}
    return {
        "passed": True,
        "sizes": {name: _benchmark(check, "step", "encode", *of) for name, of in runs.items()},
    }


def loader(check: Check) -> dict[str, Any]:
    """Measure loading, and training from the loader, on the quickstart's videos."""
    recipe = "debug.yaml" if check.tiny else "pretrain/quickstart.yaml"
    config = ["--config", str(ROOT / "configs" / recipe)]
    videos = [
        f"--data.synthetic.folder={check.folder / 'videos'}",
        f"--data.cache.folder={check.folder / 'cache'}",
    ]
    return {"passed": True, "rows": _benchmark(check, "loader", "train", *config, *videos)}


def _benchmark(check: Check, *arguments: str) -> list[dict[str, Any]]:
    path = check.folder / "benchmark.json"
    repeats = "1" if check.tiny else "5"
    tool = [sys.executable, str(ROOT / "tools" / "benchmark.py"), *arguments]
    precision = "no" if check.device.type == "cpu" else "bf16"
    _run([*tool, "--precision", precision, "--repeats", repeats, "--json", str(path), *_device_option(check)])
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"]
    return rows


def resume(check: Check) -> dict[str, Any]:
    """Lose the end of a run, go on from its checkpoint, and compare the losses of the repeated steps."""
    arguments = _debug_run(check, "resume", "--train.log_every=1", "--train.checkpoint_every=10")
    folder = check.folder / "resume"
    _pretrain(arguments)
    before = _losses(folder)
    (folder / "summary.json").unlink()
    shutil.rmtree(max((folder / "checkpoints").iterdir()))
    _pretrain(arguments)
    gap = max(abs(one - other) for one, other in zip(before, _losses(folder), strict=True))
    return {"passed": gap < LOSS_TOLERANCE, "gap": gap, "losses": before}


def fsdp2(check: Check) -> dict[str, Any]:
    """Compare the losses of sharded training, as users start it, with those of plain training."""
    if check.device.type != "cuda":
        return {"passed": True, "skipped": "accelerate shards on GPUs alone"}
    config_file = str(ROOT / "configs" / "accelerate" / "fsdp2.yaml")
    launch = ["--config_file", config_file, "--num_processes", "1"]
    settings = ["--train.log_every=1", "--train.precision=bf16"]
    _pretrain(_debug_run(check, "plain", *settings))
    _pretrain(_debug_run(check, "sharded", *settings), *launch)
    pairs = list(zip(*(_losses(check.folder / name) for name in ("plain", "sharded")), strict=True))
    gap = max(abs(one - other) / abs(one) for one, other in pairs)
    return {"passed": gap < 0.02, "gap": gap, "losses": pairs}  # FSDP rounds the logged loss to bfloat16


def recipe(check: Check) -> dict[str, Any]:
    """Run the quickstart as a new user would."""
    if check.tiny:
        _pretrain(_debug_run(check, "recipe"))
    else:
        config = str(ROOT / "configs" / "pretrain" / "quickstart.yaml")
        _pretrain(["--config", config, *_folders(check, "recipe")])
    summary = json.loads((check.folder / "recipe" / "summary.json").read_text())
    probe = summary["probe"]
    return {"passed": not summary["alarms"], "probe": probe, "seconds": summary["seconds"]}


def clips(check: Check) -> dict[str, Any]:
    """Run the recipe for real clips."""
    if check.videos is None:
        return {"passed": True, "skipped": "no real clips are given: --videos"}
    config = str(ROOT / "configs" / "pretrain" / "clips.yaml")
    steps = ["--optim.steps=20", "--optim.warmup_steps=5", "--train.log_every=10"] if check.tiny else []
    videos = [f"--data.train={check.videos}", f"--data.cache.folder={check.folder / 'cache'}"]
    folder = f"--output_dir={check.folder / 'clips'}"
    _pretrain(["--config", config, folder, *videos, *steps, *_device_option(check)])
    summary = json.loads((check.folder / "clips" / "summary.json").read_text())
    losses = _losses(check.folder / "clips")
    return {"passed": not summary["alarms"], "losses": losses, "seconds": summary["seconds"]}


def _debug_run(check: Check, name: str, *changes: str) -> list[str]:
    config = str(ROOT / "configs" / "debug.yaml")
    return ["--config", config, *_folders(check, name), *changes]


def _folders(check: Check, name: str) -> list[str]:
    return [
        f"--output_dir={check.folder / name}",
        f"--data.synthetic.folder={check.folder / 'videos'}",
        *_device_option(check),
    ]


def _device_option(check: Check) -> list[str]:
    return ["--train.device=cpu"] if check.device.type == "cpu" else []


def _pretrain(arguments: Sequence[str], *launch: str) -> None:
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", *launch]
    _run([*accelerate, str(ROOT / "tools" / "pretrain.py"), *arguments])


def _run(command_line: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository; its last lines are in the error if it fails."""
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": python_path}
    done = subprocess.run(command_line, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done


def _losses(folder: Path) -> list[float]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record["loss"] for record in records]


PARTS: dict[str, Callable[[Check], dict[str, Any]]] = {
    "parity": parity,
    "bf16": bf16,
    "waits": waits,
    "flash": flash,
    "compile": compiled,
    "speed": speed,
    "resume": resume,
    "fsdp2": fsdp2,
    "loader": loader,
    "recipe": recipe,
    "clips": clips,
}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        raise ValueError(f"'{unknown[0]}' cannot be checked: choose among {', '.join(PARTS)}")
    device = _device(options.device)
    path = ready_file(options.output)
    report = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    failed = []
    for part in options.parts or PARTS:
        found = _checked(part, device, options)
        machine = {"machine": machine_name(device), "commit": source_commit(), "tiny": options.tiny}
        report["parts"][part] = {**found, **machine}
        path.write_text(json.dumps(report, indent=2) + "\n")
        failed += [] if found["passed"] else [part]
        print(f"{part:8} {_verdict(found)}  {found['part_seconds']:.0f} s", flush=True)
    print(path)
    return 1 if failed else 0


def _checked(part: str, device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Run a part, whose failure does not end the others."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = PARTS[part](Check(device, options.tiny, options.videos, Path(folder)))
        except Exception as error:
            found = {"passed": False, "error": f"{type(error).__name__}: {error}"}
    return {**found, "part_seconds": time.perf_counter() - begin}


def _verdict(found: dict[str, Any]) -> str:
    if "skipped" in found:
        return f"not run: {found['skipped']}"
    return "passed" if found["passed"] else f"FAILED {found.get('error', '')}"


def _device(name: str) -> torch.device:
    if name == "cpu":
        return torch.device("cpu")
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None:
        raise ValueError("--device is auto, and this machine has no accelerator: give --device cpu --tiny")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"Parts to run: any of {', '.join(PARTS)} (default: all).")
    parser.add_argument(
        "--output", default="gpu_check.json", help="JSON file of the results (default gpu_check.json)."
    )
    parser.add_argument(
        "--videos", help="Folder or manifest of real clips, for the part clips (default: none)."
    )
    parser.add_argument("--tiny", action="store_true", help="Take small sizes and few steps.")
    parser.add_argument(
        "--device", choices=["auto", "cpu"], default="auto", help="Device to check (default auto)."
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
