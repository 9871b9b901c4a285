"""What a model's card says, and what goes to the hub; nothing here reaches a network."""

import json
from pathlib import Path

import pytest
import yaml

import vjepa
from tests.inference.conftest import make_video_model
from vjepa.weights import push as hub
from vjepa.weights.model_folder import save_pretrained

TRAINING = {"data": {"train": "/home/someone/private/clips.csv?split=train", "synthetic": None}}


@pytest.fixture
def run(tmp_path):
    model = make_video_model(0)
    save_pretrained(tmp_path / "mine" / "model", model.state_dict(), {**model.config, "training": TRAINING})
    summary = {"probe": {"linear": {"trained": 0.863, "random": 0.328, "chance": 0.125}}}
    (tmp_path / "mine" / "summary.json").write_text(json.dumps(summary))
    return tmp_path / "mine"


def test_a_card_says_what_the_model_is(run):
    card = hub.model_card(run, "apache-2.0")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license"] == "apache-2.0"
    assert head["pipeline_tag"] == "feature-extraction"
    assert "| ridge probe, frozen | trained 86.3%, untrained 32.8%, chance 12.5% |" in card
    assert "| clips | 16 frames of 16 x 16 pixels |" in card
    assert "| training data | clips.csv?split=train |" in card


@pytest.mark.parametrize(
    ("train", "named"),
    [
        ("/home/someone/clips/", "clips"),
        (["/home/someone/a.csv?split=train", "/home/someone/b/"], "a.csv?split=train, b"),
        ("/home/someone/a.csv?file=/home/someone/x.mp4&split=1", "a.csv?file=x.mp4&split=1"),
        ("clips.csv", "clips.csv"),
        ("/home/someone/a|b <c>.csv", r"a\|b &lt;c>.csv"),
    ],
)
def test_data_keeps_its_name(run, train, named):
    config = json.loads((run / "model" / "config.json").read_text())
    config["training"]["data"]["train"] = train
    (run / "model" / "config.json").write_text(json.dumps(config))
    card = hub.model_card(run, "mit")
    assert f"| training data | {named} |" in card
    assert "/home/someone" not in card


def test_a_card_of_an_action_model_says_how_it_is_loaded(tmp_path):
    model = make_video_model(0)
    dynamics = {"embed_dim": 8, "depth": 1, "num_heads": 1}
    save_pretrained(tmp_path / "model", model.state_dict(), {**model.config, "dynamics": dynamics})
    assert "`vjepa.load_action_model(FOLDER)`" in hub.model_card(tmp_path / "model", "mit")


def test_no_path_of_the_owner_s_machine_is_in_it(run):
    assert "/home/someone" not in hub.model_card(run, "apache-2.0")


def test_a_folder_is_uploaded_whole(run, tmp_path, monkeypatch):
    calls = []

    class Api:
        def __init__(self, token):
            calls.append(token)

        def create_repo(self, repo_id, private, exist_ok):
            calls.append((repo_id, private, exist_ok))

        def upload_folder(self, repo_id, folder_path, commit_message):
            calls.append({path.name: path.read_bytes() for path in Path(folder_path).iterdir()})
            return "https://hub/commit"

    monkeypatch.setattr(hub, "HfApi", Api)
    assert vjepa.push_to_hub(run, "a/b", licence="mit", private=True) == "https://hub/commit"
    assert calls[1] == ("a/b", True, True)
    assert set(calls[2]) == {"README.md", "config.json", "model.safetensors"}
    assert b"license: mit" in calls[2]["README.md"]
    assert b"/home" not in calls[2]["config.json"]
    for name, content in calls[2].items():  # what was uploaded is a model
        (tmp_path / "down").mkdir(exist_ok=True)
        (tmp_path / "down" / name).write_bytes(content)
    vjepa.from_pretrained(tmp_path / "down")
    with pytest.raises(ValueError, match="is not a model"):
        vjepa.push_to_hub(run.parent, "a/b", licence="mit")
