"""Opening a base model for a family: the right kind of file, with every part that is needed."""

from __future__ import annotations

from ..errors import ModelFileError
from ..events import Report
from ..formats.checkpoint_kind import base_model_problem, prediction_warnings
from ..models.configs import STANDARD
from ..models.load import BASE_OPTION, open_base, open_vae
from ..models.source import Component, Source
from ..options.model import ModelOptions


def open_model(options: ModelOptions, bases: tuple[str, ...], report: Report) -> Source:
    """Open the base model of a run.

    Args:
        options: which one, and the flags that must fit it.
        bases: kinds of checkpoints that the family trains.
        report: told what the file says about itself that the flags do not.

    Raises:
        UsageError: a flag does not fit the file.
        ModelFileError: the file is missing, damaged, unsafe or of another family.
    """
    source = open_base(options.pretrained_model_name_or_path, map_file=not options.disable_mmap_load_safetensors)
    # As the user typed it, so that the report can tell this from what the checks before the run have said.
    name = options.pretrained_model_name_or_path or source.path.name
    problem = base_model_problem(source.kind, name, bases=bases, v2=options.v2, needs_vae=not options.vae)
    if problem is not None:
        raise problem
    for warning in prediction_warnings(
        source.kind,
        name,
        v_parameterization=options.v_parameterization,
        zero_terminal_snr=options.zero_terminal_snr,
    ):
        report.warning(warning)
    return source


def unet_of(source: Source) -> Component:
    """The U-Net, which must be there."""
    return _needed(source.unet, source, "U-Net", "Take the full checkpoint.")


def text_encoders_of(source: Source) -> list[Component]:
    """Every text encoder of the family, which must be there."""
    return [_needed(part, source, "text encoder", "Take the full checkpoint.") for part in source.text_encoders]


def vae_of(source: Source, options: ModelOptions) -> Component:
    """The autoencoder: that of `--vae`, else the model's own.

    Raises:
        ModelFileError: there is none, or another kind.
    """
    if not options.vae:
        fix = "Take the full checkpoint, or name a VAE with --vae."
        return _needed(source.vae, source, "VAE", fix)
    config = source.vae.config if source.vae is not None else STANDARD[source.kind.family].vae
    return open_vae(options.vae, config, map_file=not options.disable_mmap_load_safetensors)


def _needed(part: Component | None, source: Source, title: str, fix: str) -> Component:
    if part is None:
        raise ModelFileError(where=BASE_OPTION, what=f"{source.path.name} has no {title}.", fix=fix)
    return part
