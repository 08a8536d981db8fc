"""Whole runs of `sdxl_train_control_net_lllite` on a tiny model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recipes.training import lasting, metadata, same_tensors, tensors
from small_datasets import noise_picture
from tanren import plan
from tanren.entry import main
from tanren.generate import main as draw
from tiny_models import tiny_sd

COMMAND = "sdxl_train_control_net_lllite"
# The config file of sd-scripts' guide for ControlNet-LLLite; only the paths are other ones.
GUIDE = """
pretrained_model_name_or_path = "{model}"
max_train_epochs = 12
max_data_loader_n_workers = 4
persistent_data_loader_workers = true
seed = 42
gradient_checkpointing = true
mixed_precision = "bf16"
save_precision = "bf16"
full_bf16 = true
optimizer_type = "adamw8bit"
learning_rate = 2e-4
xformers = true
output_dir = "{out}"
output_name = "mine"
save_every_n_epochs = 1
save_model_as = "safetensors"
vae_batch_size = 4
cache_latents = true
cache_latents_to_disk = true
cache_text_encoder_outputs = true
cache_text_encoder_outputs_to_disk = true
network_dim = 64
cond_emb_dim = 32
dataset_config = "{dataset}"
"""
DATASET = """
[general]
flip_aug = false
color_aug = false
resolution = [1024,1024]

[[datasets]]
batch_size = 8
enable_bucket = false

    [[datasets.subsets]]
    image_dir = "{images}"
    caption_extension = ".txt"
    conditioning_data_dir = "{controls}"
"""

# SGD moves a weight by rate times gradient, so equal weights mean equal gradients.
PLAIN = ("--optimizer_type=SGD", "--learning_rate=0.1", "--max_grad_norm=0")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("model") / "shallow.safetensors", "shallow sdxl")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four pictures of two shapes, and their control pictures."""
    folder = tmp_path_factory.mktemp("制御 (1)")
    for number, size in enumerate([(64, 64), (64, 64), (96, 64), (96, 64)]):
        noise_picture(folder / "pictures" / f"{number}.png", size, f"waves, number {number}")
        noise_picture(folder / "controls" / f"{number}.png", size)
    return folder


@pytest.fixture
def train(model, data, tmp_path):
    """Runs the command; returns the exit code and the file."""

    def run(*words: str, name: str = "out") -> tuple[int, Path]:
        usual = [
            *(f"--pretrained_model_name_or_path={model}", f"--train_data_dir={data / 'pictures'}"),
            *(f"--conditioning_data_dir={data / 'controls'}", "--caption_extension=.txt", "--resolution=64"),
            *("--enable_bucket", "--min_bucket_reso=32", "--max_bucket_reso=128", "--bucket_reso_steps=32"),
            *("--output_name=mine", "--cond_emb_dim=4", "--network_dim=6", "--learning_rate=1e-2", "--seed=1"),
            *("--train_batch_size=2", "--max_train_steps=2", "--max_data_loader_n_workers=0"),
        ]
        given = {word.split("=")[0] for word in words}
        kept = [word for word in usual if word.split("=")[0] not in given]
        words = tuple(word for word in words if not word.endswith("=-"))
        return main(COMMAND, [*kept, f"--output_dir={tmp_path / name}", *words]), tmp_path / name / "mine.safetensors"

    return run


def guide(folder: Path, model: Path, data: Path, **changes: str) -> Path:
    texts = {"config.toml": GUIDE, "dataset.toml": DATASET}
    places = {"model": model, "out": folder / "out", "dataset": folder / "dataset.toml"}
    places |= {"images": data / "pictures", "controls": data / "controls"}
    for name, text in texts.items():
        for old, new in changes.items():
            text = text.replace(old.replace("_is_", " = "), new)
        (folder / name).write_text(text.format(**places), "utf-8")
    return folder / "config.toml"


def test_the_guides_config_is_planned_as_it_is(model, data, tmp_path, capsys):
    config = guide(tmp_path, model, data)

    assert plan.main([COMMAND, f"--config_file={config}"]) == 0

    said = capsys.readouterr().out
    assert f"{data / 'pictures'}: 4 pictures × 1 repeats, each with its pair in {data / 'controls'}" in said
    assert "resolution 1024x1024, one size: 1024x1024 ×4" in said
    assert "12 steps in all, 12 epochs" in said
    assert "ControlNet-LLLite, 32 control channels, width 64, on: U-Net (learning rate 0.0002, 20 layers)" in said
    assert "mine-000011.safetensors after step 11" in said


def test_the_guides_config_trains(model, data, tmp_path):
    """At a size that a CPU can do, for two epochs instead of twelve."""
    config = guide(tmp_path, model, data, resolution_is_="resolution = [64,64] #", epochs_is_12="epochs = 2")

    assert main(COMMAND, [f"--config_file={config}"]) == 0

    file = tmp_path / "out" / "mine.safetensors"
    assert (tmp_path / "out" / "mine-000001.safetensors").exists()
    assert {tensor.dtype for tensor in tensors(file).values()} == {torch.bfloat16}
    said = metadata(file)
    assert said["modelspec.architecture"] == "stable-diffusion-xl-v1-base/control-net-lllite"
    assert said["modelspec.implementation"] == "https://github.com/Stability-AI/generative-models"
    assert said["modelspec.title"] == "mine"
    assert said["modelspec.resolution"] == "64x64"
    assert said["ss_network_module"] == "networks.control_net_lllite"
    assert (said["ss_network_dim"], said["ss_cond_emb_dim"]) == ("64", "32")
    assert '"conditioning_data_dir": "controls"' in said["ss_datasets"]


@pytest.mark.option("conditioning_data_dir", "cond_emb_dim", "network_dim", "train_data_dir")
def test_the_file_has_the_layers_and_sizes_that_were_asked_for(train):
    code, file = train("--cond_emb_dim=8", "--network_dim=10")

    assert code == 0
    found = tensors(file)
    assert len({name.split(".")[0] for name in found}) == 20
    assert all(name.startswith("lllite_unet_") for name in found)
    layer = "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
    assert found[f"{layer}.conditioning1.2.weight"].shape == (8, 4, 4, 4)
    assert found[f"{layer}.mid.0.weight"].shape == (10, 18)
    assert sum(bool(tensor.any()) for name, tensor in found.items() if name.endswith(".up.0.weight")) > 16
    assert metadata(file)["ss_base_model_version"] == "sdxl_base_v1-0"


def test_the_same_seed_gives_the_same_file_and_another_control_another(train, data, tmp_path):
    assert train("--flip_aug", name="one")[0] == train("--flip_aug", name="two")[0] == 0
    assert same_tensors(tmp_path / "one" / "mine.safetensors", tmp_path / "two" / "mine.safetensors")
    assert lasting(tmp_path / "one" / "mine.safetensors") == lasting(tmp_path / "two" / "mine.safetensors")
    for path in (data / "controls").iterdir():
        (tmp_path / "inverse").mkdir(exist_ok=True)
        Image.fromarray(255 - np.asarray(Image.open(path))).save(tmp_path / "inverse" / path.name)

    code, other = train("--flip_aug", f"--conditioning_data_dir={tmp_path / 'inverse'}", name="three")

    assert code == 0
    assert not same_tensors(tmp_path / "one" / "mine.safetensors", other)


def test_caches_change_nothing_with_loader_processes_or_without(train):
    words = [*PLAIN, "--flip_aug", "--max_train_epochs=2"]
    files = [
        train(*words, *more, name=str(place))
        for place, more in enumerate(
            (
                [],
                ["--cache_latents", "--cache_text_encoder_outputs", "--max_data_loader_n_workers=1"],
                ["--cache_latents_to_disk", "--cache_text_encoder_outputs_to_disk"],
                ["--cache_latents_to_disk", "--cache_text_encoder_outputs_to_disk", "--max_data_loader_n_workers=1"],
            )
        )
    ]

    assert [code for code, _ in files] == [0] * 4
    assert all(same_tensors(files[1][1], file) for _, file in files[2:])
    plain, cached = tensors(files[0][1]), tensors(files[1][1])
    # Captions that are encoded alone are rounded in another way than in a batch.
    assert all(torch.allclose(plain[name], cached[name], atol=1e-5) for name in plain)


def test_gradient_checkpointing_computes_the_same(train):
    plain, saving = train(*PLAIN, name="plain")[1], train(*PLAIN, "--gradient_checkpointing", name="saving")[1]
    first, second = tensors(plain), tensors(saving)
    assert all(torch.allclose(first[name], second[name], atol=1e-5) for name in first)


def test_a_stopped_and_resumed_run_is_the_undisturbed_one(train, tmp_path):
    words = ["--max_train_epochs=2", "--save_every_n_epochs=1", "--save_state", "--network_dropout=0.2", "--flip_aug"]
    assert train(*words, name="whole")[0] == 0

    code, resumed = train(*words, f"--resume={tmp_path / 'whole' / 'mine-000001-state'}", name="resumed")

    assert code == 0
    assert same_tensors(tmp_path / "whole" / "mine.safetensors", resumed)


@pytest.mark.option("network_weights", "network_dropout")
def test_a_run_starts_from_a_file_and_dropout_changes_what_it_learns(train):
    _, start = train(name="start")
    _, still = train(f"--network_weights={start}", "--learning_rate=1e-30", name="still")
    _, plain = train(f"--network_weights={start}", name="plain")
    _, dropped = train(f"--network_weights={start}", "--network_dropout=0.5", name="dropped")

    first, second = tensors(start), tensors(still)
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    assert not same_tensors(start, plain)
    assert not same_tensors(plain, dropped)


def test_held_out_pairs_are_measured(train, capsys):
    code, _ = train("--validation_split=0.5", "--max_train_epochs=1", "--enable_bucket", "--console_log_simple")

    assert code == 0
    assert "validation" in "".join(capsys.readouterr())


@pytest.mark.option("sample_prompts")
def test_sample_pictures_are_steered_by_their_control_picture(train, data, tmp_path):
    prompts = tmp_path / "prompts.txt"
    control = data / "controls" / "0.png"
    lines = [f"waves --w 64 --h 64 --s 2 --d 3{end}" for end in ("", f" --cn {control}", f" --cn {control}")]
    prompts.write_text("\n".join(lines), "utf-8")

    code, file = train(f"--sample_prompts={prompts}", "--sample_every_n_steps=2", "--learning_rate=5e-2")

    assert code == 0
    plain, steered, again = (path.read_bytes() for path in sorted((file.parent / "sample").iterdir()))
    assert plain != steered == again


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_saved_file_draws_the_sample_picture_again(train, model, data, tmp_path, precision):
    control = data / "controls" / "0.png"
    (tmp_path / "prompts.txt").write_text(f"waves --n dull --w 64 --h 64 --s 4 --d 3 --l 4 --cn {control}", "utf-8")
    words = [f"--sample_prompts={tmp_path / 'prompts.txt'}", "--sample_every_n_steps=2", "--learning_rate=5e-2"]
    _, file = train(*words, f"--mixed_precision={precision}")
    (sample,) = (file.parent / "sample").iterdir()

    def drawn(strength: float) -> bytes:
        out = tmp_path / f"strength {strength}"
        words = [f"--ckpt={model}", f"--outdir={out}", "--prompt=waves --n dull --d 3", "--W=64", "--H=64", "--steps=4"]
        words += ["--scale=4", "--force_scheduler_zero_steps_offset", *(["--bf16"] if precision == "bf16" else [])]
        words += [f"--control_net_multipliers={strength}"]
        words += [f"--control_net_lllite_models={file}", f"--guide_image_path={control}"]
        assert draw("sdxl_gen_img", words) == 0
        (path,) = out.iterdir()
        return Image.open(path).tobytes()

    assert drawn(1) == Image.open(sample).tobytes() != drawn(0)


def no_control(folder: Path) -> Path:
    (folder / "few").mkdir()
    noise_picture(folder / "few" / "0.png", (64, 64))
    noise_picture(folder / "few" / "1.png", (64, 32))
    noise_picture(folder / "few" / "z.png", (64, 64))
    return folder / "few"


def test_pairs_that_do_not_fit_are_named_before_a_model_is_loaded(train, tmp_path, capfd):
    code, file = train(f"--conditioning_data_dir={no_control(tmp_path)}")

    said = capfd.readouterr().err
    assert code == 3
    assert "2 pictures have no control picture of the same name: 2.png, 3.png." in said
    assert "1 control picture has no picture of the same name: z.png." in said
    assert "1 control picture has another size than the picture: 1.png (64x32, its picture 64x64)." in said
    assert "Give each the size of its picture, so that both are cropped alike." in said
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cond_emb_dim=-"], "--cond_emb_dim: The size of the control network is missing."),
        (["--network_dim=-"], "Add --network_dim=64, which is usual."),
        (["--cond_emb_dim=5"], "5 is odd; half of it is needed too."),
        (["--train_data_dir=-"], "The folder of pictures was not named."),
        (["--conditioning_data_dir=-"], "The folder of control pictures was not named."),
        (["--random_crop"], "random_crop cannot go together with control pictures."),
        (["--cache_latents", "--color_aug"], "--cache_latents cannot go together with color_aug"),
        (["--network_train_text_encoder_only"], "ControlNet-LLLite changes the U-Net only"),
        (["--unet_lr=0"], "Nothing would be trained"),
        (["--v2"], "It does not fit: it is for Stable Diffusion 2, and this command trains SDXL."),
        (["--save_model_as=diffusers"], "diffusers is for LoRA: only a plain LoRA has names in diffusers."),
        (["--bucket_reso_steps=16"], "16 is not a multiple of 32, which this model needs."),
        (["--cache_text_encoder_outputs", "--shuffle_caption"], "needs captions that stay the same"),
        (["--prompts_file=x"], "It belongs to the training of LECO."),
    ],
)
def test_what_does_not_fit_is_said_before_a_model_is_loaded(train, capfd, words, message):
    code, file = train(*words)

    assert code == 2
    assert message in capfd.readouterr().err
    assert not file.parent.exists()


def test_without_buckets_sides_are_multiples_of_32(model, data, tmp_path, capfd):
    words = [f"--pretrained_model_name_or_path={model}", f"--train_data_dir={data / 'pictures'}"]
    words += [f"--conditioning_data_dir={data / 'controls'}", "--caption_extension=.txt", f"--output_dir={tmp_path}"]

    assert main(COMMAND, [*words, "--cond_emb_dim=4", "--network_dim=4", "--resolution=72"]) == 2

    said = capfd.readouterr().err
    assert "72x72 cannot be trained without buckets: both sides must be multiples of 32." in said
    assert "Use 64,64, or --enable_bucket." in said


def test_a_parent_of_picture_folders_is_recognised(train, data, capfd):
    code, _ = train(f"--train_data_dir={data}")

    said = capfd.readouterr().err
    assert code == 3
    assert f"There are no pictures in {data} itself, but in controls inside it." in said


def test_a_sample_prompt_names_a_control_picture_that_exists(train, tmp_path, capfd):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("waves\nwaves --cn nowhere.png\n", "utf-8")

    code, _ = train(f"--sample_prompts={prompts}", "--sample_every_n_steps=1")

    said = capfd.readouterr().err
    assert code == 2
    assert "prompt 0: without a control picture (--cn FILE) it shows the base model alone." in said
    assert "prompt 1: --cn" in said and "nowhere.png" in said


NO_EFFECT = [
    "--network_train_unet_only",
    "--network_module=networks.lora",
    "--network_alpha=8",
    "--network_args=conv_dim=4",
    "--scale_weight_norms=1",
    "--masked_loss",
    "--alpha_mask",
    "--prior_loss_weight=0.5",
    "--reg_data_dir=nowhere",
    "--in_json=nowhere.json",
    "--base_weights=nowhere.safetensors",
]


def test_options_of_other_networks_are_accepted_with_a_line_and_change_nothing(train, capfd):
    _, plain = train(name="plain")
    capfd.readouterr()

    code, other = train(*NO_EFFECT, "--text_encoder_lr=1e-3", name="other")

    said = capfd.readouterr().err
    assert code == 0
    for word in NO_EFFECT:
        assert f"{word.split('=')[0]} has no effect here. ControlNet-LLLite" in said
    assert "--text_encoder_lr: It has no effect: ControlNet-LLLite changes the U-Net only." in said
    assert same_tensors(plain, other)


@pytest.mark.parametrize(
    "words",
    [
        ["--fp8_base_unet", "--mixed_precision=bf16"],
        ["--mixed_precision=bf16", "--full_bf16"],
        ["--fused_backward_pass", "--optimizer_type=Adafactor"],
        ["--gradient_accumulation_steps=2", "--noise_offset=0.1", "--min_snr_gamma=5", "--loss_type=huber"],
    ],
)
def test_savers_of_memory_and_variants_of_the_loss_go_together_with_it(train, words):
    code, file = train(*words)

    assert code == 0
    assert any(tensor.any() for name, tensor in tensors(file).items() if name.endswith(".up.0.weight"))


def test_a_dataset_file_names_control_pictures_for_every_subset(model, tmp_path, data, capfd):
    text = DATASET.replace('    conditioning_data_dir = "{controls}"\n', "").replace("1024", "64")
    (tmp_path / "dataset.toml").write_text(text.format(images=data / "pictures"), "utf-8")
    words = [f"--pretrained_model_name_or_path={model}", f"--dataset_config={tmp_path / 'dataset.toml'}"]
    words += [f"--output_dir={tmp_path / 'out'}", "--cond_emb_dim=4", "--network_dim=4", "--train_data_dir=x"]

    assert main(COMMAND, words) == 2

    said = capfd.readouterr().err
    assert "datasets[0].subsets[0]" in said and "Name the folder of the control pictures." in said
    assert "--dataset_config replaces --train_data_dir." in said


def planned(
    folder: Path, model: Path, data: Path, line: str, *, images: Path | None = None, twice: bool = False
) -> int:
    """The plan of a dataset file whose subset has one more line."""
    head, subset = (
        DATASET.replace("1024", "64").format(images=images or data / "pictures", controls=data / "controls"),
        "",
    )
    if twice:
        subset = head[head.index("    [[datasets.subsets]]") :]
    (folder / "dataset.toml").write_text(f"{head}    {line}\n{subset}", "utf-8")
    words = [f"--pretrained_model_name_or_path={model}", f"--dataset_config={folder / 'dataset.toml'}"]
    return plan.main([COMMAND, *words, f"--output_dir={folder / 'out'}", "--cond_emb_dim=4", "--network_dim=4"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('class_tokens = "x"', "subsets[0].class_tokens: This key does not exist for pictures with control pictures."),
        ("is_reg = true", "subsets[0].is_reg: This key does not exist for pictures with control pictures."),
        ("alpha_mask = true", "subsets[0].alpha_mask: This key does not exist for pictures with control pictures."),
        (
            'metadata_file = "x.json"',
            "subsets[0].metadata_file: This key does not exist for pictures with control pictures.",
        ),
        ("random_crop = true", "subsets[0]: random_crop cannot go together with control pictures."),
    ],
)
def test_keys_of_other_subsets_are_refused(model, data, tmp_path, capsys, line, message):
    assert planned(tmp_path, model, data, line) == 2
    assert message in capsys.readouterr().out


def test_a_pair_of_folders_is_used_once_and_says_so(model, data, tmp_path, capsys):
    assert planned(tmp_path, model, data, "num_repeats = 2", twice=True) == 0
    said = capsys.readouterr().out
    assert "4 pictures × 2 repeats" in said and "per epoch: 8 training" in said
    assert "datasets[0].subsets[1]: left out, the same pictures stand in" in said


def test_pictures_without_captions_are_learned_with_empty_ones(model, tmp_path, capsys):
    for number in range(2):
        noise_picture(tmp_path / "pictures" / f"{number}.png", (64, 64))
        noise_picture(tmp_path / "controls" / f"{number}.png", (64, 64))

    assert planned(tmp_path, model, tmp_path, "") == 0
    assert "2 of 2 pictures have no .txt file, their caption is empty: 0.png, 1.png." in capsys.readouterr().out
