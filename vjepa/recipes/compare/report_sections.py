"""The sections of a report: their text and tables, which `report` writes as HTML and Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vjepa.evaluation.probes.factors import NUISANCE, SIGNAL
from vjepa.recipes.compare.cells import base_videos
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.report_answer import answer
from vjepa.recipes.compare.report_words import (
    MEASURES,
    Named,
    accuracy,
    all_metrics,
    budget_phrase,
    factor,
    headline,
    labels_phrase,
    moving_factors,
    shares_of,
    with_interval,
)
from vjepa.recipes.compare.results import Results


@dataclass
class Table:
    """A table of texts; the first column names the rows."""

    header: list[str]
    rows: list[list[str]]


@dataclass
class Section:
    """A section of the report.

    Attributes:
        title: Heading of the section.
        text: Paragraphs of the section.
        tables: Tables, which stand below the text.
        plots: Names of plots, which are keys of `vjepa.recipes.compare.report_plots.all_plots`.
    """

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[str] = field(default_factory=list)


def all_sections(comparison: CompareConfig, results: Results) -> list[Section]:
    """Return the sections of the report."""
    sections = [
        Section("Answer", answer(comparison, results), plots=["accuracy"]),
        accuracy_section(comparison, results),
        contrasts_section(comparison, results),
    ]
    if comparison.synthetic:
        sections.append(factors_section(comparison, results))
    if comparison.sweep is not None:
        sections.append(sweep_section(comparison, results))
    return [*sections, methods_section(comparison, results), cost_section(comparison, results)]


def accuracy_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the accuracy of each measure at every share of the labels, and on its level."""
    videos, tables = base_videos(comparison), []
    for measure in comparison.measures:
        shares = shares_of(comparison, measure)
        rows = []
        for name, arm in comparison.arms.items():
            metrics = [accuracy(measure, share) for share in shares]
            cells = [with_interval(results.metric(videos, name, of.path), of) for of in metrics]
            level = results.text(videos, name, f"level/{measure}/{shares[-1]:g}")
            if level is not None:
                rows.append([arm.title, *cells, level])
        header = [MEASURES[measure], *map(labels_phrase, shares), "level, most often"]
        tables.append(Table(header, rows))
    chance = results.metric(videos, next(iter(comparison.arms)), "chance")
    assert chance is not None
    text = [
        "Balanced accuracy, in percent, on test videos, mean and 95 % interval over splits, seeds and groups "
        f"of test videos; chance is {100 * chance.value:.1f}. Ridge regression and k-NN read the mean of the "
        "tokens at the level, and with the penalty, that validate best inside the training videos, whose "
        "groups are never divided; the table says which level was taken with the most labels. The attentive "
        "probe reads all tokens of the last block. Fine-tuning also trains the encoder."
    ]
    return Section("Accuracy", text, tables, ["labels"] if len(comparison.label_shares) > 1 else [])


def contrasts_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the difference of each contrasted pair of arms in every metric."""
    text = [
        comparison.question,
        "The tables show the first arm minus the second. A difference counts as found if its interval "
        "excludes 0. Intervals of accuracies are over splits, seeds and groups of test videos, those of "
        "other metrics over splits and seeds.",
    ]
    tables = [_contrast(comparison, results, *pair) for pair in comparison.contrasts]
    return Section("Contrasts", text, tables)


def _contrast(comparison: CompareConfig, results: Results, first: str, second: str) -> Table:
    videos = base_videos(comparison)
    titles = [comparison.arms[arm].title for arm in (first, second)]
    rows = []
    for of in all_metrics(comparison):
        metric = results.difference(videos, first, second, of.path)
        if metric is None:
            continue
        higher = titles[0 if metric.value > 0 else 1]
        verdict = f"{higher} is higher" if metric.excludes_zero else "no difference found"
        rows.append([of.name, with_interval(metric, of) + of.unit, verdict])
    budget = budget_phrase(results, videos, first, second)
    name = f"{titles[0]} minus {titles[1]}" + (f", {budget}" if budget else "")
    return Table([name, "difference", "verdict"], rows)


def factors_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the R2 of each factor of the rendered videos, at every horizon."""
    videos, tables = base_videos(comparison), []
    listed = {
        "signal": [factor(name, 0) for name in SIGNAL],
        "nuisance": [factor(name, 0) for name in NUISANCE],
    }
    if len(comparison.horizons) > 1:
        listed["frames ahead"] = moving_factors(comparison)
    for title, metrics in listed.items():
        known = [of for of in metrics if any(results.metric(videos, arm, of.path) for arm in comparison.arms)]
        rows = [
            [arm.title, *(with_interval(results.metric(videos, name, of.path), of) for of in known)]
            for name, arm in comparison.arms.items()
        ]
        tables.append(Table([title, *(of.name.removeprefix("R² of ") for of in known)], rows))
    text = [
        "R² on unseen videos of a ridge regression from frozen features (all tokens of the block that "
        "validates best, concatenated) to the factors that the videos were rendered from, at the clip's last "
        "frame or the given number of frames after it, which the encoder does not see; 0 is no better than "
        "predicting the mean. A model of motion should encode the signal factors, and may ignore the "
        "nuisance factors. Mean and 95 % interval over seeds."
    ]
    plots = ["factors", *(["horizons"] if len(comparison.horizons) > 1 else [])]
    return Section("Factors of the scene", text, tables, plots)


def sweep_metrics(comparison: CompareConfig) -> list[Named]:
    """Return the metrics that are shown of a sweep."""
    ahead = max(comparison.horizons)
    return [headline(comparison), factor("velocity", 0), factor("position", ahead), factor("background", 0)]


def sweep_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the sweep: the same arms trained and measured on further videos."""
    sweep, metrics = comparison.sweep, sweep_metrics(comparison)
    assert sweep is not None
    pairs = [pair for pair in comparison.contrasts if set(pair) <= set(sweep.arms)]
    values, differences = [], []
    for name, point in sweep.points.items():
        place = f"{point.regime} {point.strength:g}"
        for arm in sweep.arms:
            cells = [with_interval(results.metric([name], arm, of.path), of) for of in metrics]
            values.append([place, comparison.arms[arm].title, *cells])
        for pair in pairs:
            titles = " minus ".join(comparison.arms[arm].title for arm in pair)
            cells = [with_interval(results.difference([name], *pair, of.path), of) for of in metrics]
            differences.append([place, titles, *cells])
    names = [of.name for of in metrics]
    text = [
        f"{sweep.title} {len(sweep.seeds)} seed(s) each. Noise that stays the same throughout a video is "
        "easier to predict than anything else: theory (arXiv 2211.10831) expects embeddings to encode it "
        "instead of the motion. Accuracies in percent."
    ]
    tables = [Table(["videos", "arm", *names], values)]
    if differences:
        tables.append(Table(["videos", "contrast", *names], differences))
    return Section("Sweep", text, tables, ["sweep"])


def _trained(comparison: CompareConfig) -> list[str]:
    return [name for name, arm in comparison.arms.items() if arm.kind == "trained"]


def methods_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the settings in which the methods differ, with related metrics."""
    shown: list[tuple[str, str | Named]] = [
        ("prediction target", "target"),
        ("prediction error / error of the mean", Named("training/relative_error", "")),
        ("predicted values per token", Named("cost/predicted_values", "", style=".0f")),
        ("predicting network", "decoder"),
        ("its parameters, thousands", Named("cost/predicting_parameters", "", 1e-3, ".1f")),
        ("its forward pass, MFLOP per clip", Named("cost/predicting_flops", "", 1e-6, ".1f")),
        ("masking", "mask"),
        ("context tokens, % of all", Named("cost/seen", "", 100, ".1f")),
        ("generative", "generative"),
        ("R² of pixels, linear read-out", Named("pixels", "")),
        ("protection against collapse", "protection"),
        ("lowest effective rank in training", Named("training/lowest_rank", "", style=".1f")),
        ("collapse alarms per run, mean", Named("training/alarms", "", style=".1f")),
        ("step of the weights that are measured", Named("training/model_step", "", style=".0f")),
    ]
    videos, trained = base_videos(comparison), _trained(comparison)
    rows = [
        [
            title,
            *(
                _setting_in_words(results.config(videos, arm), of)
                if isinstance(of, str)
                else _value(comparison, results, arm, of)
                for arm in trained
            ),
        ]
        for title, of in shown
    ]
    header = ["", *(comparison.arms[arm].title for arm in trained)]
    text = ["Settings in which the methods differ, each followed by the metrics that depend on it most."]
    return Section("Differences between the methods", text, [Table(header, rows)])


def _value(comparison: CompareConfig, results: Results, arm: str, of: Named) -> str:
    """Return the mean of a metric over the runs of an arm, without an interval."""
    metric = results.metric(base_videos(comparison), arm, of.path)
    return "-" if metric is None else f"{of.scale * metric.value:z{of.style}}"


def _setting_in_words(config: dict[str, Any], what: str) -> str:
    """Return a setting of an arm in words, from its resolved configuration."""
    objective, masks = config["objective"], config["masks"]
    predict, share = objective["predict"], masks["future_share"]
    if what == "mask":
        families = [
            name.replace("_", " ") for name, given in masks.items() if name != "future_share" and given
        ]
        return (" + ".join(families) or "none") + ("" if share is None else f" ({share:g} of steps future)")
    words = {
        "decoder": {"embeddings": "predictor", "pixels": "pixel decoder", "views": "projector"},
        "generative": {"embeddings": "no", "pixels": "yes, pixels", "views": "no"},
        "target": {
            "embeddings": _embeddings_in_words(objective),
            "pixels": f"pixels ({objective['pixel_targets']})",
            "views": "embeddings of other views of the clip",
        },
        "protection": {
            "embeddings": _protection_in_words(objective),
            "pixels": "none needed",
            "views": _protection_in_words(objective),
        },
    }
    return words[what][predict]


def _embeddings_in_words(objective: dict[str, Any]) -> str:
    parts = [objective["distance"]]
    if objective["target_norm"] == "batch":
        parts.append("normalised over the batch")
    if objective["target_blocks"] > 1:
        parts.append(f"mean of {objective['target_blocks']} blocks")
    return f"embeddings ({', '.join(parts)})"


def _protection_in_words(objective: dict[str, Any]) -> str:
    encoders = {
        "ema": ["target encoder (EMA)"],
        "frozen": ["frozen teacher, trained on pixels"],
        "init": ["encoder frozen"],
        "none": [],
    }
    regularizers = {"sigreg": "SIGReg", "vicreg": "VICReg"}
    given = [title for name, title in regularizers.items() if objective[name] is not None]
    return " + ".join([*encoders[objective["target_encoder"]], *given])


def cost_metrics() -> list[Named]:
    """Return the metrics of what training costs."""
    return [
        Named("cost/clips", "clips seen, thousands", 1e-3, ".1f"),
        Named("cost/total_flops", "training, PFLOP", 1e-15, ".3g"),
        Named("cost/step_flops", "training step, MFLOP per clip", 1e-6, ".1f"),
        Named("cost/encoder_flops", "encoder forward, MFLOP per clip", 1e-6, ".1f"),
        Named("cost/target_encoder_flops", "target encoder forward, MFLOP per clip", 1e-6, ".1f"),
        Named("training/seconds", "training, minutes", 1 / 60, ".1f"),
    ]


def cost_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the clips, floating-point operations and time of each trained arm."""
    columns, rows = cost_metrics(), []
    for name in _trained(comparison):
        arm, values = comparison.arms[name], [_value(comparison, results, name, of) for of in columns]
        steps = results.config(base_videos(comparison), name)["optim"]["steps"]
        given = "" if arm.flops_of is None else f", the FLOPs of {comparison.arms[arm.flops_of].title}"
        rows.append([arm.title, f"{steps}{given}", *values])
    text = [
        "FLOPs are those of matrix products, forward and backward, target encoder and predicting network "
        "included. An arm with the FLOPs of another takes as many steps as they allow, and its schedules are "
        "stretched; all other arms see the same clips in the same order. Of SALT, minutes, clips and FLOPs "
        f"are the sum of both stages. Minutes are computed from the median of the logged speeds, with "
        f"{comparison.jobs} runs on the machine at the same time."
    ]
    return Section("Cost", text, [Table(["arm", "steps", *(of.name for of in columns)], rows)])
