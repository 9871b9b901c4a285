"""The documents of the library: what they say is tested, and their tables are written from results."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "pages"
WRITTEN = ("made", "reports")  # by docs/reference.py, and by `vjepa compare`
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "vjepa" / "README.md",
    ROOT / "configs" / "README.md",
    *sorted(page for page in PAGES.rglob("*.md") if page.relative_to(PAGES).parts[0] not in WRITTEN),
]


def name_of(path):
    """A document's path from the root, as the name of its test."""
    return str(path.relative_to(ROOT))
