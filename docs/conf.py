"""The documentation site: `sphinx-build -W -c docs docs/pages docs/site` writes it.

Pages are Markdown in docs/pages; those in docs/pages/made are made of the library itself (docs/reference.py),
anew with every build.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import vjepa  # noqa: E402
from docs.reference import write_pages  # noqa: E402

write_pages(DOCS / "pages" / "made")

project = "vjepa"
author = "the authors of vjepa"
release = vjepa.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
myst_heading_anchors = 3
exclude_patterns = ["*.html"]

default_role = "code"  # what stands in single back quotes in docstrings

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "vjepa"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
