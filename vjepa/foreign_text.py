"""Text that others chose (class names, paths, titles), shown as it is wherever it is written.

A class may be called ``$x_$``, ``a|b`` or ``=1+1``, and the name of a file need not be UTF-8. Plots, tables, pages and
spreadsheets read some characters as commands; each function here gives the text that one of them shows as the name.
"""

from __future__ import annotations

import re
import unicodedata

_MARKDOWN = re.compile(r"[\\`*\[|$~]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# Spreadsheets compute a cell that begins so; the apostrophe before it says that it is text.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_UNSEEN = {
    "Cc",
    "Cs",
    "Zl",
    "Zp",
}  # Unicode's categories of controls, lone surrogates, ends of lines and paragraphs


def one_line(text: object) -> str:
    """For a terminal, a log or a film: controls, ends of lines and bytes that are no UTF-8 become escapes."""
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in _UNSEEN else letter
        for letter in str(text)
    )


def in_plot(text: object) -> str:
    """For matplotlib, whose texts between two dollar signs are formulas and whose legends leave out ``_names``.

    Its `is_math_text` and `Text._preprocess_math` (matplotlib 3.11, cbook.py and text.py) show an escaped dollar sign as
    one, and read no formula in a text that has no other.
    """
    shown = one_line(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def in_table(text: object) -> str:
    """For a cell or a heading of Markdown, where ``|`` ends a cell, ``<`` begins HTML and some letters are marks."""
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text)).replace("<", "&lt;")


def in_cell(text: str) -> str:
    """For a cell of a CSV that people open: what a spreadsheet would compute is marked as text. `from_cell` undoes it."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    """The text that `in_cell` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
