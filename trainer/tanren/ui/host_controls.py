"""Where the ControlNet of a WebUI finds its models, and its list of them.

In A1111 ControlNet is an extension, in Forge it comes along. Both read `models/ControlNet` and the folders that
`--controlnet-dir` and the setting `control_net_models_path` name, where these are there; the extension also reads the
`models` folder of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

MODEL_ENDINGS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
# The extension's module in A1111, Forge's own, and the functions that read the folders again in their versions.
LISTS = ("scripts.global_state", "lib_controlnet.global_state")
READ_AGAIN = ("update_cn_models", "update_controlnet_filenames")
EXTENSION = Path("extensions", "sd-webui-controlnet", "models")


def control_folder(named: tuple[str | None, ...]) -> Path | None:
    """The folder for a new control network; None in a WebUI that does not say where its models are.

    Args:
        named: folders that flags and settings name, the first one first.
    """
    for folder in named:
        if folder and Path(folder).is_dir():
            return Path(folder).absolute()
    forge = getattr(sys.modules.get("modules_forge.shared"), "controlnet_dir", None)
    if forge:
        return Path(forge).absolute()
    paths = sys.modules.get("modules.paths")
    if paths is None:
        return None
    usual, of_extension = Path(paths.models_path, "ControlNet"), Path(paths.data_path, EXTENSION)
    # Who has always kept them with the extension goes on doing so.
    is_kept_there = _holds_models(of_extension) and not _holds_models(usual)
    return (of_extension if is_kept_there else usual).absolute()


def read_controls_again() -> bool:
    """Have the WebUI look into its folders; False where no ControlNet is installed."""
    for name in LISTS:
        for function in READ_AGAIN:
            read = getattr(sys.modules.get(name), function, None)
            if callable(read):
                read()
                return True
    return False


def _holds_models(folder: Path) -> bool:
    try:
        return any(entry.suffix.lower() in MODEL_ENDINGS for entry in folder.iterdir())
    except OSError:
        # It is not there.
        return False
