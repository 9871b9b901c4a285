"""A run that trains an action-conditioned model, from its configuration to its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed

from vjepa.config.calls import CallForms, config_of_call
from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.windows import TrajectoryDataset
from vjepa.evaluation.features.frame_cache import encode_episodes
from vjepa.evaluation.future.imagination import ImaginationReport, measure_imagination
from vjepa.models.action_model import ActionModel
from vjepa.models.network import set_precision
from vjepa.objectives.action_jepa import ActionJEPA
from vjepa.plots.imagination import draw_imagination
from vjepa.recipes.action import build
from vjepa.recipes.action.config import ActionConfig
from vjepa.recipes.cache import say_cache
from vjepa.recipes.cures import cures_of
from vjepa.training.accelerator import build_accelerator, networks_precision
from vjepa.training.alone import alone, wait_for_all
from vjepa.training.fit import finish, fit, leave_processes
from vjepa.training.folder_lock import exclusive
from vjepa.training.optimizer import build_optimizer
from vjepa.training.outline import device_phrase, parameters_phrase, steps_phrase
from vjepa.training.run_folder import RunFolder, claim, metrics_of
from vjepa.training.stop import answering_signals
from vjepa.training.unreadable import WITHOUT_EPISODES, leave_out
from vjepa.weights.model_folder import save_pretrained


def train_action_model(config: ActionConfig | str | Path | None = None, **settings: Any) -> dict[str, Any]:
    """Train an action-conditioned model, save it and measure its imagination; an interrupted run resumes.

    Args:
        config: Name or file of a recipe, or a whole configuration; None takes the default settings.
        settings: Settings that override those of the recipe, as nested dictionaries. `data` may also be the
            training episodes alone (``data.train``).

    Returns:
        The contents of ``summary.json``.

    Raises:
        ConfigError: The configuration cannot be used, or another run uses the folder.
        ValueError: The settings, the episodes or the run folder cannot be used.
        Stopped: The process was asked to stop; a run in training has saved a checkpoint.
        NonFiniteError: The loss or the gradient of a step is not finite.
        SaveError: A checkpoint cannot be written.
        UnreadableVideosError: More episodes are unreadable than `data.max_unreadable` allows.
    """
    config = config_of_call(config, settings, ActionConfig, CallForms({"data": "train"}))
    folder = RunFolder(config.output_dir)
    with answering_signals():
        accelerator = build_accelerator(
            config.train, config.output_dir, config.optim.batch_size, measures_batch=config.measures_batch
        )
        with exclusive(folder.path, accelerator):
            summary = _run(config, accelerator, folder)
        leave_processes()
    return summary


def _run(config: ActionConfig, accelerator: Accelerator, folder: RunFolder) -> dict[str, Any]:
    if claim(folder, config, accelerator):
        return folder.read_summary()
    if config.data.collect is not None:
        from vjepa.recipes.action.collect import collect_episodes  # It needs gymnasium, which is optional.

        collect = partial(collect_episodes, config.data.collect, config.data.frame_size[0], accelerator.print)
        alone(accelerator, collect)
    splits = build.read_splits(config, accelerator.print)
    run = build.resolve(config, splits)
    arguments = build.model_arguments(run)
    set_seed(config.seed)
    objective = build.build_objective(run, arguments)
    set_precision(objective, networks_precision(accelerator))
    del run  # the model that was read is not kept while training
    episodes = _encoded(config, objective.model, arguments, splits.train, accelerator)
    trained = _train(config, objective, episodes, accelerator, folder)

    def write() -> dict[str, Any]:
        model = trained.model.eval()
        save_pretrained(folder.model, model.state_dict(), build.model_config(config, arguments))
        report, left_out = None, dict[str, str]()
        if splits.test:
            transform = build.frame_transform(config)
            report = measure_imagination(
                model, splits.test, config.data.window, transform, seed=config.seed, left_out=left_out
            )
            causes = dict(enumerate(left_out.items()))
            leave_out(
                "data.test",
                len(splits.test),
                causes,
                config.data.max_unreadable,
                accelerator.print,
                WITHOUT_EPISODES,
            )
            shown = TrajectoryDataset(splits.test, config.data.window, transform)
            draw_imagination(model, shown, folder.path / "imagination.png", config.seed)
        return _summary(config, report, len(left_out), folder)

    summary = alone(accelerator, write)
    finish(accelerator, folder, folder.path / "imagination.png")
    return summary or {}


def _encoded(
    config: ActionConfig,
    model: ActionModel,
    arguments: dict[str, Any],
    episodes: Sequence[Episode],
    accelerator: Accelerator,
) -> Sequence[Episode]:
    """Return the episodes; with `data.features`, their frames are encoded and stored as tokens first."""
    if config.data.features is None:
        return episodes
    identity = build.tokens_identity(config, model, arguments)
    model = model.to(accelerator.device).eval()
    encoded = encode_episodes(
        config.data.features, model, identity, episodes, build.frame_transform(config),
        device=accelerator.device, rank=accelerator.process_index, world_size=accelerator.num_processes,
    )  # fmt: skip
    wait_for_all(accelerator)
    return encoded


def _train(
    config: ActionConfig,
    objective: ActionJEPA,
    episodes: Sequence[Episode],
    accelerator: Accelerator,
    folder: RunFolder,
) -> ActionJEPA:
    """Train the objective, and return it."""
    accelerator.print(_outline(config, objective, accelerator))
    paths = [episode.frames.path for episode in episodes]
    data = config.data
    say_cache(data.cache, data.frame_size, paths, data.reader, len(data.mean), accelerator)
    prepared = fit(
        config, accelerator, folder, objective, build_optimizer(objective, config.optim),
        partial(build.trajectory_batches, config, episodes), optim=config.optim,
        rows=[(episode.where, len(episode)) for episode in episodes], remedy=WITHOUT_EPISODES,
        cures=cures_of(config),
    )  # fmt: skip
    trained: ActionJEPA = accelerator.unwrap_model(prepared)
    return trained


def _outline(config: ActionConfig, objective: ActionJEPA, accelerator: Accelerator) -> str:
    """Return the outline of the run, which is printed before it starts."""
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    total = sum(p.numel() for p in objective.parameters())
    model, window = objective.model, config.data.window
    return (
        f"{steps_phrase(config.optim.steps, config.optim.batch_size, 'windows', accelerator)}; a window has "
        f"{window.frames} "
        f"frames, {window.skip} apart; a frame is {model.space[0]} x {model.space[1]} tokens of width "
        f"{model.embed_dim}, an action {model.dynamics.action_size} numbers; "
        f"{parameters_phrase(trained, total)}; {device_phrase(accelerator)}"
    )


def _summary(
    config: ActionConfig, report: ImaginationReport | None, unreadable: int, folder: RunFolder
) -> dict[str, Any]:
    """Write and print the final metrics; return the summary."""
    records = folder.read_metrics()
    summary: dict[str, Any] = {
        "steps": config.optim.steps,
        "final": metrics_of(records[-1]),
        "alarms": [record["alarm"] for record in records if "alarm" in record],
    }
    if report is not None:
        summary["imagination"] = report.to_json()
        if unreadable:
            summary["unreadable"] = {"data.test": unreadable}
        print(report.table())
    summary |= folder.origin()
    folder.write_summary(summary)
    return summary
