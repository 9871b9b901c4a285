"""Features come from the disk only when nothing that they depend on has changed."""

import os
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import TensorDataset

from vjepa.data.clips import ClipSampling
from vjepa.data.dataset import ClipDataset
from vjepa.data.manifest import Video, read_manifest
from vjepa.data.python_datasets import name_dataset
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.data.transforms import eval_transform
from vjepa.evaluation.features import cache as feature_cache
from vjepa.evaluation.features.cache import cached_features, extract_shards
from vjepa.models.network import set_precision
from vjepa.models.video_model import VideoModel

CONFIG = {
    "encoder": {"embed_dim": 24, "depth": 1, "num_heads": 2, "tubelet": [2, 8, 8]},
    "pixels": {"mean": [0.5] * 3, "std": [0.5] * 3},
}


@pytest.fixture
def videos(tmp_path):
    return read_manifest(
        write_videos(tmp_path / "v", RenderSettings(size=16, frames=4), num_videos=6, seed=0)
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VideoModel(CONFIG).eval()


def dataset_of(videos, size=16, **changes):
    sampling = changes.pop("sampling", ClipSampling(num_frames=4, stride=1))
    return ClipDataset(videos, sampling, eval_transform(size), 0, spread=True, **changes)


@pytest.fixture
def extractions(model, monkeypatch):
    """How many batches were really encoded."""
    calls = []
    encode = VideoModel.encode

    def counted(self, video):
        calls.append(len(video))
        return encode(self, video)

    monkeypatch.setattr(VideoModel, "encode", counted)
    return calls


def test_the_second_time_comes_from_the_disk(model, videos, tmp_path, extractions):
    first = cached_features(tmp_path / "c", model, dataset_of(videos))
    again = cached_features(tmp_path / "c", model, dataset_of(videos))
    assert len(extractions) == 1
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert first[0].shape == (6, 24)


@pytest.mark.parametrize(
    ("pooling", "shape"), [("mean", (6, 24)), ("steps", (6, 2, 24)), ("tokens", (6, 8, 24))]
)
def test_poolings(pooling, shape, model, videos, tmp_path):
    features, _ = cached_features(tmp_path, model, dataset_of(videos), pooling)
    assert features.shape == shape
    tokens, _ = cached_features(tmp_path, model, dataset_of(videos), "tokens")
    mean, _ = cached_features(tmp_path, model, dataset_of(videos), "mean")
    torch.testing.assert_close(tokens.mean(dim=1), mean)


def test_anything_that_matters_is_extracted_anew(model, videos, tmp_path, extractions):
    def count(model=model, dataset=None, pooling="mean"):
        before = len(extractions)
        cached_features(tmp_path / "c", model, dataset or dataset_of(videos), pooling)
        return len(extractions) - before

    assert count() == 1
    assert count() == 0
    assert count(pooling="steps") == 1
    assert count(dataset=dataset_of(videos, size=8)) == 1
    assert count(dataset=dataset_of(videos, sampling=ClipSampling(num_frames=2, stride=1))) == 1
    assert count(dataset=dataset_of(videos[:5])) == 1
    assert count(dataset=dataset_of([replace(videos[0], end=0.3), *videos[1:]])) == 1
    another_seed = dataset_of(videos)
    another_seed.seed += 1  # It decides nothing where clips are evenly spread.
    assert count(dataset=another_seed) == 0
    with torch.no_grad():
        model.encoder.patch_embed.proj.bias[0] += 1e-6
    assert count() == 1
    os.utime(videos[2].path, ns=(1, 1))
    assert count() == 1
    assert count() == 0


def test_an_image_that_changes_in_a_folder_of_frames_is_noticed(model, tmp_path, extractions):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (16, 16), (40 * number,) * 3).save(folder / f"{number}.png")
    dataset = dataset_of([Video(str(folder), "a")])
    before, _ = cached_features(tmp_path / "c", model, dataset)
    with (folder / "1.png").open("r+b") as file:  # the folder's modification time stays
        Image.new("RGB", (16, 16), (255, 0, 0)).save(file, "PNG")
    after, _ = cached_features(tmp_path / "c", model, dataset)
    assert len(extractions) == 2
    assert not torch.equal(before, after)


def test_items_of_a_dataset_of_python_are_refused(model, tmp_path):
    """Their pixels may change under the same name, and nothing would tell."""
    clips = TensorDataset(torch.zeros(3, 4, 3, 16, 16, dtype=torch.uint8))
    listed = read_manifest(name_dataset(clips, "data.train"))
    with pytest.raises(
        ValueError, match=r"features on disk are asked for, and python:.*#0 is .*: nothing tells"
    ):
        cached_features(tmp_path / "c", model, dataset_of(listed))
    assert not (tmp_path / "c").exists()


def test_another_precision_is_extracted_anew(model, videos, tmp_path, extractions):
    exact = cached_features(tmp_path / "c", model, dataset_of(videos))[0]
    set_precision(model, "bf16")
    rounded = cached_features(tmp_path / "c", model, dataset_of(videos))[0]
    assert 0 < (rounded - exact).norm() < 0.05 * exact.norm()
    set_precision(model, "no")
    count = len(extractions)
    assert torch.equal(cached_features(tmp_path / "c", model, dataset_of(videos))[0], exact)
    assert len(extractions) == count


def test_all_shards_come_from_one_loader(model, videos, tmp_path, extractions, monkeypatch):
    whole, labels = cached_features(tmp_path / "whole", model, dataset_of(videos))
    loaders, batches = [], feature_cache.feature_batches

    def counted(*arguments, **options):
        loaders.append(None)
        return batches(*arguments, **options)

    monkeypatch.setattr(feature_cache, "feature_batches", counted)
    monkeypatch.setattr(feature_cache, "SHARD", 4)
    monkeypatch.setattr(feature_cache, "_BATCH", 2)
    for missing in (None, 0, 1):
        extractions.clear()
        if missing is not None:
            (shard,) = tmp_path.rglob(f"few/*/shard_0000{missing}.safetensors")
            shard.unlink()
        features, found = cached_features(tmp_path / "few", model, dataset_of(videos))
        torch.testing.assert_close(features, whole)
        assert torch.equal(found, labels)
        assert extractions == {None: [2, 2, 2], 0: [2, 2], 1: [2]}[missing]
    assert len(loaders) == 3


@pytest.mark.parametrize("damage", ["empty", "truncated", "header", "of fewer videos"])
def test_a_damaged_shard_is_made_again(damage, model, videos, tmp_path, extractions):
    first = cached_features(tmp_path / "c", model, dataset_of(videos))
    (shard,) = (tmp_path / "c").rglob("*.safetensors")
    content = shard.read_bytes()
    if damage == "of fewer videos":
        save_file({"features": first[0][:2], "labels": first[1][:2]}, shard)
    else:
        shard.write_bytes(
            {"empty": b"", "truncated": content[:-1], "header": b"\xff" * 8 + content[8:]}[damage]
        )
    again = cached_features(tmp_path / "c", model, dataset_of(videos))
    assert len(extractions) == 2
    assert torch.equal(first[0], again[0])


def test_a_shard_marks_what_cannot_be_read(model, videos, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    listed = [*videos[:3], replace(videos[0], path=str(broken)), *videos[3:]]
    dataset = dataset_of(listed)
    shards = extract_shards(tmp_path / "c", lambda video: video.float().mean((1, 2, 3, 4)), {}, dataset)
    assert {row: path for row, (path, _) in shards.unreadable().items()} == {3: str(broken)}
    kept = shards.without([3])
    assert len(kept) == 6
    assert [kept[row][0].item() for row in range(6)] == [shards[row][0].item() for row in (0, 1, 2, 4, 5, 6)]
    with pytest.raises(ValueError, match=r"1 videos cannot be read, e\.g\. .*broken\.mp4"):
        cached_features(tmp_path / "d", model, dataset)


def test_damaged_videos_that_are_skipped_do_not_come_from_an_entry_that_kept_them(
    model, videos, tmp_path, extractions
):
    cached_features(tmp_path / "c", model, dataset_of(videos, damaged="keep"))
    cached_features(tmp_path / "c", model, dataset_of(videos, damaged="skip"))
    assert len(extractions) == 2
