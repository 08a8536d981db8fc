"""Stable Diffusion XL as the trainer uses it."""

import hashlib
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tanren.commands import COMMANDS
from tanren.data.batch import TextStates, whole_picture_sizes
from tanren.entry import import_part
from tanren.errors import ModelFileError
from tanren.events import Report
from tanren.families import sdxl
from tanren.families.base import Placement
from tanren.models.build import quiet_libraries
from tanren.models.checkpointing import enable_gradient_checkpointing
from tanren.models.configs import STANDARD, header_entry
from tanren.models.save_folder import write_folder
from tanren.models.unet_keys import renamed, sgm_table
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings
from tiny_models import TINY, tiny_parts, tiny_sd
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

FLOAT32 = Placement(torch.device("cpu"), torch.float32, torch.float32)
SIZES = torch.tensor([[1080, 1920, 6, 0, 768, 1344]])


def settings(path, *, weighted_captions=False, **options):
    return Settings(
        "sdxl_train_network",
        [
            ModelOptions(pretrained_model_name_or_path=str(path), **options),
            AttentionOptions(),
            DatasetOptions(weighted_captions=weighted_captions),
        ],
    )


def load(path, *, placement=FLOAT32, events=None, **options):
    return sdxl.load(settings(path, **options), placement, Report([events.append] if events is not None else []))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("sdxl") / "sdxl.safetensors", "sdxl")


@pytest.fixture(scope="module")
def model(path):
    return load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("sdxl") / "model", tiny_parts("sdxl"), dtype=torch.float32)


def digest(names):
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def full_size():
    configs = STANDARD["sdxl"]
    first, second = (CLIPTextConfig(**config) for config in configs.text_encoders)
    with torch.device("meta"), quiet_libraries():
        unet = UNet2DConditionModel(**configs.unet)
        return SimpleNamespace(denoiser=unet, text_encoders=[CLIPTextModel(first), CLIPTextModelWithProjection(second)])


def test_the_full_size_model_has_the_published_sizes():
    model = full_size()

    unet = model.denoiser.state_dict()
    texts = [encoder.state_dict() for encoder in model.text_encoders]
    assert (len(unet), sum(tensor.numel() for tensor in unet.values())) == (1680, 2_567_463_684)
    assert [sum(tensor.numel() for tensor in text.values()) for text in texts] == [123_060_480, 694_659_840]
    assert [len(text) for text in texts] == [196, 517]


def test_lora_targets_of_the_full_size_model():
    targets = sdxl.lora_targets(full_size())

    first = [target.key for target in targets if target.part == "text_encoder"]
    second = [target.key for target in targets if target.part == "text_encoder_2"]
    unet = [target.key for target in targets if target.part == "unet"]
    plain = [target.key for target in targets if target.part == "unet" and target.container == "Transformer2DModel"]
    assert (len(first), digest(first)) == (72, "d9e087048fab15eb")
    assert (len(second), digest(second)) == (192, "5f9c761b5ffdbbdc")
    assert (len(plain), digest(plain)) == (722, "5d819b833e27947d")
    assert (len(unet), digest(unet)) == (788, "6eaed2d7a4528e0a")
    assert digest([*first, *second, *plain]) == "1063b91c0a4164d0"
    assert digest([*first, *second, *unet]) == "231dc80db7c1b20b"
    ranks = sum(sum(target.module.weight.shape[:2]) for target in targets if target.key in set(plain))
    assert ranks == 2_659_840


def test_layers_per_node_of_the_unet(model):
    nodes = Counter(
        ".".join(target.key.removeprefix("lora_unet_").split("_")[:4])
        for target in sdxl.lora_targets(model)
        if target.part == "unet"
    )

    assert nodes["input.blocks.4.1"] == nodes["output.blocks.5.1"] == 22
    assert nodes["input.blocks.7.1"] == nodes["output.blocks.0.1"] == 102
    assert nodes["input.blocks.3.0"] == nodes["output.blocks.2.2"] == 1
    assert sum(count for node, count in nodes.items() if node.startswith("middle.block.1")) == 102


@pytest.mark.parametrize(
    ("theirs", "ours", "block"),
    [
        ("down_blocks.0.resnets.0.conv1", "input_blocks.1.0.in_layers.2", 2),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op", 4),
        (
            "down_blocks.1.attentions.0.transformer_blocks.1.ff.net.0.proj",
            "input_blocks.4.1.transformer_blocks.1.ff.net.0.proj",
            5,
        ),
        ("down_blocks.2.attentions.1.proj_out", "input_blocks.8.1.proj_out", 9),
        ("mid_block.resnets.0.time_emb_proj", "middle_block.0.emb_layers.1", 10),
        (
            "mid_block.attentions.0.transformer_blocks.9.attn2.to_k",
            "middle_block.1.transformer_blocks.9.attn2.to_k",
            11,
        ),
        ("mid_block.resnets.1.conv2", "middle_block.2.out_layers.3", 12),
        ("up_blocks.0.attentions.0.proj_in", "output_blocks.0.1.proj_in", 13),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv", 15),
        ("up_blocks.2.resnets.2.conv_shortcut", "output_blocks.8.0.skip_connection", 21),
    ],
)
def test_names_and_blocks_of_layers(theirs, ours, block):
    assert sdxl.unet_path(theirs) == ours
    assert sdxl.block_index(ours) == block


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("down_blocks.1.resnets.0", "input_blocks.4.0"),
        ("down_blocks.0.downsamplers.0", "input_blocks.3.0"),
        ("up_blocks.1.upsamplers.0", "output_blocks.5.2"),
        ("mid_block.resnets.1", "middle_block.2"),
        ("mid_block.attentions.0", "middle_block.1"),
        ("down_blocks.1.resnets.0.norm1", "input_blocks.4.0.in_layers.0"),
    ],
)
def test_modules_that_hold_layers_have_names_too(theirs, ours):
    assert renamed(theirs, sgm_table()) == ours


def test_files_with_diffusers_names_are_known_too(model):
    by_alias = {target.alias: target.key for target in sdxl.lora_targets(model)}

    assert by_alias["lora_unet_mid_block_attentions_0_proj_in"] == "lora_unet_middle_block_1_proj_in"


def test_command_and_family_say_the_same():
    for command in COMMANDS.values():
        family = import_part(command.family).FAMILY
        assert (family.bucket_step, family.blocks) == (command.bucket_step, command.blocks)
    assert (sdxl.FAMILY.bucket_step, sdxl.FAMILY.blocks.count) == (32, 23)


def test_single_file_and_folder_give_the_same_model(path, folder):
    one, two = load(path), load(folder)

    for a, b in [
        (one.denoiser, two.denoiser),
        (one.vae, two.vae),
        *zip(one.text_encoders, two.text_encoders, strict=True),
    ]:
        found, wanted = a.state_dict(), b.state_dict()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    original = tiny_parts("sdxl")
    assert torch.equal(one.text_encoders[1].text_projection.weight, original.text_encoders[1].text_projection.weight)
    assert torch.equal(one.denoiser.add_embedding.linear_1.weight, original.unet.add_embedding.linear_1.weight)


def test_names_of_a_single_file_are_the_published_ones(path):
    names = load_file(path)

    assert names.keys() >= {
        "model.diffusion_model.label_emb.0.0.weight",
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
        "conditioner.embedders.0.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight",
        "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight",
        "conditioner.embedders.1.model.logit_scale",
        "first_stage_model.decoder.up.3.block.0.norm1.weight",
    }
    # OpenCLIP keeps the transpose: (width of the states, width of the pooled text).
    assert names["conditioner.embedders.1.model.text_projection"].shape == (24, 20)


def test_weights_in_the_right_type_stay_in_the_mapped_file(path):
    model = load(path)

    for module, name in [
        (model.denoiser.mid_block.resnets[0].conv1, "weight"),
        (model.text_encoders[1].text_model.encoder.layers[0].self_attn.k_proj, "weight"),
        (model.text_encoders[1].text_projection, "weight"),
        (model.vae.decoder.conv_in, "weight"),
    ]:
        # A view of one stretch of bytes that torch did not allocate cannot be resized.
        assert not getattr(module, name).untyped_storage().resizable()


@pytest.mark.parametrize("missing", ["conditioner.embedders.0.", "conditioner.embedders.1.model.transformer."])
def test_a_file_without_a_text_encoder_is_refused(path, tmp_path, missing):
    pruned = tmp_path / "pruned.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.startswith(missing)}
    save_file(tensors, pruned, {"tanren.config": header_entry(TINY["sdxl"])})

    with pytest.raises(ModelFileError, match=r"no text encoder|text encoder in pruned\.safetensors does not fit"):
        load(pruned)


def test_a_folder_without_the_second_text_encoder_is_refused(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts("sdxl"), dtype=torch.float32)
    (folder / "text_encoder_2").rename(tmp_path / "away")

    with pytest.raises(ModelFileError, match="model has no text encoder"):
        load(folder)


def test_an_sd1_file_is_refused_by_name(tmp_path):
    sd1 = tiny_sd(tmp_path / "old.safetensors")

    with pytest.raises(ModelFileError, match=r"old\.safetensors is a Stable Diffusion 1 model") as caught:
        load(sd1)
    assert "without sdxl_ in front" in caught.value.fix


@pytest.mark.parametrize(
    ("marks", "warnings"),
    [
        ({}, []),
        ({"v_pred": torch.ones(1)}, ["predicts v: --v_parameterization is probably missing"]),
        (
            {"v_pred": torch.ones(1), "ztsnr": torch.ones(1)},
            [
                "predicts v: --v_parameterization is probably missing",
                "zero terminal SNR: --zero_terminal_snr is missing",
            ],
        ),
    ],
)
def test_what_a_file_says_of_its_prediction_is_told(path, tmp_path, marks, warnings):
    marked = tmp_path / "marked.safetensors"
    save_file({**load_file(path), **marks}, marked, {"tanren.config": header_entry(TINY["sdxl"])})
    events = []

    load(marked, events=events)

    told = [event["text"] for event in events if event["kind"] == "warning"]
    assert len(told) == len(warnings)
    assert all(wanted in text for wanted, text in zip(warnings, told, strict=True))


@pytest.mark.option("v_parameterization", "zero_terminal_snr")
def test_flags_decide_prediction_and_schedule(path, model):
    v = load(path, v_parameterization=True, zero_terminal_snr=True)

    assert (model.prediction_type, v.prediction_type) == ("epsilon", "v")
    assert v.schedule.alphas_cumprod[-1] == 0


def test_names_of_the_base_in_files():
    names, v = sdxl.base_names(settings("x")), sdxl.base_names(settings("x", v_parameterization=True))

    assert names.base_model_version == v.base_model_version == "sdxl_base_v1-0"
    assert names.architecture == "stable-diffusion-xl-v1-base"
    assert names.implementation == "https://github.com/Stability-AI/generative-models"
    assert (names.v2, names.default_resolution) == (False, 1024)
    assert (names.prediction_type, v.prediction_type) == ("epsilon", "v")


def test_latents_are_scaled_by_sdxl_s_own_factor(model):
    pixels, noise = torch.rand(1, 3, 64, 96) * 2 - 1, torch.randn(1, 4, 8, 12)
    with torch.no_grad():
        posterior = model.vae.encode(pixels).latent_dist
        latents = sdxl.encode_pixels(model, pixels, noise)

    torch.testing.assert_close(latents, 0.13025 * (posterior.mean + posterior.std * noise))


def test_encoder_1_pads_with_eos_and_encoder_2_with_zero(model):
    assert [tokenizer.pad_token_id for tokenizer in model.tokenizers] == [49407, 0]


def test_parts_come_in_the_placement_s_types(path):
    model = load(path, placement=Placement(torch.device("cpu"), torch.bfloat16, torch.float32))
    text = sdxl.encode_text(model, ["a cat"])
    latents = sdxl.encode_pixels(model, torch.zeros(1, 3, 64, 64), torch.zeros(1, 4, 8, 8))
    prediction = sdxl.predict(model, latents, torch.tensor([5]), text, SIZES)

    assert {part.dtype for part in (model.denoiser, *model.text_encoders)} == {torch.bfloat16}
    assert model.vae.dtype == torch.float32
    assert (text.hidden.dtype, text.pooled.dtype) == (torch.bfloat16, torch.bfloat16)
    assert latents.dtype == prediction.dtype == torch.float32


@torch.no_grad()
def test_sizes_reach_the_denoiser_as_six_sinusoids_behind_the_pooled_text():
    """Full-size embedding: 1280 numbers of text, then 6 x 256, cosines before sines, frequencies 10000^(-k/128)."""
    config = {
        **TINY["sdxl"].unet,
        "transformer_layers_per_block": 1,
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    }
    unet = UNet2DConditionModel(**config)
    seen = []
    unet.add_embedding.register_forward_hook(lambda module, given, result: seen.append(given[0]))
    pooled = torch.randn(1, 1280)
    model = SimpleNamespace(denoiser=unet, placement=FLOAT32)

    sdxl.predict(model, torch.zeros(1, 4, 8, 8), torch.tensor([5]), TextStates(torch.zeros(1, 77, 40), pooled), SIZES)

    (vector,) = seen
    assert vector.shape == (1, 2816)
    assert torch.equal(vector[:, :1280], pooled)
    for place, size in enumerate([1080, 1920, 6, 0, 768, 1344]):
        found = vector[0, 1280 + 256 * place :][:256].tolist()
        for k in (0, 1, 64, 127):
            angle = size * 10000 ** (-k / 128)
            assert math.isclose(found[k], math.cos(angle), abs_tol=2e-3)
            assert math.isclose(found[128 + k], math.sin(angle), abs_tol=2e-3)


def test_the_recorded_sizes_change_the_prediction(model):
    with torch.no_grad():
        text = sdxl.encode_text(model, ["a cat"])
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
        wide = sdxl.predict(model, latents, torch.tensor([500]), text, SIZES)
        square = sdxl.predict(model, latents, torch.tensor([500]), text, whole_picture_sizes((1024, 1024), 1))

    assert not torch.allclose(wide, square)


def test_a_denoising_step_equals_diffusers_own_pipeline(model, folder):
    """The same prompt, noise and scheduler through diffusers' pipeline and through the family's functions."""
    with quiet_libraries():
        pipe = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(3))
    wanted = pipe(
        "a photo of a cat",
        negative_prompt="bad",
        width=96,
        height=64,
        num_inference_steps=2,
        guidance_scale=4.0,
        latents=noise.clone(),
        output_type="pt",
    ).images

    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(2)
    latents, sizes = noise, whole_picture_sizes((96, 64), 2)
    assert sizes.tolist() == [[64, 96, 0, 0, 64, 96]] * 2
    with torch.no_grad():
        positive, negative = sdxl.encode_prompts(model, ["a photo of a cat"], ["bad"])
        text = TextStates(torch.cat([negative.hidden, positive.hidden]), torch.cat([negative.pooled, positive.pooled]))
        for timestep in scheduler.timesteps:
            both = sdxl.predict(model, latents.repeat(2, 1, 1, 1), timestep.repeat(2), text, sizes)
            without, with_prompt = both.chunk(2)
            latents = scheduler.step(without + 4.0 * (with_prompt - without), timestep, latents).prev_sample
        pixels = sdxl.decode_latents(model, latents) / 2 + 0.5

    torch.testing.assert_close(pixels, wanted, rtol=1e-3, atol=1e-4)


def test_recomputed_activations_give_the_same_gradient(path):
    def gradients(checkpointing):
        model = load(path)
        if checkpointing:
            enable_gradient_checkpointing(model.denoiser, model.text_encoders)
        weights = [
            model.text_encoders[0].encoder.layers[0].self_attn.q_proj.weight.requires_grad_(True),
            model.text_encoders[1].text_model.encoder.layers[0].self_attn.q_proj.weight.requires_grad_(True),
        ]
        text = sdxl.encode_text(model, ["a cat"])
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        sdxl.predict(model, latents, torch.tensor([500]), text, SIZES).square().mean().backward()
        return [weight.grad for weight in weights]

    for recomputed, plain in zip(gradients(True), gradients(False), strict=True):
        assert plain.abs().max() > 0
        torch.testing.assert_close(recomputed, plain, rtol=1e-4, atol=1e-8)


class NoWaiting(TorchDispatchMode):
    """Refuses to hand a number from the device to Python."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default, "a value was asked for"
        return func(*args, **(kwargs or {}))


def test_captions_and_predictions_never_wait_for_the_device(path):
    model = load(path, max_token_length=150, weighted_captions=True)

    with NoWaiting():
        text = sdxl.encode_text(model, ["a (cat:1.2)", ""])
        latents = sdxl.encode_pixels(model, torch.zeros(2, 3, 64, 64), torch.zeros(2, 4, 8, 8))
        sdxl.predict(model, latents, torch.tensor([5, 999]), text, SIZES.repeat(2, 1))
