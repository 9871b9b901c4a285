"""Videos and images as one dataset."""

from __future__ import annotations

from torch.utils.data import Dataset

from vjepa.data.dataset import ClipDataset, Sample
from vjepa.data.sampling import SampleKey


class MixedDataset(Dataset[Sample]):
    """Rows of videos, and after them rows of images; clips of images have one frame.

    A batch must not mix the two: `vjepa.data.sampling.StepBatches` takes whole steps of one kind.
    """

    def __init__(self, videos: ClipDataset, images: ClipDataset) -> None:
        if images.sampling.num_frames != 1:
            raise ValueError(f"clips of images have {images.sampling.num_frames} frames: give 1")
        self.videos = videos
        self.images = images

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.videos) + len(self.images)

    def __getitem__(self, key: SampleKey) -> Sample:
        if key.index < len(self.videos):
            return self.videos[key]
        return self.images[key._replace(index=key.index - len(self.videos))]
