"""The exam of untrained models: of everything, of an encoder alone, and of actions."""

import json

import numpy as np
import pytest

from tests.inference.conftest import make_video_model
from vjepa.commands.exam import main
from vjepa.data.manifest import Video
from vjepa.data.processor import _moments
from vjepa.evaluation.exam import Exam
from vjepa.recipes.exam import sections, worlds
from vjepa.weights.model_folder import save_pretrained

FEW = ["--num_sets=1", "--num_ordinary=20", "--num_videos=10", "--nulls=2"]


def saved(folder, **changes):
    model = make_video_model(**changes)
    config = {name: part for name, part in model.config.items() if name != "which"}
    save_pretrained(folder, model.state_dict(), config)
    return str(folder)


def sections_of(folder):
    exam = json.loads((folder / "exam.json").read_text())
    return {section["name"]: section for section in exam["sections"]}


def test_a_model_with_a_predictor_is_examined_in_everything(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(worlds, "VIOLATIONS", ("vanish", "stop"))  # all kinds take three times as long
    monkeypatch.setattr(worlds, "CONTROLS", ("recolour",))
    model = saved(tmp_path / "model", encoder={"depth": 1}, predictor={"depth": 1})
    assert main(["--model", model, *FEW, f"--output={tmp_path / 'out'}"]) == 0
    found = sections_of(tmp_path / "out")
    assert list(found) == ["Future", "Arrow of time", "Violations", "Occlusion", "Tracking", "Corruption"]
    assert [row["what"] for row in found["Future"]["rows"]] == [
        "0.75 s ahead" if step == 3 else f"{step / 4:.2f} s ahead" for step in (1, 2, 3)
    ]
    kinds = {row["what"]: row["control"] for row in found["Violations"]["rows"]}
    assert kinds == {"vanish": False, "stop": False, "recolour": True}
    assert set(found["Tracking"]["rows"][0]["values"]) == {"model", "untrained", "pixels", "standing still"}
    assert len(found["Corruption"]["rows"]) == 12
    assert (
        "Does a prediction know where an object is while it is hidden?"
        in (tmp_path / "out" / "exam.html").read_text()
    )
    assert "Is an impossible event more surprising" in capsys.readouterr().out


def test_the_exam_of_a_model_of_the_hub_lies_under_another_name_than_its_own(tmp_path, on_hub, monkeypatch):
    folders = []

    def examined(model, name, folder, videos, settings):
        assert folder.is_dir()
        folders.append(folder)
        return Exam(name, {}, (), None, "here", 1.0)

    monkeypatch.setattr("vjepa.commands.exam.examine", examined)
    arguments = ["--model", on_hub(saved(tmp_path / "model"))]
    for _ in range(2):
        assert main(arguments) == 0
    assert (tmp_path / "here" / "acme-model" / "exam" / "exam.html").exists()
    assert main([*arguments, "--output", str(tmp_path / "model" / "config.json")]) == 2
    assert len(folders) == 2


def test_what_an_encoder_cannot_do_is_named(tmp_path):
    model = make_video_model()
    config = {name: model.config[name] for name in ("encoder", "pixels", "clip")}
    state = {name: value for name, value in model.state_dict().items() if name.startswith("encoder.")}
    save_pretrained(tmp_path / "model", state, config)
    assert main([f"--model={tmp_path / 'model'}", *FEW, f"--output={tmp_path / 'out'}"]) == 0
    found = sections_of(tmp_path / "out")
    skipped = {name: section["skipped"] for name, section in found.items() if section["skipped"]}
    assert set(skipped) == {"Future", "Arrow of time", "Violations", "Occlusion"}
    assert skipped["Future"] == "the model has no predictor of embeddings"
    assert "has no predictor" in skipped["Arrow of time"]


@pytest.mark.parametrize("name", ["num_ordinary", "nulls"])
def test_too_few_are_refused(name, tmp_path, capsys):
    assert main([f"--model={saved(tmp_path / 'model')}", f"--{name}=1"]) == 2
    assert f"{name} is 1: give" in capsys.readouterr().err


def test_short_videos_leave_out_the_sections_that_need_them(tmp_path):
    """With a model of longer clips; the other sections render videos of their own."""
    videos = [Video(str(tmp_path / f"{number}.npy")) for number in range(4)]
    for number, video in enumerate(videos):
        frames = np.random.default_rng(number).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
        np.save(video.path, frames)
    model = make_video_model(encoder={"depth": 1}, predictor={"depth": 1})
    found = [
        sections.future(model, videos, nulls=2, steps=None),
        sections.time_arrow(model, videos, nulls=2),
        sections.corruption(model, videos, num_videos=4),
    ]
    assert [each.rows for each in found] == [(), (), ()]
    assert all("videos" in each.skipped for each in found)


def test_options_that_episodes_do_not_use_are_refused(tmp_path, capsys):
    given = ["--episodes", str(tmp_path), "--nulls=2", "--steps=3"]
    assert main([f"--model={saved(tmp_path / 'model')}", *given]) == 2
    assert "--nulls, --steps are for video models" in capsys.readouterr().err


@pytest.mark.parametrize(("clip", "rendered", "rate"), [
    ({"fps": 7.5, "stride": None}, None, 8), ({"fps": 29.97, "stride": None}, None, 30),
    ({"fps": 4.0, "stride": None}, 8, 8), ({"fps": None, "stride": 2}, None, 8),
    ({"fps": None, "stride": None}, None, 8),
])  # fmt: skip
def test_rendered_videos_are_long_enough_at_the_model_s_own_rate(clip, rendered, rate):
    """What the exam renders has the frames that it asks for, whatever the two frame rates are."""
    model = make_video_model(clip=clip)
    if rendered is not None:
        own = {"render": {"frames": 32, "frame_rate": rendered, "size": 16}}
        model.config["training"] = {"data": {"synthetic": own}}
    render = worlds.home_of(model).render
    assert round(render.frame_rate) == rate
    times = np.arange(render.frames) / render.frame_rate
    part = (0.0, render.frames / render.frame_rate)
    read = len(_moments(times, model.processor, part, from_end=False)[0])
    assert read >= max(2 * 16, 32)
    assert worlds.windows_of(model, render) == read // 16
