"""Columns of Parquet files; needs the package pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vjepa.data.trajectories.episode import Rows
from vjepa.packages import need_packages


class Table:
    """Columns of a Parquet file with T rows.

    Args:
        path: Path of the file.
        columns: Names of the columns to read; None reads all.

    Raises:
        ModuleNotFoundError: The package pyarrow is not installed.
        ValueError: The file cannot be read, or a column is missing.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None) -> None:
        need_packages(str(path), "pyarrow")
        import pyarrow
        import pyarrow.parquet

        self.path = path
        try:
            names = pyarrow.parquet.read_schema(path).names
            missing = [name for name in columns or () if name not in names]
            if missing:
                raise ValueError(f"{path} has no column {', '.join(missing)}: it has {', '.join(names)}")
            self._table = pyarrow.parquet.read_table(path, columns=None if columns is None else list(columns))
        except (OSError, pyarrow.ArrowException) as error:
            raise ValueError(f"{path} cannot be read as Parquet ({error}): write it again") from error

    def __contains__(self, name: str) -> bool:
        return name in self._table.column_names

    @property
    def names(self) -> list[str]:
        """Return the names of the columns."""
        return list(self._table.column_names)

    def values(self, name: str) -> list[Any]:
        """Return a column without conversion."""
        found: list[Any] = self._table.column(name).to_pylist()
        return found

    def rows(self, name: str) -> Rows:
        """Return a column of numbers, or of lists of equal length, as a float32 matrix with T rows.

        Raises:
            ValueError: Rows differ in length or are missing.
        """
        from pyarrow import compute, types

        # Whole arrays instead of Python lists, because files of LeRobot 3.0 have a million rows.
        column = self._table.column(name).combine_chunks()
        count = len(column)
        if not count:
            raise ValueError(f"{self.path}: '{name}' has no rows: give one a frame, or leave the file out")
        whole = True
        while (
            types.is_list(column.type)
            or types.is_large_list(column.type)
            or types.is_fixed_size_list(column.type)
        ):
            whole = whole and not column.null_count and len(compute.list_value_length(column).unique()) == 1
            column = column.flatten()
        numbers = (types.is_floating, types.is_integer, types.is_boolean)
        if not whole or column.null_count or not any(is_kind(column.type) for is_kind in numbers):
            raise ValueError(
                f"{self.path}: the rows of '{name}' are not lists of one length of numbers: give every frame "
                "as many"
            )
        found: Rows = column.to_numpy(zero_copy_only=False).astype(np.float32)
        return found.reshape(count, -1)
