"""The configuration that each tool reads."""

from vjepa.recipes.action.config import ActionConfig
from vjepa.recipes.finetune.config import FinetuneConfig
from vjepa.recipes.pretrain.config import PretrainConfig

CONFIGS = {
    "vjepa pretrain": PretrainConfig,
    "vjepa finetune": FinetuneConfig,
    "vjepa action": ActionConfig,
}
