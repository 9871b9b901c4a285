"""Video world models that predict embeddings.

The public names below are imported when they are first used, so that ``import vjepa`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vjepa.config import ActionConfig, FinetuneConfig, PretrainConfig, read_config, read_tree
    from vjepa.data.manifest import read_manifest
    from vjepa.data.processor import VideoProcessor
    from vjepa.data.readers.open import open_video
    from vjepa.evaluation.future.report import evaluate_future
    from vjepa.evaluation.recognition.metrics import classification_report
    from vjepa.inference.classifier import VideoClassifier
    from vjepa.inference.future import FuturePredictor
    from vjepa.inference.surprise import surprise
    from vjepa.models.action_model import ActionModel
    from vjepa.models.encoder import VideoEncoder
    from vjepa.models.predictor import Predictor
    from vjepa.models.video_model import VideoModel
    from vjepa.objectives.jepa import JEPA
    from vjepa.objectives.pixels import PixelReconstruction
    from vjepa.planning.agent import PlanningAgent
    from vjepa.training.action import train_action_model
    from vjepa.training.finetune import finetune
    from vjepa.training.pretrain import pretrain
    from vjepa.weights.model_folder import from_pretrained, load_action_model, save_pretrained
    from vjepa.weights.push import push_to_hub

__version__ = "0.1.0"

__all__ = [
    "ActionModel",
    "PretrainConfig",
    "FinetuneConfig",
    "FuturePredictor",
    "JEPA",
    "PixelReconstruction",
    "PlanningAgent",
    "Predictor",
    "VideoClassifier",
    "VideoEncoder",
    "VideoProcessor",
    "ActionConfig",
    "VideoModel",
    "__version__",
    "classification_report",
    "evaluate_future",
    "finetune",
    "from_pretrained",
    "load_action_model",
    "open_video",
    "pretrain",
    "push_to_hub",
    "read_config",
    "read_manifest",
    "read_tree",
    "save_pretrained",
    "surprise",
    "train_action_model",
]

_HOMES = {
    "ActionModel": "vjepa.models.action_model",
    "PretrainConfig": "vjepa.config",
    "FinetuneConfig": "vjepa.config",
    "FuturePredictor": "vjepa.inference.future",
    "JEPA": "vjepa.objectives.jepa",
    "PixelReconstruction": "vjepa.objectives.pixels",
    "PlanningAgent": "vjepa.planning.agent",
    "Predictor": "vjepa.models.predictor",
    "VideoClassifier": "vjepa.inference.classifier",
    "VideoEncoder": "vjepa.models.encoder",
    "VideoProcessor": "vjepa.data.processor",
    "ActionConfig": "vjepa.config",
    "VideoModel": "vjepa.models.video_model",
    "classification_report": "vjepa.evaluation.recognition.metrics",
    "evaluate_future": "vjepa.evaluation.future.report",
    "finetune": "vjepa.training.finetune",
    "from_pretrained": "vjepa.weights.model_folder",
    "load_action_model": "vjepa.weights.model_folder",
    "open_video": "vjepa.data.readers.open",
    "pretrain": "vjepa.training.pretrain",
    "push_to_hub": "vjepa.weights.push",
    "read_config": "vjepa.config",
    "read_manifest": "vjepa.data.manifest",
    "read_tree": "vjepa.config",
    "save_pretrained": "vjepa.weights.model_folder",
    "surprise": "vjepa.inference.surprise",
    "train_action_model": "vjepa.training.action",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vjepa' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
