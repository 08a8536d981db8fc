"""Memory told from settings: what makes it more, what makes it less, and what was measured."""

import pytest
from model_files import write_model
from PIL import Image
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.options.parse import parse
from tanren.preflight import examine
from tanren.room import room_of, size_of, text_bytes
from tanren.vram import GIB, MIB, memory_need

COMMAND = COMMANDS["train_network"]


@pytest.fixture
def need(tmp_path):
    """Estimates one picture on a .ckpt, which counts as a standard Stable Diffusion 1.5."""
    folder = tmp_path / "data" / "8_cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (512, 512)).save(folder / "a.png")
    (tmp_path / "model.ckpt").write_bytes(b"PK\x03\x04" + bytes(100))

    def estimated(*words, on_gpu=True, model="model.ckpt", side=512):
        argv = [
            f"--pretrained_model_name_or_path={tmp_path / model}",
            f"--train_data_dir={tmp_path / 'data'}",
            f"--resolution={side}",
            "--max_data_loader_n_workers=0",
            "--network_module=networks.lora",
            f"--output_dir={tmp_path}",
            *words,
        ]
        problems = Problems()
        found = examine(COMMAND, parse("train_network", COMMAND.groups, argv).settings, problems)
        return memory_need(found, size_of(found), on_gpu=on_gpu)

    return estimated


def test_estimates_agree_with_the_measured_runs_of_a_full_size_model(need):
    """docs/proofs.md: full-size training at 256 pixels, rank 4, on a CPU."""
    plain = need(on_gpu=False, side=256).peak / GIB
    small = (
        need("--mixed_precision=bf16", "--gradient_checkpointing", "--cache_latents", on_gpu=False, side=256).peak / GIB
    )

    assert plain == pytest.approx(5.10, rel=0.07)
    assert small == pytest.approx(2.75, rel=0.07)


@pytest.mark.parametrize(
    "words",
    [
        ["--gradient_checkpointing"],
        ["--mixed_precision=bf16"],
        ["--cache_latents"],
        ["--network_train_unet_only"],
        ["--optimizer_type=AdamW8bit"],
    ],
)
def test_what_users_are_advised_needs_less(need, words):
    assert need(*words).peak < need().peak


@pytest.mark.parametrize(
    "words",
    [
        ["--train_batch_size=4"],
        ["--resolution=768"],
        ["--network_dim=512"],
        ["--network_args", "conv_dim=8"],
        ["--optimizer_type=prodigy"],
        ["--max_token_length=225"],
    ],
)
def test_what_asks_for_more_needs_more(need, words):
    assert need(*words).peak > need().peak


def test_step_grows_with_the_batch_and_the_area(need):
    options = ["--mixed_precision=bf16", "--cache_latents", "--network_train_unet_only"]

    one, four = need(*options).work, need(*options, "--train_batch_size=4").work

    # 4096 latent cells of 512 pixels, 159 KiB each in half precision.
    assert one == pytest.approx(4096 * 159 * 1024, rel=0.05)
    assert four == pytest.approx(4 * one, rel=0.05)


def test_half_precision_on_a_cpu_is_float32_unless_it_is_bfloat16(need):
    assert need("--mixed_precision=fp16", on_gpu=False) == need(on_gpu=False)


@pytest.mark.option("lowram", "highvram")
def test_what_sample_pictures_need_waits_in_main_memory_or_on_the_gpu(need, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat\n")
    cached = ["--cache_latents", "--mixed_precision=bf16"]
    sampled = [*cached, f"--sample_prompts={tmp_path / 'prompts.txt'}"]

    assert need(*sampled).weights == need(*cached).weights
    assert need(*sampled).main - need(*cached).main == 83_653_863 * 2
    for word in ("--lowram", "--highvram"):
        assert need(*sampled, word).weights - need(*cached).weights == 83_653_863 * 2
        assert need(*sampled, word).main == need(*cached).main


def test_stored_inputs_of_blocks_move_from_the_gpu_to_main_memory(sdxl):
    kept, moved = of(sdxl(*SMALL)), of(sdxl(*SMALL, "--cpu_offload_checkpointing"))

    # 16 384 latent cells of 1024 pixels, 22 KiB each in half precision.
    assert moved.main - kept.main == 16_384 * 22 * 1024
    uncached = ["--mixed_precision=bf16", "--gradient_checkpointing", "--train_batch_size=8"]
    assert of(sdxl(*uncached, "--cpu_offload_checkpointing")).peak <= of(sdxl(*uncached)).peak
    on_cpu = of(sdxl(*SMALL), on_gpu=False), of(sdxl(*SMALL, "--cpu_offload_checkpointing"), on_gpu=False)
    assert on_cpu[0] == on_cpu[1]


def test_small_model_is_counted_from_its_header(need, tmp_path):
    write_model(tmp_path / "small.safetensors")

    small = need(model="small.safetensors")

    # 3312 numbers of 4 bytes; as narrow as it is, a step takes a fortieth.
    assert small.weights == 13_248
    assert small.work < 100 * MIB
    assert need().weights == (859_520_964 + 123_060_480 + 83_653_863) * 4


CACHED = ("--cache_latents", "--network_train_unet_only", "--cache_text_encoder_outputs")
SMALL = ("--mixed_precision=bf16", "--gradient_checkpointing", *CACHED)


@pytest.fixture
def sdxl(tmp_path):
    """What is found for one picture at 1024 pixels on a .ckpt, which counts as a standard SDXL."""
    folder = tmp_path / "data" / "8_cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (1024, 1024)).save(folder / "a.png")
    (tmp_path / "model.ckpt").write_bytes(b"PK\x03\x04" + bytes(100))
    command = COMMANDS["sdxl_train_network"]

    def found(*words):
        argv = [
            f"--pretrained_model_name_or_path={tmp_path / 'model.ckpt'}",
            f"--train_data_dir={tmp_path / 'data'}",
            f"--output_dir={tmp_path}",
            *("--resolution=1024", "--max_data_loader_n_workers=0", "--network_module=networks.lora", *words),
        ]
        return examine(command, parse("sdxl_train_network", command.groups, argv).settings, Problems())

    return found


def of(found, *, on_gpu=True):
    return memory_need(found, size_of(found), on_gpu=on_gpu)


def test_sdxl_is_counted_with_its_own_model(sdxl):
    """A training at 1024 pixels in bfloat16 with caches and checkpointing, as people with 12 GB run it."""
    need = of(sdxl(*SMALL))

    assert need.weights == 2_567_463_684 * 2
    # Captions are encoded with the whole model at hand, which is the largest moment.
    assert 6.5 * GIB < need.peak < 8 * GIB


def test_estimate_agrees_with_the_measured_run_of_a_full_size_sdxl(sdxl):
    """docs/proofs.md: two steps at 256 pixels, rank 4, on a CPU: 7.43 GB."""
    need = of(sdxl(*SMALL, "--resolution=256"), on_gpu=False)

    assert need.peak == pytest.approx(7.43e9, rel=0.05)


def test_eight_bits_halve_the_unet_and_all_of_the_text_encoders_but_their_tables(sdxl):
    plain, unet, both = (
        of(sdxl("--mixed_precision=bf16", *words)).weights for words in ([], ["--fp8_base_unet"], ["--fp8_base"])
    )

    assert plain - unet == 2_567_463_684
    assert unet - both == 817_720_320 - 49_408 * (768 + 1280)


def test_sdxl_with_everything_that_saves_fits_a_card_of_8_gb(sdxl, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat\n")
    words = [*SMALL, "--fp8_base_unet", "--optimizer_type=AdamW8bit", "--network_dim=16"]

    assert of(sdxl(*words)).upper < 7 * GIB
    assert of(sdxl(*words, f"--sample_prompts={tmp_path / 'prompts.txt'}")).peak < 7.5 * GIB


def test_a_fused_update_has_no_gradients_to_count(sdxl):
    words = [*SMALL, "--optimizer_type=Adafactor", "--max_grad_norm=0", "--network_dim=8"]

    # 3 563 008 numbers for each rank, since a .ckpt does not tell its layers.
    assert of(sdxl(*words)).trained - of(sdxl(*words, "--fused_backward_pass")).trained == 4 * 8 * 3_563_008


def test_encoded_captions_are_counted_where_they_are_kept(sdxl):
    """77 states of 2048 numbers and one of 1280 for each of the pictures."""
    bytes_of_one = (77 * 2048 + 1280) * 2

    assert text_bytes(sdxl(*SMALL)) == bytes_of_one
    assert text_bytes(sdxl(*SMALL, "--max_token_length=225")) == (227 * 2048 + 1280) * 2
    on_disk = sdxl("--mixed_precision=bf16", "--network_train_unet_only", "--cache_text_encoder_outputs_to_disk")
    assert room_of(on_disk, None).cache_bytes == bytes_of_one


def test_upper_side_lies_above_the_peak_and_main_memory_is_told_beside_a_gpu(need):
    found = need()

    assert found.peak < found.upper < 2 * found.peak
    assert found.main > GIB
    assert need(on_gpu=False).main == 0


@pytest.fixture
def control(tmp_path):
    """Estimates a ControlNet-LLLite on one picture at 1024 pixels and a .ckpt, which counts as a standard SDXL."""
    for name in ("pictures", "controls"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (1024, 1024)).save(tmp_path / name / "a.png")
    (tmp_path / "model.ckpt").write_bytes(b"PK\x03\x04" + bytes(100))
    command = COMMANDS["sdxl_train_control_net_lllite"]

    def estimated(*words, channels=32, dim=64):
        argv = [
            f"--pretrained_model_name_or_path={tmp_path / 'model.ckpt'}",
            f"--train_data_dir={tmp_path / 'pictures'}",
            f"--conditioning_data_dir={tmp_path / 'controls'}",
            *(f"--cond_emb_dim={channels}", f"--network_dim={dim}", "--resolution=1024", f"--output_dir={tmp_path}"),
            *("--mixed_precision=bf16", "--cache_latents", "--cache_text_encoder_outputs", *words),
            "--max_data_loader_n_workers=0",
        ]
        problems = Problems()
        found = examine(command, parse("sdxl_train_control_net_lllite", command.groups, argv).settings, problems)
        assert problems.errors == []
        return memory_need(found, size_of(found), on_gpu=True)

    return estimated


def test_a_control_network_takes_what_its_numbers_and_a_step_take(control):
    small, usual, wide = control(channels=16), control(), control(channels=64)

    # 22 969 600 numbers in float32, with gradients and AdamW's two moments.
    assert usual.trained == 22_969_600 * 16
    assert usual.weights == 2_567_463_684 * 2
    # 16 384 latent cells: 567 KiB each in float32, half of it here, and 1.2 KiB for each channel above 32.
    assert usual.work == pytest.approx(16_384 * 567 / 2 * 1024, rel=0.01)
    assert wide.work - usual.work == pytest.approx(16_384 * 1.2 * 32 / 2 * 1024, rel=0.01)
    assert small.work == usual.work
    assert control("--gradient_checkpointing").peak < usual.peak / 1.4
