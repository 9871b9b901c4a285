"""The online probe: what the encoder is worth while it is being trained.

A k-NN or ridge probe reads the classes of some videos of `probe.train` out of the frozen encoder, by
cross-validation: the videos are divided into parts without a common group, and each is held back once.
`probe.test` is never seen, so that its metrics stay those of unseen videos, whatever is chosen by the online
probe. The videos, the parts and the probes are fixed, so equal weights give equal metrics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from vjepa.choices import Precision
from vjepa.data.manifest import Video, class_names
from vjepa.data.splits import folds_by_group
from vjepa.evaluation.features.extract import spread_rows
from vjepa.evaluation.probes.knn import knn_probe
from vjepa.evaluation.probes.linear import ridge_probe
from vjepa.models.network import set_precision
from vjepa.models.video_model import VideoModel
from vjepa.recipes.pretrain import build, data
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.recipes.pretrain.probe import pooled_features, probed_lists
from vjepa.training.measurements import Measurements
from vjepa.training.run_folder import digest_of_rows
from vjepa.training.unreadable import leave_out

_FOLDS = 4
# Each takes the training part, the part that is held back, and the folds of the training part.
_PROBES = {"knn": lambda train, test, fold_V: knn_probe(train, test), "ridge": ridge_probe}


def online_measurements(
    config: PretrainConfig,
    model_config: Mapping[str, Any],
    device: torch.device,
    say: Callable[[str], None],
    *,
    own: bool,
    precision: Precision = "no",
) -> Measurements | None:
    """Return the measurements of the configured online probe; None where none is configured.

    Args:
        config: Configuration of the run.
        model_config: Configuration of the model folder of the run.
        device: Device on which to encode.
        say: Prints a line; it is called with the classes that cannot be measured, if there are any.
        own: Whether the objective is the user's own.
        precision: Precision in which to encode.

    Raises:
        ValueError: There are too few videos of each class, or of each group.
    """
    if config.probe.online is None:
        return None
    listed = chosen_videos(probed_lists(config)["probe.train"], config.probe.online_videos)
    folds = folds_by_group(listed, _FOLDS, config.seed, "probe.train")
    left_out = set(class_names(listed)) - {listed[row].label for rows in folds for row in rows}
    if left_out:
        say(
            f"the online probe leaves out {len(left_out)} classes of probe.train, whose videos are of one "
            f"group alone: {', '.join(sorted(left_out)[:10])}"
        )
    videos = [listed[row] for rows in folds for row in rows]
    numbers = [number for number, rows in enumerate(folds) for _ in rows]
    rows = [
        (video.path, video.label, video.start, video.end, fold)
        for video, fold in zip(videos, numbers, strict=True)
    ]
    return Measurements(
        f"probe/{config.probe.online}",
        OnlineProbe(config, model_config, videos, numbers, device, own=own, precision=precision),
        subject=f"{config.probe.online} {digest_of_rows(rows)}",
        every=config.probe.every,
        keep_best=config.train.keep_best,
        patience=config.train.patience,
    )


def chosen_videos(videos: Sequence[Video], most: int | None) -> list[Video]:
    """Choose the videos of the online probe: the same number of each class, spread evenly over the list.

    Classes with fewer videos are taken whole.

    Args:
        videos: Labelled videos.
        most: Largest number of videos; None chooses all.

    Raises:
        ValueError: `most` leaves fewer than two videos of each class.
    """
    of_class: dict[str | None, list[int]] = defaultdict(list)
    for row, video in enumerate(videos):
        of_class[video.label].append(row)
    each = len(videos) if most is None else most // len(of_class)
    if each < 2:
        raise ValueError(
            f"probe.online_videos is {most}, and probe.train has {len(of_class)} classes: give "
            f"{2 * len(of_class)} or more, so that each class has a video to learn from and one to hold back"
        )
    chosen = [rows[number] for rows in of_class.values() for number in spread_rows(len(rows), each)]
    return [videos[row] for row in sorted(chosen)]


class OnlineProbe:
    """Measures the encoder in the state of an objective by cross-validated probes.

    The encoder is a copy, so training is not disturbed; it lies in main memory between two measurements.

    Args:
        config: Configuration of the run.
        model_config: Configuration of the model folder of the run.
        videos: Labelled videos to measure on.
        folds: Number of the fold of each video.
        device: Device on which to encode.
        own: Whether the objective is the user's own.
        precision: Precision in which to encode.
    """

    def __init__(
        self,
        config: PretrainConfig,
        model_config: Mapping[str, Any],
        videos: Sequence[Video],
        folds: Sequence[int],
        device: torch.device,
        *,
        own: bool,
        precision: Precision = "no",
    ) -> None:
        assert config.probe.online is not None
        self.config = config
        self.own = own
        self.probe = _PROBES[config.probe.online]
        self.model_config = {name: model_config[name] for name in ("encoder", "pixels", "clip")}
        self.clips = data.probe_dataset(config, videos, class_names(videos))
        self.fold_V = torch.tensor(folds)
        self.device = device
        self.precision = precision
        self._model: VideoModel | None = None
        self._told = False

    def __call__(self, state: Mapping[str, Tensor], say: Callable[[str], None]) -> float:
        """Return the balanced accuracy in [0, 1], mean over the folds.

        Args:
            state: Tensors of the objective by name.
            say: Prints a line; it is called with the unreadable videos, once.

        Raises:
            UnreadableVideosError: More videos are unreadable than `data.max_unreadable` allows.
        """
        feature_VD, label_V, fold_V = self._features(state, say)
        accuracies = []
        for fold in fold_V.unique():
            held_V = fold_V == fold
            kept, held = (feature_VD[~held_V], label_V[~held_V]), (feature_VD[held_V], label_V[held_V])
            accuracies.append(self.probe(kept, held, fold_V[~held_V]))
        return fmean(accuracies)

    def _features(
        self, state: Mapping[str, Tensor], say: Callable[[str], None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, classes and folds of the videos that can be read."""
        if self._model is None:
            self._model = VideoModel(self.model_config).eval()
            set_precision(self._model, self.precision)
        model = self._model.to(self.device)
        model.encoder.load_state_dict(build.measured_encoder(self.config, state, own=self.own))
        found, unreadable = pooled_features(model, {"probe.train": self.clips}, self.config.data.num_workers)
        model.to("cpu")
        causes = unreadable["probe.train"]
        most = self.config.data.max_unreadable
        leave_out("probe.train", len(self.clips), causes, most, (lambda _: None) if self._told else say)
        self._told = True
        kept = [row for row in range(len(self.clips)) if row not in causes]
        return *found[0], self.fold_V[kept]
