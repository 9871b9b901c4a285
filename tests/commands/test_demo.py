"""The page that shows what a model makes of an uploaded video, asked as a browser asks it."""

import sys

import pytest

from tests.inference.classifier_folder import CLASSES
from tests.inference.conftest import make_video_model
from vjepa.commands.demo import _parser, build_demo, main
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.weights.model_folder import save_pretrained


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_videos(folder, RenderSettings(size=16, frames=24), num_videos=1, seed=0)
    return str(folder / "videos" / "000000.mp4")


@pytest.fixture
def asked(video):
    """Return a function from a model's folder to the answer of its page."""
    gradio = pytest.importorskip("gradio", reason="the demo needs the extra `demo`")
    from gradio_client import Client, handle_file

    def ask(model, file=video):
        page = build_demo(_parser().parse_args(["--model", str(model), "--device", "cpu"]))
        assert isinstance(page, gradio.Blocks)
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, show_error=True)
        try:
            return Client(url, verbose=False).predict(handle_file(file), api_name="/show")
        finally:
            page.close()

    return ask


@pytest.mark.slow  # gradio takes 10 seconds to begin
def test_predictions_and_surprise_are_shown(asked, tmp_path):
    model = make_video_model()
    save_pretrained(tmp_path / "model", model.state_dict(), model.config)
    page, table = asked(tmp_path / "model")
    assert page.startswith('<iframe title="Predictions and surprise"')
    assert "What model predicts" in page
    assert "skill" in table


@pytest.mark.slow
def test_classes_are_shown_as_a_whole_and_over_time(asked, classifier_folder):
    whole, parts = asked(classifier_folder)
    confidences = {entry["label"]: entry["confidence"] for entry in whole["confidences"]}
    assert confidences.keys() == set(CLASSES)
    assert sum(confidences.values()) == pytest.approx(1)
    assert whole["label"] == max(confidences, key=confidences.get)
    assert parts["headers"] == ["from, s", "to, s", "class", "probability"]
    assert {row[2] for row in parts["data"]} <= set(CLASSES)


@pytest.mark.slow
def test_a_file_that_is_no_video_is_refused_in_a_sentence(asked, classifier_folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(Exception, match=r"broken\.mp4 cannot be read"):
        asked(classifier_folder, str(tmp_path / "broken.mp4"))


def test_without_gradio_the_remedy_is_named(monkeypatch, capsys, classifier_folder):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["--model", str(classifier_folder)]) == 2
    assert "the demo needs gradio, which is not installed: pip install gradio" in capsys.readouterr().err
