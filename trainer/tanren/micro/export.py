"""`micro-model`: an embedded model as a file or folder that other programs read.

python launch.py micro-model sd15 OUT.safetensors     one file in the ldm layout, as people's checkpoints are
python launch.py micro-model sdxl --diffusers DIR     a diffusers folder
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError, UserError
from ..files import durable_write
from ..paths import asset, resolve_user_path

MODELS = {"sd15": ("micro", "micro-sd.safetensors"), "sdxl": ("micro", "micro-sdxl.safetensors")}


def main(words: Sequence[str]) -> int:
    """Write the model where it is wanted; returns the exit code."""
    parser = argparse.ArgumentParser(prog="micro-model", description="Write an embedded model.")
    parser.add_argument("model", choices=sorted(MODELS), help="which one")
    parser.add_argument("out", nargs="?", metavar="OUT.safetensors", help="one file in the ldm layout")
    parser.add_argument("--diffusers", metavar="DIR", help="a diffusers folder instead, in single precision")
    chosen = parser.parse_args(words)
    try:
        if (chosen.out is None) == (chosen.diffusers is None):
            raise UsageError(where="micro-model", what="Give either OUT.safetensors or --diffusers DIR.")
        if chosen.out is not None:
            written = write_file(chosen.model, resolve_user_path(chosen.out, "new file", where="OUT"))
        else:
            written = write_folder(
                asset(*MODELS[chosen.model]), resolve_user_path(chosen.diffusers, "new folder", where="--diffusers")
            )
    except UserError as problem:
        print(problem, file=sys.stderr)
        return problem.code
    print(written)
    return 0


def write_file(model: str, path: Path) -> Path:
    """The packaged file itself, byte for byte."""
    if path.suffix != ".safetensors":
        raise UsageError(where=str(path), what="The file is written as safetensors.", fix="Name it ….safetensors.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with asset(*MODELS[model]).open("rb") as source:
        return durable_write(path, lambda file: shutil.copyfileobj(source, file))


def write_folder(file: Path, folder: Path) -> Path:
    """The weights of such a file as diffusers lays them out, in single precision."""
    # Copying the file needs no torch, so only this half asks for it.
    import torch

    from ..events import Report
    from ..models import save_folder
    from ..models.build import build_projecting_encoder, build_text_encoder, build_unet, build_vae
    from ..models.configs import Configs
    from ..models.load import open_base
    from ..models.save import ModelParts

    source = open_base(str(file))
    place = torch.device("cpu"), torch.float32, Report()
    unet, vae, texts = source.unet, source.vae, [part for part in source.text_encoders if part]
    assert unet and vae and len(texts) == len(source.text_encoders), "the packaged model is whole"
    builders = (build_text_encoder, build_projecting_encoder)[: len(texts)]
    encoders = [build(part, *place) for build, part in zip(builders, texts, strict=True)]
    configs = Configs(source.kind.family, unet.config, vae.config, tuple(part.config for part in texts))
    parts = ModelParts(configs, build_unet(unet, *place), build_vae(vae, *place), tuple(encoders))
    folder.mkdir(parents=True, exist_ok=True)
    return save_folder.write_folder(folder, parts, dtype=torch.float32)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
