"""The sections of an exam: each measures one ability of a model beside its baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vjepa.data.clips import EmptyRangeError
from vjepa.data.manifest import Video
from vjepa.data.processor import read_frames
from vjepa.data.readers.base import VideoDecodeError
from vjepa.data.synthetic.matched import CONTROLS
from vjepa.data.trajectories.episode import Episode
from vjepa.data.trajectories.window import WindowConfig
from vjepa.data.transforms import CentreCrop
from vjepa.evaluation.arrow_of_time import KIND, arrow_of_time
from vjepa.evaluation.corruption import recognise_corrupted
from vjepa.evaluation.exam import MODEL, Row, Section, shown
from vjepa.evaluation.future.imagination import measure_imagination
from vjepa.evaluation.future.report import TooFewVideosError, evaluate_future, read_beginnings
from vjepa.evaluation.occlusion import permanence
from vjepa.evaluation.probes.small_frame import encode_frame
from vjepa.evaluation.statistics import Metric, estimate
from vjepa.evaluation.tracking import track_objects
from vjepa.evaluation.untrained import untrained_copy
from vjepa.evaluation.violations.accuracy import over_seeds
from vjepa.evaluation.violations.benchmark import evaluate_violations
from vjepa.inference.forecast import window_of
from vjepa.models.action_model import ActionModel
from vjepa.models.video_model import VideoModel
from vjepa.recipes.exam.worlds import calibration_videos, matched_sets, ordinary_videos, windows_of
from vjepa.recipes.pretrain.config import SyntheticConfig
from vjepa.tokens import patchify

CHANCE = 0.5
WIDE = 0.4  # width of the occluder in sides of the frame, so that objects are hidden for a while
_LONGEST = 4  # windows of a video that are judged forwards and backwards


def cannot_predict(model: VideoModel, *, embeddings: bool) -> str | None:
    """Return why a model predicts no future, or no embeddings of it; None if it does."""
    if embeddings and model.predictor is None:
        return "the model has no predictor of embeddings"
    try:
        window_of(model, *model.processor.size)
    except ValueError as error:
        return str(error)
    return None


def future(model: VideoModel, videos: Sequence[Video], nulls: int, steps: int | None) -> Section:
    """Are predictions better than copies of the present, at every horizon?"""
    section = Section(
        "Future",
        "Are predicted embeddings nearer to what comes than a copy of the last ones?",
        "Skill over copying: 1 - error / error of the copy; intervals over videos, of the untrained "
        "networks over random seeds.",
        against="a copy",
        chance=0.0,
    )
    reason = cannot_predict(model, embeddings=True)
    if reason is not None:
        return _skipped(section, reason)
    last = window_of(model, *model.processor.size).rest if steps is None else steps
    try:
        report = evaluate_future(model, videos, steps=last)
    except TooFewVideosError as error:
        return _skipped(section, str(error))
    others = [evaluate_future(untrained_copy(model, seed), videos, steps=last) for seed in range(nulls)]
    rows = []
    for number, horizon in enumerate(report.horizons):
        found = horizon.skill["copy_last"]
        assert found is not None
        skills = [other.horizons[number].skill["copy_last"] for other in others]
        untrained = _over_seeds([skill.value for skill in skills if skill is not None])
        what = f"step {horizon.step}" if horizon.seconds is None else f"{horizon.seconds:.2f} s ahead"
        rows.append(Row(what, {MODEL: found, "untrained": untrained}))
    left_out = len(report.too_short) + len(report.unreadable)
    remarks = [f"{report.clips} videos; {left_out} more are too short or unreadable."]
    if report.temporal_share is not None:
        remarks.append(
            f"{report.temporal_share:.1%} of the variance of the true embeddings lies between the time steps "
            "of a video: where that is near 0, embeddings hardly change and copies are hard to beat."
        )
    return _with(section, rows, remarks)


def time_arrow(model: VideoModel, videos: Sequence[Video], nulls: int) -> Section:
    """Does a video that runs backwards surprise the model more?"""
    section = Section(
        "Arrow of time",
        "Is a video that runs backwards more surprising than forwards?",
        "Share of the videos that are more surprising backwards; intervals over sources of videos, of the "
        "untrained networks over random seeds.",
        against="chance",
        chance=CHANCE,
    )
    reason = cannot_predict(model, embeddings=False)
    if reason is not None:
        return _skipped(section, reason)
    frames, groups = _long_enough(model, videos)
    if len(set(groups)) < 2:
        return _skipped(section, "fewer than two sources of videos are as long as a window of the model")
    report = arrow_of_time(model, frames, groups)
    untrained = over_seeds([arrow_of_time(untrained_copy(model, n), frames, groups) for n in range(nulls)])
    rows = [
        Row(
            what,
            {MODEL: report.kinds[KIND]["fixed"][name], "untrained": untrained.kinds[KIND]["fixed"][name]},
            report.p_values[KIND][name],
        )
        for what, name in (("mean over windows", "relative_mean"), ("maximum", "relative_max"))
    ]
    left_out = len(videos) - len(frames)
    remark = (
        f"{len(frames)} videos of {len(set(groups))} sources; {left_out} more are too short or unreadable."
    )
    return _with(section, rows, [remark])


def violations(
    model: VideoModel, world: SyntheticConfig, folder: Path, num_sets: int, num_ordinary: int, nulls: int
) -> Section:
    """Does an impossible event surprise the model more than a possible one?"""
    section = Section(
        "Violations",
        "Is an impossible event more surprising than its possible twin?",
        "Share of the pairs whose impossible video is more surprising, judged by what is normal in ordinary "
        "videos; intervals over rendered sets, of the untrained networks over random seeds.",
        against="chance",
        chance=CHANCE,
    )
    reason = cannot_predict(model, embeddings=False)
    if reason is not None:
        return _skipped(section, reason)
    remarks: list[str] = []
    sets = matched_sets(world, folder / f"matched-{num_sets}", num_sets, remarks.append)
    ordinary = calibration_videos(world, folder / f"ordinary-{num_ordinary}", num_ordinary)
    report = evaluate_violations(model, sets, nulls=nulls, ordinary=ordinary)
    judged = report.reports["judged"]
    columns = {MODEL: judged, "untrained": report.reports["untrained judged"]}
    columns["motion energy"] = report.reports["motion_energy"]
    rows = [
        Row(
            kind,
            {name: each.kinds[kind]["fixed"]["relative_max"] for name, each in columns.items()},
            judged.p_values[kind]["relative_max"],
            control=kind in CONTROLS,
        )
        for kind in judged.kinds
    ]
    remarks += [f"{num_sets} sets of each kind. {' and '.join(CONTROLS)} are possible on both sides."]
    return _with(section, rows, remarks)


def occlusion(model: VideoModel, world: SyntheticConfig, folder: Path, num_videos: int) -> Section:
    """Does a prediction know where a hidden object is?"""
    section = Section(
        "Occlusion",
        "Does a prediction know where an object is while it is hidden?",
        "Distance between the true position of a single object and the one that a ridge regression reads off "
        "embeddings, in sides of the frame; intervals over rendered videos.",
        against="a copy",
        higher_is_better=False,
        baseline="copy",
    )
    reason = cannot_predict(model, embeddings=True)
    if reason is not None:
        return _skipped(section, reason)
    videos = ordinary_videos(
        world, folder / f"single-{num_videos}", num_videos, objects=(1, 1), occluder=WIDE
    )
    windows = windows_of(model, world.render)
    try:
        found, untrained = (permanence(each, videos, windows) for each in (model, untrained_copy(model, 0)))
    except ValueError as error:  # too few videos, or steps too long, to hide an object
        return _skipped(section, str(error))
    rows = [
        Row(
            name,
            {
                MODEL: part["predicted"],
                "untrained": null["predicted"],
                "copy": part["copy"],
                "true embeddings": part["true"],
            },
        )
        for name, part, null in (
            ("hidden", found.hidden, untrained.hidden),
            ("seen", found.seen, untrained.seen),
        )
    ]
    return _with(section, rows, [f"{found.videos} videos that the regression was not fitted on."])


def corruption(model: VideoModel, videos: Sequence[Video], num_videos: int) -> Section:
    """Does a corrupted clip remain itself?"""
    section = Section(
        "Corruption",
        "Is a corrupted clip still most similar to its clean form among all clips?",
        "Share of the clips whose mean token is nearest to that of their own clean form; intervals over "
        "clips.",
        against="an untrained network",
    )
    try:
        clips = read_beginnings(model, videos[:num_videos], model.processor.num_frames)
    except TooFewVideosError as error:
        return _skipped(section, str(error))
    encoders = {
        MODEL: _pooled(model),
        "untrained": _pooled(untrained_copy(model, 0)),
        "pixels of one frame": lambda clip: encode_frame(clip)[:, 0],
    }
    report = recognise_corrupted(encoders, clips.video_VTCHW)
    rows = [
        Row(f"{kind} {strength:.3g}", values)
        for kind, strengths in report.items()
        for strength, values in strengths.items()
    ]
    count, left_out = len(clips.videos), len(clips.too_short) + len(clips.unreadable)
    return _with(
        section,
        rows,
        [
            f"{count} clips, so chance is {1 / count:.3f}; {left_out} more are too short or unreadable. "
            "Strengths: noise in grey levels, blur in sides of "
            "the frame, the share of brightness that is left, and the quality of JPEG."
        ],
    )


def tracking(model: VideoModel, world: SyntheticConfig, folder: Path, num_videos: int) -> Section:
    """Do similar tokens follow an object?"""
    section = Section(
        "Tracking",
        "Do similar tokens follow an object through a video?",
        "Distance between the true and the tracked centre of rendered objects, in sides of the frame, where "
        "labels are propagated to similar tokens (DINO's evaluation on DAVIS); intervals over videos.",
        against="labels that stand still",
        higher_is_better=False,
        baseline="standing still",
    )
    clip = model.processor
    if model.encoder.tubelet.grid_of(clip.num_frames, *clip.size).t < 2:
        return _skipped(section, "the model's clips are a single time step")
    if clip.size[0] != clip.size[1]:
        return _skipped(section, "rendered videos are square, and the model's clips are not")
    videos = ordinary_videos(world, folder / f"tracked-{num_videos}", num_videos, occluder=0.0)
    rivals: dict[str, Callable[[Tensor], Tensor]] = {
        "untrained": untrained_copy(model, 0).encode,
        "pixels": lambda clip: patchify(clip.transpose(1, 2), model.encoder.tubelet).float(),
    }
    tracks = track_objects(model, videos, rivals=rivals)
    similarities = ", ".join(f"{name} {shown(each.similarity)}" for name, each in tracks.items())
    remarks = [
        f"{tracks[MODEL].videos} videos. Region similarity J, which is near 0 where tokens are larger than "
        f"objects: {similarities}."
    ]
    return _with(section, [Row("centre", {name: each.distance for name, each in tracks.items()})], remarks)


def actions(model: ActionModel, window: WindowConfig, episodes: Sequence[Episode], seed: int) -> Section:
    """Does an imagined step depend on its action?"""
    section = Section(
        "Actions",
        "Does what is imagined depend on the actions, and in the right way?",
        "Squared error of imagined embeddings over their variance, on windows of episodes that were not "
        "trained on; intervals over episodes.",
        against="the actions of another window",
        higher_is_better=False,
        baseline="other actions",
    )
    report = measure_imagination(model, episodes, window, CentreCrop(model.size, margin=1), seed=seed)
    rows = [
        Row(
            f"step {step}",
            {MODEL: error, "other actions": permuted, "copy": copied},
        )
        for step, (error, permuted, copied) in enumerate(
            zip(report.error, report.permuted_error, report.copy_error, strict=True), start=1
        )
    ]
    remark = "A model that ignores actions has the same error with the actions of another window."
    return _with(section, rows, [f"{report.windows} windows.", remark])


def _skipped(section: Section, reason: str) -> Section:
    return replace(section, skipped=reason.rstrip("."))


def _with(section: Section, rows: Sequence[Row], remarks: Sequence[str]) -> Section:
    return replace(section, rows=tuple(rows), remarks=tuple(remarks))


def _over_seeds(values: Sequence[float]) -> Metric:
    found = estimate(values)
    return Metric(found.mean, found.low, found.high)


def _long_enough(model: VideoModel, videos: Sequence[Video]) -> tuple[list[Tensor], list[str]]:
    """Return the frames and sources of the videos that are a window or longer, at most `_LONGEST` windows."""
    window = model.processor.num_frames
    frames, groups = [], []
    for video in videos:
        try:
            found = read_frames(
                video.path, model.processor, first=_LONGEST * window, start=video.start, end=video.end
            )
        except (VideoDecodeError, EmptyRangeError):  # counted in the section's remark
            continue
        if len(found.video_TCHW) >= window:
            frames.append(found.video_TCHW)
            groups.append(video.group or video.path)
    return frames, groups


def _pooled(model: VideoModel) -> Callable[[Tensor], Tensor]:
    return lambda clip: model.encode(clip.to(_device(model))).mean(dim=1)


def _device(model: VideoModel) -> torch.device:
    return next(model.parameters()).device
