"""Tools read and write the same videos as the tests of `vjepa.data`."""

from tests.data.conftest import burnt, read_numbers, real_data, write_video  # noqa: F401  (fixtures)
