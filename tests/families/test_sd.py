"""The Stable Diffusion family as the trainer uses it."""

import hashlib
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tanren.data.batch import TextStates
from tanren.errors import ModelFileError, UsageError
from tanren.events import Report
from tanren.families import sd
from tanren.families.base import Placement
from tanren.models.configs import STANDARD
from tanren.models.save_folder import write_folder
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings
from tiny_models import tiny_parts, tiny_sd
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTextConfig, CLIPTextModel

CPU = torch.device("cpu")
FLOAT32 = Placement(CPU, torch.float32, torch.float32)


def settings(path, *, attention=None, weighted_captions=False, **options):
    return Settings(
        "train_network",
        [
            ModelOptions(pretrained_model_name_or_path=str(path), **options),
            attention or AttentionOptions(),
            DatasetOptions(weighted_captions=weighted_captions),
        ],
    )


def load(path, *, placement=FLOAT32, events=None, **options):
    return sd.load(settings(path, **options), placement, Report([events.append] if events is not None else []))


@pytest.fixture(scope="module")
def sd1_path(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("sd1") / "sd1.safetensors")


@pytest.fixture(scope="module")
def sd2_path(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("sd2") / "sd2.safetensors", "sd2")


@pytest.fixture(scope="module")
def sd1(sd1_path):
    return load(sd1_path)


def digest(names):
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def full_size(family):
    configs = STANDARD[family]
    with torch.device("meta"):
        unet = UNet2DConditionModel(**configs.unet)
        text = CLIPTextModel(CLIPTextConfig(**configs.text_encoders[0]))
    return SimpleNamespace(denoiser=unet, text_encoders=[text])


@pytest.mark.parametrize(
    ("family", "text_count", "text_digest", "whole_plain", "whole_conv"),
    [
        ("sd1", 72, "8da961b9692b4294", "3b0b58f74c4028ff", "44edcda39c262433"),
        ("sd2", 138, "9df99b6511841d5a", "1d7e05c4353d4a57", "22bce914ca3c4d0c"),
    ],
)
def test_lora_targets_of_the_full_size_models(family, text_count, text_digest, whole_plain, whole_conv):
    targets = sd.lora_targets(full_size(family))

    text = [target.key for target in targets if target.part == "text_encoder"]
    unet = [target.key for target in targets if target.part == "unet"]
    plain = [target.key for target in targets if target.part == "unet" and target.container == "Transformer2DModel"]
    assert (len(text), digest(text)) == (text_count, text_digest)
    assert (len(plain), digest(plain)) == (192, "bdfc29d0bf3d9ac6")
    assert (len(unet), digest(unet)) == (278, "620b9a8905915e25")
    assert digest([*text, *plain]) == whole_plain
    assert digest([*text, *unet]) == whole_conv


def test_lora_targets_come_text_encoder_first_and_hold_the_live_layers(sd1):
    targets = sd.lora_targets(sd1)

    assert [target.part for target in targets] == ["text_encoder"] * 18 + ["unet"] * 278
    by_key = {target.key: target for target in targets}
    assert not by_key.keys() & {"lora_unet_conv_in", "lora_unet_conv_out", "lora_unet_time_embedding_linear_1"}
    middle = by_key["lora_unet_mid_block_attentions_0_proj_in"]
    assert middle.module is sd1.denoiser.mid_block.attentions[0].proj_in
    first = by_key["lora_te_text_model_encoder_layers_0_self_attn_q_proj"]
    assert first.module is sd1.text_encoders[0].encoder.layers[0].self_attn.q_proj
    assert (first.container, first.block) == ("CLIPAttention", None)


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("down_blocks.0.attentions.0.proj_in", 1),
        ("down_blocks.0.resnets.1.conv1", 2),
        ("down_blocks.0.downsamplers.0.conv", 3),
        ("down_blocks.3.resnets.1.conv2", 11),
        ("mid_block.resnets.0.conv1", 12),
        ("up_blocks.0.resnets.0.conv1", 13),
        ("up_blocks.0.upsamplers.0.conv", 15),
        ("up_blocks.3.attentions.2.proj_out", 24),
    ],
)
def test_block_index(path, index):
    assert sd.block_index(path) == index


def test_blocks_with_attention_hold_twelve_targets_each(sd1):
    blocks = Counter(target.block for target in sd.lora_targets(sd1) if target.container == "Transformer2DModel")

    assert blocks == dict.fromkeys([1, 2, 4, 5, 7, 8, 12, 16, 17, 18, 19, 20, 21, 22, 23, 24], 12)


@pytest.mark.parametrize(
    ("options", "version", "architecture", "prediction", "resolution"),
    [
        ({}, "sd_v1", "stable-diffusion-v1", "epsilon", 512),
        ({"v_parameterization": True}, "sd_v1_v", "stable-diffusion-v1", "v", 512),
        ({"v2": True}, "sd_v2", "stable-diffusion-v2-512", "epsilon", 512),
        ({"v2": True, "v_parameterization": True}, "sd_v2_v", "stable-diffusion-v2-768-v", "v", 768),
    ],
)
def test_names_of_the_base_in_files(options, version, architecture, prediction, resolution):
    names = sd.base_names(settings("x", **options))

    assert names.base_model_version == version
    assert names.v2 is options.get("v2", False)
    assert names.architecture == architecture
    assert names.implementation == "diffusers"
    assert names.prediction_type == prediction
    assert names.default_resolution == resolution


@pytest.mark.option("v_parameterization", "zero_terminal_snr")
def test_flags_decide_prediction_and_schedule(sd1_path):
    plain = load(sd1_path)
    v = load(sd1_path, v_parameterization=True, zero_terminal_snr=True)

    assert (plain.prediction_type, v.prediction_type) == ("epsilon", "v")
    assert plain.schedule.alphas_cumprod[-1] > 0.004
    assert v.schedule.alphas_cumprod[-1] == 0


@pytest.mark.option("v2")
def test_sd2_pads_with_zero_and_sd1_with_eos(sd1, sd2_path):
    assert sd1.tokenizers[0].pad_token_id == 49407
    assert load(sd2_path, v2=True).tokenizers[0].pad_token_id == 0


def test_v2_on_an_sd1_file_says_what_the_file_is(sd1_path):
    with pytest.raises(UsageError, match=r"sd1\.safetensors is a Stable Diffusion 1 model, so --v2 does not fit"):
        load(sd1_path, v2=True)


def test_an_sd2_file_without_v2_says_what_the_file_is(sd2_path):
    with pytest.raises(UsageError, match=r"sd2\.safetensors is a Stable Diffusion 2 model, and --v2 is missing"):
        load(sd2_path)


def test_a_folder_s_prediction_type_is_held_against_the_flags(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts("sd2"), dtype=torch.float32, v_prediction=True)
    events = []

    load(folder, v2=True, events=events)

    assert [event["text"] for event in events if event["kind"] == "warning"] == [
        f"{folder} says that it predicts v: --v_parameterization is probably missing."
    ]


def test_a_checkpoint_without_vae_needs_one(sd1_path, tmp_path):
    from safetensors.torch import load_file, save_file
    from tanren.models.configs import header_entry
    from tiny_models import TINY

    pruned = tmp_path / "pruned.safetensors"
    tensors = load_file(sd1_path)
    save_file(
        {name: tensor for name, tensor in tensors.items() if not name.startswith("first_stage_model.")},
        pruned,
        {"tanren.config": header_entry(TINY["sd1"])},
    )

    with pytest.raises(ModelFileError, match=r"pruned\.safetensors has no VAE") as caught:
        load(pruned)
    assert "--vae" in caught.value.fix


@pytest.mark.option("vae")
def test_vae_replaces_the_autoencoder(sd1_path, tmp_path):
    other = tiny_sd(tmp_path / "other.safetensors", seed=5)

    model = load(sd1_path, vae=str(other))

    assert torch.equal(model.vae.decoder.conv_in.bias, tiny_parts(seed=5).vae.decoder.conv_in.bias)
    assert torch.equal(model.denoiser.conv_in.bias, tiny_parts().unet.conv_in.bias)


def test_clip_skip_beyond_the_encoder_s_layers_is_refused(sd1_path):
    with pytest.raises(UsageError, match="4 is more than the 3 layers of this text encoder"):
        load(sd1_path, clip_skip=4)


def test_parts_come_in_the_placement_s_dtypes(sd1_path):
    model = load(sd1_path, placement=Placement(CPU, torch.bfloat16, torch.float32))
    text = sd.encode_text(model, ["a cat"])
    latents = sd.encode_pixels(model, torch.zeros(1, 3, 64, 64), torch.zeros(1, 4, 8, 8))
    prediction = sd.predict(model, latents, torch.tensor([5]), text)

    assert model.denoiser.dtype == model.text_encoders[0].dtype == torch.bfloat16
    assert model.vae.dtype == torch.float32
    assert text.hidden.dtype == torch.bfloat16
    assert latents.dtype == prediction.dtype == torch.float32


def test_latents_are_a_scaled_sample_of_the_posterior(sd1):
    pixels = torch.rand(2, 3, 64, 96) * 2 - 1
    noise = torch.randn(2, 4, 8, 12)
    with torch.no_grad():
        posterior = sd1.vae.encode(pixels).latent_dist
        latents = sd.encode_pixels(sd1, pixels, noise)

    torch.testing.assert_close(latents, 0.18215 * (posterior.mean + posterior.std * noise))


def test_decoding_undoes_the_scale(sd1):
    latents = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        pixels = sd.decode_latents(sd1, latents)
        wanted = sd1.vae.decode(latents / 0.18215).sample.clamp(-1, 1)

    assert pixels.shape == (1, 3, 64, 64)
    torch.testing.assert_close(pixels, wanted)


def test_a_caption_is_encoded_as_the_options_say(sd1_path):
    model = load(sd1_path, clip_skip=2, max_token_length=225, weighted_captions=True)
    with torch.no_grad():
        text = sd.encode_text(model, ["a (cat:1.2)", ""])

    assert text.hidden.shape == (2, 227, 16)
    assert text.pooled is None


CAPTIONS = [
    pytest.param({"clip_skip": 2}, 77, marks=pytest.mark.option("clip_skip")),
    pytest.param({"max_token_length": 150}, 152, marks=pytest.mark.option("max_token_length")),
    pytest.param({"weighted_captions": True}, 77, marks=pytest.mark.option("weighted_captions")),
]


@pytest.mark.parametrize(("options", "tokens"), CAPTIONS)
def test_an_option_of_captions_changes_the_text_states(sd1, sd1_path, options, tokens):
    with torch.no_grad():
        plain = sd.encode_text(sd1, ["a (cat:1.2)"]).hidden
        changed = sd.encode_text(load(sd1_path, **options), ["a (cat:1.2)"]).hidden

    assert (plain.shape, changed.shape) == ((1, 77, 16), (1, tokens, 16))
    assert tokens != 77 or (plain - changed).abs().max() > 0.01


def test_a_denoising_step_equals_diffusers_own_pipeline(sd1, tmp_path):
    """The same prompt, noise and scheduler through diffusers' pipeline and through the family's functions."""
    pipe = StableDiffusionPipeline.from_pretrained(
        write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float32), local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    wanted = pipe(
        "a photo of a cat",
        negative_prompt="bad",
        num_inference_steps=2,
        guidance_scale=4.0,
        latents=noise.clone(),
        output_type="pt",
    ).images

    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(2)
    latents = noise
    with torch.no_grad():
        positive, negative = sd.encode_prompts(sd1, ["a photo of a cat"], ["bad"])
        text = TextStates(torch.cat([negative.hidden, positive.hidden]))
        for timestep in scheduler.timesteps:
            without, with_prompt = sd.predict(sd1, latents.repeat(2, 1, 1, 1), timestep.repeat(2), text).chunk(2)
            guided = without + 4.0 * (with_prompt - without)
            latents = scheduler.step(guided, timestep, latents).prev_sample
        pixels = sd.decode_latents(sd1, latents) / 2 + 0.5

    torch.testing.assert_close(pixels, wanted, rtol=1e-3, atol=1e-4)


def test_sliced_attention_equals_the_ordinary_one(sd1, sd1_path):
    sliced = load(sd1_path, attention=AttentionOptions(mem_eff_attn=True))
    with torch.no_grad():
        text = sd.encode_text(sd1, ["a cat"])
        latents = torch.randn(1, 4, 8, 8)
        wanted = sd.predict(sd1, latents, torch.tensor([500]), text)
        found = sd.predict(sliced, latents, torch.tensor([500]), text)

    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_xformers_without_a_gpu_is_a_warning(sd1_path):
    events = []

    load(sd1_path, attention=AttentionOptions(xformers=True), events=events)

    assert [event["text"] for event in events if event["kind"] == "warning"] == [
        "--xformers: xformers needs a CUDA device; PyTorch's own attention (--sdpa) is used instead."
    ]


def test_recomputed_activations_give_the_same_gradient(sd1_path):
    from tanren.models.checkpointing import enable_gradient_checkpointing

    def gradient_and_calls(checkpointing):
        model = load(sd1_path, clip_skip=2)
        if checkpointing:
            enable_gradient_checkpointing(model.denoiser, model.text_encoders)
        weight = model.text_encoders[0].encoder.layers[0].self_attn.q_proj.weight.requires_grad_(True)
        calls = []
        for module in (
            model.denoiser.down_blocks[1].resnets[0].conv1,
            model.text_encoders[0].encoder.layers[0].mlp.fc1,
        ):
            module.register_forward_hook(lambda *_: calls.append(1))
        text = sd.encode_text(model, ["a cat"])
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        sd.predict(model, latents, torch.tensor([500]), text).square().mean().backward()
        return weight.grad, len(calls)

    plain, plain_calls = gradient_and_calls(False)
    recomputed, recomputed_calls = gradient_and_calls(True)

    assert (plain_calls, recomputed_calls) == (2, 4)
    torch.testing.assert_close(recomputed, plain, rtol=1e-4, atol=1e-8)


class NoWaiting(TorchDispatchMode):
    """Refuses to hand a number from the device to Python."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func is not torch.ops.aten._local_scalar_dense.default, "a value was asked for"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("clip_skip", [None, 2])
def test_captions_and_predictions_never_wait_for_the_device(sd1_path, clip_skip):
    model = load(sd1_path, clip_skip=clip_skip, max_token_length=150, weighted_captions=True)

    with NoWaiting():
        text = sd.encode_text(model, ["a (cat:1.2)", ""])
        latents = sd.encode_pixels(model, torch.zeros(2, 3, 64, 64), torch.zeros(2, 4, 8, 8))
        sd.predict(model, latents, torch.tensor([5, 999]), text)
