"""Captions and prompts as SDXL's two text encoders see them."""

import pytest
import torch
from tanren.models.clip_tokenizer import clip_tokenizer
from tanren.models.text_encoding import token_row
from tanren.models.text_pair import encode_captions, encode_prompts, pooled_state
from tiny_models import tiny_parts

EOS = 49407


@pytest.fixture(scope="module")
def encoders():
    return tiny_parts("sdxl").text_encoders


@pytest.fixture(scope="module")
def tokenizers():
    return [clip_tokenizer(), clip_tokenizer(0)]


@pytest.fixture
def captions(encoders, tokenizers):
    def encode(texts, length=None, weighted=False):
        with torch.no_grad():
            return encode_captions(encoders, tokenizers, texts, max_token_length=length, weighted=weighted)

    return encode


def own_ids(tokenizer, text):
    return torch.tensor([token_row(tokenizer, text, 1, weighted=False).ids])


@torch.no_grad()
def test_states_before_the_last_layer_stand_side_by_side_without_the_final_norm(encoders, tokenizers, captions):
    hidden, _ = captions(["a photo of a cat"])

    seen = []
    handles = [
        encoders[0].encoder.layers[1].register_forward_hook(lambda *args: seen.append(args[2])),
        encoders[1].text_model.encoder.layers[2].register_forward_hook(lambda *args: seen.append(args[2])),
    ]
    for encoder, tokenizer in zip(encoders, tokenizers, strict=True):
        encoder(own_ids(tokenizer, "a photo of a cat"))
    for handle in handles:
        handle.remove()
    states = [state[0] if isinstance(state, tuple) else state for state in seen]
    assert hidden.shape == (1, 77, 16 + 24)
    torch.testing.assert_close(hidden, torch.cat(states, dim=-1))


@torch.no_grad()
def test_the_pooled_state_is_the_projected_one_of_the_first_eos(encoders, tokenizers, captions):
    _, pooled = captions(["a photo of a cat", ""])

    for row, (text, place) in zip(pooled, [("a photo of a cat", 6), ("", 1)], strict=True):
        last = encoders[1](own_ids(tokenizers[1], text)).last_hidden_state[0, place]
        torch.testing.assert_close(row, encoders[1].text_projection(last), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_a_text_without_eos_is_pooled_at_its_start(encoders):
    ids = torch.tensor([[5, 6, 7], [5, EOS, EOS]])
    last = torch.randn(2, 3, 24)

    pooled = pooled_state(encoders[1], last, ids, EOS)

    torch.testing.assert_close(pooled, encoders[1].text_projection(torch.stack([last[0, 0], last[1, 1]])))


@pytest.mark.parametrize(("length", "states"), [(None, 77), (75, 77), (150, 152), (225, 227)])
def test_lengths(captions, length, states):
    hidden, pooled = captions(["a " * 100, "a"], length)

    assert hidden.shape == (2, states, 40)
    assert pooled.shape == (2, 20)


@pytest.mark.parametrize("length", [150, 225])
def test_the_first_window_alone_decides_the_pooled_state(captions, length):
    short = captions(["a " * 75], None).pooled
    long = captions(["a " * 75 + "cat " * 40], length)

    torch.testing.assert_close(long.pooled, short)
    assert not torch.allclose(long.hidden[:, 76:], captions(["a " * 75], length).hidden[:, 76:])


def test_emphasis_multiplies_the_states_of_both_encoders_and_spares_the_pooled_one(captions):
    plain, weighted = captions(["a cat"]), captions(["a (cat:2.0)"], weighted=True)

    torch.testing.assert_close(weighted.hidden[:, 2], 2 * plain.hidden[:, 2])
    torch.testing.assert_close(weighted.hidden[:, [0, 1, 3]], plain.hidden[:, [0, 1, 3]])
    torch.testing.assert_close(weighted.pooled, plain.pooled)


def test_prompts_and_negative_prompts_have_the_same_length(encoders, tokenizers):
    with torch.no_grad():
        positive, negative = encode_prompts(encoders, tokenizers, ["a " * 80], ["bad"])

    assert positive.hidden.shape == negative.hidden.shape == (1, 154, 40)
    assert positive.pooled.shape == negative.pooled.shape == (1, 20)


@torch.no_grad()
def test_emphasis_in_prompts_keeps_the_mean_of_each_encoder(encoders, tokenizers):
    plain, _ = encode_prompts(encoders, tokenizers, ["a red cat"], [""])
    strong, _ = encode_prompts(encoders, tokenizers, ["a (red:1.5) cat"], [""])

    for part in (slice(0, 16), slice(16, 40)):
        torch.testing.assert_close(
            strong.hidden[..., part].mean(), plain.hidden[..., part].mean(), rtol=1e-4, atol=1e-5
        )
        assert not torch.allclose(strong.hidden[..., part], plain.hidden[..., part])
    torch.testing.assert_close(strong.pooled, plain.pooled)
