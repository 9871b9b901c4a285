"""A model of rendered videos says that it does not know other images."""

import json
import shutil
import warnings
from pathlib import Path

import pytest

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.commands.predict import main
from vjepa.config import config_from_tree, read_config
from vjepa.data.processor import VideoProcessor
from vjepa.data.rendered import is_rendered
from vjepa.data.synthetic.settings import RenderSettings
from vjepa.data.synthetic.write import write_videos
from vjepa.models.classifier import Classifier, build_head
from vjepa.recipes.finetune.build import LabelledSplits, classifier_config, resolve
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import PretrainConfig
from vjepa.weights.model_folder import save_pretrained

DEBUG = str(Path(__file__).parents[2] / "configs" / "debug.yaml")
NEVER_SEEN = "has never seen images like these"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A manifest that the library wrote."""
    return write_videos(
        tmp_path_factory.mktemp("v"), RenderSettings(size=16, frames=24), num_videos=1, seed=0
    )


@pytest.fixture
def own(rendered):
    return str(rendered.parent / "videos" / "000000.mp4")


@pytest.fixture
def foreign(own, tmp_path):
    (tmp_path / "other" / "videos").mkdir(parents=True)
    return str(shutil.copy(own, tmp_path / "other" / "videos"))


def test_where_the_library_wrote_is_recognised(rendered, own, foreign):
    for place in (rendered, own, rendered.parent, rendered.parent / "videos", f"{rendered}?label=up"):
        assert is_rendered(place)
    for place in (foreign, "nowhere.mp4", "None", ""):
        assert not is_rendered(place)


def test_a_model_folder_says_what_it_was_trained_on(rendered, foreign, tmp_path):
    def says(*arguments):
        config = read_config(["--config", DEBUG, *arguments], PretrainConfig)
        return build.model_config(build.resolve(config))["rendered"]

    assert says()
    assert says("--data.synthetic=null", f"--data.train={rendered}")
    assert not says("--data.synthetic=null", f"--data.train={foreign}")
    assert not says("--data.synthetic=null", f"--data.train=['{rendered}', '{foreign}']")
    model = make_video_model()
    for knows in (True, False):
        save_pretrained(tmp_path / "init", model.state_dict(), {**model.config, "rendered": knows})
        assert says(f"--init={tmp_path / 'init'}") == knows
        for train, alone in ((rendered, knows), (foreign, False)):
            tree = {"model": {"init": str(tmp_path / "init")}, "data": {"train": str(train)}}
            config = config_from_tree({"output_dir": str(tmp_path), **tree}, FinetuneConfig)
            run, _ = resolve(config, LabelledSplits([], [], [], ["a", "b"]))
            assert classifier_config(run)["rendered"] == alone


def test_every_way_in_for_files_says_so(own, foreign):
    model = make_video_model(rendered=True)
    processor = VideoProcessor.of_config(model.config)
    network = Classifier(model.encoder, build_head("linear", 24, 2), model.normalizer).eval()
    classifier = vjepa.VideoClassifier(network, ["a", "b"], processor)
    ways = (
        model.encode,
        lambda path: vjepa.FuturePredictor(model).observe(path),
        lambda path: vjepa.surprise(model, path, context_steps=[5]),
        classifier.predict,
    )
    for way in ways:
        with pytest.warns(UserWarning, match=NEVER_SEEN):
            way(foreign)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            way(own)
    assert not VideoProcessor.of_config(make_video_model().config).is_foreign(foreign)


def test_the_demo_says_so_beside_its_metrics(own, foreign, tmp_path, capsys):
    model = make_video_model(rendered=True)
    save_pretrained(tmp_path / "model", model.state_dict(), model.config)
    arguments = [
        "--model",
        str(tmp_path / "model"),
        "--output",
        str(tmp_path),
        "--plots",
        "0",
        "--device",
        "cpu",
    ]
    for video, said in ((own, False), (foreign, True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert main([*arguments, "--videos", video]) == 0
        printed = capsys.readouterr().out
        assert (
            f"warning about 1 of 1 videos: the model was trained on rendered videos alone and {NEVER_SEEN}"
            in printed
        ) == said
        assert json.loads((tmp_path / "future.json").read_text())["foreign_videos"] == int(said)
        assert "skill: 1 - L1 of the prediction / L1 of the baseline" in printed
