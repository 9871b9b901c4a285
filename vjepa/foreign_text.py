"""Escaping of text from outside (class names, paths, titles), so that every output shows it unchanged.

A class may be called ``$x_$``, ``a|b`` or ``=1+1``, and the name of a file need not be UTF-8. Plots, tables,
pages and spreadsheets treat some characters as commands; each function here escapes a text for one of them.
"""

from __future__ import annotations

import html
import re
import unicodedata

_MARKDOWN = re.compile(r"[\\`*\[|$~]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# Spreadsheets compute a cell that begins like this; an apostrophe in front marks it as text.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
# Unicode categories: control characters, lone surrogates, line separators and paragraph separators.
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}


def one_line(text: object) -> str:
    """Escape control characters, line ends and bytes that are not UTF-8, for a terminal, a log or a film."""
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in _UNSEEN else letter
        for letter in str(text)
    )


def in_plot(text: object) -> str:
    """Escape text for matplotlib.

    Matplotlib reads text between two dollar signs as a formula and leaves labels that begin with ``_`` out of
    legends. Its `is_math_text` and `Text._preprocess_math` (matplotlib 3.11, cbook.py and text.py) show an
    escaped dollar sign as a dollar sign, and read no formula if all dollar signs are escaped.
    """
    shown = one_line(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def in_table(text: object) -> str:
    """Escape text for a cell or a heading of Markdown.

    There, ``|`` ends a cell, ``<`` begins HTML, and some characters are formatting marks.
    """
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text)).replace("<", "&lt;")


def in_page(text: object) -> str:
    """Escape text for HTML, where ``<`` and ``&`` begin marks; what UTF-8 cannot encode is escaped, too."""
    return html.escape(one_line(text))


def in_cell(text: str) -> str:
    """Mark text as such in a CSV cell, so that spreadsheets do not compute it; `from_cell` undoes this."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    """Restore the text that was given to `in_cell`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
