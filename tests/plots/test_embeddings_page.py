"""The page of many videos: nearest ones are those that are given as nearest, and its sentence is true."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.page_data import data_of
from vjepa.plots.embeddings_page import EmbeddingsPage, agreement, similarities, write_embeddings_page


@pytest.fixture
def page():
    """Three groups of videos, each around its own direction."""
    generator = torch.Generator().manual_seed(0)
    centres = 5 * torch.eye(3).repeat_interleave(6, dim=0)
    return EmbeddingsPage(
        title="Alike & <b>",
        names=[f"{number}.mp4" for number in range(18)],
        labels=["run"] * 6 + ["jump"] * 6 + ["</script>"] * 6,
        pictures_VHWC=np.zeros((18, 8, 8, 3), np.uint8),
        embeddings_VD=centres + 0.1 * torch.randn(18, 3, generator=generator),
    )


def test_neighbours_are_of_the_same_group_on_the_page_and_on_the_map(page, tmp_path):
    write_embeddings_page(tmp_path / "page.html", page)
    data = data_of(tmp_path / "page.html")
    groups = np.arange(18) // 6
    assert all(
        groups[number] == groups[video] for video in range(18) for number in data["nearest"][video][:5]
    )
    places = np.array(data["places"])
    assert (places.min(axis=0) == 0).all()
    assert (places.max(axis=0) == 1000).all()
    distances = np.linalg.norm(places[:, None] - places, axis=-1) + 1e9 * np.eye(18)
    assert (groups[distances.argmin(axis=1)] == groups).all()
    text = (tmp_path / "page.html").read_text()
    assert "Alike &amp; &lt;b&gt;" in text
    assert text.count("</script>") == 2
    assert "18 of 18 videos (100%)" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_names_need_not_be_utf8(page, tmp_path):
    foreign = replace(page, title="caf\udce9", names=["clip\udcff0.avi"] * 18, labels=["a\udcff"] * 18)
    write_embeddings_page(tmp_path / "page.html", foreign)
    assert r"<td>clip\udcff0.avi</td><td>a\udcff</td>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    data = data_of(tmp_path / "page.html")
    assert (data["names"][0], data["classes"]) == (r"clip\udcff0.avi", [r"a\udcff"])


def test_the_sentence_compares_with_chance():
    labels = ["a", "a", "b", "b"]
    assert agreement(labels, [1, 0, 0, 0]) == (
        "For 2 of 4 videos (50%), the video with the most similar embedding has the same label; of videos "
        "that were paired at random, 33% would."
    )
    assert agreement([None] * 4, [1, 0, 0, 0]).startswith("Each point is one of 4 videos")


def test_similarity_is_the_cosine_of_centred_embeddings():
    embeddings = torch.randn(5, 7, generator=torch.Generator().manual_seed(1)) + 10
    similar = similarities(embeddings).numpy()
    centred = (embeddings - embeddings.mean(0)).numpy()
    for i, j in ((0, 1), (2, 4)):
        cosine = centred[i] @ centred[j] / np.linalg.norm(centred[i]) / np.linalg.norm(centred[j])
        assert similar[i, j] == pytest.approx(cosine, abs=1e-5)
    assert (similar.diagonal() == -1).all()
