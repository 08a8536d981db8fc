"""LoRAs and networks of other packages on the model that draws."""

import numpy as np
import pytest
from generation.drawing import targets_of
from model_files import write_model
from tanren.generate import main

# Of 255 levels: a merged weight is rounded once, an applied change is added to every product.
ROUNDING = 2
MODULE = """
import torch

class Network(torch.nn.Module):
    def __init__(self, gain): super().__init__(); self.gain, self.multiplier = gain, 1.0
    def apply_to(self, text_encoder, unet, *parts):
        for name, leaf in unet.named_modules():
            if name.endswith("attn2.to_q"):
                plain = leaf.forward
                leaf.forward = lambda x, plain=plain: plain(x) * (1 + self.multiplier * self.gain)
    def set_multiplier(self, multiplier): self.multiplier = multiplier
    def load_weights(self, file): return "loaded"
    def get_trainable_params(self): return []
    def merge_to(self, text_encoder, unet, weights, dtype, device):
        for name, leaf in unet.named_modules():
            if name.endswith("attn2.to_q"): leaf.weight.data *= 1 + self.gain

def create_network(*args, **more): raise AssertionError("files are loaded here")
def create_network_from_weights(multiplier, file, vae, text_encoder, unet, gain="0.5", **more):
    return Network(float(gain)), {}
"""


def difference(one, other):
    return int(np.abs(one - other).max())


@pytest.mark.option("network_weights", "network_mul")
def test_a_lora_changes_the_picture_by_its_strength_and_not_at_all_at_zero(studio, lora):
    words = f"--network_weights={lora}"
    assert studio.changes(words) > 2 * ROUNDING
    assert difference(studio.pixels(words, "--network_mul=0.5"), studio.pixels(words)) > 0
    assert studio.changes(words, "--network_mul=0") == 0


@pytest.mark.option("network_merge")
@pytest.mark.parametrize("strength", [1.0, -0.5])
def test_a_merged_lora_draws_what_the_applied_one_draws(studio, lora, strength):
    words = (f"--network_weights={lora}", f"--network_mul={strength}")
    assert difference(studio.pixels(*words), studio.pixels(*words, "--network_merge")) <= ROUNDING
    assert studio.changes(*words) > 2 * ROUNDING


@pytest.mark.option("network_merge", "network_merge_n_models", "network_pre_calc")
def test_merged_networks_keep_their_strength_whatever_a_prompt_says(studio, lora, other_lora):
    two = ("--network_weights", lora, other_lora)
    silent, plain = "--prompt=a red circle --am 0", studio.pixels()

    assert difference(studio.pixels(*two, silent), plain) == 0
    assert difference(studio.pixels(*two, silent, "--network_pre_calc"), plain) == 0
    only_first = studio.pixels(*two, silent, "--network_merge_n_models=1")
    assert difference(only_first, studio.pixels(f"--network_weights={lora}")) <= ROUNDING
    both = studio.pixels(*two, silent, "--network_merge")
    assert difference(both, studio.pixels(*two)) <= ROUNDING
    assert difference(both, only_first) > 2 * ROUNDING


@pytest.mark.option("network_pre_calc")
def test_weights_that_are_put_in_follow_the_strengths_of_every_prompt(studio, lora, other_lora):
    lines = studio.folder / "strengths.txt"
    lines.write_text("a red circle --d 1\na red circle --d 2 --am 0.5,0\na red circle --d 3 --am 0,0", "utf-8")
    words = (f"--from_file={lines}", "--network_weights", lora, other_lora)

    applied, put_in = studio.draw(*words), studio.draw(*words, "--network_pre_calc")

    seeds = [picture.facts["seed"] for picture in applied]
    assert seeds == [picture.facts["seed"] for picture in put_in] == ["1", "2", "3"]
    pairs = list(zip(applied, put_in, strict=True))
    assert max(difference(one.pixels, other.pixels) for one, other in pairs) <= ROUNDING
    assert difference(pairs[2][0].pixels, pairs[2][1].pixels) == 0


def test_a_text_encoder_that_a_lora_changes_is_asked_again_when_the_strength_changes(studio, place, targets):
    from generation.drawing import random_lora

    text_only = random_lora(place / "text.safetensors", [one for one in targets if one.part != "unet"], strength=2.0)
    lines = studio.folder / "text strengths.txt"
    lines.write_text("a red circle --d 1\na red circle --d 1 --am 0", "utf-8")

    first, second = studio.draw(f"--from_file={lines}", f"--network_weights={text_only}")

    assert difference(first.pixels, second.pixels) > 0


@pytest.mark.option("network_module", "network_args")
def test_networks_of_other_packages_get_their_arguments(studio, place, lora, monkeypatch):
    (place / "gain_network.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(str(place))
    words = (f"--network_weights={lora}", "--network_module=gain_network")

    usual, stronger = studio.pixels(*words), studio.pixels(*words, "--network_args", "gain=3;note=x")

    assert difference(usual, studio.pixels()) > 0
    assert difference(usual, stronger) > 0
    assert difference(studio.pixels(*words, "--network_args=gain=0"), studio.pixels()) == 0
    assert difference(studio.pixels(*words, "--network_merge"), usual) <= ROUNDING


@pytest.mark.option("network_show_meta")
def test_metadata_of_the_files_are_shown_when_asked_for(studio, lora, capsys):
    studio.draw(f"--network_weights={lora}", "--network_show_meta")
    assert '"ss_training_comment": "drawn by a test"' in capsys.readouterr().out


def test_a_lora_for_another_kind_of_model_is_refused(studio, sd_studio, lora, place, capfd):
    words = [f"--ckpt={sd_studio.model}", f"--outdir={place / 'none'}", "--prompt=a", f"--network_weights={lora}"]
    assert main("gen_img", words) == 4
    told = capfd.readouterr().err
    assert "layers of this file are not in the model" in told
    assert "Give a LoRA that was trained on the same kind of model." in told
    assert list(targets_of(sd_studio.model, "sd1"))


def test_more_numbers_than_networks_are_refused(studio, place, capfd):
    file = write_model(place / "zeros.safetensors")
    words = [f"--ckpt={studio.model}", "--prompt=a", f"--network_weights={file}", "--network_mul", "1", "2"]
    assert main("sdxl_gen_img", words) == 2
    assert "--network_mul: There are 2 for 1 networks." in capfd.readouterr().err
