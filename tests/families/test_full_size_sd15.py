"""A full-size Stable Diffusion 1.5 with random weights."""

import json
import subprocess
import sys

import pytest
from tiny_models import full_size_sd15

MEASURE = """
import json, sys, time
sys.path[:0] = json.loads(sys.argv[1])
import torch
torch.set_num_threads(1)
from pathlib import Path
from tanren.events import Report
from tanren.families import sd
from tanren.families.base import Placement
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings

def memory(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))

options = [ModelOptions(pretrained_model_name_or_path=sys.argv[2]), AttentionOptions(), DatasetOptions()]
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
before, began = memory("VmRSS:"), time.process_time()
dtype = getattr(torch, sys.argv[3])
model = sd.load(Settings("train_network", options), Placement(torch.device("cpu"), dtype, dtype), Report())
print(json.dumps([memory("VmHWM:") - before, time.process_time() - began, len(sd.lora_targets(model))]))
"""


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    path = full_size_sd15(tmp_path_factory.mktemp("model") / "sd15.safetensors")
    yield path
    path.unlink()


@pytest.mark.proof
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize(("dtype", "times_the_file"), [("float16", 0.1), ("float32", 2.2)])
def test_a_full_size_model_loads_without_a_second_copy(full_size, dtype, times_the_file):
    arguments = [json.dumps(sys.path), str(full_size), dtype]
    done = subprocess.run([sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True)
    grown, seconds, layers = json.loads(done.stdout.splitlines()[-1])

    print(f"{dtype}: {grown / 2**30:.2f} GiB more at the peak, {seconds:.2f} CPU seconds")
    assert layers == 350
    assert grown < times_the_file * full_size.stat().st_size
