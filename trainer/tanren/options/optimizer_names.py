"""Names of `--optimizer_type`: which class they mean and which package has to be installed for it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class KnownOptimizer:
    """A name that works in any mix of capitals.

    Args:
        path: module and class.
        package: as pip knows it.
        defaults: arguments that are set unless the user sets them.
    """

    path: str
    package: str
    defaults: dict[str, Any] = field(default_factory=dict)


NESTEROV = {"momentum": 0.9, "nesterov": True}
KNOWN: dict[str, KnownOptimizer] = {
    "adamw": KnownOptimizer("torch.optim.AdamW", "torch"),
    "sgdnesterov": KnownOptimizer("torch.optim.SGD", "torch", NESTEROV),
    "sgdnesterov8bit": KnownOptimizer("bitsandbytes.optim.SGD8bit", "bitsandbytes", NESTEROV),
    "lion": KnownOptimizer("lion_pytorch.Lion", "lion-pytorch"),
    "dadaptation": KnownOptimizer("dadaptation.experimental.DAdaptAdamPreprint", "dadaptation"),
    "dadaptadampreprint": KnownOptimizer("dadaptation.experimental.DAdaptAdamPreprint", "dadaptation"),
    "dadaptadanip": KnownOptimizer("dadaptation.experimental.DAdaptAdanIP", "dadaptation"),
    "prodigy": KnownOptimizer("prodigyopt.Prodigy", "prodigyopt"),
    "adafactor": KnownOptimizer("transformers.optimization.Adafactor", "transformers"),
}
KNOWN |= {
    name.lower(): KnownOptimizer(f"{module}.{name}", package)
    for module, package, names in (
        (
            "bitsandbytes.optim",
            "bitsandbytes",
            "AdamW8bit PagedAdamW8bit PagedAdamW PagedAdamW32bit Lion8bit PagedLion8bit",
        ),
        ("dadaptation", "dadaptation", "DAdaptAdaGrad DAdaptAdam DAdaptAdan DAdaptLion DAdaptSGD"),
        ("schedulefree", "schedulefree", "RAdamScheduleFree AdamWScheduleFree SGDScheduleFree"),
    )
    for name in names.split()
}
MODULES = {"lion-pytorch": "lion_pytorch"}


def known_optimizer(name: str) -> KnownOptimizer | None:
    """The entry of a name, or None: then it is a class of torch.optim or package.Class."""
    return KNOWN.get(name.lower())


def packages_of(name: str) -> tuple[str, ...]:
    """Packages, as pip knows them, that a name needs; the first part of a dotted name counts as one."""
    known = known_optimizer(name)
    if known:
        return (known.package,)
    needed = [name.split(".")[0]] if "." in name else []
    # kohya's rule: these endings need their package even when the class is found elsewhere.
    for ending, package in (("8bit", "bitsandbytes"), ("schedulefree", "schedulefree")):
        if name.lower().endswith(ending) and package not in needed:
            needed.append(package)
    return tuple(needed)


def missing_packages(name: str) -> tuple[str, ...]:
    """Those of `packages_of` that cannot be imported here; nothing is imported to find out."""
    return tuple(
        package for package in packages_of(name) if importlib.util.find_spec(MODULES.get(package, package)) is None
    )


def has_own_schedule(name: str) -> bool:
    """True for schedule-free kinds: no scheduler, and other weights for saving and sampling than for training."""
    return name.lower().endswith("schedulefree")


def finds_own_rate(name: str) -> bool:
    """True for D-Adaptation and Prodigy: the rate is a factor near 1 and the same for every group."""
    return name.lower().startswith("dadapt") or name.lower() == "prodigy"


def is_adafactor(name: str) -> bool:
    """True for Adafactor, which may bring its own schedule."""
    return name.lower() == "adafactor"


def steps_relatively(arguments: dict[str, Any]) -> bool:
    """Whether Adafactor sets its rate itself; `warmup_init` cannot work without it."""
    return bool(arguments.get("relative_step", True) or arguments.get("warmup_init", False))
