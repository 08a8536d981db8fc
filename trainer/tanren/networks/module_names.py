"""What `--network_module` may say, decided without importing anything.

`networks.lora` is ours. Modules of other packages follow sd-scripts' protocol; those known here may come from anywhere,
other dotted names only from a person at the shell, who can run Python anyway.
"""

from __future__ import annotations

import importlib.util

from ..errors import EnvironmentProblem, UsageError

OWN = "networks.lora"
ALIASES = (OWN, "lora", "tanren.networks.lora")
PACKAGES = {"lycoris.kohya": "lycoris-lora"}
NOT_BUILT_IN = (
    "networks.dylora",
    "networks.lora_anima",
    "networks.lora_fa",
    "networks.lora_flux",
    "networks.lora_hunyuan_image",
    "networks.lora_lumina",
    "networks.lora_sd3",
    "networks.oft",
    "networks.oft_flux",
)


def is_own(name: str | None) -> bool:
    """True when the name means the LoRA of this package."""
    return name in ALIASES


def check_module(name: str | None, *, typed_at_shell: bool) -> None:
    """Refuse names that cannot be trained here.

    Args:
        name: value of `--network_module`.
        typed_at_shell: a person typed it, or named the config file that holds it; not a preset, job or page.

    Raises:
        UsageError: no name, a module of sd-scripts that is not built in, or a name that may not come from here.
        EnvironmentProblem: the package is not installed.
    """
    where = "--network_module"
    if not name:
        raise UsageError(where=where, what="no network was chosen.", fix=f"Add --network_module={OWN} for a LoRA.")
    if is_own(name):
        return
    if name in NOT_BUILT_IN:
        raise UsageError(
            where=where,
            what=f"{name} belongs to sd-scripts and is not part of this trainer.",
            fix=f"Use {OWN}, or lycoris.kohya for other kinds of networks.",
        )
    if name not in PACKAGES and not typed_at_shell:
        raise UsageError(
            where=where,
            what=f"{name!r} is not one of the networks that may be chosen here.",
            why="A module's name runs its code, so unknown ones are only taken from the command line.",
            fix=f"Choose {OWN} or {', '.join(PACKAGES)}.",
        )
    _check_installed(name)


def _check_installed(name: str) -> None:
    package = name.split(".")[0]
    if not package.isidentifier():
        raise UsageError(where="--network_module", what=f"{name!r} is not the name of a Python module.")
    if importlib.util.find_spec(package) is None:
        distribution = PACKAGES.get(name, package)
        raise EnvironmentProblem(
            where="--network_module",
            what=f"{name} needs the package {distribution}, which is not installed.",
            fix=f"Install it in the trainer's environment: pip install {distribution}",
        )
