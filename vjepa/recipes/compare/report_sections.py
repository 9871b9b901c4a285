"""The sections of a report: their text and tables, which `report` writes as HTML and Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field

from vjepa.evaluation.probes.factors import NUISANCE, SIGNAL
from vjepa.evaluation.statistics import Estimate, paired_difference
from vjepa.recipes.compare.cells import BASE_POINT
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.compare.results import Results

PROBES = {"knn": "k-NN", "linear": "linear", "attentive": "attentive"}


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


def _first_arm(comparison: CompareConfig) -> str:
    return next(iter(comparison.arms))


def percent(value: Estimate | None) -> str:
    """Return a mean and its interval in percent, such as ``86.3 ± 1.2``; ``-`` for None."""
    return "-" if value is None else _with_interval(100 * value.mean, 100 * value.half, ".1f")


def plain(value: Estimate | None, style: str = ".2f") -> str:
    """Return a mean and its interval, such as ``0.86 ± 0.01``; ``-`` for None."""
    return "-" if value is None else _with_interval(value.mean, value.half, style)


def _with_interval(mean: float, half: float, style: str) -> str:
    # "z" removes the sign of what rounds to zero. The half-width is NaN for a single seed.
    return f"{mean:z{style}}" if half != half else f"{mean:z{style}} ± {half:{style}}"


def all_sections(comparison: CompareConfig, results: Results) -> list[Section]:
    """Return the sections of the report."""
    sections = [
        summary_section(comparison, results),
        methods_section(comparison, results),
        probes_section(comparison, results),
    ]
    if results.metric_names(BASE_POINT, _first_arm(comparison), "factors"):
        sections.append(factors_section(comparison, results))
    if comparison.sweep is not None:
        sections.append(sweep_section(comparison, results))
    return [*sections, cost_section(comparison, results)]


def summary_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the summary: for each contrasted pair of arms, the metrics in which a difference is found."""
    text = [
        comparison.question,
        f"The tables show the first arm minus the second, paired by seed ({len(comparison.seeds)} seeds), "
        "with the 95 % interval of Student's t. A difference counts as found if its interval excludes 0. "
        "Because there are many metrics and few seeds, some intervals exclude 0 by chance.",
    ]
    return Section("Summary", text, [_contrast(comparison, results, *pair) for pair in comparison.contrasts])


def _contrast(comparison: CompareConfig, results: Results, first: str, second: str) -> Table:
    titles = [comparison.arms[arm].title for arm in (first, second)]
    rows = []
    for name, path, scale, unit in _contrasted(comparison, results):
        values = [results.values(BASE_POINT, arm, path) for arm in (first, second)]
        if not values[0] or len(values[0]) != len(values[1]):
            continue
        difference = paired_difference(*values)
        its = difference.estimate
        verdict = (
            f"{titles[0 if its.mean > 0 else 1]} is higher" if difference.shows else "no difference found"
        )
        # The ends of the interval keep the sign of values that round to zero: it shows whether 0 is inside.
        interval = f"{scale * its.mean:+z.2f} ({scale * its.low:+.2f} to {scale * its.high:+.2f}){unit}"
        rows.append([name, interval, verdict])
    return Table([f"{titles[0]} minus {titles[1]}", "difference", "verdict"], rows)


def _contrasted(comparison: CompareConfig, results: Results) -> list[tuple[str, str, float, str]]:
    """Return the name, path, factor for display and unit of each metric whose difference is tested."""
    metrics = [
        (f"{title} probe, {100 * share:g} % of labels", f"probe/{probe}/{share:g}", 100.0, " points")
        for probe, title in PROBES.items()
        for share in comparison.label_shares
    ]
    metrics.append(("fine-tuned, all labels", "finetuned", 100.0, " points"))
    for name in results.metric_names(BASE_POINT, _first_arm(comparison), "factors"):
        metrics.append((f"R² of {name}", f"factors/{name}", 1.0, ""))
    metrics.append(("R² of pixels, linear read-out of tokens", "pixels", 1.0, ""))
    metrics.append(("effective rank of features", "features/rank", 1.0, ""))
    return metrics


def methods_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the settings in which the methods differ, with related metrics."""
    trained = [name for name, arm in comparison.arms.items() if arm.kind == "trained"]
    rows = [
        ["prediction target", *(_setting_in_words(results, arm, "target") for arm in trained)],
        [
            "prediction error / error of the mean",
            *(_plain(results, arm, "training/relative_error") for arm in trained),
        ],
        [
            "predicted values per token",
            *(_plain(results, arm, "cost/predicted_values", ".0f") for arm in trained),
        ],
        ["predicting network", *(_setting_in_words(results, arm, "decoder") for arm in trained)],
        [
            "its parameters, thousands",
            *(_scaled(results, arm, "cost/predicting_parameters", 1e-3) for arm in trained),
        ],
        [
            "its forward pass, MFLOP per clip",
            *(_scaled(results, arm, "cost/predicting_flops", 1e-6) for arm in trained),
        ],
        ["masking", *(_setting_in_words(results, arm, "mask") for arm in trained)],
        ["context tokens, % of all", *(_scaled(results, arm, "cost/seen", 100) for arm in trained)],
        ["generative", *(_setting_in_words(results, arm, "generative") for arm in trained)],
        ["R² of pixels, linear read-out", *(_plain(results, arm, "pixels") for arm in trained)],
        ["protection against collapse", *(_setting_in_words(results, arm, "protection") for arm in trained)],
        [
            "lowest effective rank in training",
            *(_plain(results, arm, "training/lowest_rank", ".1f") for arm in trained),
        ],
        [
            "collapse alarms per run, mean",
            *(_plain(results, arm, "training/alarms", ".1f") for arm in trained),
        ],
    ]
    header = ["", *(comparison.arms[arm].title for arm in trained)]
    text = ["Settings in which the methods differ, each followed by the metrics that depend on it most."]
    return Section("Differences between the methods", text, [Table(header, rows)])


def _plain(results: Results, arm: str, path: str, style: str = ".2f") -> str:
    return plain(results.estimate(BASE_POINT, arm, path), style)


def _scaled(results: Results, arm: str, path: str, scale: float) -> str:
    value = results.estimate(BASE_POINT, arm, path)
    return "-" if value is None else f"{scale * value.mean:z.1f}"


def _setting_in_words(results: Results, arm: str, what: str) -> str:
    """Return a setting of an arm in words, from its resolved configuration."""
    config = results.config(BASE_POINT, arm)
    objective, masks = config["objective"], config["masks"]
    pixels = objective["predict"] == "pixels"
    encoders = {"ema": ["target encoder (EMA)"], "frozen": ["frozen teacher, trained on pixels"], "none": []}
    regularizers = [name for name in ("sigreg", "vicreg") if objective[name] is not None]
    protection = [*encoders[objective["target_encoder"]], *regularizers]
    families = [name.replace("_", " ") for name, listed in masks.items() if name != "future_share" and listed]
    share = masks["future_share"]
    words = {
        "target": f"pixels ({objective['pixel_targets']})"
        if pixels
        else f"embeddings ({objective['distance']})",
        "decoder": "pixel decoder" if pixels else "predictor",
        "mask": " + ".join(families) + ("" if share is None else f" ({share:g} of steps future)"),
        "generative": "yes, pixels" if pixels else "no",
        "protection": "none needed" if pixels else " + ".join(protection),
    }
    return words[what]


def probes_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on accuracies: of probes at every share of the labels, and after fine-tuning."""
    chance = results.values(BASE_POINT, _first_arm(comparison), "chance")[0]
    tables = []
    for probe, title in PROBES.items():
        rows = [
            [
                arm.title,
                *(
                    percent(results.estimate(BASE_POINT, name, f"probe/{probe}/{share:g}"))
                    for share in comparison.label_shares
                ),
            ]
            for name, arm in comparison.arms.items()
        ]
        tables.append(
            Table([title, *(f"{100 * share:g} % of labels" for share in comparison.label_shares)], rows)
        )
    if comparison.finetune is not None:
        rows = [
            [arm.title, percent(results.estimate(BASE_POINT, name, "finetuned"))]
            for name, arm in comparison.arms.items()
        ]
        tables.append(Table(["fine-tuned", "all labels"], rows))
    online = [
        [
            arm.title,
            percent(results.estimate(BASE_POINT, name, "probe/linear/1")),
            percent(results.estimate(BASE_POINT, name, "online_linear")),
        ]
        for name, arm in comparison.arms.items()
        if results.values(BASE_POINT, name, "online_linear")
    ]
    if online:
        tables.append(
            Table(["linear, all labels", "target encoder (EMA)", "encoder trained by gradients"], online)
        )
    text = [
        "Balanced accuracy, in percent, of probes of the frozen features on unseen videos: mean and 95 % "
        f"interval over seeds; chance is {100 * chance:.1f}. The attentive probe reads all tokens, the "
        "others their mean. Fine-tuning, if there is a table of it, also trains the encoder."
    ]
    return Section("Probes", text, tables, ["probes"])


def factors_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the R2 of each factor of the rendered videos: signal and nuisance factors."""
    tables = []
    for title, names in (("signal", SIGNAL), ("nuisance", NUISANCE)):
        present = [
            name for name in names if results.values(BASE_POINT, _first_arm(comparison), f"factors/{name}")
        ]
        rows = [
            [
                arm.title,
                *(plain(results.estimate(BASE_POINT, name, f"factors/{factor}")) for factor in present),
            ]
            for name, arm in comparison.arms.items()
        ]
        tables.append(Table([title, *present], rows))
    text = [
        "R² on unseen videos of a ridge regression from frozen features (all tokens, concatenated) to the "
        "factors that the videos were rendered from, at the clip's last frame; 0 is no better than "
        "predicting the mean. A model of motion should encode the signal factors, and may ignore the "
        "nuisance factors."
    ]
    return Section("Factors of the scene", text, tables, ["factors"])


def sweep_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on the sweep: the same arms trained and measured on further videos."""
    assert comparison.sweep is not None
    paths = {
        "linear probe, %": ("probe/linear/1", 100.0),
        "velocity, R²": ("factors/velocity", 1.0),
        "position, R²": ("factors/position", 1.0),
        "background, R²": ("factors/background", 1.0),
    }
    rows = []
    for name, point in comparison.sweep.points.items():
        for arm in comparison.sweep.arms:
            cells = []
            for path, scale in paths.values():
                value = results.estimate(name, arm, path)
                scaled = (
                    None if value is None else Estimate(scale * value.mean, scale * value.half, value.count)
                )
                cells.append(plain(scaled, ".1f" if scale > 1 else ".2f"))
            rows.append([f"{point.regime} {point.strength:g}", comparison.arms[arm].title, *cells])
    header = ["point", "arm", *paths]
    text = [
        f"{comparison.sweep.title} {len(comparison.sweep.seeds)} seed(s) each. Noise that stays the same "
        "throughout a video is easier to predict than anything else: theory (arXiv 2211.10831) expects "
        "embeddings to encode it instead of the motion."
    ]
    return Section("Sweep", text, [Table(header, rows)], ["sweep"])


def cost_section(comparison: CompareConfig, results: Results) -> Section:
    """Return the section on training time and floating-point operations of each trained arm."""
    trained = [name for name, arm in comparison.arms.items() if arm.kind == "trained"]
    rows = []
    for name in trained:
        seconds = results.estimate(BASE_POINT, name, "training/seconds")
        rows.append(
            [
                comparison.arms[name].title,
                "-" if seconds is None else f"{seconds.mean / 60:.1f}",
                *(
                    _scaled(results, name, path, scale)
                    for path, scale in (
                        ("cost/step_flops", 1e-6),
                        ("cost/encoder_flops", 1e-6),
                        ("cost/target_encoder_flops", 1e-6),
                        ("cost/total_flops", 1e-12),
                    )
                ),
                _scaled(results, name, "training/clips", 1e-3),
            ]
        )
    header = [
        "arm",
        "training, minutes",
        "training step, MFLOP per clip",
        "encoder forward, MFLOP per clip",
        "target encoder forward, MFLOP per clip",
        "training, TFLOP",
        "clips seen, thousands",
    ]
    text = [
        f"The time of training is computed from the median of the logged speeds, with {comparison.jobs} runs "
        "on the machine at the same time. All arms see the same clips in the same order; for SALT, minutes, "
        "clips and TFLOP are the sum of both stages."
    ]
    return Section("Cost", text, [Table(header, rows)])
