"""The documents of the library: what they say is tested, and their tables are written from results."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "vjepa" / "README.md",
    ROOT / "configs" / "README.md",
    *sorted((ROOT / "docs" / "pages").rglob("*.md")),
]


def name_of(path):
    """A document's path from the root, as the name of its test."""
    return str(path.relative_to(ROOT))
