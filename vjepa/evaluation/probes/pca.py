"""Principal components of pixels: baseline features that need no network."""

from __future__ import annotations

import torch
from torch import Tensor

from vjepa.data.dataset import ClipDataset
from vjepa.evaluation.features.extract import extract_features


class PixelComponents:
    """Encoder that projects clips on the first principal components of the training clips' pixels.

    Args:
        train: Training clips to fit on.
        components: Number of components; reduced to the number of clips if there are fewer.
        seed: Random seed of the randomised solver.
    """

    def __init__(self, train: ClipDataset, components: int, seed: int) -> None:
        pixels_VP, _ = extract_features(lambda video_BTCHW: video_BTCHW.flatten(1), train)
        # Noisy images have flat spectra, for which the default number of iterations is too small.
        # Imported here, because scikit-learn takes a second, which commands without it are spared.
        from sklearn.decomposition import PCA

        solver = PCA(
            min(components, len(pixels_VP)), svd_solver="randomized", iterated_power=8, random_state=seed
        )
        solver.fit(pixels_VP.numpy())
        self.mean_P = torch.from_numpy(solver.mean_).float()
        self.components_DP = torch.from_numpy(solver.components_).float()

    def encode(self, video_BTCHW: Tensor) -> Tensor:
        """Encode uint8 clips ``(B, T, C, H, W)`` as ``(B, 1, D)``: one token for the whole clip."""
        centred_BP = video_BTCHW.flatten(1).float() - self.mean_P
        return (centred_BP @ self.components_DP.T).unsqueeze(1)
