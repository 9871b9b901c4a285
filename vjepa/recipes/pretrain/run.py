"""A pre-training run, from its configuration to its report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from vjepa.config.calls import CallForms, config_of_call, settings_of_call
from vjepa.data.video import Video
from vjepa.data.video_table import Mapped
from vjepa.plots.run import draw_report, summary_table
from vjepa.recipes.cache import say_cache
from vjepa.recipes.cures import cures_of
from vjepa.recipes.pretrain import build, data
from vjepa.recipes.pretrain.choice import recipe_for
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.online import online_measurements
from vjepa.recipes.pretrain.preview import describe_run
from vjepa.recipes.pretrain.probe import probe_encoders, probed_lists
from vjepa.training.accelerator import build_accelerator, networks_precision
from vjepa.training.alone import alone
from vjepa.training.fit import finish, fit, leave_processes
from vjepa.training.folder_lock import exclusive
from vjepa.training.measurements import Measurements
from vjepa.training.optimizer import build_optimizer
from vjepa.training.run_folder import Row, RunFolder, claim, metrics_of
from vjepa.training.stop import answering_signals
from vjepa.training.unreadable import check_files
from vjepa.weights.model_folder import from_pretrained, save_pretrained

BuildObjective = Callable[[build.Resolved], nn.Module]

_FORMS = CallForms({"data": "train"}, ("data.train", "data.images", "probe.train", "probe.test"))


def pretrain(
    config: PretrainConfig | str | Path | None = None,
    build_objective: BuildObjective | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Pre-train a model, save it and measure it with probes; an interrupted run resumes.

    ``pretrain(data="FOLDER", output_dir="runs/mine")`` trains on a folder of videos, and
    ``pretrain("quickstart", optim={"steps": 500})`` a recipe with changed settings.

    If the configured objective trains its teacher first, that is a run of its own, in the folder ``teacher``
    of this one; it resumes in the same way, or is skipped if it is finished, so that the run itself can go on
    with other settings of its optimiser or other lists of videos.

    Args:
        config: Name or file of a recipe; None chooses one that fits the device and the number of videos, and
            takes the default settings without videos of your own. Or a whole configuration.
        build_objective: Function that builds an objective of your own (`vjepa.objectives.base.Objective`);
            None builds the configured one. Your objective must have an ``encoder`` that is built as
            `vjepa.recipes.pretrain.build.model_arguments` describes; the model folder then holds this encoder
            alone, and probes measure it.
        settings: Settings that override those of the recipe, as nested dictionaries: ``seed=1``,
            ``train={"precision": "bf16"}``. `data` may also be the training videos alone (``data.train``):
            a list of videos, or a dataset of Python (`vjepa.data.python_datasets`), such as a list of clips.

    Returns:
        The contents of ``summary.json``: for example ``summary["final"]["loss"]``, and the accuracy of the
        probe in [0, 1], ``summary["probe"]["linear"]["trained"]``, where there is one.

    Raises:
        ConfigError: A setting is not valid, a step needs several times the memory of a process, or another
            run uses the folder.
        ValueError: The settings, the files or the run folder cannot be used.
        Stopped: The process was asked to stop; a run in training has saved a checkpoint.
        NonFiniteError: The loss or the gradient of a step is not finite.
        SaveError: A checkpoint cannot be written.
        UnreadableVideosError: More videos are unreadable than allowed.
    """
    config = _configuration(config, settings)
    with answering_signals():
        if config.objective.trains_teacher and build_objective is None:
            _run(build.teacher_config(config), None, first_stage=True)
        summary = _run(config, build_objective)
        leave_processes()
    return summary


def _configuration(config: PretrainConfig | str | Path | None, settings: dict[str, Any]) -> PretrainConfig:
    if config is None:
        config = recipe_for(settings_of_call(settings, PretrainConfig, _FORMS))
    return config_of_call(config, settings, PretrainConfig, _FORMS)


def _run(
    config: PretrainConfig, build_objective: BuildObjective | None, *, first_stage: bool = False
) -> dict[str, Any]:
    """Carry out one stage, the teacher's or the model's, in a folder of its own.

    A first stage that is complete stays as it is: what changed in the configuration is for the second.
    """
    folder = RunFolder(config.output_dir)
    accelerator = _start(config)
    with exclusive(folder.path, accelerator):
        if claim(folder, config, accelerator, keep_complete=first_stage):
            return folder.read_summary()
        return _train(config, build_objective, accelerator, folder)


def _train(
    config: PretrainConfig,
    build_objective: BuildObjective | None,
    accelerator: Accelerator,
    folder: RunFolder,
) -> dict[str, Any]:
    say = accelerator.print
    if config.data.synthetic is not None:
        alone(
            accelerator, partial(data.render_synthetic, config.data.synthetic, config.data.num_workers, say)
        )

    sources = data.training_sources(config)
    measured = {name: [video.path for video in videos] for name, videos in probed_lists(config).items()}
    if accelerator.is_main_process:
        check_files(measured, config.data.max_unreadable, say)
    set_seed(config.seed)
    run = build.resolve(config)
    objective = _objective(run) if build_objective is None else build_objective(run)
    with torch.device("meta"):
        outline = (build_objective or build.build_objective)(run)
    own = build_objective is not None
    model_config = _model_config(run, own=own)
    del run  # weights that were read are not kept while training
    measurements = online_measurements(
        config, model_config, accelerator.device, say, own=own, precision=networks_precision(accelerator)
    )
    say(describe_run(config, outline, sources.num_rows, accelerator))
    paths = Mapped(attrgetter("path"), sources.all)
    cached = config.data
    say_cache(cached.cache, cached.clip_size, paths, cached.reader, len(cached.mean), accelerator)
    prepared = fit(
        config, accelerator, folder, objective, build_optimizer(objective, config.optim),
        partial(data.build_batches, config, sources), optim=config.optim, rows=Mapped(_row, sources.all),
        measurements=measurements, cures=cures_of(config, own=own),
    )  # fmt: skip
    state = build.model_state(config, accelerator.get_state_dict(prepared), own=own)
    return _finish(config, accelerator, (state, model_config), folder, measurements)


def _row(video: Video) -> Row:
    return video.path, video.start, video.end


def _start(config: PretrainConfig) -> Accelerator:
    return build_accelerator(
        config.train,
        config.output_dir,
        config.optim.batch_size,
        measures_batch=config.objective.measures_batch,
        # A step on videos does not use the tokenizer of images, nor a step on images that of videos.
        find_unused=config.encoder.image_tokenizer,
    )


def _model_config(run: build.Resolved, *, own: bool) -> dict[str, Any]:
    """Return the configuration for the model folder.

    Of an objective of your own, only the encoder is known to be built as configured.
    """
    known = build.model_config(run)
    if own:
        return {name: part for name, part in known.items() if name not in ("predictor", "decoder", "future")}
    if run.config.objective.has_teacher:
        known["teacher"] = build.teacher_arguments(run) or known["encoder"]
    return known


def _objective(run: build.Resolved) -> nn.Module:
    """Build the configured objective with its initial weights."""
    objective = build.build_objective(run)
    if run.start is not None:
        build.load_weights(objective, run.start)
    if run.config.objective.has_teacher:
        build.load_teacher(objective, run.teacher or from_pretrained(build.teacher_folder(run.config)))
    return objective


def _finish(
    config: PretrainConfig,
    accelerator: Accelerator,
    model: tuple[dict[str, Tensor], dict[str, Any]],
    folder: RunFolder,
    measurements: Measurements | None,
) -> dict[str, Any]:
    """Let the main process write model, probe metrics, summary and plot; return the summary."""

    def write() -> dict[str, Any]:
        save_pretrained(folder.model, *model)
        records = folder.read_metrics()
        probe, unreadable = probe_encoders(
            config, folder.model, accelerator.device, networks_precision(accelerator)
        )
        steps = records[-1]["step"]
        summary = {
            "steps": steps,
            "clips": steps * config.optim.batch_size * config.data.clip.clips_per_video,
            **_measured(measurements, early=steps < config.optim.steps),
            **_final(records, config),
            "clips_per_second": _median([record["clips_per_second"] for record in records]),
            "alarms": [record["alarm"] for record in records if "alarm" in record],
            "probe": probe,
            **({"unreadable": unreadable} if unreadable else {}),
            "precision": accelerator.mixed_precision,
            **folder.origin(),
        }
        folder.write_summary(summary)
        draw_report(records, summary, folder.plot)
        print(summary_table(summary, folder.path))
        return summary

    summary = alone(accelerator, write)
    finish(accelerator, folder, folder.plot)
    return summary or {}


def _final(records: list[dict[str, Any]], config: PretrainConfig) -> dict[str, dict[str, Any]]:
    """Return the metrics of the last logged step, and of the last on images if they are mixed in."""
    last = {record["kind"]: metrics_of(record) for record in records}
    final = {"final": last.get(config.data.kind, metrics_of(records[-1]))}
    if config.data.mixes_in_images and "images" in last:
        final["final_on_images"] = last["images"]
    return final


def _measured(measurements: Measurements | None, *, early: bool) -> dict[str, Any]:
    """Return what the online probe measured, which step's weights the model has, and why the run ended early.

    Args:
        measurements: Measurements of the run; the result is empty where nothing was measured.
        early: Whether the run ended before its last step.
    """
    if measurements is None or measurements.best is None:
        return {}
    best, last = measurements.best, measurements.history[-1]
    model = best if measurements.keep_best else last
    return {
        "online_probe": {"metric": measurements.name, "best": best._asdict(), "last": last._asdict()},
        "model_step": model.step,
        **({"ended_early": measurements.reason} if early else {}),
    }


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
