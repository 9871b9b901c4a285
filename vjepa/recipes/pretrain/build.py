"""Networks and objective of a pre-training run, built from its configuration."""

from __future__ import annotations

import copy
import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vjepa.config import config_tree
from vjepa.data.rendered import is_rendered
from vjepa.layers.pixels import PixelNormalizer
from vjepa.layers.targets import PredictionTargets
from vjepa.masks.future import FutureMask
from vjepa.masks.multiblock import MultiBlock
from vjepa.models.encoder import VideoEncoder
from vjepa.models.network import set_execution
from vjepa.models.predictor import Predictor
from vjepa.models.sizes import SIZES
from vjepa.models.video_model import VideoModel
from vjepa.objectives.context_loss import ContextLoss
from vjepa.objectives.energy_score import Futures
from vjepa.objectives.future_loss import FutureLoss
from vjepa.objectives.jepa import JEPA
from vjepa.objectives.pixels import PixelReconstruction
from vjepa.objectives.regularizers import SIGReg
from vjepa.objectives.views import Views
from vjepa.recipes.pretrain.config import ObjectiveConfig, PretrainConfig
from vjepa.recipes.pretrain.data import as_list
from vjepa.recipes.regularizers import build_projector, build_regularizers
from vjepa.schedules import anneal
from vjepa.weights.model_folder import Weights, from_pretrained, read_weights

Configured = JEPA | PixelReconstruction | Views
"""Objectives that a configuration can ask for."""


@dataclass(frozen=True)
class Resolved:
    """Configuration of a run with the models that it names, each of which is read once, by `resolve`.

    ``Resolved(config)`` serves a configuration that names no models.

    Attributes:
        config: Configuration of the run.
        start: Weights that the run starts from (`init`); None starts from random weights.
        teacher: Model whose encoder is the frozen target encoder (`objective.teacher`); None where there is
            no such encoder, or where the run trains it first.
    """

    config: PretrainConfig
    start: Weights | None = None
    teacher: VideoModel | None = None

    def __post_init__(self) -> None:
        for key, source, model in (
            ("init", self.config.init, self.start),
            ("objective.teacher", _given_teacher(self.config), self.teacher),
        ):
            if source is not None and model is None:
                raise ValueError(f"{key} is {source}, which was not read: use resolve(config)")


def resolve(config: PretrainConfig) -> Resolved:
    """Read the models that a configuration names.

    Raises:
        ValueError: A model cannot be read, see `vjepa.from_pretrained`.
    """
    teacher = _given_teacher(config)
    return Resolved(
        config,
        start=None if config.init is None else read_weights(config.init),
        teacher=None if teacher is None else from_pretrained(teacher),
    )


def _given_teacher(config: PretrainConfig) -> str | None:
    """Return the model folder of the teacher, where the objective has a teacher and one is given."""
    return config.objective.teacher if config.objective.has_teacher else None


def model_arguments(run: Resolved) -> dict[str, Any]:
    """Return the networks' constructor arguments as plain values; a model folder's config.json has them."""
    config = run.config
    encoder = {**SIZES[config.encoder.size]._asdict(), **_given(config.encoder)}
    del encoder["size"]
    encoder["channels"] = len(config.data.mean)
    return {
        "encoder": encoder,
        **_predicting_arguments(run, encoder),
        "pixels": {"mean": list(config.data.mean), "std": list(config.data.std)},
    }


def _predicting_arguments(run: Resolved, encoder: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the predictor, or of the decoder and its pixel targets."""
    config = run.config
    if config.objective.predict == "views":
        return {}
    shared = {
        **{name: value for name, value in dataclasses.asdict(config.predictor).items() if name != "residual"},
        "positions": encoder["positions"],
        "rotary_layout": encoder["rotary_layout"],
        "num_mask_tokens": len(config.masks.all),
    }
    if config.masks.each_step:  # else the key is absent, as in the model folders of older runs
        shared["causal"] = True
    if config.objective.predict == "pixels":
        pixels = math.prod(encoder["tubelet"]) * encoder["channels"]
        decoder = {**shared, "in_dim": encoder["embed_dim"], "out_dim": pixels}
        return {"decoder": decoder, "pixel_targets": config.objective.pixel_targets}
    num_levels = max(len(encoder["levels"]), 1)
    teacher = teacher_arguments(run) or encoder
    predictor = {
        **shared,
        "in_dim": num_levels * encoder["embed_dim"],
        "out_dim": max(len(teacher["levels"]), 1) * teacher["embed_dim"],
        "hidden_dim": encoder["embed_dim"] if num_levels > 1 else None,
        "predict_context": config.objective.context_loss is not None,
    }
    if config.objective.futures is not None:  # likewise
        predictor["noise_dim"] = config.objective.futures.noise
    if config.predictor.residual:  # likewise
        predictor["residual"] = True
    return {"predictor": predictor}


def teacher_arguments(run: Resolved) -> dict[str, Any] | None:
    """Return the constructor arguments of the teacher in `objective.teacher`; None where none is given."""
    return None if run.teacher is None else {"levels": (), **run.teacher.config["encoder"]}


def teacher_folder(config: PretrainConfig) -> str:
    """Return the run or model folder of the frozen target encoder."""
    return config.objective.teacher or str(Path(config.output_dir) / "teacher")


def stages(config: PretrainConfig) -> list[PretrainConfig]:
    """Return the configurations of a run's stages in their order: of its own teacher, if any, and itself."""
    return [teacher_config(config), config] if config.objective.trains_teacher else [config]


def teacher_config(config: PretrainConfig) -> PretrainConfig:
    """Return the configuration of SALT's first stage, which trains the teacher.

    It is the same run on pixels, for `objective.teacher_steps` optimiser steps, all of which it takes: the
    online probe judges the student alone. Pixels are predicted from the last block's tokens, so the norms of
    other levels would not be trained.
    """
    steps = config.objective.teacher_steps
    return dataclasses.replace(
        config,
        train=dataclasses.replace(config.train, keep_best=False, patience=None),
        probe=dataclasses.replace(config.probe, online=None),
        output_dir=teacher_folder(config),
        encoder=dataclasses.replace(config.encoder, levels=()),
        objective=dataclasses.replace(
            config.objective,
            predict="pixels",
            context_loss=None,
            future_loss=None,
            futures=None,
            sigreg=None,
            vicreg=None,
        ),
        augment=dataclasses.replace(config.augment, target="shared"),
        optim=dataclasses.replace(
            config.optim, steps=steps, warmup_steps=min(config.optim.warmup_steps, steps)
        ),
    )


def model_config(run: Resolved) -> dict[str, Any]:
    """Return the configuration that a model folder stores: networks, clips and training."""
    config = run.config
    clip = dataclasses.asdict(config.data.clip)
    del clip["clips_per_video"]
    future = {} if config.objective.predict == "views" else {"future": _future_arguments(config)}
    return {
        "library": "vjepa",
        **model_arguments(run),
        "clip": {**clip, "size": list(config.data.clip_size), "whole_frame": config.data.whole_frame},
        **future,
        "rendered": _saw_rendered_alone(run),
        "training": config_tree(config),
    }


def model_state(config: PretrainConfig, state: Mapping[str, Tensor], *, own: bool) -> dict[str, Tensor]:
    """Return the tensors for the model folder; regularizers and projectors serve training alone.

    Args:
        config: Configuration of the run.
        state: Tensors of the objective by name.
        own: Whether the objective is the user's own, of which only the encoder is known.
    """
    state = {name: tensor for name, tensor in state.items() if not name.startswith("regularizers.")}
    if own or config.objective.predict == "views":
        return {name: tensor for name, tensor in state.items() if name.startswith("encoder.")}
    if config.objective.has_teacher:
        # The target encoder is another run's model, so it is not stored as an encoder of this one.
        return {re.sub(r"^target_encoder\.", "teacher.", name): tensor for name, tensor in state.items()}
    return state


def measured_encoder(config: PretrainConfig, state: Mapping[str, Tensor], *, own: bool) -> dict[str, Tensor]:
    """Return the tensors of the encoder that `from_pretrained` loads from the model folder, by name.

    It is the target encoder where there is one. For the arguments see `model_state`.
    """
    tensors = model_state(config, state, own=own)
    name = "target_encoder." if any(name.startswith("target_encoder.") for name in tensors) else "encoder."
    return {key.removeprefix(name): tensor for key, tensor in tensors.items() if key.startswith(name)}


def _saw_rendered_alone(run: Resolved) -> bool:
    """Return whether the model, and any model it started from, saw only videos rendered by this library."""
    data, start = run.config.data, run.start
    rendered = all(map(is_rendered, [*as_list(data.train), *as_list(data.images)]))
    return rendered and (start is None or start.config.get("rendered", False))


def _future_arguments(config: PretrainConfig) -> dict[str, Any]:
    """Return how the predictor is asked for the future, as close to its training as the masks allow.

    Of the future masks, or where there are none of the multi-block masks that hide the end of the clip, the
    one with the longest context gives its length and its mask token.
    """
    steps = max(config.data.clip.num_frames // config.encoder.tubelet[0], 1)
    tokens = list(enumerate(config.masks.all))
    known = [(token, mask.longest_context(steps)) for token, mask in tokens if isinstance(mask, FutureMask)]
    known = known or [
        (token, mask.longest_context(steps))
        for token, mask in tokens
        if isinstance(mask, MultiBlock) and mask.max_temporal_keep < 1
    ]
    token, context = max(known or [(0, steps // 2)], key=lambda each: each[1])
    objective = config.objective
    targets_are_raw = objective.predict == "embeddings" and objective.target_encoder == "none"
    return {
        "context_steps": min(max(context, 1), max(steps - 1, 1)),
        "mask_token": token,
        "normalisation": "none" if targets_are_raw else objective.target_norm,
        **({"target_blocks": objective.target_blocks} if objective.target_blocks > 1 else {}),
    }


def build_objective(run: Resolved) -> Configured:
    """Build the objective with its networks; initial weights are drawn from torch's global generator."""
    objective, train = _configured(run), run.config.train
    set_execution(objective, activation_checkpointing=train.activation_checkpointing, compiled=train.compile)
    return objective


def _configured(run: Resolved) -> Configured:
    config, arguments = run.config, model_arguments(run)
    encoder = VideoEncoder(**arguments["encoder"])
    normalizer = PixelNormalizer(**arguments["pixels"])
    if config.objective.predict == "views":
        return _views(config, encoder, normalizer)
    if config.objective.predict == "pixels":
        decoder = Predictor(**arguments["decoder"])
        return PixelReconstruction(
            encoder=encoder, decoder=decoder, normalizer=normalizer, targets=config.objective.pixel_targets
        )
    predictor = Predictor(**arguments["predictor"])
    context_loss, futures = config.objective.context_loss, config.objective.futures
    return JEPA(
        encoder=encoder,
        predictor=predictor,
        normalizer=normalizer,
        distance=config.objective.distance,
        context_loss=None if context_loss is None else ContextLoss(context_loss.weight, context_loss.warmup),
        future_loss=_future_loss(config),
        futures=None if futures is None else Futures(futures.score),
        regularizers=build_regularizers(config.objective.sigreg, config.objective.vicreg, encoder.embed_dim),
        **_target_encoder(run, encoder),
    )


def _future_loss(config: PretrainConfig) -> FutureLoss | None:
    chosen, masks = config.objective.future_loss, config.masks
    if chosen is None:
        return None
    first = len(masks.all) - len(masks.future)
    return FutureLoss(
        range(first, len(masks.all)),
        change_weight=chosen.change_weight,
        rollout_steps=chosen.rollout_steps,
    )


def _views(config: PretrainConfig, encoder: VideoEncoder, normalizer: PixelNormalizer) -> Views:
    sigreg = config.objective.sigreg
    assert sigreg is not None
    return Views(
        encoder=encoder,
        projector=build_projector(sigreg, encoder.embed_dim),
        normalizer=normalizer,
        regularizer=SIGReg(sigreg.weight, sigreg.directions, sigreg.places),
    )


def _target_encoder(run: Resolved, encoder: VideoEncoder) -> dict[str, Any]:
    """Return the arguments of JEPA for its target encoder."""
    config, objective = run.config, run.config.objective
    if objective.target_encoder == "none":
        return {"target_encoder": None}
    if objective.target_encoder == "init":
        return {"target_encoder": None, "frozen_encoder": True, "targets": _targets(objective, encoder)}
    if objective.target_encoder == "frozen":
        given = teacher_arguments(run)
        teacher = copy.deepcopy(encoder) if given is None else VideoEncoder(**given)
        return {"target_encoder": teacher, "targets": _targets(objective, teacher)}
    start, final = objective.momentum
    total = config.optim.steps * config.optim.schedule_stretch
    return {
        "target_encoder": copy.deepcopy(encoder),
        "targets": _targets(objective, encoder),
        "momentum": lambda step: anneal(step, total, start, final, "linear"),
    }


def _targets(objective: ObjectiveConfig, target_encoder: VideoEncoder) -> PredictionTargets:
    depth = len(target_encoder.transformer.blocks)
    if objective.target_blocks > depth:
        raise ValueError(
            f"objective.target_blocks is {objective.target_blocks} and the target encoder has {depth} "
            f"blocks: give 1 to {depth}"
        )
    return PredictionTargets(
        objective.target_norm,
        target_encoder.embed_dim,
        levels=1 + len(target_encoder.transformer.level_norms),
        blocks=objective.target_blocks,
    )


def _given(section: Any) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(section).items() if value is not None}


def load_weights(objective: Configured, start: Weights) -> None:
    """Load the weights of a trained model into an objective, to start from.

    All networks that both have are loaded, each from the one of the same name. A frozen encoder has the
    weights of the encoder that `vjepa.from_pretrained` loads, and its predictor is a new one.

    Raises:
        ValueError: A network of the model has other sizes than the configured one.
    """
    if isinstance(objective, JEPA) and objective.frozen_encoder:
        _load(objective.encoder, start.video_model().encoder, "encoder")
        return
    if (
        isinstance(objective, JEPA)
        and objective.momentum is not None
        and objective.target_encoder is not None
    ):
        _load(objective.target_encoder, start.video_model().encoder, "encoder")
    model = start.video_model("encoder")
    _load(objective.encoder, model.encoder, "encoder")
    if isinstance(objective, JEPA) and model.targets is not None and objective.targets.alike(model.targets):
        objective.targets.load_state_dict(model.targets.state_dict())
    if isinstance(objective, JEPA) and model.predictor is not None:
        _load(objective.predictor, model.predictor, "predictor")
    if isinstance(objective, PixelReconstruction) and model.decoder is not None:
        _load(objective.decoder, model.decoder, "decoder")


def _load(network: nn.Module, trained: nn.Module, name: str) -> None:
    """Load the weights of a trained network of the same sizes."""
    configured, found = network.state_dict(), trained.state_dict()
    names = sorted(configured.keys() | found.keys())
    shapes = [
        [tuple(state[key].shape) if key in state else "absent" for state in (found, configured)]
        for key in names
    ]
    misfits = [
        f"{key} is {has} and must be {needs}"
        for key, (has, needs) in zip(names, shapes, strict=True)
        if has != needs
    ]
    if misfits:
        raise ValueError(
            f"the {name} of init does not fit the configured one in {len(misfits)} tensors, e.g. "
            f"{misfits[0]}: configure the {name} as in the config.json of that model"
        )
    network.load_state_dict(found)


def load_teacher(objective: Configured, teacher: VideoModel) -> None:
    """Load the weights of the frozen target encoder of an objective (`objective.target_encoder: frozen`).

    The run's own teacher has no norms of levels: those of the target encoder keep their initial weights.
    """
    assert isinstance(objective, JEPA)
    target = objective.target_encoder
    assert target is not None
    norms = {name: value for name, value in target.state_dict().items() if ".level_norms." in name}
    target.load_state_dict({**norms, **teacher.encoder.state_dict()})
