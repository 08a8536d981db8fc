"""Peak memory of loading, as multiples of the file, measured in processes of their own."""

import json
import subprocess
import sys

import pytest

MEASURE = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import torch
torch.set_num_threads(1)
from pathlib import Path
from tanren.events import Report
from tanren.models.build import build_unet
from tanren.models.load import open_base

def memory(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))

def once(path):
    part, small = open_base(path, map_file=sys.argv[4] == "mapped").unet, sys.argv[3] == "8 bits"
    return build_unet(part, torch.device("cpu"), dtype, Report(), eight_bits=small)

dtype = torch.bfloat16 if sys.argv[3] == "8 bits" else getattr(torch, sys.argv[3])
once(sys.argv[5])
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before = memory("VmRSS:")
unet = once(sys.argv[2])
after_loading = memory("VmHWM:")
with torch.no_grad():
    unet(torch.zeros(1, 4, 8, 8).to(dtype), torch.tensor([1]), torch.zeros(1, 77, 16).to(dtype))
print(json.dumps([after_loading - before, memory("VmHWM:") - before]))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A tiny model to warm up with, and one of some hundred megabytes."""
    from dataclasses import replace

    import torch
    from diffusers import UNet2DConditionModel
    from tanren.models.save import write_single_file
    from tiny_models import tiny_parts, tiny_sd

    folder = tmp_path_factory.mktemp("models")
    small = tiny_parts()
    config = {**small.configs.unet, "block_out_channels": (64, 128, 256, 256)}
    parts = replace(small, configs=replace(small.configs, unet=config), unet=UNet2DConditionModel(**config))
    large = write_single_file(folder / "large.safetensors", parts, dtype=torch.float16)
    return tiny_sd(folder / "small.safetensors", dtype=torch.float16), large


def measure(files, dtype, how):
    small, large = map(str, files)
    arguments = [json.dumps(sys.path), large, dtype, how, small]
    done = subprocess.run([sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True)
    size = files[1].stat().st_size
    return [grown / size for grown in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(
    ("dtype", "how", "while_loading", "in_use"),
    [
        # Nothing is read before it is used, and then the file's pages are the model.
        ("float16", "mapped", 0.1, 1.3),
        # The model is twice the file; the file's pages are given back as they are converted.
        ("float32", "mapped", 2.2, 2.5),
        ("float16", "read", 1.2, 1.4),
        # Half the file: each weight is rounded as it is read and its pages given back; in use one is cast at a time.
        pytest.param("8 bits", "mapped", 0.65, 1.3, marks=pytest.mark.option("fp8_base_unet")),
        # What was read is given back as it is converted.
        ("float32", "read", 2.2, 2.5),
    ],
)
def test_a_model_is_never_in_memory_twice(files, dtype, how, while_loading, in_use):
    loading, using = measure(files, dtype, how)
    print(f"{dtype} {how}: {loading:.2f} and {using:.2f} times the file")

    assert loading < while_loading
    assert using < in_use
