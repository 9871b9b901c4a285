"""The page about one video: what it holds, and what it does in a browser."""

import base64
import io
import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from vjepa.plots.video_page import Layer, VideoPage, write_video_page

FRAMES, DEPTH = 10, 2
SURPRISE = (math.nan, 0.5, 0.25, 1.0, 0.75)


def example_page(**changes):
    draws = torch.Generator().manual_seed(0)
    shade = torch.arange(FRAMES).view(-1, 1, 1, 1).expand(-1, 3, 8, 12) * 20
    colours = torch.rand(FRAMES // DEPTH, 2, 3, 3, generator=draws)
    colours[0] = math.nan
    arguments = {
        "title": "What <a model> predicts",
        "video_TCHW": shade.to(torch.uint8),
        "times_T": [frame / 5 for frame in range(FRAMES)],
        "depth": DEPTH,
        "surprise_t": torch.tensor(SURPRISE),
        "layers": [
            Layer("heat", "Yellow is large.", colours),
            Layer("colours", "Like is like.", 1 - colours),
        ],
        "nearest_t": [-1, 0, 1, 4, 3],
        "notes": ["Warning: 1 < 2."],
    }
    return VideoPage(**{**arguments, **changes})


def written(folder, **changes):
    write_video_page(folder / "page.html", example_page(**changes))
    return (folder / "page.html").read_text()


def data_of(text):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', text)[1])


def test_a_title_and_notes_need_not_be_utf8(tmp_path):
    text = written(tmp_path, title="caf\udce9", notes=["clip\udcff0.avi < 1"])
    assert r"<title>caf\udce9</title>" in text
    assert r"<p>clip\udcff0.avi &lt; 1</p>" in text


def pixels_of(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_a_page_holds_every_frame_and_every_map(tmp_path):
    text = written(tmp_path)
    assert "http" not in text.replace("http://www.w3.org", "")  # no other file, no network
    data, page = data_of(text), example_page()
    width, height = data["size"]
    video = pixels_of(data["video"])
    for frame in range(FRAMES):
        row, column = divmod(frame, data["columns"])
        shown = video[row * height : (row + 1) * height, column * width : (column + 1) * width]
        assert np.abs(shown.astype(int) - 20 * frame).max() <= 3  # of the compression
    for layer, made in zip(data["layers"], page.layers, strict=True):
        image = pixels_of(layer["source"])
        for step in range(FRAMES // DEPTH):
            row, column = divmod(step, layer["columns"])
            shown = image[row * 2 : row * 2 + 2, column * 3 : column * 3 + 3]
            assert (shown[..., 3] == (0 if step == 0 else 255)).all()
            if step:
                assert np.abs(shown[..., :3] - 255 * made.image_thwC[step].numpy()).max() <= 0.5
    assert data["surprise"] == [None, 0.5, 0.25, 1.0, 0.75]
    assert data["nearest"] == [None, 1, 3, 9, 7]  # the middle frames of their time steps
    assert data["duration"] == pytest.approx(2.0)


def test_a_page_says_in_words_what_it_shows(tmp_path):
    text = written(tmp_path)
    assert "<title>What &lt;a model&gt; predicts</title>" in text
    assert "<p>Warning: 1 &lt; 2.</p>" in text
    assert "Surprise is highest at 1.20 s: 1, 1.60 times its median." in text
    assert "<tr><td>1.20</td><td>1</td><td>1.80 s</td></tr>" in text
    assert "<tr><td>0.00</td><td>not known</td><td>none</td></tr>" in text
    unknown = written(tmp_path, surprise_t=torch.full((5,), math.nan), layers=[])
    assert "shorter than a window of the model, so its surprise is not known" in unknown


PROBE = """<script>
const wait = setInterval(() => {
  if (document.documentElement.dataset.ready !== "true") return;
  clearInterval(wait);
  const state = () => [frame, layer, element("status").textContent, element("caption").textContent,
    element("nearcaption").textContent, Math.round(element("cursor").getAttribute("x1"))];
  const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const seen = { start: state() };
  for (const key of ["ArrowRight", "2", "0", "End", "Home", "ArrowLeft"]) { press(key); seen[key] = state(); }
  press(" ");
  seen.playing = element("play").textContent;
  press(" ");
  const box = element("curve").getBoundingClientRect();
  element("curve").dispatchEvent(new PointerEvent("pointerdown", { clientX: box.left + .65 * box.width }));
  seen.click = state();
  seen.width = [document.documentElement.scrollWidth, innerWidth];
  seen.pixel = [...element("video").getContext("2d").getImageData(5, 5, 1, 1).data];
  document.title = JSON.stringify(seen);
}, 20);
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("chromium") is None, reason="needs the command chromium, of Debian's package"
)
def test_a_page_in_a_browser(tmp_path):
    page = tmp_path / "probed.html"
    page.write_text(written(tmp_path).replace("</body>", PROBE + "</body>"))
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,844",
        "--virtual-time-budget=5000", "--dump-dom", f"file://{page}#frame=2&layer=1",
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    seen = json.loads(re.search(r"<title>(.*?)</title>", dom)[1].replace("&lt;", "<").replace("&amp;", "&"))
    assert seen["start"] == [
        2, 1, "0.40 s, frame 3 of 10. Surprise 0.500, higher than at 25 % of the times.", "Yellow is large.",
        "Of all true frames, the one at 0.20 s is most like what was predicted for this time.", 200,
    ]  # fmt: skip
    assert seen["ArrowRight"][:2] == [3, 1]
    assert seen["2"][1::2] == [2, "Like is like.", 300]
    assert seen["0"][1::2] == [0, "The frames that the model sees.", 300]
    assert seen["End"][0] == 9
    assert seen["Home"][0] == seen["ArrowLeft"][0] == 0
    assert seen["Home"][2] == "0.00 s, frame 1 of 10. No surprise is known here."
    assert seen["Home"][4] == "No prediction: the context is not complete here."
    assert seen["playing"] == "Pause"
    assert seen["click"][0] == 6
    assert seen["width"][0] <= seen["width"][1]
    assert seen["pixel"] == pytest.approx([120, 120, 120, 255], abs=4)
