"""The configuration of a run: its schema, and how it is read."""

from vjepa.config.finetuning import FinetuneConfig
from vjepa.config.reading import (
    READING_ERRORS,
    ConfigError,
    config_from_tree,
    config_tree,
    is_world_config,
    read_config,
    read_tree,
    refuse_bombs,
    write_config,
)
from vjepa.config.schema import (
    Config,
    ContextLossConfig,
    DataConfig,
    EncoderConfig,
    FuturesConfig,
    MasksConfig,
    ObjectiveConfig,
    OptimConfig,
    PredictorConfig,
    ProbeConfig,
    SIGRegConfig,
    SyntheticConfig,
    TrainConfig,
    VICRegConfig,
)
from vjepa.config.world import WorldConfig

__all__ = [
    "Config",
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
    "WorldConfig",
    "config_from_tree",
    "config_tree",
    "is_world_config",
    "read_config",
    "read_tree",
    "refuse_bombs",
    "write_config",
]
