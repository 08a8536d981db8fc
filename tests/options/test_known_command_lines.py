"""Command lines as guides and the wiki print them: they are accepted as they are, on a folder of pictures."""

import importlib.util

import pytest
from model_files import write_model
from PIL import Image
from tanren.errors import EnvironmentProblem
from tanren.plan import plan

GUIDE = """--save_model_as=safetensors --network_module=networks.lora --network_dim=32 --network_alpha=16
    --learning_rate=1e-4 --optimizer_type=AdamW8bit --lr_scheduler=constant --sdpa --max_train_epochs=10
    --save_every_n_epochs=1 --mixed_precision=fp16 --gradient_checkpointing"""
WIKI = """--enable_bucket --bucket_no_upscale --resolution=512,512 --clip_skip=2 --seed=42 --color_aug
    --min_bucket_reso=320 --max_bucket_reso=1024 --lr_scheduler=cosine_with_restarts --lr_warmup_steps=500
    --lr_scheduler_num_cycles=4 --keep_tokens=1 --shuffle_caption --caption_extension=.txt
    --caption_dropout_rate=0.05 --persistent_data_loader_workers --network_dim=128 --network_alpha=64
    --network_module=networks.lora --learning_rate=1e-4 --xformers --mixed_precision=fp16 --save_precision=fp16"""
WIKI_ADAFACTOR = """--resolution=512 --caption_extension=.txt --network_module=networks.lora
    --optimizer_type=AdaFactor --optimizer_args relative_step=True scale_parameter=True warmup_init=True"""
WIKI_LYCORIS = """--resolution=512 --caption_extension=.txt --network_module=lycoris.kohya --network_dim=16
    --network_args conv_dim=8 conv_alpha=4 dropout=0.1 algo=loha"""
GUI_CONFIG = """
bucket_reso_steps = 64
cache_latents = true
caption_extension = ".txt"
clip_skip = 1
dynamo_backend = "no"
enable_bucket = true
gradient_accumulation_steps = 1
huber_schedule = "snr"
learning_rate = 0.0001
loss_type = "l2"
lr_scheduler = "cosine"
lr_scheduler_args = []
lr_scheduler_power = 1
lr_warmup_steps = 10
max_bucket_reso = 2048
max_data_loader_n_workers = 0
max_grad_norm = 1
max_timestep = 1000
min_bucket_reso = 256
mixed_precision = "fp16"
network_alpha = 1
network_args = []
network_dim = 8
network_module = "networks.lora"
noise_offset_type = "Original"
optimizer_args = []
optimizer_type = "AdamW"
prior_loss_weight = 1
resolution = "512,512"
sample_sampler = "euler_a"
save_every_n_epochs = 1
save_model_as = "safetensors"
save_precision = "fp16"
text_encoder_lr = 0.0001
train_batch_size = 1
unet_lr = 0.0001
xformers = true
"""


@pytest.fixture
def places(tmp_path):
    folder = tmp_path / "pictures" / "2_sls frog"
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (640, 480)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("frog, green")
    return [
        f"--pretrained_model_name_or_path={write_model(tmp_path / 'm.safetensors')}",
        f"--output_dir={tmp_path / 'out'}",
        f"--train_data_dir={tmp_path / 'pictures'}",
    ]


def problems_of(words):
    _, problems = plan("train_network", words)
    return [error for error in problems.errors if not isinstance(error, EnvironmentProblem)]


@pytest.mark.parametrize("line", [WIKI, WIKI_ADAFACTOR, WIKI_LYCORIS])
def test_wiki_command_lines_are_accepted(places, line):
    assert problems_of([*places, *line.split()]) == []


def test_network_guides_command_line_is_accepted_with_a_dataset_file(places, tmp_path):
    file = tmp_path / "dataset.toml"
    file.write_text(f"""
[general]
shuffle_caption = true
caption_extension = '.txt'
keep_tokens = 1
[[datasets]]
resolution = 512
batch_size = 4
keep_tokens = 2
  [[datasets.subsets]]
  image_dir = '{tmp_path}/pictures/2_sls frog'
  class_tokens = 'sls frog'
  num_repeats = 10
""")
    assert problems_of([*places[:2], *GUIDE.split(), f"--dataset_config={file}"]) == []


def test_config_file_of_the_usual_form_is_accepted_with_its_old_keys(places, tmp_path):
    (tmp_path / "gui.toml").write_text(GUI_CONFIG)

    facts, problems = plan("train_network", [*places, f"--config_file={tmp_path / 'gui.toml'}"])

    assert problems.errors == []
    assert facts["training"]["unet_lr"] == 1e-4
    unknown = [line for line in facts["warnings"] if "without effect" in line]
    assert unknown == [f"{tmp_path / 'gui.toml'}: keys without effect: noise_offset_type (did you mean noise_offset?)."]


@pytest.mark.skipif(importlib.util.find_spec("nosuch") is not None, reason="a package of that name is here")
def test_network_of_a_package_that_is_missing_names_it(places):
    _, problems = plan("train_network", [*places, "--resolution=512", "--network_module=nosuch.network"])

    assert "needs the package nosuch" in "".join(map(str, problems.errors))


LECO_GUIDE = """--network_dim=8 --network_alpha=4 --learning_rate=1e-4 --optimizer_type=AdamW8bit
    --max_train_steps=500 --max_denoising_steps=40 --mixed_precision=bf16 --sdpa --gradient_checkpointing
    --save_every_n_steps=100"""
LECO_ERASE = """
[[prompts]]
target = "van gogh"
positive = "van gogh"
unconditional = ""
neutral = ""
action = "erase"
guidance_scale = 1.0
resolution = 512
dynamic_resolution = false
batch_size = 1
dynamic_crops = false
multiplier = 1.0
weight = 1.0
"""
LECO_SLIDER = """
guidance_scale = 1.0
resolution = 1024
neutral = ""
[[targets]]
target_class = ""
positive = "high detail"
negative = "low detail"
multiplier = 1.0
weight = 1.0
"""
LECO_NESTED = """
neutral_prompt_file = "neutral.txt"
[slider]
resolutions = [[512, 512], [768, 512]]
[[slider.targets]]
target_class = "person"
positive = "old person"
negative = "young person"
"""


@pytest.mark.parametrize(
    ("prompts", "pairs"), [(LECO_ERASE, 1), (LECO_SLIDER, 4), (LECO_NESTED, 16)], ids=["erase", "slider", "nested"]
)
def test_leco_guides_command_line_and_prompt_files_are_accepted(places, tmp_path, prompts, pairs):
    (tmp_path / "neutral.txt").write_text("\na portrait\n\na street\n", "utf-8")
    (tmp_path / "prompts.toml").write_text(prompts, "utf-8")

    facts, problems = plan(
        "train_leco", [*places[:2], f"--prompts_file={tmp_path / 'prompts.toml'}", *LECO_GUIDE.split()]
    )

    assert [error for error in problems.errors if not isinstance(error, EnvironmentProblem)] == []
    assert len(facts["pairs"]) == pairs
    assert facts["length"]["max_train_steps"] == 500
    assert [file["after_step"] for file in facts["files"]] == [100, 200, 300, 400, 500, 500]
