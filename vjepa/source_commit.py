"""The commit of this library's source, which is stored with results."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def source_commit() -> str | None:
    """Return the commit of this library, with a note if files differ from it; None if it is no clone."""
    if not (_ROOT / ".git").exists() or shutil.which("git") is None:
        return None
    git = ["git", "-C", str(_ROOT)]
    commit, changes = (
        subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout.strip()
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    )
    return f"{commit}, with changes" if changes else commit
