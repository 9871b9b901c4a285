"""The pre-training configuration: a tree of dataclasses with the default values.

The docstrings of these classes are also what ``vjepa pretrain --help`` prints: the text of each attribute,
shown alone, is the help of its option.
"""

from vjepa.recipes.pretrain.config.data import (
    BlurConfig,
    DataConfig,
    JitterConfig,
    PretrainAugment,
    SyntheticConfig,
)
from vjepa.recipes.pretrain.config.masks import MasksConfig
from vjepa.recipes.pretrain.config.objective import (
    ContextLossConfig,
    FutureLossConfig,
    FuturesConfig,
    ObjectiveConfig,
    PredictorConfig,
    ViewsConfig,
)
from vjepa.recipes.pretrain.config.pretrain import PretrainConfig, PretrainTrainConfig, ProbeConfig

__all__ = [
    "BlurConfig",
    "ContextLossConfig",
    "DataConfig",
    "FutureLossConfig",
    "FuturesConfig",
    "JitterConfig",
    "MasksConfig",
    "ObjectiveConfig",
    "PredictorConfig",
    "PretrainAugment",
    "PretrainConfig",
    "PretrainTrainConfig",
    "ProbeConfig",
    "SyntheticConfig",
    "ViewsConfig",
]
