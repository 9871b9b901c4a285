"""A fine-tuning run, from its configuration to its metrics."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from torch import Tensor

from vjepa.config.calls import CallForms, config_of_call
from vjepa.data.manifest import Video, class_names
from vjepa.evaluation.features.cache import FeatureShards
from vjepa.evaluation.features.extract import LeftOut
from vjepa.evaluation.recognition.metrics import ClassificationReport
from vjepa.evaluation.recognition.report import report_of, write_scores_of
from vjepa.evaluation.recognition.scores import score_rows
from vjepa.foreign_text import one_line
from vjepa.models.classifier import Classifier
from vjepa.models.head_grid import HeadGrid, TokenClassifier
from vjepa.models.lora import merge_lora
from vjepa.models.network import set_precision
from vjepa.objectives.classification import Classification
from vjepa.plots.confusion import write_confusion
from vjepa.recipes.cache import say_cache
from vjepa.recipes.finetune import build
from vjepa.recipes.finetune.build import Resolved
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.finetune.data import RunDatasets, build_datasets
from vjepa.training.accelerator import build_accelerator, networks_precision
from vjepa.training.alone import alone, wait_for_all
from vjepa.training.fit import finish, fit, leave_processes
from vjepa.training.folder_lock import exclusive
from vjepa.training.optimizer import build_classifier_optimizer, build_grid_optimizer, build_optimizer
from vjepa.training.outline import device_phrase, parameters_phrase, steps_phrase
from vjepa.training.run_folder import RunFolder, claim, metrics_of
from vjepa.training.stop import answering_signals
from vjepa.training.unreadable import check_files, leave_out
from vjepa.weights.model_folder import save_pretrained

_FORMS = CallForms({"data": "train", "model": "init"}, ("data.train", "data.val", "data.test"))


class Choice(NamedTuple):
    """The head that is kept, and why it was chosen.

    Attributes:
        number: Index of the head in the grid.
        val: Metrics of the head on the validation split; None if there is no such split.
        setting: Learning rate and weight decay of the head; None without a grid of heads.
    """

    number: int
    val: ClassificationReport | None
    setting: tuple[float, float] | None


class Tested(NamedTuple):
    """Results on the test split.

    Attributes:
        report: Metrics of the test split.
        scores_VX: Class probabilities of each video.
        videos: Videos that could be read, in the order of `scores_VX`.
    """

    report: ClassificationReport
    scores_VX: Tensor
    videos: list[Video]


def finetune(config: FinetuneConfig | str | Path | None = None, **settings: Any) -> dict[str, Any]:
    """Train a classifier, choose its head, save it and test it; the same call resumes an interrupted run.

    ``finetune(model="runs/mine", data="FOLDER_PER_CLASS", output_dir="runs/actions")`` trains on a part of a
    folder with a folder per class, and tests on the others.

    Args:
        config: Name or file of a recipe, or a whole configuration; None takes the default settings.
        settings: Settings that override those of the recipe, as nested dictionaries. `data` may also be the
            training videos alone (``data.train``), a list or a dataset of Python, and `model` the
            pre-trained model alone (``model.init``).

    Returns:
        The contents of ``summary.json``: for example ``summary["final"]["loss"]``, and where there is a test
        split ``summary["test"]["mean_class"]``, the accuracy in [0, 1] with the ends of its interval.

    Raises:
        ConfigError: The configuration cannot be used, or another run uses the folder.
        ValueError: The settings, the files or the run folder cannot be used.
        Stopped: The process was asked to stop; a run in training has saved a checkpoint.
        NonFiniteError: The loss or the gradient of a step is not finite.
        SaveError: A checkpoint cannot be written.
        UnreadableVideosError: More videos of a split are unreadable than `data.max_unreadable` allows.
    """
    config = config_of_call(config, settings, FinetuneConfig, _FORMS)
    folder = RunFolder(config.output_dir)
    with answering_signals():
        accelerator = build_accelerator(
            config.train,
            config.output_dir,
            config.optim.batch_size,
            group_size=2 if config.augment.mixes else 1,
            find_unused=bool(config.model.levels),  # Blocks above the highest level get no gradient.
        )
        with exclusive(folder.path, accelerator):
            summary = _run(config, accelerator, folder)
        leave_processes()
    return summary


def _rows(videos: Sequence[Video]) -> list[tuple[str, str | None, float | None, float | None]]:
    return [(video.path, video.label, video.start, video.end) for video in videos]


def _check_held_back(config: FinetuneConfig, train: Sequence[Video], folder: RunFolder) -> None:
    """Raise ValueError where a run goes on with a list of which other videos are held back than before.

    It would be measured on videos that it was trained on.
    """
    data = config.data
    held = data.test is None and data.test_share > 0, config.grid is not None and data.val is None
    if any(held) and folder.learnt_from_others(_rows(train)):
        key = "data.test" if held[0] else "data.val"
        raise ValueError(
            f"the list of training videos has changed since {folder.path} was begun, and {key}_share would "
            "hold back videos that the run was trained on: give the list as it was, or another output_dir, "
            f"and {key} for lists that may change"
        )


def _run(config: FinetuneConfig, accelerator: Accelerator, folder: RunFolder) -> dict[str, Any]:
    splits = build.labelled_splits(config)
    if claim(folder, config, accelerator):
        return folder.read_summary()
    if accelerator.is_main_process:
        measured = {
            f"data.{name}": [video.path for video in getattr(splits, name)] for name in ("val", "test")
        }
        check_files(measured, config.data.max_unreadable, accelerator.print)
    _check_held_back(config, splits.train, folder)
    set_seed(config.seed)
    run, pretrained = build.resolve(config, splits)
    classifier = build.build_classifier(run, pretrained)
    set_precision(classifier, networks_precision(accelerator))
    del pretrained
    datasets = build_datasets(run, classifier, accelerator)
    objective = _train(run, classifier, datasets, accelerator, folder)

    network = objective.result.eval()
    choice = _choose(run, network, datasets, accelerator)
    network.head = _chosen_head(network.head, choice.number)
    # The model is saved before it is tested, so that an error in the test does not lose it.
    alone(accelerator, partial(_save_model, run, classifier, network, folder))
    test = _test(run, network, datasets, accelerator)
    summary = alone(accelerator, partial(_summary, run, choice, test, folder))
    finish(accelerator, folder, folder.path / "confusion.png")
    return summary or {}


def _train(
    run: Resolved,
    classifier: Classifier,
    datasets: RunDatasets,
    accelerator: Accelerator,
    folder: RunFolder,
) -> Classification:
    """Train the classifier, or only its heads if tokens are cached, and return the objective."""
    network: Classifier | TokenClassifier = classifier
    if run.config.features is not None:
        network = TokenClassifier(classifier.head)
    optim = build.optim_config(run.config, len(run.splits.train))
    objective = Classification(
        network,
        segments=run.config.data.segments,
        smoothing=run.config.augment.smoothing,
        average=run.config.optim.average,
    )
    if isinstance(network.head, HeadGrid):
        assert run.config.grid is not None
        optimizer = build_grid_optimizer(network.head, optim, run.config.grid.pairs)
    elif isinstance(network, Classifier):
        optimizer = build_classifier_optimizer(network, optim, run.config.optim.layer_decay)
    else:
        optimizer = build_optimizer(network, optim)
    accelerator.print(_outline(run, objective, optim.steps, accelerator))
    data, parts = run.config.data, (run.splits.train, run.splits.val, run.splits.test)
    paths = [video.path for part in parts for video in part]
    say_cache(data.cache, run.size, paths, data.reader, run.channels, accelerator)
    batches = partial(
        build.labelled_batches, run.config, datasets.train, datasets.collate, last_step=optim.steps
    )
    prepared = fit(
        run.config, accelerator, folder, objective, optimizer, batches, optim=optim,
        rows=_rows(run.splits.train),
        classes=run.splits.classes,
    )  # fmt: skip
    return cast(Classification, accelerator.unwrap_model(prepared))


def _outline(
    run: Resolved,
    objective: Classification,
    steps: int,
    accelerator: Accelerator,
) -> str:
    """Return the summary of the run that is printed before it starts."""
    trained = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    total = sum(p.numel() for p in objective.parameters())
    counts = ", ".join(
        f"{len(videos)} to {verb}"
        for videos, verb in (
            (run.splits.train, "train"),
            (run.splits.val, "choose the head"),
            (run.splits.test, "test"),
        )
        if videos
    )
    held = run.config.data.test is None and run.splits.test
    counts += f" (held back from data.train: data.test_share {run.config.data.test_share:g})" if held else ""
    if unseen := set(class_names(run.splits.test)) - set(run.splits.classes):
        missed = sum(video.label in unseen for video in run.splits.test)
        counts += f", {missed} of them of {len(unseen)} classes that training lacks, which count as missed"
    return (
        f"{steps_phrase(steps, run.config.optim.batch_size, 'videos', accelerator)}; videos: {counts}; "
        f"{len(run.classes)} classes; {parameters_phrase(trained, total)}; {device_phrase(accelerator)}"
    )


def _choose(
    run: Resolved,
    network: Classifier | TokenClassifier,
    datasets: RunDatasets,
    accelerator: Accelerator,
) -> Choice:
    """Choose the head with the best mean-class accuracy on the validation split; ties go to the first."""
    if not run.splits.val:
        return Choice(0, None, None)
    scores_GVX, videos = _scores(run, network, datasets, "val", accelerator)
    reports = [report_of(videos, scores_VX, run.splits.classes) for scores_VX in scores_GVX]
    number = max(range(len(reports)), key=lambda n: reports[n].mean_class.value)
    setting = None if run.config.grid is None else run.config.grid.pairs[number]
    return Choice(number, reports[number], setting)


def _chosen_head(head: torch.nn.Module, number: int) -> torch.nn.Module:
    return head.heads[number] if isinstance(head, HeadGrid) else head


def _test(
    run: Resolved,
    network: Classifier | TokenClassifier,
    datasets: RunDatasets,
    accelerator: Accelerator,
) -> Tested | None:
    if not run.splits.test:
        return None
    scores_GVX, videos = _scores(run, network, datasets, "test", accelerator)
    return Tested(report_of(videos, scores_GVX[0], run.splits.classes), scores_GVX[0], videos)


def _scores(
    run: Resolved,
    network: Classifier | TokenClassifier,
    datasets: RunDatasets,
    split: str,
    accelerator: Accelerator,
) -> tuple[Tensor, list[Video]]:
    """Compute the class probabilities of all readable videos of a split; each process takes a share of them.

    Returns:
        Class probabilities ``(G, V, X)``, and the readable videos in the same order.

    Raises:
        UnreadableVideosError: More videos of the split are unreadable than `data.max_unreadable` allows.
    """
    dataset, videos = datasets.views[split], getattr(run.splits, split)
    left_out: LeftOut = dataset.unreadable() if isinstance(dataset, FeatureShards) else {}
    mine = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    found: list[tuple[int, Tensor]] = []
    if mine:  # else there are fewer videos than processes
        scores_GVX = score_rows(
            network.to(accelerator.device), dataset, mine, segments=run.config.data.segments,
            crops=run.config.evaluation.crops, num_workers=run.config.data.num_workers, left_out=left_out,
        )  # fmt: skip
        found = list(zip(mine, scores_GVX.unbind(dim=1), strict=True))
    wait_for_all(accelerator)
    gathered = dict(gather_object(found))
    unreadable = dict(gather_object(list(left_out.items())))
    leave_out(f"data.{split}", len(videos), unreadable, run.config.data.max_unreadable, accelerator.print)
    kept = [row for row in range(len(videos)) if row not in unreadable]
    return torch.stack([gathered[row] for row in kept], dim=1), [videos[row] for row in kept]


def _save_model(
    run: Resolved,
    classifier: Classifier,
    network: Classifier | TokenClassifier,
    folder: RunFolder,
) -> None:
    encoder = network.encoder if isinstance(network, Classifier) else classifier.encoder
    if run.config.model.tune == "lora":
        encoder = copy.deepcopy(encoder)  # The original is still needed for the test.
        merge_lora(encoder)
    state = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    state |= {f"head.{name}": tensor for name, tensor in network.head.state_dict().items()}
    save_pretrained(folder.model, state, build.classifier_config(run))


def _summary(
    run: Resolved,
    choice: Choice,
    test: Tested | None,
    folder: RunFolder,
) -> dict[str, Any]:
    """Write the metrics, the scores of each video and the confusion plot; return the summary."""
    summary: dict[str, Any] = {
        "videos": {name: len(getattr(run.splits, name)) for name in ("train", "val", "test")}
    }
    records = folder.read_metrics()
    summary["final"] = metrics_of(records[-1])
    if choice.val is not None:
        summary["val"] = choice.val.to_json()
        if choice.setting is None:
            print(f"validation split\n{choice.val.table()}")
        else:
            summary["chosen"] = dict(zip(("lr", "weight_decay"), choice.setting, strict=True))
            print(f"chosen on the validation split: {summary['chosen']}\n{choice.val.table()}")
    if test is not None:
        report, scores_VX, videos = test
        summary["test"] = report.to_json()
        if len(videos) < len(run.splits.test):
            summary["unreadable"] = {"data.test": len(run.splits.test) - len(videos)}
        write_scores_of(folder.path, videos, scores_VX, run.splits.classes)
        write_confusion(folder.path, report)
        print(f"test split\n{report.table()}")
    summary |= folder.origin()
    folder.write_summary(summary)
    print(_ending(test, summary, folder))
    return summary


def _ending(test: Tested | None, summary: dict[str, Any], folder: RunFolder) -> str:
    """Return the last line that a run prints: its main metric, and the folder of the results."""
    place = f"metrics and model: {one_line(folder.path)}"
    if test is not None:
        return f"test split: {test.report.headline()}; {place}"
    accuracy = summary["final"]["accuracy"]
    untested = "nothing was tested (data.test null, data.test_share 0)"
    return f"{untested}; accuracy in training {accuracy:.1%}; {place}"
