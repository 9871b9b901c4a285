"""Do several predicted futures spread as what happens does? Calibration of a model's samples on rendered videos.

Shape letters as in `vjepa.evaluation.future.skill`; R samples of a clip, X numbers of one.
"""

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

LEVEL = 0.8  # of the central interval


def evaluate_samples(
    model: VideoModel,
    manifest: str | Path | Sequence[Video],
    *,
    samples: int = 16,
    steps: int | None = None,
    seed: int = 0,
) -> dict[int, dict[str, dict[str, Any]]]:
    """Calibration by horizon, of ``embeddings`` and of the ``position`` that is read off them: ``{step: {what: metrics}}``.

    Metrics are those of `vjepa.evaluation.future.calibration.Calibration`: coverage of the central interval, energy score, spread
    over error, and the energy score of the single prediction (the same model without noise) beside them. Positions are
    read by a ridge regression that was fitted on true embeddings of every second video; the others are measured.

    Args:
        model: a model that takes noise (`objective.futures`).
        manifest: rendered videos, whose factors lie beside them.
        samples: futures of each clip, R.
        steps: last horizon; None for twice as far as the window goes.
        seed: of the noise.
    """
    if model.predictor is None or model.predictor.noise_proj is None:
        raise ValueError("the model knows one future, not several: train one with objective.futures")
    window, last = window_and_last(model, steps)
    depth = model.encoder.tubelet.t
    videos = read_manifest(manifest) if isinstance(manifest, str | Path) else list(manifest)
    clips = read_beginnings(model, videos, (window.context_steps + last) * depth)
    true_VFX, single_VFX, samples_VRFX = _embed(model, clips.video_VTCHW, window, last, samples, seed)
    fit_V = torch.arange(len(true_VFX)) % 2 == 0
    report = {}
    for row in range(last):
        frame = (window.context_steps + row + 1) * depth - 1
        place_VX = read_factors_at(clips.videos, clips.numbers_VT[:, frame].tolist())["position"]
        true_VX, single_VX, samples_VRX = true_VFX[:, row], single_VFX[:, row], samples_VRFX[:, :, row]
        read_samples_VRX, read_single_VX = (
            ridge_predictions((true_VX[fit_V], place_VX[fit_V]), rows.flatten(0, -2)).unflatten(
                0, rows.shape[:-1]
            )
            for rows in (samples_VRX[~fit_V], single_VX[~fit_V])
        )
        report[row + 1] = {
            "embeddings": calibration(
                samples_VRX[~fit_V], true_VX[~fit_V], single_VX[~fit_V], LEVEL
            ).as_json(),
            "position": calibration(read_samples_VRX, place_VX[~fit_V], read_single_VX, LEVEL).as_json(),
        }
    return report


@torch.no_grad()
def _embed(
    model: VideoModel, video_VTCHW: Tensor, window: Window, last: int, samples: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """True and single embeddings ``(V, F, X)``, sampled ones ``(V, R, F, X)``, X being all values of a time step."""
    assert model.predictor is not None
    assert model.predictor.noise_proj is not None
    depth, device = model.encoder.tubelet.t, next(model.parameters()).device
    shape = (len(video_VTCHW), samples, model.predictor.noise_proj.in_features)
    noise_VRZ = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    parts = []
    for video_BTCHW, noise_BRZ in zip(video_VTCHW.split(BATCH), noise_VRZ.split(BATCH), strict=True):
        video_BTCHW = video_BTCHW.to(device)
        context_BKY = encode_context(model, video_BTCHW[:, : window.context_steps * depth])
        futures = [
            roll_out(model, context_BKY, window, last, noise_BZ)
            for noise_BZ in noise_BRZ.to(device).unbind(1)
        ]
        single_BNY = roll_out(model, context_BKY, window, last)
        true_BFSY = true_embeddings(model, video_BTCHW, window, last)
        parts.append((true_BFSY.flatten(2), single_BNY, torch.stack(futures, dim=1)))
    true_VFX, single_VNY, samples_VRNY = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return (
        true_VFX,
        single_VNY.unflatten(1, (last, -1)).flatten(2),
        samples_VRNY.unflatten(2, (last, -1)).flatten(3),
    )
