import hashlib

import pytest
from tanren.models.clip_tokenizer import build_vocabulary, clip_tokenizer, read_merges


def sha256_of_lines(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()


def test_vocabulary_is_that_of_stable_diffusion():
    vocabulary = build_vocabulary(read_merges())

    assert len(vocabulary) == 49408
    assert sha256_of_lines(vocabulary) == "7cccc44d334555d1ff3c0ac5f0246b428fab2918383e77ee745cf30d41010b78"


def test_merges_are_those_of_stable_diffusion():
    merges = [f"{left} {right}" for left, right in read_merges()]

    assert len(merges) == 48894
    assert sha256_of_lines(merges) == "f61f2adf497e6f5357c347aeb4646fabe82f341e946de5bdec5d2858e41bef4a"


def test_a_known_sentence_has_the_known_ids():
    assert clip_tokenizer()("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]


@pytest.mark.parametrize(("word", "token_id"), [("sks", 48136), ("ohwx", 47993)])
def test_rare_words_are_one_token(word: str, token_id: int):
    assert clip_tokenizer()(word).input_ids == [49406, token_id, 49407]


@pytest.mark.parametrize("text", ["Straße, ÉCLAIR", "赤い円", "🙂 two  spaces", "don't; 1girl_"])
def test_text_of_any_script_comes_back_from_its_ids(text: str):
    tokenizer = clip_tokenizer()

    read_back = tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True)

    assert read_back.replace(" ", "") == text.lower().replace(" ", "")


def test_captions_are_padded_to_77_with_the_end_token():
    ids = clip_tokenizer()("a cat", padding="max_length").input_ids

    assert len(ids) == 77
    assert set(ids[4:]) == {49407}


def test_padding_with_zero_leaves_exclamation_marks_alone():
    ids = clip_tokenizer(pad_token_id=0)("a cat!", padding="max_length").input_ids

    assert ids[:6] == [49406, 320, 2368, 256, 49407, 0]


def test_captions_longer_than_77_can_be_cut():
    assert len(clip_tokenizer()("cat " * 100, truncation=True).input_ids) == 77
