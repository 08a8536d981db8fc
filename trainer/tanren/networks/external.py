"""Networks of other packages, by sd-scripts' protocol for `--network_module`.

The module offers `create_network` and `create_network_from_weights`; the network it makes is called in the order that
sd-scripts' trainer has, because such modules rely on it: apply_to, load_weights, enable_gradient_checkpointing,
prepare_optimizer_params, to, prepare_grad_etc, then per epoch and step. The models are shown through `facade.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..data.draws import draw_seed
from ..errors import EnvironmentProblem, ModelFileError, Problems, UsageError
from ..families.base import Model
from ..models.foreign_writers import publish
from ..options.network import NetworkOptions
from .base import LearningRates, MaxNorm, ParameterGroup, WriteWeights
from .facade import show_text_encoder, show_unet
from .lora_args import split_args

WHERE = "--network_module"
REFUSALS = (ValueError, TypeError, KeyError, AssertionError, NotImplementedError)


class Shown:
    """What a third-party module gets to see of a model: one text encoder bare, several as a list."""

    def __init__(self, model: Model) -> None:
        encoders = [show_text_encoder(encoder) for encoder in model.text_encoders]
        self.vae = model.vae
        self.unet = show_unet(model.denoiser, model.family.unet_path)
        self.text_encoder: Any = encoders[0] if len(encoders) == 1 else encoders
        self.device = model.placement.device
        self.dtype = model.placement.dtype

    def leaves(self) -> Iterable[nn.Module]:
        """Every live layer that has weights."""
        encoders = self.text_encoder if isinstance(self.text_encoder, list) else [self.text_encoder]
        for root in (self.unet, *encoders):
            yield from (module for module in root.modules() if module._parameters)


def attach_external(model: Model, options: NetworkOptions, seed: int) -> ExternalNetwork:
    """Make the network that `--network_module` names and put it on the live model.

    Args:
        model: the loaded base model.
        options: rank, alpha, dropout and further arguments, handed over as sd-scripts does.
        seed: of the run; fixes the network's start.

    Raises:
        EnvironmentProblem: the module cannot be imported.
        UsageError: it is not a network module, or refuses its arguments.
    """
    name = options.network_module or ""
    module, shown = import_module(name), Shown(model)
    args: dict[str, Any] = dict(split_args(options.network_args, Problems()))
    torch.manual_seed(draw_seed(seed, "network"))
    models = (shown.vae, shown.text_encoder, shown.unet)
    with _refusal(name):
        if options.dim_from_weights:
            network, _ = module.create_network_from_weights(1, options.network_weights, *models, **args)
        else:
            args.setdefault("dropout", options.network_dropout)
            network = module.create_network(
                1.0, options.network_dim, options.network_alpha, *models, neuron_dropout=options.network_dropout, **args
            )
        if network is None:
            raise UsageError(where=WHERE, what=f"{name} made no network.", fix="See what it printed above.")
        if hasattr(network, "prepare_network"):
            network.prepare_network(SimpleNamespace(**vars(options)))
        applies_to_text = not options.network_train_unet_only
        applies_to_unet = not options.network_train_text_encoder_only
        network.apply_to(shown.text_encoder, shown.unet, applies_to_text, applies_to_unet)
    wrapped = ExternalNetwork(network, shown, options, args)
    if options.network_weights:
        wrapped.notes.append(f"{options.network_weights}: {network.load_weights(options.network_weights)}")
    return wrapped


def merge_external(model: Model, options: NetworkOptions, path: str, multiplier: float) -> None:
    """Merge one of `--base_weights` into the live model.

    The module merges at strength 1 and the result is blended here: some modules ignore the multiplier they are given.
    """
    name = options.network_module or ""
    module, shown = import_module(name), Shown(model)
    before = [(p, p.detach().clone()) for leaf in shown.leaves() for p in leaf.parameters()] if multiplier != 1 else []
    with _refusal(name):
        network, weights = module.create_network_from_weights(
            1.0, path, shown.vae, shown.text_encoder, shown.unet, for_inference=True
        )
        network.merge_to(shown.text_encoder, shown.unet, weights, shown.dtype, shown.device)
    with torch.no_grad():
        for parameter, old in before:
            parameter.copy_(torch.lerp(old.float(), parameter.float(), multiplier))


def import_module(name: str) -> ModuleType:
    """Import a network module.

    Raises:
        EnvironmentProblem: it, or something it needs, is not installed.
        UsageError: it is not a network module.
    """
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        missing = error.name or name
        fix = f"Install the package that provides {missing} in the trainer's environment."
        raise EnvironmentProblem(where=WHERE, what=f"{name} cannot be imported.", why=str(error), fix=fix) from error
    if not hasattr(module, "create_network"):
        what = f"{name} is not a network module: it has no create_network."
        raise UsageError(where=WHERE, what=what, fix="Use networks.lora or lycoris.kohya.")
    return module


@contextmanager
def _refusal(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelFileError(where=WHERE, what=f"{name} cannot read its file.", why=str(error)) from error
    except REFUSALS as error:
        why = f"{type(error).__name__}: {error}"
        fix = "Check --network_args against the module's documentation."
        raise UsageError(where=WHERE, what=f"{name} refused its arguments.", why=why, fix=fix) from error


class ExternalNetwork:
    """A third-party network seen as `TrainedNetwork`; made by `attach_external`."""

    # Such networks keep float32 weights and compute in the dtype of their input only under autocast.
    needs_autocast = True
    file_kind = "lora"

    def __init__(self, network: Any, shown: Shown, options: NetworkOptions, args: Mapping[str, Any]) -> None:
        self.network = network
        self.notes: list[str] = []
        self.module_name = options.network_module or ""
        self.module_args = dict(args) if options.network_args else {}
        self.trains_unet = not options.network_train_text_encoder_only
        self.trains_text_encoder = not options.network_train_unet_only
        self._shown, self._is_prepared = shown, False
        self._learning: set[nn.Parameter] | None = None
        self._can_limit_norm = hasattr(network, "apply_max_norm_regularization")
        if options.scale_weight_norms and not self._can_limit_norm:
            self.notes.append(f"--scale_weight_norms is off: {self.module_name} cannot limit its norms.")

    def parameter_groups(self, rates: LearningRates) -> list[ParameterGroup]:
        """Groups as the network makes them, with its own names for them where it gives any."""
        made = self._prepared_params(rates)
        rows, names = made if isinstance(made, tuple) else (made, [])
        groups = []
        for index, row in enumerate(rows):
            row = row if isinstance(row, dict) else {"params": row}
            rate = row.get("lr", rates.default)
            parameters = list(row["params"])
            if rate and parameters:
                groups.append(
                    ParameterGroup(names[index] if index < len(names) else f"group {index}", parameters, rate)
                )
        if self.trains_text_encoder and not rates.of_text_encoder(0):
            self.trains_text_encoder = False
        self._learning = {parameter for group in groups for parameter in group.params}
        self._freeze_others()
        return groups

    def _freeze_others(self) -> None:
        """Parameters without a rate would gather gradients that nobody clears, and count in the norm of clipping."""
        for parameter in self.network.get_trainable_params():
            if self._learning is not None and parameter not in self._learning:
                parameter.requires_grad_(False)

    def _prepared_params(self, rates: LearningRates) -> Any:
        several = list(rates.text_encoders)
        if hasattr(self.network, "prepare_optimizer_params_with_multiple_te_lrs"):
            raw: Any = None if not several else several[0] if len(several) == 1 else several
            return self.network.prepare_optimizer_params_with_multiple_te_lrs(raw, rates.unet, rates.default)
        first = several[0] if several else None
        try:
            return self.network.prepare_optimizer_params(first, rates.unet, rates.default)
        except TypeError:
            # Older modules take two rates and no default.
            text = rates.default if first is None else first
            return self.network.prepare_optimizer_params(text, rates.of_unet())

    def trainable(self) -> list[nn.Parameter]:
        """Parameters that learn."""
        return [parameter for parameter in self.network.get_trainable_params() if parameter.requires_grad]

    def set_multiplier(self, multiplier: float) -> None:
        """Strength of the network.

        Raises:
            UsageError: the network has one strength only.
        """
        if hasattr(self.network, "set_multiplier"):
            self.network.set_multiplier(multiplier)
        elif multiplier != 1:
            what = f"{self.module_name} cannot change its strength, which this run needs."
            raise UsageError(where=WHERE, what=what, fix="Leave out diff_output_preservation.")

    def train(self, mode: bool = True) -> ExternalNetwork:
        """Switch dropout on or off."""
        self.network.train(mode)
        return self

    def eval(self) -> ExternalNetwork:
        """Switch dropout off."""
        return self.train(False)

    def to(self, *args: Any, **kwargs: Any) -> ExternalNetwork:
        """Move or cast the weights."""
        self.network.to(*args, **kwargs)
        return self

    def tensors(self) -> dict[str, Tensor]:
        """Copies on the CPU under the names that the network's own files have."""
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.network.state_dict().items()}

    def diffusers_paths(self) -> dict[str, str]:
        """None: only the module knows what its tensors mean."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        self.network.load_state_dict(dict(tensors))

    def apply_max_norm(self, limit: float) -> MaxNorm | None:
        """Scale down layers whose update is larger than `limit`, where the network can."""
        if not self._can_limit_norm:
            return None
        told = self.network.apply_max_norm_regularization(limit, self._shown.device)
        return MaxNorm(*(torch.as_tensor(value, device=self._shown.device) for value in told))

    def enable_gradient_checkpointing(self) -> None:
        """Tell the network that the model recomputes its activations."""
        self.network.enable_gradient_checkpointing()

    def on_epoch_start(self) -> None:
        """Tell the network, which switches itself to training; before the first epoch it also sets up its gradients."""
        if not self._is_prepared:
            self.network.prepare_grad_etc(self._shown.text_encoder, self._shown.unet)
            self._freeze_others()
            self._is_prepared = True
        self.network.on_epoch_start(self._shown.text_encoder, self._shown.unet)

    def on_step_start(self) -> None:
        """Tell the network, if it wants to know."""
        if hasattr(self.network, "on_step_start"):
            self.network.on_step_start(self._shown.text_encoder, self._shown.unet)

    def save(self, path: Path, dtype: torch.dtype | None, metadata: Mapping[str, str], write: WriteWeights) -> None:
        """Let the network write its file; the ending of `path` decides the format."""
        publish(path, lambda made: self.network.save_weights(str(made), dtype, dict(metadata)))
