"""Configurations of runs: their dataclasses, and how they are read and written."""

from vjepa.config.action import ActionConfig
from vjepa.config.finetuning import FinetuneConfig
from vjepa.config.reading import (
    READING_ERRORS,
    ConfigError,
    config_from_tree,
    config_tree,
    read_config,
    read_tree,
    refuse_bombs,
    write_config,
)
from vjepa.config.schema import (
    ContextLossConfig,
    DataConfig,
    EncoderConfig,
    FuturesConfig,
    MasksConfig,
    ObjectiveConfig,
    OptimConfig,
    PredictorConfig,
    PretrainConfig,
    ProbeConfig,
    SIGRegConfig,
    SyntheticConfig,
    TrainConfig,
    VICRegConfig,
)

__all__ = [
    "PretrainConfig",
    "ConfigError",
    "ContextLossConfig",
    "DataConfig",
    "EncoderConfig",
    "FinetuneConfig",
    "FuturesConfig",
    "MasksConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "PredictorConfig",
    "ProbeConfig",
    "READING_ERRORS",
    "SIGRegConfig",
    "SyntheticConfig",
    "TrainConfig",
    "VICRegConfig",
    "ActionConfig",
    "config_from_tree",
    "config_tree",
    "read_config",
    "read_tree",
    "refuse_bombs",
    "write_config",
]
