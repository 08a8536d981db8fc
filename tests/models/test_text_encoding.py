"""Captions and prompts as CLIP sees them."""

import pytest
import torch
from tanren.models.clip_tokenizer import clip_tokenizer
from tanren.models.text_encoding import (
    emphasise,
    encode_captions,
    encode_prompts,
    last_states,
    split_windows,
    token_row,
    windows_of,
)
from tiny_models import tiny_parts

BOS, EOS = 49406, 49407
A = 320  # the token of "a"


@pytest.fixture(scope="module")
def sd1_tokenizer():
    return clip_tokenizer()


@pytest.fixture(scope="module")
def sd2_tokenizer():
    return clip_tokenizer(0)


@pytest.fixture(scope="module")
def encoder():
    return tiny_parts().text_encoders[0]


def captions(encoder, tokenizer, texts, length=None, skip=None, weighted=False):
    with torch.no_grad():
        return encode_captions(encoder, tokenizer, texts, max_token_length=length, clip_skip=skip, weighted=weighted)


@pytest.mark.parametrize(("length", "windows"), [(None, 1), (75, 1), (150, 2), (225, 3)])
def test_window_count(length, windows):
    assert windows_of(length) == windows


@pytest.mark.parametrize("text", ["", "a photo of a cat", "1girl, solo, 日本語 (smile:1.2)!", "a " * 80])
def test_one_window_equals_the_tokenizer_s_own_padding(sd1_tokenizer, sd2_tokenizer, text):
    for tokenizer in (sd1_tokenizer, sd2_tokenizer):
        wanted = tokenizer(text, padding="max_length", truncation=True, max_length=77).input_ids

        assert token_row(tokenizer, text, 1, weighted=False).ids == wanted


def test_sd1_pads_with_eos_and_sd2_with_zero(sd1_tokenizer, sd2_tokenizer):
    assert token_row(sd1_tokenizer, "a", 1, weighted=False).ids[:5] == [BOS, A, EOS, EOS, EOS]
    assert token_row(sd2_tokenizer, "a", 1, weighted=False).ids[:5] == [BOS, A, EOS, 0, 0]


def test_what_is_cut_off_is_counted(sd1_tokenizer):
    row = token_row(sd1_tokenizer, "a " * 80, 1, weighted=False)

    assert row.cut == 5
    assert row.ids == [BOS, *[A] * 75, EOS]


def windows(tokenizer, count, length):
    row = token_row(tokenizer, "a " * count, length, weighted=False)
    return split_windows(torch.tensor([row.ids]), EOS, tokenizer.pad_token_id)[0].tolist()


def test_sd1_windows_end_with_the_end_of_the_row(sd1_tokenizer):
    first, second = windows(sd1_tokenizer, 80, 2)

    assert first == [BOS, *[A] * 75, EOS]
    assert second == [BOS, *[A] * 5, EOS, *[EOS] * 69, EOS]


def test_sd2_full_windows_end_with_eos_and_empty_ones_begin_with_it(sd2_tokenizer):
    assert windows(sd2_tokenizer, 80, 3) == [
        [BOS, *[A] * 75, EOS],
        [BOS, *[A] * 5, EOS, *[0] * 69, 0],
        [BOS, EOS, *[0] * 74, 0],
    ]


def test_sd2_window_filled_to_the_brim_is_followed_by_one_that_begins_with_eos(sd2_tokenizer):
    assert windows(sd2_tokenizer, 75, 2) == [[BOS, *[A] * 75, EOS], [BOS, EOS, *[0] * 74, 0]]


@pytest.mark.parametrize(("length", "states"), [(None, 77), (75, 77), (150, 152), (225, 227)])
def test_captions_become_75_states_a_window_and_two_ends(encoder, sd1_tokenizer, length, states):
    assert captions(encoder, sd1_tokenizer, ["a cat", ""], length).shape == (2, states, 16)


def test_joined_windows_are_the_windows_encoded_one_by_one(encoder, sd1_tokenizer):
    text = "a " * 80
    first, second = torch.tensor(windows(sd1_tokenizer, 80, 2))
    with torch.no_grad():
        one, two = encoder(first[None]).last_hidden_state[0], encoder(second[None]).last_hidden_state[0]
    wanted = torch.cat([one[:1], one[1:76], two[1:76], two[76:]])

    torch.testing.assert_close(captions(encoder, sd1_tokenizer, [text], 150)[0], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("skip", [None, 1, 2, 3])
def test_clip_skip_takes_an_earlier_layer_through_the_final_norm(encoder, skip):
    ids = torch.randint(0, 49000, (2, 77), generator=torch.Generator().manual_seed(1))
    causal = torch.full((77, 77), float("-inf")).triu(1)
    with torch.no_grad():
        states = encoder.embeddings(ids)
        for layer in encoder.encoder.layers[: 3 - ((skip or 1) - 1)]:
            normed = layer.layer_norm1(states)
            q, k, v = (
                getattr(layer.self_attn, f"{name}_proj")(normed).unflatten(-1, (2, 8)).transpose(1, 2) for name in "qkv"
            )
            attended = (q @ k.mT / 8**0.5 + causal).softmax(-1) @ v
            states = states + layer.self_attn.out_proj(attended.transpose(1, 2).flatten(2))
            states = states + layer.mlp(layer.layer_norm2(states))
        wanted = encoder.final_layer_norm(states)

        torch.testing.assert_close(last_states(encoder, ids, skip), wanted, rtol=1e-4, atol=1e-5)


def test_gradient_reaches_the_text_encoder(encoder, sd1_tokenizer):
    weight = encoder.encoder.layers[0].self_attn.q_proj.weight
    weight.requires_grad_(True)

    states = encode_captions(encoder, sd1_tokenizer, ["a cat"], max_token_length=150, clip_skip=2, weighted=False)
    (gradient,) = torch.autograd.grad(states.square().sum() + states[..., 0].sum(), weight)
    weight.requires_grad_(False)

    assert gradient.abs().sum() > 0


def test_weighted_captions_scale_the_states_and_nothing_else(encoder, sd1_tokenizer):
    plain = captions(encoder, sd1_tokenizer, ["red cat"])
    weighted = captions(encoder, sd1_tokenizer, ["(red:1.5) cat"], weighted=True)

    wanted = plain.clone()
    wanted[0, 1] *= 1.5
    torch.testing.assert_close(weighted, wanted, rtol=1e-5, atol=1e-5)


def test_weights_reach_the_second_window(encoder, sd1_tokenizer):
    plain = captions(encoder, sd1_tokenizer, ["a " * 80 + "cat"], 150)
    weighted = captions(encoder, sd1_tokenizer, ["a " * 80 + "(cat:2)"], 150, weighted=True)

    wanted = plain.clone()
    wanted[0, 81] *= 2
    torch.testing.assert_close(weighted, wanted, rtol=1e-5, atol=1e-5)


def test_emphasis_is_text_when_captions_are_not_weighted(sd1_tokenizer):
    assert len(token_row(sd1_tokenizer, "(red:1.5)", 1, weighted=False).weights) == 77
    assert set(token_row(sd1_tokenizer, "(red:1.5)", 1, weighted=False).weights) == {1.0}


def test_prompts_and_negatives_get_the_same_length(encoder, sd1_tokenizer):
    with torch.no_grad():
        positive, negative = encode_prompts(encoder, sd1_tokenizer, ["a cat", "a " * 80], ["", "bad"], clip_skip=None)

    assert positive.shape == negative.shape == (2, 154, 16)


def test_prompts_keep_all_states_of_every_window(encoder, sd1_tokenizer):
    first, second = torch.tensor(windows(sd1_tokenizer, 80, 2))
    with torch.no_grad():
        positive, _ = encode_prompts(encoder, sd1_tokenizer, ["a " * 80], [""], clip_skip=None)
        wanted = torch.cat([encoder(first[None]).last_hidden_state[0], encoder(second[None]).last_hidden_state[0]])

    torch.testing.assert_close(positive[0], wanted, rtol=1e-5, atol=1e-5)


def test_prompts_longer_than_three_windows_are_cut_with_a_warning(encoder, sd1_tokenizer, caplog):
    with torch.no_grad():
        positive, _ = encode_prompts(encoder, sd1_tokenizer, ["a " * 230], [""], clip_skip=None)

    assert positive.shape == (1, 231, 16)
    assert "A prompt is 5 tokens too long" in caplog.text


def test_emphasis_in_prompts_keeps_the_mean(encoder, sd1_tokenizer):
    with torch.no_grad():
        plain, _ = encode_prompts(encoder, sd1_tokenizer, ["red cat"], [""], clip_skip=None)
        weighted, _ = encode_prompts(encoder, sd1_tokenizer, ["(red:1.5) cat"], [""], clip_skip=None)

    torch.testing.assert_close(weighted.mean(), plain.mean())
    ratio = weighted[0, 1] / plain[0, 1] / (weighted[0, 2] / plain[0, 2])
    torch.testing.assert_close(ratio, torch.full_like(ratio, 1.5), rtol=1e-3, atol=1e-3)


def test_emphasis_by_hand():
    states = torch.tensor([[[1.0, 3.0], [2.0, 2.0]]])

    # The mean is 2 before and (2 + 6 + 2 + 2) / 4 = 3 after, so everything is scaled by 2/3.
    wanted = torch.tensor([[[4 / 3, 4.0], [4 / 3, 4 / 3]]])
    torch.testing.assert_close(emphasise(states, torch.tensor([[2.0, 1.0]])), wanted)
