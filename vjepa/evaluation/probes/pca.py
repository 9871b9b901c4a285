"""The features that no network learnt: principal components of the pixels. Shape letters as in `vjepa.tokens`."""

from __future__ import annotations

import torch
from sklearn.decomposition import PCA
from torch import Tensor

from vjepa.data.dataset import ClipDataset
from vjepa.evaluation.features.extract import extract_features


class PixelComponents:
    """A clip's coordinates on the first principal components of the training clips' pixels.

    Args:
        train: clips to fit on, evenly spread.
        components: how many; no more than there are clips.
        seed: of the randomised solver.
    """

    def __init__(self, train: ClipDataset, components: int, seed: int) -> None:
        pixels_VX, _ = extract_features(lambda video_BTCHW: video_BTCHW.flatten(1), train)
        # Spectra of noisy images are flat: the default number of iterations is too few for the last components.
        solver = PCA(
            min(components, len(pixels_VX)), svd_solver="randomized", iterated_power=8, random_state=seed
        )
        solver.fit(pixels_VX.numpy())
        self.mean_X = torch.from_numpy(solver.mean_).float()
        self.components_DX = torch.from_numpy(solver.components_).float()

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """Uint8 clips to ``(B, 1, D)``: one token for the whole clip."""
        centred_BX = video_BTCHW.flatten(1).float() - self.mean_X
        return (centred_BX @ self.components_DX.T).unsqueeze(1)
