"""The cure that a collapse alarm names, as options of the command."""

import json


def cure_options(alarm):
    """Return the options; the alarm must name a cure."""
    assert alarm["cure"]
    return [f"--{key}={json.dumps(value)}" for key, value in alarm["cure"].items()]
