"""Convert a model to another layout: this library's, transformers', or V-JEPA's and VideoMAE's own.

    vjepa convert vitl.pt --to ours --output models/vitl
    vjepa convert vitl.pt --probe ssv2-vitl-16x2x3.pt --to ours --output models/ssv2
    vjepa convert mine.pt --family vjepa2 --num_heads encoder=4 predictor=4 \\
        --to ours --output models/mine
    vjepa convert runs/mine --to transformers --output models/mine_for_transformers
    vjepa convert runs/mine --to meta --output mine.pt

SOURCE is anything that `vjepa.from_pretrained` takes. With `ours` and `transformers`, --output is a folder;
with `meta`, it is a .pt or .pth file, or a folder in which model.pt is written. A classifier is converted
with its head, any other model with its predictor or decoder. As a check, the written model is read again
(with `transformers`, by the class of that package if it is installed), and both models process the same
random clip. The largest difference of their outputs is printed, as are the settings of clips, pixels and
future prediction that the other layout cannot store.

Exit status: 0 done, and both models agree; 1 the written model differs, or an unexpected error; 2
arguments that cannot be used; 75 asked to stop; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained, load_classifier, read_model_config, save_pretrained
from vjepa.weights.released.meta_layout import to_meta
from vjepa.weights.released.preprocessing import transformers_preprocessor
from vjepa.weights.released.reading import NOTHING
from vjepa.weights.released.stated import StatedByUser
from vjepa.weights.released.transformers_layout import to_transformers

TOLERANCE = 1e-4  # not 0, because transformers' VideoMAE has a different epsilon in some norms


class Model(NamedTuple):
    """A model with its configuration.

    Attributes:
        network: `VideoModel`, or `Classifier` with a head.
        config: Configuration stored in its model folder.
    """

    network: nn.Module
    config: dict[str, Any]

    @property
    def classifies(self) -> bool:
        """Whether the model is a classifier."""
        return "head" in self.config

    @torch.no_grad()
    def answer(self, video_BTCHW: Tensor) -> Tensor:
        """Return the logits of a classifier, or the tokens of any other model, for uint8 videos."""
        network: Any = self.network
        answer: Tensor = network(video_BTCHW) if self.classifies else network.encode(video_BTCHW)
        return answer


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    return _convert(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", help="Run folder, model folder, released weights, or name on the Hugging Face hub."
    )
    parser.add_argument(
        "--to",
        required=True,
        choices=["ours", "transformers", "meta"],
        help="Layout to write: this library's (ours), transformers', or V-JEPA's and VideoMAE's own (meta).",
    )
    parser.add_argument("--output", required=True, help="Folder to write; with --to meta, also a file.")
    parser.add_argument(
        "--probe",
        help="File with an attentive probe of V-JEPA or V-JEPA 2 for SOURCE's encoder; the result is a "
        "classifier.",
    )
    parser.add_argument(
        "--which",
        choices=["target_encoder", "encoder"],
        help="Encoder of SOURCE to convert (default: the target encoder, where there is one).",
    )
    parser.add_argument(
        "--family",
        choices=["vjepa", "vjepa2"],
        help="Family of a released encoder, needed only for a file with a table of positions and without a "
        "predictor (default: read from SOURCE).",
    )
    parser.add_argument(
        "--num_heads",
        nargs="+",
        default=[],
        metavar="NETWORK=N",
        help="Numbers of attention heads, where NETWORK is encoder, predictor, decoder or head (of a probe); "
        "needed only for widths that no published model has (default: as in the published model of that "
        "width).",
    )
    parser.add_argument(
        "--levels",
        nargs="*",
        type=int,
        help="With --probe, indices (from 0) of the blocks whose tokens the probe sees; no index means only "
        "the last block. Without --probe, indices of the blocks that the level norms of a V-JEPA 2.1 encoder "
        "follow (default: as in the published model of that depth).",
    )
    return parser


def _heads(given: Sequence[str]) -> dict[str, int]:
    parts = [text.partition("=") for text in given]
    wrong = [text for text, (_, _, number) in zip(given, parts, strict=True) if not number.isdecimal()]
    if wrong:
        raise ValueError(f"--num_heads has {', '.join(wrong)}: write NETWORK=N, e.g. predictor=12")
    return {network: int(number) for network, _, number in parts}


def _convert(options: argparse.Namespace) -> int:
    of_probe = options.probe is not None
    by_user = StatedByUser(
        family=options.family,
        num_heads=_heads(options.num_heads),
        levels=None if of_probe else options.levels,
        probe_levels=options.levels if of_probe else None,
    )
    model = _load(options.source, options.which, options.probe, by_user)
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


def _load(
    source: str | Path, which: Any = None, probe: str | None = None, by_user: StatedByUser = NOTHING
) -> Model:
    if probe is None and "dynamics" in read_model_config(source, by_user):
        raise ValueError(
            f"{source} is an action-conditioned model, which other layouts have no place for: copy its "
            "folder, or load it by vjepa.load_action_model"
        )
    hints: dict[str, Any] = {"family": by_user.family, "num_heads": by_user.num_heads}
    if probe is not None or "head" in read_model_config(source, by_user):
        classifier, config = load_classifier(source, probe=probe, levels=by_user.probe_levels, **hints)
        return Model(classifier, {key: value for key, value in config.items() if key != "predictor"})
    model = from_pretrained(source, which, levels=by_user.levels, **hints)
    return Model(model, model.config)


def _compare(model: Model, output: Path, *, by_transformers: bool) -> int:
    """Compare both models on one random clip, and return the exit status."""
    clip = model.config.get("clip")
    if clip is None:
        print("not compared: the model does not store which clips it was trained on")
        return 0
    shape = (1, clip["num_frames"], model.config["encoder"].get("channels", 3), *clip["size"])
    video_BTCHW = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = model.answer(video_BTCHW)
    again = _load(output)
    found, reader = again.answer(video_BTCHW), "read again"
    lost = _lost(model.config, again.config)
    for line in lost:
        print(f"not preserved: {line}")
    if by_transformers and importlib.util.find_spec("transformers") is not None:
        found, reader = _transformers_answer(again, output, video_BTCHW), "transformers"
    difference = (found - expected).abs().max().item()
    same = difference <= TOLERANCE and not lost
    print(f"{reader}: largest difference {difference:.2g}, of values up to {expected.abs().max().item():.2g}")
    return 0 if same else 1


def _lost(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return a line for each setting that changed when the model was read again."""
    lost = []
    for part in ("clip", "pixels", "future", "pixel_targets", "classes", "levels"):
        old, new = (json.loads(json.dumps(config.get(part))) for config in (before, after))
        if old is not None and old != new:
            lost.append(f"{part} was {old}, and is {new} when it is read again")
    return lost


@torch.no_grad()
def _transformers_answer(again: Model, output: Path, video_BTCHW: Tensor) -> Tensor:
    """Return the output of transformers' class for pixels normalised by `again`, the model read back."""
    import transformers

    name = json.loads((output / "config.json").read_text())["architectures"][0]
    peer, report = getattr(transformers, name).from_pretrained(output, output_loading_info=True)
    wrong = [f"{kind} {key}" for kind in ("missing_keys", "unexpected_keys") for key in report[kind]]
    if wrong:
        raise ValueError(f"transformers finds {', '.join(wrong)} in {output}")
    network: Any = again.network
    pixels_BTCHW = network.normalizer(video_BTCHW).transpose(1, 2)
    peer = peer.eval()
    if again.classifies:
        logits: Tensor = peer(pixels_BTCHW).logits
        return logits
    base = peer.videomae if name == "VideoMAEForPreTraining" else peer
    extra = {"skip_predictor": True} if name.startswith("VJEPA2") else {}
    tokens: Tensor = base(pixels_BTCHW, **extra).last_hidden_state
    return tokens
