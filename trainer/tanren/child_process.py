"""How other Pythons are started: argument lists, a chosen environment, UTF-8; never through a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PASSED_ON = """
    PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM COLORTERM NO_COLOR FORCE_COLOR COLUMNS LINES TMPDIR TEMP TMP CI
    SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT APPDATA LOCALAPPDATA PROGRAMDATA PROGRAMFILES USERPROFILE USERNAME
    HOMEDRIVE HOMEPATH NUMBER_OF_PROCESSORS LD_LIBRARY_PATH LD_PRELOAD
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    MASTER_ADDR MASTER_PORT RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE NODE_RANK GROUP_RANK
    PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONHASHSEED PYTHONWARNINGS PYTHONFAULTHANDLER
"""
PASSED_ON_BEGINNINGS = """
    LC_ XDG_ TANREN_ PIP_ HF_ HUGGINGFACE_ TRANSFORMERS_ DIFFUSERS_ ACCELERATE_ TORCH PYTORCH_ CUDA_ CUBLAS_ NVIDIA_
    NCCL_ GLOO_ OMP_ MKL_ KMP_ OPENBLAS_ WANDB_ BNB_ BITSANDBYTES_ TRITON_ XFORMERS_ HSA_ HIP_ ROCR_ MIOPEN_ SLURM_
    PROCESSOR_ PYTEST_ MALLOC_
"""
# These would send packages elsewhere than into the environment that pip runs in.
HELD_BACK = frozenset({"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIREMENT", "PIP_CONSTRAINT"})


def child_environment(given: Mapping[str, str] | None = None, **added: str) -> dict[str, str]:
    """The environment variables a child gets: those on the lists above, UTF-8 mode, and what is added.

    Args:
        given: where to take them from; the environment of this process when None.
    """
    source = os.environ if given is None else given
    kept = {name: value for name, value in source.items() if _is_passed_on(name.upper())}
    return {**kept, "PYTHONUTF8": "1", "PIP_USER": "0", **added}


def replace_process(command: Sequence[str | Path], environment: Mapping[str, str]) -> int:
    """Run a command in the place of this process, so that signals and the exit code are its own.

    Windows has no such call: there the exit code is handed back after Ctrl-C was left to the child.
    """
    arguments = [str(part) for part in command]
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform != "win32":
        os.execve(arguments[0], arguments, dict(environment))
    return run_attended(arguments, environment)


def run_attended(command: Sequence[str | Path], environment: Mapping[str, str]) -> int:
    """Run a command beside this process and return its exit code.

    Ctrl-C reaches both; the child decides what to do about it (a trainer saves first), and this process waits for it.
    """
    sys.stdout.flush()
    child = subprocess.Popen([str(part) for part in command], env=dict(environment))
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue


def _is_passed_on(name: str) -> bool:
    if name in HELD_BACK:
        return False
    return name in PASSED_ON.split() or name.startswith(tuple(PASSED_ON_BEGINNINGS.split()))
