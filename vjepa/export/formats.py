"""Export of a graph to an ONNX file or a torch.export program, and running the file.

    run = export_graph(graph, "model.onnx", "onnx")
    answer = run(video_BTCHW)

The number of clips in a call is free. Frames, height and width are fixed, because positions are constants of
the graph.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vjepa.export.graphs import Graph
from vjepa.packages import need_packages

Format = Literal["onnx", "torch"]
Run = Callable[[Tensor], Tensor]

_OPSET = 20
# In bytes. A protobuf file holds at most 2 GiB; larger weights are written to a second file beside the first.
_LARGEST_FILE = 1_900_000_000


def export_graph(graph: Graph, path: str | Path, kind: Format) -> Run:
    """Write a graph to a file, and return a function that runs the file.

    Args:
        graph: Graph on the CPU; it is put in evaluation mode.
        path: File to write.
        kind: Format of the file: `onnx`, which needs onnx, onnxscript and onnxruntime, or `torch`, a
            program of torch.export.

    Returns:
        Function from uint8 clips ``(B, T, C, H, W)`` to the output of the graph, see `load_graph`.

    Raises:
        ModuleNotFoundError: `kind` is `onnx` and a package that it needs is missing.
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
    """Return a function that runs an exported file on the CPU.

    The function maps uint8 clips ``(B, T, C, H, W)`` to the output of the graph.

    Args:
        path: File that `export_graph` wrote.
        kind: Format of the file.

    Raises:
        ModuleNotFoundError: `kind` is `onnx` and a package that it needs is missing.
    """
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
    """Return random clips of the shape that a graph takes, uint8 ``(B, T, C, H, W)`` with B = `clips`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (clips, *graph.shape), dtype=torch.uint8, generator=generator)


@torch.no_grad()
def greatest_difference(run: Run, graph: Graph, video_BTCHW: Tensor) -> float:
    """Return the greatest absolute difference between the outputs of an exported file and of its graph."""
    return (run(video_BTCHW) - graph(video_BTCHW)).abs().max().item()


def _clips() -> torch.export.Dim:
    return torch.export.Dim("clips", min=1, max=4096)


def _num_bytes(graph: Graph) -> int:
    return sum(tensor.nbytes for tensor in graph.state_dict().values())


def _require_onnx() -> None:
    need_packages("ONNX", "onnx", "onnxscript", "onnxruntime")


class _quiet:  # noqa: N801  (used as a function)
    """Silences the exporter, which logs many messages about operator versions."""

    def __enter__(self) -> None:
        self.before = logging.getLogger("onnxscript").level
        logging.getLogger("onnxscript").setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        logging.getLogger("onnxscript").setLevel(self.before)
