"""Settings are checked before anything runs, from Python and on the command line alike."""

import math

import pytest

from vjepa.config import (
    CacheConfig,
    ConfigError,
    EncoderConfig,
    OptimConfig,
    SIGRegConfig,
    TrainConfig,
    read_config,
)
from vjepa.recipes.action.config import (
    ActionConfig,
    CollectConfig,
    DynamicsConfig,
    FrameConfig,
    TrajectoryConfig,
)
from vjepa.recipes.compare.config import CompareConfig
from vjepa.recipes.finetune.config import (
    AugmentConfig,
    FinetuneConfig,
    FinetuneOptim,
    HeadConfig,
    LabelledData,
    StartConfig,
)
from vjepa.recipes.pretrain.config import (
    BlurConfig,
    ContextLossConfig,
    DataConfig,
    JitterConfig,
    PredictorConfig,
    PretrainAugment,
    PretrainConfig,
    PretrainTrainConfig,
    ProbeConfig,
    SyntheticConfig,
    ViewsConfig,
)


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


# Section of a configuration by its class, the setting, and values that are out of its range.
OUT_OF_RANGE = [
    (TrainConfig, "log_every", 0),
    (TrainConfig, "checkpoint_every", 0),
    (TrainConfig, "micro_batch", 0),
    (TrainConfig, "keep_checkpoints", 0),
    (TrainConfig, "threads", -1),
    (TrainConfig, "hang_minutes", 0),
    (OptimConfig, "lr", -1.0),
    (OptimConfig, "lr", math.nan),
    (OptimConfig, "warmup_steps", -5),
    (OptimConfig, "clip_grad", 0),
    (OptimConfig, "betas", (2.0, 0.9)),
    (OptimConfig, "final_lr", -1e-9),
    (OptimConfig, "weight_decay", -0.1),
    (OptimConfig, "schedule_stretch", 0.0),
    (OptimConfig, "eps", 0.0),
    (OptimConfig, "lr", math.inf),
    (DataConfig, "num_workers", -1),
    (DataConfig, "max_unreadable", 1.5),
    (DataConfig, "size", 0),
    (DataConfig, "crop_scale", (0.5, 0.3)),
    (DataConfig, "crop_ratio", (0.0, 1.0)),
    (DataConfig, "mean", (0.5,)),
    (DataConfig, "std", (0.2, 0.2, 0.0)),
    (DataConfig, "weights", [1.0, 2.0]),
    (CacheConfig, "short_side", 0),
    (CacheConfig, "max_gb", 0.0),
    (JitterConfig, "brightness", -0.1),
    (JitterConfig, "hue", 0.6),
    (JitterConfig, "p", 0.0),
    (BlurConfig, "kernel_size", 4),
    (BlurConfig, "sigma", (0.0, 2.0)),
    (BlurConfig, "p", 1.1),
    (PretrainAugment, "grey", 2.0),
    (ViewsConfig, "num_global", 0),
    (ViewsConfig, "num_local", -1),
    (ViewsConfig, "local_frames", 0),
    (ViewsConfig, "local_size", (0, 8)),
    (ViewsConfig, "local_scale", (0.5, 1.5)),
    (SyntheticConfig, "seed", -1),
    (SyntheticConfig, "num_train", 0),
    (EncoderConfig, "drop_path", 2.0),
    (EncoderConfig, "num_heads", 0),
    (EncoderConfig, "embed_dim", 100),
    (EncoderConfig, "tubelet", (0, 8, 8)),
    (PredictorConfig, "num_heads", 5),
    (PredictorConfig, "depth", 0),
    (SIGRegConfig, "places", 0),
    (ContextLossConfig, "weight", -1.0),
    (ProbeConfig, "max_videos", 0),
    (ProbeConfig, "test", "alone.csv"),
    (ProbeConfig, "every", 0),
    (ProbeConfig, "online_videos", 3),
    (PretrainTrainConfig, "patience", 0),
    (PretrainTrainConfig, "log_every", 0),
    (PretrainConfig, "seed", -1),
    (PretrainConfig, "seed", 2**32),
    (FinetuneConfig, "seed", -1),
    (ActionConfig, "seed", -1),
    (StartConfig, "drop_path", 1.0),
    (StartConfig, "levels", (0, 0)),
    (StartConfig, "levels", (-1,)),
    (HeadConfig, "dropout", 1.0),
    (LabelledData, "num_workers", -1),
    (LabelledData, "label_seed", -1),
    (LabelledData, "test_seed", -1),
    (LabelledData, "val_share", 1.0),
    (AugmentConfig, "mixup", -1.0),
    (AugmentConfig, "randaugment", (2, 11)),
    (AugmentConfig, "randaugment", (0, 5)),
    (AugmentConfig, "scale", (1.0, 2.0)),
    (FinetuneOptim, "warmup_epochs", -1.0),
    (FinetuneOptim, "clip_grad", 0.0),
    (FinetuneOptim, "average", 1.0),
    (FinetuneOptim, "epochs", math.inf),
    (CollectConfig, "steps", 1),
    (TrajectoryConfig, "max_unreadable", -0.1),
    (TrajectoryConfig, "std", (1.0, -1.0, 1.0)),
    (DynamicsConfig, "context", 0),
    (FrameConfig, "embed_dim", 0),
]


@pytest.mark.parametrize(("section", "name", "value"), OUT_OF_RANGE)
def test_a_setting_out_of_range_is_refused_from_python_too(section, name, value):
    with pytest.raises(ValueError, match=rf"\b{name} (is )?.*: give ") as error:
        section(**{name: value})
    shown = list(value) if isinstance(value, tuple) else value
    assert str(shown) in str(error.value)


RESIDUAL = (
    ["--predictor.residual=true"],
    "predictor.residual",
    "to which its output is added",
)
ROLLOUT = (
    ["--objective.future_loss={}", "--masks.future=[{context: [0.5, 0.5]}]"],
    "objective.future_loss.rollout_steps",
    "beside which predictions stand",
)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--train.log_every=0"], "train.log_every is 0: give 1 or more"),
        (["--data.train=[]"], "data.train is []: give one source or more, or null"),
        (["--data.images=[]"], "data.images is []: give one source or more, or null"),
        (["--seed=-1"], "seed is -1: give a whole number from 0 to 4294967295"),
        (["--optim.clip_grad=0"], "optim.clip_grad is 0.0: give a number above 0, or null"),
        (["--data.synthetic.seed=-1"], "data.synthetic.seed is -1: give a whole number from 0 to 4294967295"),
        *(
            (
                [*given, f"--objective.{name}={value}"],
                f"{key} is set and objective.{name} is {value}, not {right}: tokens of the encoder, {what}, "
                f"must be what is predicted; leave {key} out",
            )
            for name, value, right, given, key, what in (
                ("predict", "pixels", "embeddings", *RESIDUAL),
                ("target_encoder", "frozen", "ema or none or init", *RESIDUAL),
                ("target_blocks", 4, 1, *RESIDUAL),
                ("target_blocks", 4, 1, *ROLLOUT),
            )
        ),
        (
            ["--data.cache.max_gb=5"],
            "data.cache.max_gb is 5.0 and data.cache.folder null, so nothing is kept: give a folder, or "
            "leave the other out",
        ),
        (
            ["--objective.future_loss={}"],
            "objective.future_loss is given, objective.predict is embeddings and masks.future has 0 masks: "
            "it changes the loss of future masks whose embeddings are predicted, so give both, or leave "
            "objective.future_loss out",
        ),
        (
            ["--objective.future_loss={rollout_steps: 4}", "--masks.future=[{context: [0.5, 0.75]}]"],
            "objective.future_loss.rollout_steps is 4, and a clip has at most 4 time steps after the context "
            "of masks.future, the first of which is no rollout: give fewer, longer clips or shorter contexts",
        ),
        (
            ["--masks.future=[{horizon: [1, 1]}]", "--data.clip.num_frames=3"],
            "masks.future is given, data.clip.num_frames is 3 and encoder.tubelet has 2 frames: one time "
            "step has no future, so give 4 frames or more, or leave masks.future out",
        ),
        (
            ["--masks.future=[{horizon: [1, 1]}]", "--masks.multiblock=[]", "--data.images=images"],
            "masks.future has all masks, and images are mixed in, which have no future: list a mask of "
            "another kind, too, e.g. masks.tube: [{ratio: 0.9}], or leave the images out",
        ),
        (
            ["--objective.context_loss={warmup: [0, 0]}", "--masks.image_blocks=[{min_keep: 2}]"],
            "objective.context_loss is given, and masks.image_blocks predicts each block by itself, so "
            "there is no one prediction of the context: leave one of the two out",
        ),
        (
            [
                "--objective.vicreg={predictions: 1}",
                "--objective.target_encoder=none",
                "--encoder.levels=[5, 11]",
            ],
            "objective.vicreg.predictions is 1.0 and encoder.levels [5, 11]: predictions of several levels "
            "are wider than the embeddings by whose mean they are centred, so set it to 0, or leave "
            "encoder.levels out",
        ),
        *(
            (
                ["--encoder.levels=[5, 11]", f"--objective.predict={predict}", *rest],
                f"encoder.levels is [5, 11] and objective.predict is {predict}, for which the last block's "
                "tokens alone are taken: leave encoder.levels out",
            )
            for predict, *rest in (
                ("pixels",),
                (
                    "views",
                    "--objective.views={}",
                    "--objective.target_encoder=none",
                    "--objective.sigreg={}",
                    "--masks.multiblock=[]",
                ),
            )
        ),
        (
            ["--objective.future_loss={change_weight: 2}"],
            "objective.future_loss.change_weight is 2.0: give a share in [0, 1]",
        ),
        (
            ["--objective.future_loss={rollout_steps: 0}"],
            "objective.future_loss.rollout_steps is 0 and change_weight 0, which changes nothing: give one "
            "of them, or null for objective.future_loss",
        ),
        (
            [
                "--objective.future_loss={}",
                "--objective.futures={}",
                "--masks.future=[{context: [0.5, 0.5]}]",
            ],
            "objective.futures and objective.future_loss: several futures are scored together, without "
            "weights or rollouts; leave one of the two out",
        ),
    ],
)
def test_the_command_line_says_one_sentence(arguments, sentence):
    with pytest.raises(ConfigError) as error:
        read_config(arguments, PretrainConfig)
    assert str(error.value) == sentence


@pytest.mark.parametrize("kind", [PretrainConfig, CompareConfig])
def test_a_file_of_aliases_that_multiply_is_refused(kind, tmp_path):
    levels = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    bomb = written(tmp_path, "bomb.yaml", "\n".join(levels))
    loop = written(tmp_path, "loop.yaml", "data: &a {train: *a}")
    for path in (bomb, loop):
        with pytest.raises(ConfigError, match=r"aliases \(\*name\) are written out: write the values"):
            read_config(["--config", path], kind)


def test_aliases_that_do_not_multiply_are_taken(tmp_path):
    text = "encoder: &small {embed_dim: 96, depth: 2, num_heads: 3}\npredictor: *small\n"
    assert (
        read_config(["--config", written(tmp_path, "good.yaml", text)], PretrainConfig).predictor.num_heads
        == 3
    )


def test_without_arguments_the_defaults_are_read():
    assert read_config([], PretrainConfig) == PretrainConfig()
