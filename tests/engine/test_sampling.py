"""Our sampling loop against diffusers' pipeline, on a small model of real topology."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from tanren.diffusion.samplers import make_sampler
from tanren.engine.sampling import Picture, draw_picture
from tanren.events import Report
from tanren.families import sd
from tanren.families.base import Placement
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings
from tiny_models import tiny_parts, tiny_sd

pytestmark = [pytest.mark.filterwarnings("ignore:__array"), pytest.mark.filterwarnings("ignore:The configuration file")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tiny_sd(tmp_path_factory.mktemp("model") / "sd1.safetensors")
    groups = [ModelOptions(pretrained_model_name_or_path=str(path)), AttentionOptions(), DatasetOptions()]
    placement = Placement(torch.device("cpu"), torch.float32, torch.float32)
    return sd.load(Settings("train_network", groups), placement, Report())


def by_diffusers(model, picture):
    """The same picture from diffusers' own loop, given the same text states and start noise."""
    parts = tiny_parts()
    pipeline = StableDiffusionPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoders[0],
        tokenizer=model.tokenizers[0],
        unet=parts.unet,
        scheduler=make_sampler("euler", "epsilon"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    # The pipeline rewrites the settings of the scheduler that it is made with.
    pipeline.scheduler = make_sampler(picture.sampler, "epsilon")
    pipeline.set_progress_bar_config(disable=True)
    positive, negative = sd.encode_prompts(model, [picture.prompt], [picture.negative_prompt])
    width, height = picture.size_wh
    generator = torch.Generator().manual_seed(picture.seed)
    noise = torch.randn(1, 4, height // 8, width // 8, generator=generator)
    result = pipeline(
        prompt_embeds=positive.hidden,
        negative_prompt_embeds=negative.hidden,
        width=width,
        height=height,
        num_inference_steps=picture.steps,
        guidance_scale=picture.scale,
        latents=noise,
        generator=generator,
    )
    return np.asarray(result.images[0], dtype=int)


@pytest.mark.parametrize("sampler", ["ddim", "euler_a", "dpm++_2m_karras"])
def test_a_picture_equals_that_of_the_diffusers_pipeline(model, sampler):
    picture = Picture("a (red:1.3) cat", "blurry", (80, 64), seed=3, steps=5, scale=4.0, sampler=sampler)
    ours = np.asarray(draw_picture(model, picture), dtype=int)
    assert ours.shape == (64, 80, 3)
    assert np.abs(ours - by_diffusers(model, picture)).max() <= 1
