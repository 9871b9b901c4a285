"""The public names, and where they live: this list alone. `vjepa/__init__.py` reads it."""

from vjepa.config import read_config as read_config
from vjepa.data.manifest import read_manifest as read_manifest
from vjepa.data.processor import VideoProcessor as VideoProcessor
from vjepa.data.readers.open import open_video as open_video
from vjepa.evaluation.future.report import evaluate_future as evaluate_future
from vjepa.evaluation.recognition.metrics import classification_report as classification_report
from vjepa.inference.classifier import VideoClassifier as VideoClassifier
from vjepa.inference.future import FuturePredictor as FuturePredictor
from vjepa.inference.surprise import calibrate_surprise as calibrate_surprise
from vjepa.inference.surprise import surprise as surprise
from vjepa.models.action_model import ActionModel as ActionModel
from vjepa.models.encoder import VideoEncoder as VideoEncoder
from vjepa.models.network import set_precision as set_precision
from vjepa.models.predictor import Predictor as Predictor
from vjepa.models.video_model import VideoModel as VideoModel
from vjepa.objectives.jepa import JEPA as JEPA
from vjepa.objectives.pixels import PixelReconstruction as PixelReconstruction
from vjepa.planning.agent import PlanningAgent as PlanningAgent
from vjepa.recipes.action.config import ActionConfig as ActionConfig
from vjepa.recipes.action.run import train_action_model as train_action_model
from vjepa.recipes.finetune.config import FinetuneConfig as FinetuneConfig
from vjepa.recipes.finetune.run import finetune as finetune
from vjepa.recipes.pretrain.config import PretrainConfig as PretrainConfig
from vjepa.recipes.pretrain.run import pretrain as pretrain
from vjepa.weights.model_folder import from_pretrained as from_pretrained
from vjepa.weights.model_folder import load_action_model as load_action_model
from vjepa.weights.model_folder import save_pretrained as save_pretrained
from vjepa.weights.push import push_to_hub as push_to_hub

__version__: str
