"""The folder of a run: configuration, metrics, summary, checkpoints, model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vjepa.config import (
    Config,
    ConfigError,
    FinetuneConfig,
    WorldConfig,
    config_tree,
    read_tree,
    write_config,
)

AnyConfig = Config | FinetuneConfig | WorldConfig

# What may differ when a run goes on: it does not change what is learnt.
_FREE = ("train.", "data.workers", "data.cache_dir", "output_dir")


class RunFolder:
    """Paths of a run and the files that are not checkpoints."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.jsonl"
        self.summary = self.path / "summary.json"
        self.picture = self.path / "report.png"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"

    def claim(self, config: AnyConfig) -> None:
        """Store the resolved configuration; ValueError where the folder holds a run of another one."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self.config.exists():
            before = _flat(config_tree(self._read(type(config))))
            now = _flat(config_tree(config))
            changes = [
                f"{key}: {before.get(key)} there, {now.get(key)} here"
                for key in sorted(before.keys() | now.keys())
                if before.get(key) != now.get(key) and not key.startswith(_FREE)
            ]
            if changes:
                raise ValueError(
                    f"{self.path} holds a run with another configuration ({'; '.join(changes)}): "
                    "give another --output_dir, or the settings it was started with"
                )
        partial = self.config.with_suffix(".partial")
        write_config(config, partial)
        os.replace(partial, self.config)

    def _read(self, kind: type[AnyConfig]) -> AnyConfig:
        try:
            return read_tree(["--config", str(self.config)], kind)
        except ConfigError as error:
            raise ValueError(
                f"{self.path} holds a run of another kind: give another --output_dir\n{error}"
            ) from error

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop metrics of steps that will be taken again, and a last line that a kill cut short."""
        if not self.metrics.exists():
            return
        lines = self.metrics.read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        partial = self.metrics.with_suffix(".partial")
        partial.write_text("".join(kept))
        os.replace(partial, self.metrics)

    def read_metrics(self) -> list[dict[str, Any]]:
        """All logged records."""
        return [json.loads(line) for line in self.metrics.read_text().splitlines()]

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write the final figures."""
        self.summary.write_text(json.dumps(summary, indent=2) + "\n")


def figures_of(record: dict[str, Any]) -> dict[str, Any]:
    """What a logged record measured, without what says which step it was."""
    return {key: value for key, value in record.items() if key not in ("step", "kind")}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
