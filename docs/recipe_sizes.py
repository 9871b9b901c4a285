"""Count tokens, parameters, operations and memory of the recipes of pre-training, for their pages.

    python docs/recipe_sizes.py

Writes .results/recipe_sizes.json. Networks are on the meta device: nothing is trained, and no GPU is needed.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from vjepa.config import read_config
from vjepa.files import written_atomically
from vjepa.grid import Tubelet
from vjepa.recipes.compare.budget import training_flops
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.preview import average_cost
from vjepa.source_commit import source_commit

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / ".results" / "recipe_sizes.json"


def main() -> None:
    """Write the sizes of all recipes; the tables of the file are kept."""
    results = json.loads(OUTPUT.read_text(encoding="utf-8"))
    rows = [{"label": name, "metrics": size_of(config)} for name, config in recipes()]
    results |= {"commit": source_commit(), "date": datetime.now(UTC).date().isoformat(), "rows": rows}
    with written_atomically(OUTPUT) as draft:
        draft.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def recipes() -> Iterator[tuple[str, PretrainConfig]]:
    """Yield name and configuration of each recipe of pre-training that stands by itself."""
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        opening = path.read_text(encoding="utf-8").split("\n\n")[0]
        named = re.findall(r"--config (\S+)", opening)
        if "tools/pretrain.py" in opening and named[:1] == [str(path.relative_to(ROOT))]:
            name = str(path.relative_to(ROOT / "configs").with_suffix(""))
            yield name, read_config(["--config", str(path)], PretrainConfig)


def size_of(config: PretrainConfig) -> dict[str, Any]:
    """Return the numbers that a run prints before it starts, for one process in float32.

    Only the operations in all include those of the teacher that a run trains first.
    """
    config = dataclasses.replace(config, init=None)
    with torch.device("meta"):
        objective = build.build_objective(build.Resolved(config))
    cost = average_cost(config, objective)
    per_video = config.data.clip.clips_per_video
    clips = config.optim.batch_size * per_video
    part = clips if config.train.micro_batch is None else config.train.micro_batch * per_video
    shape = (config.data.clip.num_frames, *config.data.clip_size)
    return {
        "clip": list(shape),
        "tokens": Tubelet(*config.encoder.tubelet).grid_of(*shape).size,
        "trained": cost.trained,
        "parameters": cost.parameters,
        "gigaflops": cost.flops / 1e9,
        "steps": config.optim.steps,
        "clips": clips,
        "petaflops": training_flops(config) / 1e15,
        "part": part,
        "gigabytes": cost.memory_bytes(part, 1.0) / 1e9,
    }


if __name__ == "__main__":
    main()
