"""Figures as SVG text, for pages that contain their plots."""

from __future__ import annotations

import io

import matplotlib
from matplotlib.figure import Figure


def svg_text(figure: Figure) -> str:
    """Return a figure as an ``<svg>`` element; the same figure gives the same text at any time."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "vjepa"}):  # else ids are random
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
