import pytest
from generation.drawing import Studio, random_lora, targets_of
from tiny_models import tiny_sd


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("絵 (1)")


@pytest.fixture(scope="module")
def studio(place):
    return Studio(tiny_sd(place / "tiny xl.safetensors", "shallow sdxl"), place, "sdxl_gen_img")


@pytest.fixture(scope="module")
def sd_studio(place):
    return Studio(tiny_sd(place / "tiny 1.safetensors", "sd1"), place / "sd", "gen_img")


@pytest.fixture(scope="module")
def targets(studio):
    return list(targets_of(studio.model, "sdxl"))


@pytest.fixture(scope="module")
def lora(place, targets):
    return random_lora(place / "first.safetensors", targets)


@pytest.fixture(scope="module")
def other_lora(place, targets):
    return random_lora(place / "second.safetensors", targets, seed=1)
