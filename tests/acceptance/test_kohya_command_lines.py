"""Command lines that guides for sd-scripts print train as they stand.

Only paths, the resolution with the bucket limits that hang on it, and the number of epochs are other ones.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recipes.training import TRAINER, metadata, tensors
from tanren.entry import main
from tanren.paths import repository_folder
from tanren.pins import TRAINER as TRAINER_SECTION
from tanren.pins import read_pins

ROOT = repository_folder()
NETWORK_GUIDE = """
    --output_dir={out} --output_name=mine --save_model_as=safetensors --dataset_config={dataset}
    --pretrained_model_name_or_path={model} --max_train_epochs=2
    --network_module=networks.lora --network_dim=32 --network_alpha=16 --learning_rate=1e-4
    --optimizer_type=AdamW8bit --lr_scheduler=constant --sdpa --save_every_n_epochs=1 --mixed_precision=fp16
    --gradient_checkpointing"""
WIKI = """
    --train_data_dir={data} --reg_data_dir={data} --output_dir={out} --output_name=mine
    --pretrained_model_name_or_path={model} --max_train_epochs=1
    --resolution=128,128 --enable_bucket --min_bucket_reso=64 --max_bucket_reso=256 --bucket_no_upscale
    --clip_skip=2 --seed=42 --color_aug --lr_scheduler=cosine_with_restarts --lr_warmup_steps=500
    --lr_scheduler_num_cycles=4 --keep_tokens=1 --shuffle_caption --caption_extension=.txt --caption_dropout_rate=0.05
    --persistent_data_loader_workers --network_dim=128 --network_alpha=64 --network_module=networks.lora
    --learning_rate=1e-4 --xformers --mixed_precision=fp16 --save_precision=fp16"""
WIKI_SHORT = """
    --train_data_dir={data} --output_dir={out} --output_name=mine --pretrained_model_name_or_path={model}
    --max_train_epochs=1 --resolution=64 --caption_extension=.txt --xformers --mixed_precision=fp16"""
ADAFACTOR = """ --network_module=networks.lora
    --optimizer_type=AdaFactor --optimizer_args relative_step=True scale_parameter=True warmup_init=True"""
LYCORIS = """ --network_module=lycoris.kohya --network_dim=16
    --network_args conv_dim=8 conv_alpha=4 dropout=0.1 algo=loha"""
DATASET = """
[general]
shuffle_caption = true
caption_extension = '.txt'
keep_tokens = 1
[[datasets]]
resolution = 64
batch_size = 4
keep_tokens = 2
  [[datasets.subsets]]
  image_dir = '{images}'
  class_tokens = 'sks waves'
  num_repeats = 1
"""
TEXT_BLOCK = "lora_te_text_model_encoder_layers_"
UNET_LAYERS, LAYERS_OF_A_TEXT_BLOCK = 192, 6
# Beyond the transformer blocks: convolutions of the resnets, and the down- and upsamplers.
UNET_LAYERS_WITH_CONVOLUTIONS = 278


@pytest.fixture
def words(micro, pictures, tmp_path):
    """Turns a printed command line into words, with the paths of this test in it."""
    dataset = tmp_path / "dataset.toml"
    dataset.write_text(DATASET.format(images=pictures / "2_sks waves"), "utf-8")
    places = {"model": micro, "data": pictures, "out": tmp_path / "out", "dataset": dataset}
    return lambda line, **more: [word.format(**places, **more) for word in line.split()]


def in_process_of_its_own(*command, **environment):
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=TRAINER,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def layers_of(path, rank, alpha, *, skipped_text_blocks=0):
    """Names of the layers; each has exactly down, up and alpha, of this rank, and has learned unless it was skipped."""
    found = tensors(path)
    names = sorted(name.removesuffix(".alpha") for name in found if name.endswith(".alpha"))
    assert len(found) == 3 * len(names)
    for name in names:
        down, up = found[f"{name}.lora_down.weight"], found[f"{name}.lora_up.weight"]
        assert (down.shape[0], up.shape[1], float(found[f"{name}.alpha"])) == (rank, rank, alpha)
        assert down.isfinite().all()
    untouched = [name for name in names if not found[f"{name}.lora_up.weight"].any()]
    assert untouched == [name for name in names if name.startswith(last_text_blocks(names, skipped_text_blocks))]
    return names


def last_text_blocks(names, count):
    blocks = sorted({int(name.split("_")[6]) for name in names if name.startswith(TEXT_BLOCK)})
    return tuple(f"{TEXT_BLOCK}{block}_" for block in blocks[len(blocks) - count :])


def check_all_attention_layers(names):
    unet = [name for name in names if name.startswith("lora_unet_")]
    text = [name for name in names if name.startswith(TEXT_BLOCK)]
    assert len(unet) == UNET_LAYERS
    assert len(text) % LAYERS_OF_A_TEXT_BLOCK == 0
    assert len(text) >= 3 * LAYERS_OF_A_TEXT_BLOCK
    assert len(names) == len(unet) + len(text)


def test_network_guides_line_by_accelerate_launch_from_inside_the_trainer_folder(words, tmp_path):
    launcher = ["-m", "accelerate.commands.launch", "--num_cpu_threads_per_process", "1", "train_network.py"]

    in_process_of_its_own(sys.executable, *launcher, *words(NETWORK_GUIDE), ACCELERATE_USE_CPU="true")

    assert {path.name for path in (tmp_path / "out").glob("*.safetensors")} == {
        "mine-000001.safetensors",
        "mine.safetensors",
    }
    check_all_attention_layers(layers_of(tmp_path / "out/mine.safetensors", 32, 16))
    facts = metadata(tmp_path / "out/mine.safetensors")
    assert facts["ss_gradient_checkpointing"] == "True"
    assert facts["ss_lr_scheduler"] == "constant"
    assert json.loads(facts["ss_datasets"])[0]["subsets"][0]["keep_tokens"] == 2


def test_wikis_line_by_plain_python(words, tmp_path):
    said = in_process_of_its_own(sys.executable, "train_network.py", *words(WIKI))

    # --clip_skip=2 takes the states before the last block, so that block has nothing to learn from.
    check_all_attention_layers(layers_of(tmp_path / "out/mine.safetensors", 128, 64, skipped_text_blocks=1))
    assert {tensor.dtype.itemsize for tensor in tensors(tmp_path / "out/mine.safetensors").values()} == {2}
    facts = metadata(tmp_path / "out/mine.safetensors")
    # Nothing computes in half precision without a GPU, and the file says what did.
    assert facts["ss_mixed_precision"] == "no"
    assert facts["ss_num_reg_images"] == facts["ss_num_train_images"] == "12"
    assert facts["ss_clip_skip"] == "2"
    assert "float32" in said
    assert "xformers" in said
    assert "--lr_warmup_steps" in said


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links")
def test_adafactor_line_by_the_launcher_in_its_managed_environment(words, tmp_path):
    environment = stand_in_environment(tmp_path / "venv")

    in_process_of_its_own(
        sys.executable,
        ROOT / "launch.py",
        "--yes",
        "train_network",
        *words(WIKI_SHORT + ADAFACTOR),
        TANREN_VENV=str(environment),
    )

    check_all_attention_layers(layers_of(tmp_path / "out/mine.safetensors", 4, 1))
    facts = metadata(tmp_path / "out/mine.safetensors")
    assert "adafactor" in facts["ss_optimizer"].lower()
    assert "relative_step=True" in facts["ss_optimizer"]
    # Without a learning rate, the optimizer's own rate is used.
    assert facts["ss_lr_scheduler"].startswith("adafactor")


def test_line_with_network_weights_goes_on_from_them(words, tmp_path):
    line = WIKI_SHORT + " --network_module=networks.lora --learning_rate=1e-3"
    assert main("train_network", words(line)) == 0
    first = shutil.copy(tmp_path / "out/mine.safetensors", tmp_path / "first.safetensors")

    line = WIKI_SHORT + " --network_module=networks.lora --learning_rate=1e-9 --network_weights={first}"
    assert main("train_network", words(line, first=first)) == 0

    before, after = tensors(Path(first)), tensors(tmp_path / "out/mine.safetensors")
    assert before.keys() == after.keys()
    assert all((after[name] - before[name]).abs().max() < 1e-6 for name in before)
    check_all_attention_layers(layers_of(tmp_path / "out/mine.safetensors", 4, 1))


@pytest.mark.option("network_module", "network_args")
def test_line_with_a_network_of_lycoris(words, tmp_path):
    pytest.importorskip("lycoris")

    assert main("train_network", words(WIKI_SHORT + LYCORIS)) == 0

    found = tensors(tmp_path / "out/mine.safetensors")
    names = {name.partition(".")[0] for name in found}
    assert len([name for name in names if name.startswith("lora_unet_")]) == UNET_LAYERS_WITH_CONVOLUTIONS
    assert all(f"{name}.{part}" in found for name in names for part in ("hada_w1_a", "hada_w2_b", "alpha"))
    assert all(found[f"{name}.hada_w2_b"].isfinite().all() for name in names)
    facts = metadata(tmp_path / "out/mine.safetensors")
    assert facts["ss_network_module"] == "lycoris.kohya"
    assert json.loads(facts["ss_network_args"])["algo"] == "loha"


def stand_in_environment(folder):
    """What `launch.py` takes for its managed environment, though its packages are those of this interpreter."""
    prefix = Path(sys.prefix)
    folder.mkdir()
    (folder / "bin").symlink_to(prefix / "bin")
    (folder / "lib").symlink_to(prefix / "lib")
    if (prefix / "pyvenv.cfg").exists():
        shutil.copy(prefix / "pyvenv.cfg", folder)
    marker = {"state": "ready", "pins": read_pins(ROOT / "pins.txt").hash, "sections": [TRAINER_SECTION]}
    (folder / "tanren-setup.json").write_text(json.dumps({**marker, "packages": {}}))
    return folder
