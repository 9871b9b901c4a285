"""Show in a browser what a model makes of a video that is uploaded: predictions and surprise, or classes.

    vjepa demo --model runs/quickstart
    vjepa demo --model runs/quickstart-probe --port 7861

A model with a predictor plays the video with the colours of true and predicted embeddings and its surprise; a
classifier names the classes, and those of each part of the video. Needs the package gradio. The page
is served to this machine alone, unless --share asks gradio for a public address.

Exit status: 75 stopped, as by Ctrl-C; 1 an unexpected error; 2 arguments that cannot be used.
"""

from __future__ import annotations

import argparse
import html
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import vjepa.cpu_threads  # noqa: F401  (before torch)

# isort: split
from vjepa.commands.predict import embed_video
from vjepa.data.processor import read_frames
from vjepa.data.rendered import FOREIGN
from vjepa.evaluation.future.skill import horizon_reports, skill_table, window_and_last
from vjepa.files import name_of_model
from vjepa.foreign_text import in_page, one_line
from vjepa.inference.classifier import VideoClassifier
from vjepa.inference.device_options import add_device_options, placed
from vjepa.models.video_model import VideoModel
from vjepa.packages import need_packages
from vjepa.plots.video_page import write_video_page
from vjepa.plots.watched import page_of, watch
from vjepa.training.stop import command
from vjepa.weights.model_folder import from_pretrained, read_model_config

if TYPE_CHECKING:
    import gradio


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    page = build_demo(options)
    page.launch(server_port=options.port, share=options.share, show_error=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="Run folder, model folder or released weights.")
    parser.add_argument("--port", type=int, help="Port of the page (default: the first free one from 7860).")
    parser.add_argument("--share", action="store_true", help="Ask gradio for a public address.")
    add_device_options(parser)
    return parser


class Shown(NamedTuple):
    """What a page shows below the video.

    Attributes:
        outputs: Gradio's components for the answer.
        answer: Function from the path of a video to the values of the components.
        text: What the model does with a video, in a sentence.
    """

    outputs: list[Any]
    answer: Callable[[str], Any]
    text: str


def build_demo(options: argparse.Namespace) -> gradio.Blocks:
    """Build the web page that shows what a model makes of an uploaded video.

    Args:
        options: Options of the command.

    Raises:
        ValueError: The model cannot be read, or it neither predicts nor classifies.
        ModuleNotFoundError: gradio is not installed.
    """
    show = _classes if "classes" in read_model_config(options.model) else _predictions
    gradio = _gradio()
    shown = show(gradio, options)

    def answer(path: str | None) -> Any:
        if path is None:
            raise gradio.Error("there is no video: upload one")
        try:
            return shown.answer(path)
        except ValueError as error:  # shown to the person who uploaded the video
            raise gradio.Error(one_line(str(error))) from error

    with gradio.Blocks(title=f"vjepa: {name_of_model(options.model)}", analytics_enabled=False) as page:
        gradio.Markdown(f"# {in_page(name_of_model(options.model))}\n{shown.text}")
        video = gradio.Video(label="Video", sources=["upload"])
        button = gradio.Button("Show", variant="primary")
        for output in shown.outputs:
            output.render()
        button.click(answer, video, shown.outputs, api_name="show")
    return page


def _gradio() -> Any:
    need_packages("the demo", "gradio")
    import gradio

    return gradio


def _predictions(gradio: Any, options: argparse.Namespace) -> Shown:
    model = placed(from_pretrained(options.model), options)
    window_and_last(model, None, None)  # a model without a predictor is refused before the page opens
    return Shown(
        [gradio.HTML(label="Predictions and surprise"), gradio.Markdown()],
        lambda path: _predict(model, path, name_of_model(options.model)),
        "The model predicts the embeddings of what comes next, and is surprised where something else comes.",
    )


def _predict(model: VideoModel, path: str, name: str) -> tuple[str, str]:
    """Return the page of a video, inside a frame of its own, and the table of skills in Markdown."""
    frames = read_frames(path, model.processor)
    window, _ = window_and_last(model, None, None)
    embedded = embed_video(model, frames, window, 1)
    notes = [f"Warning: {FOREIGN}."] if model.processor.is_foreign(path) else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        watched = watch(model, frames, embedded, window)
        write_video_page(file, page_of(watched, f"What {name} predicts", notes))
        text = html.escape(file.read_text(encoding="utf-8"), quote=True)
    duration = frames.period * model.encoder.tubelet.t
    table = "A video with two contexts or more also gets skills over baselines."
    if len(embedded.true_VFSY) > 1:
        groups = [path] * len(embedded.true_VFSY)
        table = skill_table(horizon_reports(embedded, window, duration, groups=groups))
    frame = f'<iframe title="Predictions and surprise" style="width: 100%; height: 900px" srcdoc="{text}">'
    return f"{frame}</iframe>", f"```text\n{table}\n```"


def _classes(gradio: Any, options: argparse.Namespace) -> Shown:
    classifier = VideoClassifier.from_pretrained(options.model)
    placed(classifier.network, options)

    def answer(path: str) -> tuple[dict[str, float], list[list[str]]]:
        whole = classifier.predict(path)
        parts = [
            [f"{start:.2f}", f"{end:.2f}", part.label, f"{part.probability:.0%}"]
            for start, end, part in classifier.over_time(path)
        ]
        return dict(zip(whole.classes, whole.probabilities, strict=True)), parts

    columns = ["from, s", "to, s", "class", "probability"]
    return Shown(
        [
            gradio.Label(label="Classes", num_top_classes=5),
            gradio.Dataframe(headers=columns, label="Over time"),
        ],
        answer,
        "The model names what happens in a video, as a whole and in each of its parts.",
    )


if __name__ == "__main__":
    sys.exit(main())
