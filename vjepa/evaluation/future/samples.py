"""Calibration of a model's sampled futures on rendered videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vjepa.data.manifest import Video, read_manifest
from vjepa.evaluation.future.calibration import calibration
from vjepa.evaluation.future.report import read_beginnings
from vjepa.evaluation.future.skill import BATCH, true_embeddings, window_and_last
from vjepa.evaluation.probes.factors import read_factors_at
from vjepa.evaluation.probes.linear import ridge_predictions
from vjepa.inference.forecast import Window, encode_context, roll_out
from vjepa.models.video_model import VideoModel

LEVEL = 0.8  # nominal coverage of the central interval
FEWEST = 4  # videos: two to fit the regression, as many to measure


def evaluate_samples(
    model: VideoModel,
    manifest: str | Path | Sequence[Video],
    *,
    samples: int = 16,
    steps: int | None = None,
    seed: int = 0,
) -> dict[int, dict[str, dict[str, Any]]]:
    """Measure the calibration of sampled embeddings, and of positions read off them, at every horizon.

    Positions are read by a ridge regression that is fitted on the true embeddings of every second video; all
    metrics are measured on the other videos. The regression errs, even on true embeddings, by the same for
    all samples of a video, which therefore seem too close to each other. So positions are compared with two
    truths: the ``position`` of the objects, and the ``position_as_read`` off the true embeddings by the same
    regression, which leaves the error of the samples alone.

    Args:
        model: A model whose predictor takes noise (`objective.futures`).
        manifest: Path of a manifest or a list of videos, rendered and with their factors beside them.
        samples: Number of sampled futures of each clip.
        steps: Last horizon, in time steps after the context. None takes twice as many as the trained window
            has after its context.
        seed: Random seed of the noise.

    Returns:
        ``{step: {"embeddings": metrics, "position": metrics, "position_as_read": metrics}}`` with the metrics
        of `vjepa.evaluation.future.calibration.Calibration`. The single prediction, which the samples are
        compared with, is that of the same model without noise.

    Raises:
        ValueError: The model takes no noise, or what `vjepa.evaluation.future.report.read_beginnings` raises.
    """
    if model.predictor is None or model.predictor.noise_proj is None:
        raise ValueError("the model knows one future, not several: train one with objective.futures")
    window, last = window_and_last(model, steps)
    depth = model.encoder.tubelet.t
    videos = read_manifest(manifest) if isinstance(manifest, str | Path) else list(manifest)
    frames = (window.context_steps + max(last, window.rest)) * depth
    clips = read_beginnings(model, videos, frames, fewest=FEWEST)
    true_VFQ, single_VFQ, samples_VsFQ = _embed(model, clips.video_VTCHW, window, last, samples, seed)
    report = {}
    for row in range(last):
        frame = (window.context_steps + row + 1) * depth - 1
        place_VQ = read_factors_at(clips.videos, clips.numbers_VT[:, frame].tolist())["position"]
        report[row + 1] = _calibrations(
            true_VFQ[:, row], single_VFQ[:, row], samples_VsFQ[:, :, row], place_VQ
        )
    return report


def _calibrations(
    true_VQ: Tensor, single_VQ: Tensor, samples_VsQ: Tensor, place_VQ: Tensor
) -> dict[str, dict[str, Any]]:
    """Measure the calibration of one horizon on every second video; the others fit the regression."""
    train_V = torch.arange(len(true_VQ)) % 2 == 0
    fitted = (true_VQ[train_V], place_VQ[train_V])
    samples_VsQ, single_VQ, true_VQ, place_VQ = (
        values[~train_V] for values in (samples_VsQ, single_VQ, true_VQ, place_VQ)
    )
    read_samples_VsQ, read_single_VQ, read_true_VQ = (
        ridge_predictions(fitted, values.flatten(0, -2)).unflatten(0, values.shape[:-1])
        for values in (samples_VsQ, single_VQ, true_VQ)
    )
    truths = {"position": place_VQ, "position_as_read": read_true_VQ}
    return {
        "embeddings": calibration(samples_VsQ, true_VQ, single_VQ, LEVEL).to_json(),
        **{
            name: calibration(read_samples_VsQ, truth_VQ, read_single_VQ, LEVEL).to_json()
            for name, truth_VQ in truths.items()
        },
    }


@torch.no_grad()
def _embed(
    model: VideoModel, video_VTCHW: Tensor, window: Window, last: int, samples: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute true and single-future embeddings ``(V, F, Q)`` and sampled embeddings ``(V, s, F, Q)``.

    Q is the number of values of one time step, ``S * Y``.
    """
    assert model.predictor is not None
    assert model.predictor.noise_proj is not None
    depth, device = model.encoder.tubelet.t, next(model.parameters()).device
    shape = (len(video_VTCHW), samples, model.predictor.noise_proj.in_features)
    noise_VsZ = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    parts = []
    for video_BTCHW, noise_BsZ in zip(video_VTCHW.split(BATCH), noise_VsZ.split(BATCH), strict=True):
        video_BTCHW = video_BTCHW.to(device)
        context_BKY = encode_context(model, video_BTCHW[:, : window.context_steps * depth])
        futures = [
            roll_out(model, context_BKY, window, last, noise_BZ)
            for noise_BZ in noise_BsZ.to(device).unbind(1)
        ]
        single_BNY = roll_out(model, context_BKY, window, last)
        true_BFSY = true_embeddings(model, video_BTCHW, window, last)
        parts.append((true_BFSY.flatten(2), single_BNY, torch.stack(futures, dim=1)))
    true_VFQ, single_VNY, samples_VsNY = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return (
        true_VFQ,
        single_VNY.unflatten(1, (last, -1)).flatten(2),
        samples_VsNY.unflatten(2, (last, -1)).flatten(3),
    )
