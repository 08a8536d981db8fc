"""An environment that somebody else made: used when it can be, never changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tanren.environment import Environment
from tanren.errors import EnvironmentProblem
from tanren.paths import package_folder
from tanren.pins import read_pins
from tanren.ui.environment_job import TrainerSetup
from tanren.ui.given_environment import look_at, oldest_versions
from tanren.ui.host_standalone import Standalone

PINS = read_pins(package_folder().parents[1] / "pins.txt")
PACKAGES = {
    **{"torch": "2.13.0+cu130", "diffusers": "0.42.1", "transformers": "5.23.0", "accelerate": "1.15.0"},
    **{"safetensors": "0.8.0", "numpy": "2.4.6", "pillow": "12.3.0", "toml": "0.10.2"},
}


@pytest.fixture
def folder(tmp_path):
    """What the files of a fitting environment look like."""
    python = Environment(tmp_path / "own").python
    python.parent.mkdir(parents=True)
    python.touch()
    packages = tmp_path / "own" / "lib" / "python3.11" / "site-packages"
    (packages / "torch").mkdir(parents=True)
    (packages / "torch" / "version.py").touch()
    for name, version in PACKAGES.items():
        put(tmp_path / "own", name, version)
    return tmp_path / "own"


def put(folder: Path, name: str, version: str) -> None:
    packages = folder / "lib" / "python3.11" / "site-packages"
    for old in packages.glob(f"{name}-*.dist-info"):
        old.rmdir()
    if version:
        (packages / f"{name}-{version}.dist-info").mkdir()


def setup_with(folder: Path) -> TrainerSetup:
    return TrainerSetup(Standalone(folder.parent / "data", settings={"environment_folder": str(folder)}))


def test_a_fitting_environment_is_used(folder):
    assert look_at(folder, PINS).why == ""
    assert setup_with(folder).python() == Environment(folder).python
    status = setup_with(folder).status()
    assert (status["state"], status["is_given"], status["hint"]) == ("ready", True, "")


def test_other_versions_than_the_tested_ones_are_named(folder):
    put(folder, "diffusers", "0.99.0")
    assert setup_with(folder).status()["hint"] == "diffusers 0.99.0 (tested with 0.42.1)"


@pytest.mark.parametrize(
    ("name", "version", "why"),
    [
        ("diffusers", "", "these packages are not installed in it: diffusers"),
        ("torch", "2.4.1+cu121", "these packages are too old: torch 2.4.1+cu121 (at least 2.10)"),
    ],
)
@pytest.mark.rule("flt-16")
def test_an_environment_that_cannot_train_is_refused_with_the_reason(folder, name, version, why):
    put(folder, name, version)
    status = setup_with(folder).status()
    assert (status["state"], status["why"], status["is_given"]) == ("foreign", why, True)
    with pytest.raises(EnvironmentProblem, match="cannot be used") as caught:
        setup_with(folder).python()
    assert caught.value.why == f"In this folder: {why}."


def test_a_folder_without_python_or_without_torch_is_refused(folder):
    (folder / "lib" / "python3.11" / "site-packages" / "torch" / "version.py").unlink()
    assert look_at(folder, PINS).why == "torch is not installed in it"
    Environment(folder).python.unlink()
    assert look_at(folder, PINS).why == "there is no Python in it"


def test_it_is_never_changed(folder):
    for action in (setup_with(folder).setup, setup_with(folder).repair):
        if action.__name__ == "setup":
            put(folder, "diffusers", "")
        with pytest.raises(EnvironmentProblem, match="was not made by Tanren, so it is not changed"):
            action()


def test_the_oldest_versions_are_those_of_the_project():
    assert oldest_versions()["torch"] == "2.10"
    assert oldest_versions()["gradio"] == "6.31"
