"""How weights change: optimizer, learning rates and their schedule."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Conflicts, option
from .values import count_or_ratio

ONE_OPTIMIZER = "each of them names an optimizer"


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """The optimizer and its learning rates."""

    optimizer_type: str = option(
        "",
        "Optimizer: AdamW (when not given), AdamW8bit, Lion, Adafactor, Prodigy and others; or package.Class.",
        label="Training optimizer",
        suggestions=(
            "AdamW",
            "AdamW8bit",
            "PagedAdamW8bit",
            "Lion",
            "Lion8bit",
            "PagedLion8bit",
            "Adafactor",
            "Prodigy",
            "DAdaptation",
            "DAdaptAdam",
            "DAdaptAdaGrad",
            "DAdaptAdan",
            "DAdaptAdanIP",
            "DAdaptLion",
            "DAdaptSGD",
            "AdamWScheduleFree",
            "RAdamScheduleFree",
            "SGDScheduleFree",
            "SGDNesterov",
            "SGDNesterov8bit",
        ),
        level="basic",
    )
    use_8bit_adam: bool = option(
        False, "Old spelling of --optimizer_type AdamW8bit.", label="8-bit Adam (old switch)", level="expert"
    )
    use_lion_optimizer: bool = option(
        False, "Old spelling of --optimizer_type Lion.", label="Lion (old switch)", level="expert"
    )
    optimizer_args: tuple[str, ...] = option(
        (), "Arguments of the optimizer as key=value, such as weight_decay=0.01.", label="Optimizer arguments"
    )
    learning_rate: float = option(
        2e-6,
        "Learning rate of everything that has none of its own.",
        label="General learning rate",
        minimum=0,
        level="basic",
        saved_as="ss_learning_rate",
    )
    unet_lr: float | None = option(
        None,
        "Learning rate of the U-Net's part; 0 leaves it out.",
        label="Learning rate, U-Net",
        minimum=0,
        level="basic",
        saved_as="ss_unet_lr",
    )
    text_encoder_lr: tuple[float, ...] = option(
        (),
        "Learning rate of the text encoder's part; 0 leaves it out.",
        label="Learning rate, text encoder",
        minimum=0,
        level="basic",
        saved_as="ss_text_encoder_lr",
    )
    max_grad_norm: float = option(
        1.0,
        "Gradients are scaled down to this norm; 0 switches it off.",
        label="Largest gradient norm",
        minimum=0,
        saved_as="ss_max_grad_norm",
    )
    fused_backward_pass: bool = option(
        False,
        "Update each weight as soon as its gradient is there, and drop the gradient; Adafactor without accumulation "
        "only. --max_grad_norm then limits the gradient of each weight by itself.",
        label="Fused backward pass",
        level="expert",
    )

    rules = (
        Conflicts("use_8bit_adam", "optimizer_type", because=ONE_OPTIMIZER),
        Conflicts("use_lion_optimizer", "optimizer_type", because=ONE_OPTIMIZER),
        Conflicts("use_8bit_adam", "use_lion_optimizer", because=ONE_OPTIMIZER),
    )

    @property
    def leaves_unet_out(self) -> bool:
        """True when the U-Net's rate is exactly 0, which leaves its part out of the run."""
        return (self.learning_rate if self.unet_lr is None else self.unet_lr) == 0

    @property
    def chosen(self) -> str:
        """Name of the optimizer, old spellings included."""
        if self.use_8bit_adam:
            return "AdamW8bit"
        return "Lion" if self.use_lion_optimizer else self.optimizer_type or "AdamW"


@dataclass(frozen=True, kw_only=True)
class SchedulerOptions:
    """How the learning rate changes over the run."""

    lr_scheduler: str = option(
        "constant",
        "linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup, adafactor, inverse_sqrt, "
        "cosine_with_min_lr, warmup_stable_decay, piecewise_constant.",
        label="Learning rate schedule",
        suggestions=(
            "constant",
            "constant_with_warmup",
            "linear",
            "cosine",
            "cosine_with_restarts",
            "polynomial",
            "inverse_sqrt",
            "cosine_with_min_lr",
            "warmup_stable_decay",
            "piecewise_constant",
            "adafactor",
        ),
        level="basic",
        saved_as="ss_lr_scheduler",
    )
    lr_scheduler_type: str = option(
        "",
        "A class instead: a name of torch.optim.lr_scheduler, or package.Class; wins.",
        label="Schedule class",
        level="expert",
    )
    lr_scheduler_args: tuple[str, ...] = option(
        (), "Arguments of the schedule as key=value.", label="Schedule arguments", level="expert"
    )
    lr_warmup_steps: int | float = option(
        0,
        "Steps in which the rate rises from zero: a count, a ratio below 1 of all steps, or a percentage.",
        label="Learning rate warm-up",
        written="steps or ratio",
        parse=count_or_ratio,
        minimum=0,
        level="basic",
        saved_as="ss_lr_warmup_steps",
    )
    lr_decay_steps: int | float = option(
        0,
        "Steps in which the rate falls at the end (warmup_stable_decay).",
        label="Decay at the end",
        written="steps or ratio",
        parse=count_or_ratio,
        minimum=0,
        level="expert",
    )
    lr_scheduler_num_cycles: int = option(
        1, "Restarts of cosine_with_restarts.", label="Restarts of the schedule", minimum=1
    )
    lr_scheduler_power: float = option(
        1.0, "Power of the polynomial schedule.", label="Power of the schedule", level="expert"
    )
    lr_scheduler_timescale: int | None = option(
        None,
        "Time scale of inverse_sqrt; not given: the warm-up, or 10000.",
        label="Time scale of the schedule",
        minimum=1,
        level="expert",
    )
    lr_scheduler_min_lr_ratio: float | None = option(
        None,
        "Lowest rate as a fraction of the first (cosine_with_min_lr, warmup_stable_decay).",
        label="Lowest rate (fraction)",
        minimum=0,
        maximum=1,
        level="expert",
    )
