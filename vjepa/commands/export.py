"""Export a model to a file that runs without this library: ONNX, or a torch.export program.

    vjepa export --model runs/quickstart --what encoder --output encoder.onnx
    vjepa export --model runs/quickstart --what future --steps 1 2 4 --output future.onnx
    vjepa export --model runs/finetune --what classifier --output classifier.pt2

The suffix of --output determines the format: .onnx (which needs onnx, onnxscript and onnxruntime) or .pt2.
The exported model takes any number of clips, as uint8 (clips, frames, 3, height, width) with the model's
number of frames and frame size, and normalises the pixels itself. Its outputs are compared with those of the
original model, and both are timed.

Exit status: 0 done; 1 the file's outputs differ from the model's, or an unexpected error; 2 arguments that
cannot be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch

from vjepa.export.formats import Format, Run, example, export_graph, greatest_difference
from vjepa.export.graphs import ClassifierGraph, EncoderGraph, FutureGraph, Graph
from vjepa.files import ready_file
from vjepa.inference.classifier import VideoClassifier
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained

TOLERANCE = 1e-4
BATCHES = (1, 3)  # numbers of clips to compare, both other than in the example that is traced
REPEATS = 10  # number of timed calls
FORMATS: dict[str, Format] = {".onnx": "onnx", ".pt2": "torch"}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    return _export(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Run folder, model folder or released weights.")
    parser.add_argument(
        "--what",
        required=True,
        choices=["encoder", "future", "classifier"],
        help="Output of the exported model: encoder tokens, predicted future tokens, or class scores.",
    )
    parser.add_argument(
        "--output", required=True, type=Path, help="File to write, whose name ends in .onnx or .pt2."
    )
    parser.add_argument(
        "--which",
        choices=["target_encoder", "encoder"],
        help="Encoder to export (default: the target encoder, where there is one).",
    )
    parser.add_argument(
        "--steps",
        type=int,
        nargs="+",
        help="With --what future, horizons to predict, in time steps after the context (default: all that "
        "the model predicts at once).",
    )
    return parser


def _export(options: argparse.Namespace) -> int:
    kind = FORMATS.get(options.output.suffix)
    if kind is None:
        raise ValueError(f"--output is {options.output}: give a name that ends in {' or '.join(FORMATS)}")
    graph = _graph(options).eval()
    ready_file(options.output)
    run = export_graph(graph, options.output, kind)
    differences = [greatest_difference(run, graph, example(graph, clips, seed=clips)) for clips in BATCHES]
    print(f"{options.output}: uint8 (clips, {', '.join(map(str, graph.shape))}) to {graph.output}")
    for clips, difference in zip(BATCHES, differences, strict=True):
        print(f"largest difference from the model: {difference:.2g} ({clips} clips)")
    for name, call in (("model", graph), ("file", run)):
        print(
            f"{name:<6}{1000 * _seconds(call, example(graph, 1)):8.2f} ms per clip, "
            f"{torch.get_num_threads()} threads"
        )
    if not all(difference <= TOLERANCE for difference in differences):  # also catches NaN
        print(f"error: the file differs by more than {TOLERANCE}: do not use it", file=sys.stderr)
        return 1
    return 0


def _graph(options: argparse.Namespace) -> Graph:
    if options.steps is not None and options.what != "future":
        raise ValueError(f"--steps is {options.steps} and --what {options.what}: steps are for future")
    if options.what == "classifier":
        return ClassifierGraph(VideoClassifier.from_pretrained(options.model))
    model = from_pretrained(options.model, options.which)
    return EncoderGraph(model) if options.what == "encoder" else FutureGraph(model, options.steps)


@torch.no_grad()
def _seconds(call: Callable[[torch.Tensor], torch.Tensor] | Run, video_BTCHW: torch.Tensor) -> float:
    """Return the median duration of a call in seconds, after one call that is not timed."""
    call(video_BTCHW)
    times = []
    for _ in range(REPEATS):
        before = time.perf_counter()
        call(video_BTCHW)
        times.append(time.perf_counter() - before)
    return statistics.median(times)
