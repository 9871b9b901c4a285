"""What makes no comparison is refused, with the setting, its value and the remedy."""

from pathlib import Path

import pytest
import yaml

from tests.recipes.compare.tiny_comparison import ARMS, BASE, OWN_CLIPS, PIXELS, written
from vjepa.config import ConfigError, read_config
from vjepa.recipes.compare.cells import all_cells
from vjepa.recipes.compare.config import CompareConfig

ROOT = Path(__file__).parents[3]
SPLIT = {"train": "a.csv", "test": "b.csv"}


def arms(**changed):
    return {"arms": {**ARMS, **changed}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 1]}, "three or more"),
        ({"contrasts": [["vjepa", "mae"]]}, "choose among vjepa"),
        ({"label_shares": [0.0]}, r"each in \(0, 1\]"),
        (arms(a={"title": "A", "kind": "magic"}), "magic"),
        ({"surprise": 1}, "surprise"),
        ({"splits": [SPLIT]}, r"base\.data\.synthetic instead, and not both"),
        ({"base": OWN_CLIPS}, "splits is None: give one or more"),
        ({"base": OWN_CLIPS, "splits": []}, r"splits is \[\]"),
        ({"base": OWN_CLIPS, "splits": [SPLIT], "horizons": [4]}, "for rendered videos alone"),
        ({"extra_train": ["c.csv"]}, "extra_train is .*your own videos"),
        ({"measures": []}, "measures is"),
        ({"measures": ["ridge", "ridge"]}, r"measures is .*: give each of them once"),
        ({"seeds": [0, 1, 1]}, r"seeds is \[0, 1, 1\]: give each of them once"),
        ({"label_shares": [1.0, 0.5, 1.0]}, r"label_shares is .*: give each of them once"),
        ({"base": OWN_CLIPS, "splits": [SPLIT, SPLIT]}, r"splits is .*: give each of them once"),
        (
            {"sweep": {"title": "T", "arms": ["vjepa"], "seeds": [3, 3], "points": {}}},
            r"sweep\.seeds is \[3, 3\]: give each of them once",
        ),
        *(
            (
                {"measures": ["finetune"], "finetune": tree},
                rf"finetune\.{key} is .*, and arms, splits and seeds determine it: leave it out",
            )
            for key, tree in (
                ("data.label_share", {"data": {"label_share": 0.1}}),
                ("data.train", {"data": {"train": "x.csv"}}),
                ("data.val", {"data": {"val": "x.csv"}}),
                ("model.init", {"model": {"init": "x"}}),
                ("seed", {"seed": 3}),
            )
        ),
        ({"finetune": {"optim": {"epochs": 3}}}, "add finetune to measures"),
        (
            arms(p={"title": "P", "kind": "pca", "overrides": PIXELS}),
            r"arms\.p has overrides and the kind pca",
        ),
        (arms(u={"title": "U", "kind": "untrained", "flops_of": "vjepa"}), "only a trained arm has a number"),
        (arms(u={"title": "U", "flops_of": "untrained"}), r"arms\.u\.flops_of is untrained"),
        (arms(u={"title": "U", "flops_of": "nobody"}), r"arms\.u\.flops_of is nobody"),
    ],
)
def test_what_makes_no_comparison_is_refused(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        read_config(written(tmp_path, **changes), CompareConfig)


def test_videos_to_train_on_are_given_as_splits(tmp_path):
    base = {**OWN_CLIPS, "data": {**OWN_CLIPS["data"], "train": "c.csv"}}
    with pytest.raises(ConfigError, match="unlabelled ones as extra_train"):
        read_config(written(tmp_path, base=base, splits=[SPLIT]), CompareConfig)


def test_splits_come_from_the_command_line_too(tmp_path):
    given = ["--splits", "[{train: 'a.csv?split1=train', test: 'a.csv?split1=test'}, {train: c, test: d}]"]
    comparison = read_config([*written(tmp_path, base=OWN_CLIPS, splits=[SPLIT]), *given], CompareConfig)
    assert [(split.train, split.test) for split in comparison.splits] == [
        ("a.csv?split1=train", "a.csv?split1=test"),
        ("c", "d"),
    ]


def test_a_fine_tuning_is_checked_before_the_first_run(tmp_path):
    changes = {"measures": ["finetune"], "finetune": {"optim": {"epocs": 3}}}
    with pytest.raises(ConfigError, match="epocs"):
        all_cells(read_config(written(tmp_path, **changes), CompareConfig))


def test_horizons_beyond_the_end_of_the_videos_are_refused(tmp_path):
    comparison = read_config(written(tmp_path, base=BASE, horizons=[0, 3]), CompareConfig)
    with pytest.raises(ValueError, match=r"horizons has 3: .* has 2 after its clip"):
        all_cells(comparison)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs" / "compare").glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_shipped_comparison_is_whole(path):
    own = ["--splits", "[{train: a.csv, test: b.csv}]"] if "--splits" in path.read_text() else []
    comparison = read_config(["--config", str(path), *own], CompareConfig)
    cells = all_cells(comparison)
    if own:
        assert {(cell.config.data.train[0], cell.test) for cell in cells} == {("a.csv", "b.csv")}
    assert {cell.arm for cell in cells} == comparison.arms.keys()
    for cell in cells:
        assert cell.config.optim.batch_size * cell.config.optim.steps > 0


def test_the_comparison_on_clips_trains_the_recipe_for_clips():
    """What the one measures is what the other gives."""
    comparison = yaml.safe_load((ROOT / "configs/compare/clips.yaml").read_text())
    recipe = yaml.safe_load((ROOT / "configs/pretrain/clips.yaml").read_text())
    learnt = ("augment", "masks", "encoder", "predictor", "objective", "optim")
    assert comparison["arms"]["vjepa"].keys() == {"title"}
    assert [comparison["base"].get(name) for name in learnt] == [recipe.get(name) for name in learnt]
    assert comparison["base"]["data"] == {**recipe["data"], "num_workers": 0}
