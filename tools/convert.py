"""Write a model in another layout: this library's, transformers', or the authors' of V-JEPA and VideoMAE.

    python tools/convert.py vitl.pt --to ours --output models/vitl
    python tools/convert.py vitl.pt --probe ssv2-vitl-16x2x3.pt --to ours --output models/ssv2
    python tools/convert.py runs/mine --to transformers --output models/mine_for_transformers
    python tools/convert.py runs/mine --to meta --output mine.pt

SOURCE is all that `vjepa.from_pretrained` takes. With `ours` and `transformers`, --output is a folder; with `meta`, a file, or a
folder for model.pt. What was written is read again and both models see the same random clip: the greatest difference is printed.
For `transformers` that is transformers' own class, where it is installed. A classifier is converted with its head, any other
model with its predictor or decoder. Exit status: 0 done and equal, 1 written but not equal, 2 arguments that cannot be used.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vjepa.released.meta_layout import to_meta
from vjepa.released.preprocessing import transformers_preprocessor
from vjepa.released.transformers_layout import to_transformers
from vjepa.weights import from_pretrained, load_classifier, read_model_config, save_pretrained

TOLERANCE = 1e-4  # transformers' VideoMAE has another epsilon in some of its norms


class Model(NamedTuple):
    """A model with what its folder says of itself."""

    network: nn.Module
    config: dict[str, Any]

    @property
    def classifies(self) -> bool:
        """Whether it has a head."""
        return "head" in self.config

    @torch.no_grad()
    def answer(self, video_BTCHW: Tensor) -> Tensor:
        """Logits of a classifier, else tokens; of uint8 videos."""
        network: Any = self.network
        answer: Tensor = network(video_BTCHW) if self.classifies else network.encode(video_BTCHW)
        return answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _convert(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", help="a run, a model folder, released weights, or a name of the Hugging Face hub"
    )
    parser.add_argument(
        "--to", required=True, choices=["ours", "transformers", "meta"], help="layout to write"
    )
    parser.add_argument("--output", required=True, help="folder (or, for meta, file) to write")
    parser.add_argument("--probe", help="a file with an attentive probe of V-JEPA 2, for SOURCE's encoder")
    parser.add_argument(
        "--which", choices=["target_encoder", "encoder"], help="default: the target encoder, if any"
    )
    return parser


def _convert(options: argparse.Namespace) -> int:
    model = _load(options.source, options.which, options.probe)
    tensors = model.network.state_dict()
    output = Path(options.output)
    if options.to == "ours":
        save_pretrained(output, tensors, model.config)
    elif options.to == "meta":
        output = output if output.suffix in (".pt", ".pth") else output / "model.pt"
        output.parent.mkdir(parents=True, exist_ok=True)
        torch.save(to_meta(model.config, tensors), output)
    else:
        state, description = to_transformers(model.config, tensors)
        output.mkdir(parents=True, exist_ok=True)
        save_file(state, output / "model.safetensors", metadata={"format": "pt"})
        (output / "config.json").write_text(json.dumps(description, indent=2) + "\n")
        name, preprocessor = transformers_preprocessor(model.config, description["model_type"])
        (output / name).write_text(json.dumps(preprocessor, indent=2) + "\n")
    print(f"wrote {output}")
    return _compare(model, output, by_transformers=options.to == "transformers")


def _load(source: str | Path, which: Any = None, probe: str | None = None) -> Model:
    if probe is not None or "head" in read_model_config(source):
        classifier, config = load_classifier(source, probe=probe)
        return Model(classifier, {key: value for key, value in config.items() if key != "predictor"})
    world = from_pretrained(source, which)
    return Model(world, world.config)


def _compare(model: Model, output: Path, *, by_transformers: bool) -> int:
    """Both see one random clip; the exit status."""
    clip = model.config.get("clip")
    if clip is None:
        print("not compared: the model does not say which clips it knows")
        return 0
    shape = (1, clip["num_frames"], model.config["encoder"].get("channels", 3), *clip["size"])
    video_BTCHW = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = model.answer(video_BTCHW)
    found, whose = _load(output).answer(video_BTCHW), "read again"
    if by_transformers and importlib.util.find_spec("transformers") is not None:
        found, whose = _transformers_answer(model, output, video_BTCHW), "transformers"
    difference = (found - expected).abs().max().item()
    same = difference <= TOLERANCE
    print(f"{whose}: greatest difference {difference:.2g} of values up to {expected.abs().max().item():.2g}")
    return 0 if same else 1


@torch.no_grad()
def _transformers_answer(model: Model, output: Path, video_BTCHW: Tensor) -> Tensor:
    import transformers

    name = json.loads((output / "config.json").read_text())["architectures"][0]
    theirs, told = getattr(transformers, name).from_pretrained(output, output_loading_info=True)
    wrong = [f"{kind} {key}" for kind in ("missing_keys", "unexpected_keys") for key in told[kind]]
    if wrong:
        raise ValueError(f"transformers finds {', '.join(wrong)} in {output}")
    network: Any = model.network
    pixels_BTCHW = network.normalizer(video_BTCHW).transpose(1, 2)
    theirs = theirs.eval()
    if model.classifies:
        logits: Tensor = theirs(pixels_BTCHW).logits
        return logits
    base = theirs.videomae if name == "VideoMAEForPreTraining" else theirs
    extra = {"skip_predictor": True} if name.startswith("VJEPA2") else {}
    tokens: Tensor = base(pixels_BTCHW, **extra).last_hidden_state
    return tokens


if __name__ == "__main__":
    sys.exit(main())
