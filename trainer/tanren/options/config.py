"""Where settings come from and go to besides the command line."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import option


@dataclass(frozen=True, kw_only=True)
class ConfigOptions:
    """Settings kept in a file."""

    config_file: str | None = option(
        None,
        "TOML file with options by name; section names carry no meaning. What is typed on the command line wins. "
        "The suffix .toml is added when it is missing.",
        label="Config file",
        level="basic",
        path="file",
    )
    output_config: bool = option(
        False,
        "Write the effective options to --config_file and end; nothing is trained.",
        label="Write the config file",
    )
