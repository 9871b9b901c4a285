"""From the configuration of a run that trains an action-conditioned model to its objects."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from vjepa.batch import TrajectoryBatch
from vjepa.config import config_tree
from vjepa.data.sampling import SampleOrder, StepBatches, step_loader
from vjepa.data.trajectories.episode import Episode, check_alike
from vjepa.data.trajectories.open import read_episodes
from vjepa.data.trajectories.windows import TrajectoryDataset, action_statistics, collate_trajectories
from vjepa.data.transforms import CentreCrop
from vjepa.evaluation.features.cache import encoder_identity
from vjepa.models.action_model import ActionModel
from vjepa.models.network import set_execution
from vjepa.models.sizes import SIZES
from vjepa.models.video_model import VideoModel
from vjepa.objectives.action_jepa import ActionJEPA, RollOut
from vjepa.recipes.action.config import ActionConfig, CollectConfig, TrajectoryConfig
from vjepa.recipes.cache import build_cache
from vjepa.recipes.regularizers import build_regularizers
from vjepa.weights.model_folder import read_weights
from vjepa.workers import Loader


class Episodes(NamedTuple):
    """Training and test episodes of a run.

    Attributes:
        train: Episodes to train on.
        test: Episodes for the metrics at the end of the run; may be empty.
    """

    train: list[Episode]
    test: list[Episode]


def read_splits(config: ActionConfig, say: Callable[[str], None]) -> Episodes:
    """Read the episodes of both splits.

    Args:
        config: Configuration of the run.
        say: Receives a line with the numbers of episodes.

    Raises:
        ValueError: No source is given, episodes cannot be used or differ in their actions or states, or an
            episode is in both splits.
    """
    data = config.data
    if data.train is None and data.collect is None:
        raise ValueError(
            "there are no episodes to train on: give data.train (a folder of videos with actions, of "
            "LeRobot, or an HDF5 file) or data.collect"
        )
    train = read_train(config, data.states)
    test = data.test
    if data.collect is not None:
        test = collected_folders(data.collect)[1] if data.collect.test_episodes else None
    # Recorded episodes have states: metrics use them even where the model does not.
    known = data.states or data.collect is not None
    measured = [] if test is None else _read(config, test, known)
    check_alike(train)
    if data.states:
        check_alike([train[0], *measured])
    elif measured:
        check_alike(measured)
        check_alike([replace(one, states_TQ=None) for one in (train[0], measured[0])])
    _check_leaks(train, measured)
    say(
        f"{len(train)} episodes to train on with {sum(map(len, train))} frames, {len(measured)} to measure on"
    )
    return Episodes(train, measured)


def _check_leaks(train: Sequence[Episode], measured: Sequence[Episode]) -> None:
    """Raise ValueError where an episode is in both splits."""
    known = {(os.path.realpath(one.frames.path), one.number) for one in train}
    shared = [one for one in measured if (os.path.realpath(one.frames.path), one.number) in known]
    if shared:
        raise ValueError(
            f"data.train and data.test share {len(shared)} episodes, e.g. {shared[0].where}: choose others, "
            "as by FILE?episodes=0-179 and FILE?episodes=180-"
        )


def read_train(config: ActionConfig, states: bool) -> list[Episode]:
    """Read the training episodes, with or without their states."""
    data = config.data
    source = data.train if data.collect is None else collected_folders(data.collect)[0]
    assert source is not None
    return _read(config, source, states)


def _read(config: ActionConfig, source: str, states: bool) -> list[Episode]:
    data = config.data
    return read_episodes(
        source, states=states, camera=data.camera,
        least_frames=data.window.span, max_unusable=data.max_unreadable,
        reader=data.reader, cache=build_cache(data.cache, data.frame_size),
    )  # fmt: skip


def collected_folders(config: CollectConfig) -> tuple[str, str]:
    """Return the folders of training and test episodes that `collect_episodes` writes."""
    return str(Path(config.folder) / "train"), str(Path(config.folder) / "test")


class Resolved(NamedTuple):
    """Everything that a run is built from; each file is read once.

    Attributes:
        config: Configuration of the run.
        episodes: Training and test episodes.
        frozen: Model whose encoder is kept frozen (`init`); None where the run trains an encoder.
        frozen_config: Configuration of the frozen model, as in its ``config.json``; empty where there is
            none.
    """

    config: ActionConfig
    episodes: Episodes
    frozen: ActionModel | VideoModel | None
    frozen_config: dict[str, Any]


def resolve(config: ActionConfig, episodes: Episodes) -> Resolved:
    """Read the model whose encoder is kept frozen.

    Raises:
        ValueError: The model cannot be read, see `vjepa.from_pretrained`; or `which` is given and it is an
            action-conditioned model.
    """
    if config.init is None:
        return Resolved(config, episodes, None, {})
    weights = read_weights(config.init)
    if "dynamics" in weights.config:
        if config.which is not None:
            raise ValueError(
                f"which is {config.which}, and the action-conditioned model of init has one encoder: leave "
                "which out"
            )
        return Resolved(config, episodes, weights.action_model(), weights.config)
    return Resolved(config, episodes, weights.video_model(config.which), weights.config)


def model_arguments(run: Resolved) -> dict[str, Any]:
    """Return the constructor arguments of the `ActionModel` as plain values, as stored in a model folder.

    The training episodes determine the sizes of actions and states, and their statistics.
    """
    data, dynamics, episodes = run.config.data, run.config.dynamics, run.episodes.train
    numbers = episodes[0].actions_TA.shape[1]
    states = episodes[0].states_TQ
    return {
        **_frame_arguments(run),
        "size": list(data.frame_size),
        "dynamics": {
            "embed_dim": dynamics.embed_dim,
            "depth": dynamics.depth,
            "num_heads": dynamics.num_heads,
            "conditioning": dynamics.conditioning,
            "action_size": data.window.action_size(numbers),
            "state_size": 0 if states is None else states.shape[1],
            "predicts_state": states is not None,
        },
        "statistics": action_statistics(episodes, data.window),
        "window": dynamics.context or data.window.frames - 1,
        "inverse": run.config.objective.inverse_source if run.config.objective.inverse else None,
    }


def _frame_arguments(run: Resolved) -> dict[str, Any]:
    """Return how frames are embedded: like the frozen model, or according to the configuration."""
    config, given = run.config, run.frozen_config
    if run.frozen is not None:
        _check_pixels(config.data, given["pixels"])
    if isinstance(run.frozen, ActionModel):
        names = ("encoder", "pixels", "pool", "pool_dim", "normalised")
        return {name: given[name] for name in names if name in given}
    if run.frozen is not None:
        return {"encoder": given["encoder"], "pixels": given["pixels"], "pool": "none", "normalised": True}
    section = {key: value for key, value in dataclasses.asdict(config.encoder).items() if value is not None}
    encoder = {**SIZES[config.encoder.size]._asdict(), **section, "channels": len(config.data.mean)}
    del encoder["size"]
    pixels = {"mean": list(config.data.mean), "std": list(config.data.std)}
    pooling = {"pool": config.frames.pool, "pool_dim": config.frames.embed_dim}
    return {"encoder": encoder, "pixels": pixels, **pooling, "normalised": False}


def _check_pixels(data: TrajectoryConfig, own: Mapping[str, list[float]]) -> None:
    """Raise ValueError where pixel statistics are given that the frozen encoder does not have."""
    for name in ("mean", "std"):
        given = getattr(data, name)
        if given != getattr(TrajectoryConfig(), name) and list(given) != list(own[name]):
            raise ValueError(
                f"data.{name} is {given}, and the frozen encoder of init has {own[name]}: leave it out"
            )


def model_config(config: ActionConfig, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration that the model folder of an action-conditioned model stores."""
    return {
        "library": "vjepa",
        **arguments,
        "trajectories": dataclasses.asdict(config.data.window),
        "training": config_tree(config),
    }


def build_objective(run: Resolved, arguments: dict[str, Any]) -> ActionJEPA:
    """Build the objective with its networks.

    Initial weights are drawn from torch's global generator; a frozen encoder has its trained weights.

    Args:
        run: Everything that the run is built from.
        arguments: Constructor arguments of the model, from `model_arguments`.
    """
    objective, model = run.config.objective, ActionModel(**arguments)
    if run.frozen is not None:
        _load_frozen(model, run.frozen)
    train = run.config.train
    set_execution(model, activation_checkpointing=train.activation_checkpointing, compiled=train.compile)
    rollout = objective.rollout
    return ActionJEPA(
        model=model,
        frozen=run.frozen is not None,
        distance=objective.distance,
        rollout=None if rollout is None else RollOut(rollout.steps, rollout.states == "imagined"),
        regularizers=build_regularizers(objective.sigreg, objective.vicreg, model.embed_dim),
        smoothness=objective.smoothness,
        inverse=objective.inverse,
    )


def _load_frozen(model: ActionModel, frozen: ActionModel | VideoModel) -> None:
    """Copy the encoder of a frozen model, and the layers that pool its tokens, into a model."""
    model.encoder.load_state_dict(frozen.encoder.state_dict())
    if isinstance(frozen, ActionModel) and model.projector is not None and frozen.projector is not None:
        model.projector.load_state_dict(frozen.projector.state_dict())


def frame_transform(config: ActionConfig) -> nn.Module:
    """Return the transform to the model's frame size: the largest centred crop of its shape, resized."""
    return CentreCrop(config.data.frame_size, margin=1)


def trajectory_batches(
    config: ActionConfig,
    episodes: Sequence[Episode],
    *,
    micro_batch: int,
    rank: int,
    world_size: int,
    first_step: int,
    **loader: Any,
) -> Loader[TrajectoryBatch]:
    """Build the loader of this process's micro-batches from `first_step` to the last step.

    Windows are shuffled anew in every epoch.

    Args:
        config: Configuration of the run.
        episodes: Episodes to cut windows from.
        micro_batch: Number of windows of one forward pass on one process.
        rank, world_size: Number of this process, from 0, and number of processes.
        first_step: First optimiser step to load, from 0.
        loader: Further arguments of torch's DataLoader.
    """
    dataset = TrajectoryDataset(episodes, config.data.window, frame_transform(config))
    sampler = StepBatches(
        SampleOrder([len(dataset)], None, config.seed), batch_size=config.optim.batch_size,
        micro_batch=micro_batch, rank=rank, world_size=world_size,
        first_step=first_step, last_step=config.optim.steps,
    )  # fmt: skip
    return step_loader(dataset, collate_trajectories, sampler, config.data.num_workers, **loader)


def tokens_identity(config: ActionConfig, model: ActionModel, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return all that a frame's tokens depend on beside the frame, as a key of the cache of tokens.

    That is the frozen encoder's weights and how frames are prepared for it.
    """
    cache = config.data.cache
    return {
        **encoder_identity(nn.ModuleList([model.encoder, model.projector or nn.Identity()]), arguments),
        "pool": arguments["pool"],
        "size": list(config.data.frame_size),
        "reader": config.data.reader,
        "cache_short_side": cache.side(config.data.frame_size) if cache.folder else None,
    }
