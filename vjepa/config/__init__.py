"""Configurations: the sections that recipes share, and how a configuration is read and written."""

from vjepa.config.reading import (
    READING_ERRORS,
    ConfigError,
    config_from_tree,
    config_tree,
    files_alone,
    read_config,
    read_settings,
    refuse_bombs,
    settings_from_tree,
    write_config,
)
from vjepa.config.sections import (
    CacheConfig,
    EncoderConfig,
    OptimConfig,
    SIGRegConfig,
    TrainConfig,
    VICRegConfig,
)

__all__ = [
    "READING_ERRORS",
    "CacheConfig",
    "ConfigError",
    "EncoderConfig",
    "OptimConfig",
    "SIGRegConfig",
    "TrainConfig",
    "VICRegConfig",
    "config_from_tree",
    "config_tree",
    "files_alone",
    "read_config",
    "read_settings",
    "refuse_bombs",
    "settings_from_tree",
    "write_config",
]
