"""Write a graph as an ONNX file or an exported program of torch, and run it from there.

    run = export_graph(graph, "model.onnx", "onnx")
    answer = run(video_BTCHW)

The number of clips is free, frames and pixels are fixed: positions are constants of the graph.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vjepa.export.graphs import Graph

Format = Literal["onnx", "torch"]
Run = Callable[[Tensor], Tensor]

_OPSET = 20
_LARGEST_FILE = (
    1_900_000_000  # bytes; what protobuf can hold is 2 GiB, larger weights lie in a second file beside it
)


def export_graph(graph: Graph, path: str | Path, kind: Format) -> Run:
    """Write a graph, and what runs the file.

    Args:
        graph: in evaluation mode, on the CPU.
        path: of the file.
        kind: `onnx` (needs the packages of the extra `export`), or `torch`, a program of torch.export.

    Raises:
        ModuleNotFoundError: where the packages are missing.
    """
    graph.eval()
    if kind == "torch":
        with torch.no_grad():
            program = torch.export.export(graph, (example(graph, 2),), dynamic_shapes=({0: _clips()},))
        torch.export.save(program, str(path))
        return load_graph(path, kind)
    _require_onnx()
    with torch.no_grad(), _quiet():
        torch.onnx.export(
            graph, (example(graph, 2),), str(path), dynamo=True, dynamic_shapes=({0: _clips()},),
            input_names=["video"], output_names=[graph.output], opset_version=_OPSET, verbose=False,
            external_data=_num_bytes(graph) > _LARGEST_FILE,
        )  # fmt: skip
    return load_graph(path, kind)


def load_graph(path: str | Path, kind: Format) -> Run:
    """What runs an exported file: uint8 clips to answers, on the CPU."""
    if kind == "torch":
        module = torch.export.load(str(path)).module()
        return lambda video_BTCHW: module(video_BTCHW)
    _require_onnx()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda video_BTCHW: torch.from_numpy(session.run(None, {"video": video_BTCHW.numpy()})[0])


def example(graph: Graph, clips: int, seed: int = 0) -> Tensor:
    """Random bytes of the shape that a graph takes: uint8 ``(clips, T, C, H, W)``."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (clips, *graph.shape), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def greatest_difference(run: Run, graph: Graph, video_BTCHW: Tensor) -> float:
    """Greatest absolute difference of what a file gives from what the graph gives."""
    return (run(video_BTCHW) - graph(video_BTCHW)).abs().max().item()


def _clips() -> torch.export.Dim:
    return torch.export.Dim("clips", min=1, max=4096)


def _num_bytes(graph: Graph) -> int:
    return sum(tensor.nbytes for tensor in graph.state_dict().values())


def _require_onnx() -> None:
    missing = [
        name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ModuleNotFoundError(
            f"ONNX needs the packages {', '.join(missing)}: pip install 'vjepa-world[export]'"
        )


class _quiet:  # noqa: N801  (used as a function)
    """The exporter tells at length of versions of operators that do not concern the reader."""

    def __enter__(self) -> None:
        self.before = logging.getLogger("onnxscript").level
        logging.getLogger("onnxscript").setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("onnxscript").setLevel(self.before)
