"""Every shipped configuration loads, builds and says how it is run; mistakes in one's own are explained."""

import ast
import dataclasses
import re
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from vjepa.config import ConfigError, EncoderConfig, read_config, write_config
from vjepa.data.augment import augment_transform
from vjepa.data.trajectories.episode import Episode, VideoFrames
from vjepa.data.views import MultiView
from vjepa.models.action_model import ActionModel
from vjepa.models.classifier import build_head
from vjepa.models.video_model import VideoModel
from vjepa.recipes.action import build as action
from vjepa.recipes.action.config import ActionConfig
from vjepa.recipes.action.policies import planner_of
from vjepa.recipes.configs import CONFIGS
from vjepa.recipes.finetune import build as finetuning
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain import build
from vjepa.recipes.pretrain.config import BlurConfig, JitterConfig, PredictorConfig, PretrainConfig
from vjepa.recipes.pretrain.data import train_views
from vjepa.recipes.pretrain.preview import example_batch
from vjepa.training.optimizer import Schedules
from vjepa.weights.model_folder import Weights, save_pretrained

ROOT = Path(__file__).parents[1]
LAUNCHER = ROOT / "configs" / "accelerate"
COMPARISONS = ROOT / "configs" / "compare"
FINETUNING = ROOT / "configs" / "finetune"
ACTION = ROOT / "configs" / "action"
OTHERS = {LAUNCHER, COMPARISONS, FINETUNING, ACTION}
FILES = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent not in OTHERS)


def name_of(path):
    return str(path.relative_to(ROOT))


def layers_of(path):
    """The --config files of the command that a file opens with."""
    opening = path.read_text().split("\n\n")[0]
    command = re.search(r"tools/(?:pretrain|action)\.py((?:\s|\\\n#)+--config \S+)+", opening).group()
    return [
        argument
        for name in re.findall(r"--config (\S+)", command)
        for argument in ("--config", str(ROOT / name))
    ]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_shipped_configuration_is_whole(path, tmp_path):
    config = read_config(layers_of(path), PretrainConfig)
    start = Weights({}, {}, "any") if config.init else None  # No network is asked.
    with torch.device("meta"):
        objective = build.build_objective(build.Resolved(config, start))
    batch = example_batch(config)  # draws the masks for the configured grid
    assert all(mask.context_BK.shape[1] and mask.target_BM.shape[1] for mask in batch.masks)
    if config.objective.predict == "views":
        assert isinstance(train_views(config), MultiView)
        assert len(batch.views) == 2
    else:
        predicting = objective.decoder if config.objective.predict == "pixels" else objective.predictor
        assert len(predicting.mask_tokens) == len(batch.masks)
    assert all(Schedules(config.optim).lr(step) <= config.optim.lr for step in (0, config.optim.steps))
    micro_batch = config.train.micro_batch
    assert micro_batch is None or config.optim.batch_size % micro_batch == 0

    write_config(config, tmp_path / "again.yaml")
    assert read_config(["--config", str(tmp_path / "again.yaml")], PretrainConfig) == config


@pytest.mark.parametrize("path", sorted(ACTION.glob("*.yaml")), ids=name_of)
def test_a_shipped_action_model_is_whole(path, tmp_path):
    pytest.importorskip("gymnasium")
    given = layers_of(path)
    train = re.search(r"--data\.train (\S+)", path.read_text())
    given += ["--data.train", train.group(1)] if train else []
    config = read_config(given, ActionConfig)
    if config.init is not None:  # any encoder will do, and no network is asked
        arguments = {"embed_dim": 24, "depth": 1, "num_heads": 2, "tubelet": [2, 16, 16]}
        known = {"encoder": arguments, "pixels": {"mean": [0.5] * 3, "std": [0.25] * 3}}
        save_pretrained(tmp_path, VideoModel(known).state_dict(), known)
        config = dataclasses.replace(config, init=str(tmp_path))
    rows = np.zeros((100, 2), np.float32)
    episode = Episode(VideoFrames("none"), rows, rows if config.data.states else None)
    arguments = action.model_arguments(action.resolve(config, action.Episodes([episode], [])))
    with torch.device("meta"):
        model = ActionModel(**arguments)
    frames = config.data.window.frames
    assert 1 <= model.window <= frames - 1
    assert config.optim.warmup_steps < config.optim.steps
    planning = config.planning
    settings = getattr(planning, planning.planner)
    assert dataclasses.asdict(planner_of(planning)) == dataclasses.asdict(settings)
    write_config(config, tmp_path / "again.yaml")
    assert read_config(["--config", str(tmp_path / "again.yaml")], ActionConfig) == config


@pytest.mark.parametrize("path", sorted(FINETUNING.glob("*.yaml")), ids=name_of)
def test_a_shipped_fine_tuning_is_whole(path, tmp_path):
    config = read_config(["--config", str(path)], FinetuneConfig)
    head = build_head(embed_dim=1024, num_classes=10, **finetuning.head_arguments(config))
    assert head(torch.zeros(1, 3, 1024)).shape == (1, 10)
    augment, micro_batch = config.augment, config.train.micro_batch
    size = config.data.size or 32
    crop = augment_transform(
        size, augment.scale, augment.ratio, augment.flip, augment.randaugment, augment.erase
    )
    assert crop(torch.zeros(2, 3, 40, 40, dtype=torch.uint8)).shape[-1] == size
    optim = finetuning.optim_config(config, 1000)
    assert optim.steps == round(config.optim.epochs * 1000 / optim.batch_size)
    assert all(Schedules(optim).lr(step) <= optim.lr for step in (0, optim.steps))
    assert micro_batch is None or optim.batch_size % micro_batch == 0
    write_config(config, tmp_path / "again.yaml")
    assert read_config(["--config", str(tmp_path / "again.yaml")], FinetuneConfig) == config


@pytest.mark.parametrize(
    "path",
    [*FILES, *(path for folder in sorted(OTHERS) for path in sorted(folder.glob("*.yaml")))],
    ids=name_of,
)
def test_a_shipped_file_opens_with_its_command(path):
    lines = path.read_text().splitlines()
    opening = []
    for line in lines:
        if not line.startswith("#"):
            break
        opening.append(line.lstrip("# "))
    command = re.search(r"(accelerate launch|vjepa [a-z_]+) [^`]*", "\n".join(opening))
    assert command, f"{name_of(path)} does not open with the command that runs it"
    assert name_of(path) in command.group().replace("\\\n", " ")


def test_no_recipe_takes_the_run_folder_of_another():
    """A second recipe that is run as its file says is not refused, and overwrites nothing."""
    folders = {}
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        folder = yaml.safe_load(path.read_text()).get("output_dir")
        assert folder is None or folder not in folders, f"{name_of(path)} and {folders[folder]}: {folder}"
        folders[folder] = name_of(path)
    assert len(folders) > 30


def test_the_launcher_knows_every_key_of_the_sharding():
    sharded = load_config_from_file(str(LAUNCHER / "fsdp2.yaml"))
    options = {action.dest for action in launch_command_parser()._actions}
    assert sharded.fsdp_config["fsdp_version"] == 2
    assert sharded.fsdp_config.keys() <= options
    with torch.device("meta"):
        objective = build.build_objective(
            build.Resolved(read_config(["--config", str(ROOT / "configs/debug.yaml")], PretrainConfig))
        )
    blocks = {type(module).__name__ for module in objective.modules()}
    assert sharded.fsdp_config["fsdp_transformer_layer_cls_to_wrap"] in blocks


def test_the_published_schedules_come_out():
    """Learning rate, weight decay and momentum of V-JEPA and V-JEPA 2 at their first and last steps."""
    vjepa = read_config(["--config", str(ROOT / "configs/pretrain/vjepa_vitl16.yaml")], PretrainConfig)
    schedules = Schedules(vjepa.optim)
    assert schedules.lr(0) == pytest.approx(2e-4)
    assert schedules.lr(12_000) == pytest.approx(6.25e-4)
    # A cosine over 1.25 x 90,000 - 12,000 steps, left after 78,000 of its 100,500.
    assert schedules.lr(90_000) == pytest.approx(7.44e-5, rel=1e-2)
    assert schedules.weight_decay(90_000) == pytest.approx(0.3656, rel=1e-3)
    with torch.device("meta"):
        momentum = build.build_objective(build.Resolved(vjepa)).momentum
    assert (momentum(0), momentum(90_000)) == (pytest.approx(0.998), pytest.approx(0.9996))

    cooldown = read_config(
        ["--config", str(ROOT / "configs/pretrain/vjepa2_vitl16_cooldown.yaml")], PretrainConfig
    )
    schedules = Schedules(cooldown.optim)
    assert schedules.lr(0) == pytest.approx(5.25e-4)
    assert schedules.lr(12_000) == pytest.approx(1.058e-4)
    pretrain = read_config(["--config", str(ROOT / "configs/pretrain/vjepa2_vitl16.yaml")], PretrainConfig)
    assert Schedules(pretrain.optim).lr(240_000) == pytest.approx(5.25e-4)


def test_the_published_schedules_of_the_rivals_come_out():
    """VideoMAE's peak by the linear rule, I-JEPA's momentum, MAE's end at zero, V-JEPA 2.1's context loss."""
    videomae = read_config(
        ["--config", str(ROOT / "configs/pretrain/videomae_vitb16_k400.yaml")], PretrainConfig
    )
    assert Schedules(videomae.optim).lr(4680) == pytest.approx(1.5e-4 * 2048 / 256)
    assert Schedules(videomae.optim).lr(187_200) == pytest.approx(1e-5 * 2048 / 256)
    for name, peak in (("videomae_vitl16_k400", 1.5e-4 * 2), ("videomaev2_vitg14", 6e-4 * 8)):
        optim = read_config(["--config", str(ROOT / f"configs/pretrain/{name}.yaml")], PretrainConfig).optim
        assert Schedules(optim).lr(optim.warmup_steps) == pytest.approx(peak)
        assert Schedules(optim).lr(optim.steps) == pytest.approx(1e-5 * optim.batch_size / 256)
    mae = read_config(["--config", str(ROOT / "configs/pretrain/mae_vitl16.yaml")], PretrainConfig)
    assert Schedules(mae.optim).lr(249_600) == 0
    ijepa = read_config(["--config", str(ROOT / "configs/pretrain/ijepa_vith14.yaml")], PretrainConfig)
    deep = read_config(["--config", str(ROOT / "configs/pretrain/vjepa2_1_vitl16.yaml")], PretrainConfig)
    with torch.device("meta"):
        momentum = build.build_objective(build.Resolved(ijepa)).momentum
        context_loss = build.build_objective(build.Resolved(deep)).context_loss
    assert (momentum(0), momentum(187_500)) == (pytest.approx(0.996), pytest.approx(1.0))
    assert [context_loss.weight_at(step) for step in (15_000, 22_500, 30_000)] == [0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("name", "videos", "lr", "clips", "mirrored"),
    [
        # MCG-NJU/VideoMAE at 14ef8d8, finetune.sh: GPUs x videos, lr x videos / 256, clips, data_set
        ("videomae_vitb16_k400", 64 * 6, 5e-4 * 64 * 6 / 256, 5, True),
        ("videomae_vitb16_ssv2", 64 * 6, 5e-4 * 64 * 6 / 256, 2, False),
        ("videomae_vitb16_ucf101", 8 * 16, 5e-4 * 8 * 16 / 256, 5, True),
        # facebookresearch/jepa at 51c59d5, configs/evals; its eval.py mirrors nothing
        ("vjepa_k400_probe", 64 * 4, 1e-3, 8, False),
        ("vjepa_ssv2_probe", 64 * 4, 1e-3, 2, False),
        # facebookresearch/vjepa2 at c2963a4, configs/eval/vitl; its eval.py mirrors nothing
        ("vjepa2_k400_probe", 64 * 4, None, 8, False),
        ("vjepa2_ssv2_probe", 64 * 4, None, 2, False),
        ("vjepa2_diving48_probe", 64 * 2, None, 4, False),
        ("vjepa2_jester_probe", 64 * 2, None, 4, False),
    ],
)
def test_a_published_fine_tuning_has_its_authors_settings(name, videos, lr, clips, mirrored):
    config = read_config(["--config", str(ROOT / f"configs/finetune/{name}.yaml")], FinetuneConfig)
    assert (config.optim.batch_size, config.evaluation.clips) == (videos, clips)
    assert config.augment.flip is mirrored
    assert config.evaluation.crops == 3
    if lr is not None:
        assert config.optim.lr == pytest.approx(lr)
    if name.startswith("vjepa"):
        assert config.data.segments == clips


@pytest.mark.parametrize("size", ["l", "h", "g"])
def test_a_cooldown_goes_on_with_the_model_of_its_pretraining(size):
    before, after = (
        read_config(
            ["--config", str(ROOT / f"configs/pretrain/vjepa2_vit{size}16{part}.yaml")], PretrainConfig
        )
        for part in ("", "_cooldown")
    )
    assert after.init == f"{before.output_dir}/model"
    assert build.model_arguments(build.Resolved(before)) == build.model_arguments(
        build.Resolved(dataclasses.replace(after, init=None))
    )


def test_sections_of_augmentation_are_what_its_transforms_take():
    config = read_config(["--augment={jitter: {}, grey: 0.1, blur: {}, target: separate}"], PretrainConfig)
    video, target, _ = train_views(config)(torch.zeros(2, 3, 240, 320, dtype=torch.uint8))
    assert video.shape == target.shape == (2, 3, 224, 224)


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


def test_files_are_layered_and_the_command_line_overrides_them(tmp_path):
    first = written(tmp_path, "first.yaml", "optim: {lr: 1e-3, steps: 9}\nencoder: {size: tiny}")
    second = written(tmp_path, "second.yaml", "optim: {steps: 60, warmup_steps: 5}\n")
    config = read_config(
        ["--config", first, "--config", second, "--optim.warmup_steps", "6", "--seed=7"], PretrainConfig
    )
    assert (config.optim.lr, config.optim.steps, config.optim.warmup_steps) == (1e-3, 60, 6)
    assert (config.encoder.size, config.seed) == ("tiny", 7)
    assert config.optim.weight_decay == PretrainConfig().optim.weight_decay


def test_a_list_of_masks_replaces_the_default(tmp_path):
    path = written(tmp_path, "masks.yaml", "masks: {multiblock: [], tube: [{ratio: 0.8}]}\n")
    assert [mask.ratio for mask in read_config(["--config", path], PretrainConfig).masks.all] == [0.8]


@pytest.mark.parametrize(
    ("text", "wrong", "nearest"),
    [
        ("optim: {warmpup_steps: 5}", "optim.warmpup_steps", "optim.warmup_steps"),
        ("optm: {lr: 5}", "optm.lr", "optim.lr"),
        ("sed: 5", "sed", "seed"),
        ("data: {clip: {num_frame: 4}}", "data.clip.num_frame", "data.clip.num_frames"),
        ("masks: {tube: [{rato: 0.9}]}", "masks.tube.rato", "masks.tube.ratio"),
    ],
)
def test_an_unknown_key_in_a_file_names_the_file_and_the_nearest_key(text, wrong, nearest, tmp_path):
    good = written(tmp_path, "good.yaml", "seed: 1\n")
    bad = written(tmp_path, "bad.yaml", text)
    with pytest.raises(ConfigError) as error:
        read_config(["--config", good, f"--config={bad}"], PretrainConfig)
    assert str(error.value).startswith(f"{bad}: ")
    assert f"'{wrong}' is not a key of the configuration; did you mean '{nearest}'?" in str(error.value)


@pytest.mark.parametrize("arguments", [["--optim.warmpup_steps", "5"], ["--optim.warmpup_steps=5"]])
def test_an_unknown_option_names_the_nearest_key(arguments):
    with pytest.raises(ConfigError, match=r"did you mean 'optim\.warmup_steps'\?"):
        read_config(arguments, PretrainConfig)


def test_a_key_like_no_other_lists_them_all():
    with pytest.raises(ConfigError, match=r"there are output_dir, .*optim, train, probe$"):
        read_config(["--xyzzy", "1"], PretrainConfig)
    with pytest.raises(ConfigError, match=r"there are optim\.steps, .*optim\.clip_grad$"):
        read_config(["--optim.xyzzy", "1"], PretrainConfig)


def test_a_setting_of_another_tool_names_the_tool():
    with pytest.raises(ConfigError, match=r"'dynamics\.depth' .* it is one of vjepa action"):
        read_config(["--dynamics.depth", "2"], PretrainConfig, others=CONFIGS)
    with pytest.raises(ConfigError, match=r"it is one of vjepa pretrain"):
        read_config(["--masks.tube", "[]"], FinetuneConfig, others=CONFIGS)


VIEWS = "objective: {predict: views, target_encoder: none, sigreg: {}, views: {"
NO_MASKS = "masks: {multiblock: []}"


@pytest.mark.parametrize(
    ("text", "field", "value", "rule"),
    [
        ("optim: {steps: many}", "optim.steps", "many", "a whole number"),
        ("optim: {lr: fast}", "optim.lr", "fast", "a number"),
        ("encoder: {size: hug}", "encoder.size", "hug", "huge or giant"),
        ("data: {size: [1, 2, 3]}", "data.size", "[1, 2, 3]", "or [a whole number, a whole number]"),
        ("optim: {steps: 0}", "optim.steps", "0", "give 1 or more"),
        ("objective: {momentum: [0.9, 1.1]}", "objective.momentum", "1.1", "[0, 1]"),
        (
            "optim: {steps: 10, warmup_steps: 20}",
            "optim.warmup_steps is 20",
            "10 steps",
            "give optim.warmup_steps 1,",
        ),
        ("masks: {multiblock: [{num_blocks: 0}]}", "num_blocks", "0", "give 1 or more"),
        ("masks: {future_share: 0.3}", "masks.future_share", "needs masks.future", "another kind"),
        (
            "masks: {future: [{context: [0.5, 0.5]}], future_share: 1.5}",
            "masks.future_share",
            "1.5",
            "(0, 1)",
        ),
        ("masks: {future: [{each_step: true}]}", "each_step", "masks.multiblock[0]", "set the other masks"),
        (
            "masks: {multiblock: [], future: [{each_step: true}]}",
            "encoder.causal",
            "false",
            "set encoder.causal to true",
        ),
        (
            "masks: {multiblock: [], future: [{each_step: true}]}\nencoder: {causal: true}\n"
            "objective: {future_loss: {rollout_steps: 1}}",
            "objective.future_loss.rollout_steps is 1",
            "each_step",
            "leave one of the two out",
        ),
        ("objective: {target_encoder: hope}", "objective.target_encoder", "hope", "frozen or none"),
        ("objective: {vicreg: {places: 0}}", "vicreg.places", "0", "null for all together"),
        (
            "data: {images: x, synthetic: {images: {frames: 2}}}",
            "data.images",
            "data.synthetic.images",
            "not both",
        ),
        ("data: {images: x, clip: {num_frames: 1}}", "data.images", "one frame", "data.train"),
        ("data: {train: x, synthetic: {seed: 1}}", "data.train", "data.synthetic", "both given"),
        ("augment: {target: separate}", "augment.target", "nothing is augmented", "or shared"),
        (
            "augment: {jitter: {brightness: 0, contrast: 0, saturation: 0, hue: 0}}",
            "augment.jitter",
            "changes nothing",
            "or null",
        ),
        (
            "augment: {grey: 0.5, target: separate}\nobjective: {predict: pixels}",
            "augment.target is separate",
            "pixels",
            "give augment.target shared",
        ),
        ("augment: {jitter: {}}\ndata: {mean: [0.5], std: [0.2]}", "augment.jitter", "1 channel", "leave"),
        ("masks: {multiblock: []}", "masks", "is empty", "at least one"),
        (
            "objective: {context_loss: {}}\noptim: {steps: 900, warmup_steps: 9}",
            "objective.context_loss.warmup",
            "a weight of 0 in all steps",
            "begin its warm-up earlier",
        ),
        (
            "optim: {steps: 100, warmup_steps: 80, schedule_stretch: 0.5}",
            "optim.warmup_steps is 80",
            "schedule_stretch 0.5",
            "at most 50",
        ),
        ("data: {train: [a, b], weights: [1, 0]}", "data.weights", "above 0", "leave out"),
        ("objective: {views: {}}", "objective.views", "embeddings", "leave objective.views out"),
        ("objective: {predict: views, views: {}}", "objective.sigreg", "null", "give its settings"),
        ("objective: {predict: views, sigreg: {}}", "objective.views", "null", "give its settings"),
        (
            "objective: {predict: views, views: {}, sigreg: {}}",
            "objective.target_encoder",
            "ema",
            "set objective.target_encoder none",
        ),
        (
            "objective: {predict: views, target_encoder: none, sigreg: {}, views: {num_local: 0}}",
            "num_local",
            "0",
            "2 or more",
        ),
        (f"{VIEWS}}}}}", "masks.multiblock[0]", "views", "[]"),
        (f"{VIEWS}}}, vicreg: {{}}}}", "objective.vicreg", "views", "leave vicreg out"),
        (f"{NO_MASKS}\n{VIEWS}local_frames: 99}}}}", "local_frames is 99", "16", "or null"),
        (f"{NO_MASKS}\n{VIEWS}augment_global: true}}}}", "augment_global", "true", "or false"),
        (f"{NO_MASKS}\n{VIEWS}}}}}\nencoder: {{levels: [5, 11]}}", "encoder.levels", "[5, 11]", "leave"),
        (
            f"{NO_MASKS}\n{VIEWS}}}}}\naugment: {{grey: 0.5, target: separate}}",
            "augment.target",
            "separate",
            "augment.target shared",
        ),
        ("augment: {blur: {kernel_size: 65}}\ndata: {size: 32}", "kernel_size is 65", "(32, 32)", "give"),
    ],
)
def test_a_wrong_value_names_field_value_and_rule(text, field, value, rule, tmp_path):
    path = written(tmp_path, "bad.yaml", text)
    with pytest.raises(ConfigError) as error:
        read_config(["--config", path], PretrainConfig)
    assert all(part in str(error.value) for part in (path, field, value, rule))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"does not exist: '.*configs/none\.yaml'"):
        read_config(["--config", "configs/none.yaml"], PretrainConfig)


# `build` and `data` hand these sections to constructors as a whole: a key that those lack is an error in the
# tests above.
HANDED_ON = (EncoderConfig, PredictorConfig, JitterConfig, BlurConfig)


def fields_below(section, prefix=""):
    for name, annotation in typing.get_type_hints(section).items():
        if section not in HANDED_ON:
            yield prefix + name
        for kind in (annotation, *typing.get_args(annotation)):
            if dataclasses.is_dataclass(kind):
                yield from fields_below(kind, f"{prefix}{name}.")


def of_a_library(node):
    return isinstance(node.value, ast.Name) and node.value.id in ("re", "torch")


def test_every_field_is_read_by_some_code():
    sources = [path for folder in ("vjepa", "tools") for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text()))]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and not of_a_library(node)}
    unread = [field for field in fields_below(PretrainConfig) if field.rsplit(".", 1)[-1] not in read]
    assert not unread, f"no code reads {', '.join(unread)}: a setting that does nothing misleads"
