import random

import pytest
from tanren.data.captions import process_caption, varies, warmed_up_count
from tanren.options.dataset_plan import SubsetPlan


def subset(**keys):
    return SubsetPlan(kind="dreambooth", image_dir="x", where="test", **keys)


def process(caption, *, seed=0, epoch=1, step=0, max_train_steps=100, **keys):
    return process_caption(
        caption, subset(**keys), random.Random(seed), epoch=epoch, step=step, max_train_steps=max_train_steps
    )


def test_a_caption_without_variation_is_left_as_it_is():
    assert process("a  cat ,on a  mat") == "a  cat ,on a  mat"


def test_prefix_and_suffix_are_joined_with_one_space():
    assert process("cat", caption_prefix="photo of", caption_suffix="at night") == "photo of cat at night"


def test_prefix_takes_part_in_shuffling_unless_it_is_pinned():
    pinned = {
        process("a, b, c", seed=seed, shuffle_caption=True, caption_prefix="sks,", keep_tokens=1) for seed in range(30)
    }

    assert all(text.startswith("sks, ") for text in pinned)
    assert len(pinned) == 6


def test_dropout_rate_one_gives_empty_captions_even_with_a_prefix():
    assert process("cat", caption_dropout_rate=1.0, caption_prefix="photo of") == ""


def test_dropout_rate_is_met_on_average():
    empty = sum(process("cat", seed=seed, caption_dropout_rate=0.25) == "" for seed in range(2000))

    assert 430 <= empty <= 570


def test_every_second_epoch_without_caption_counts_epochs_from_one():
    texts = [process("cat", epoch=epoch, caption_dropout_every_n_epochs=2) for epoch in (1, 2, 3, 4)]

    assert texts == ["cat", "", "cat", ""]


def test_without_wildcards_the_first_line_counts_and_braces_stay():
    assert process("a {red|blue} cat\na dog") == "a {red|blue} cat"


def test_wildcards_choose_a_line_and_a_member():
    drawn = {process("a {red|blue} cat\na dog", seed=seed, enable_wildcard=True) for seed in range(40)}

    assert drawn == {"a red cat", "a blue cat", "a dog"}


def test_doubled_braces_are_literal_and_a_single_member_is_itself():
    assert process("{{a|b}} {x}", enable_wildcard=True) == "{a|b} x"


def test_shuffling_keeps_the_first_tags_and_joins_with_comma_and_space():
    drawn = {
        process("one ,two;three;four", seed=seed, shuffle_caption=True, caption_separator=";", keep_tokens=1)
        for seed in range(20)
    }

    assert drawn == {"one ,two, three, four", "one ,two, four, three"}


def test_keep_tokens_separator_pins_front_and_end_without_commas_around_it():
    drawn = {
        process("a, b|||c, d, |||e|||", seed=seed, shuffle_caption=True, keep_tokens_separator="|||")
        for seed in range(20)
    }

    assert drawn == {"a, b, c, d, e|||", "a, b, d, c, e|||"}


def test_keep_tokens_counts_when_the_separator_does_not_occur():
    drawn = {
        process("a, b, c", seed=seed, shuffle_caption=True, keep_tokens_separator="|||", keep_tokens=2)
        for seed in range(9)
    }

    assert drawn == {"a, b, c"}


def test_tag_dropout_spares_the_kept_tags():
    assert process("a, b, c", caption_tag_dropout_rate=1.0, keep_tokens=1) == "a"


def test_secondary_separator_holds_tags_together_until_the_end():
    drawn = {process("a;;;b, c", seed=seed, shuffle_caption=True, secondary_separator=";;;") for seed in range(9)}

    assert drawn == {"a,b, c", "c, a,b"}


@pytest.mark.parametrize(("step", "count"), [(0, 1), (4, 1), (5, 2), (9, 2), (10, 3), (19, 4), (20, 5), (500, 5)])
def test_tag_warm_up_grows_the_number_of_tags(step, count):
    # floor(step * (5 - 1) / 20) + 1
    assert warmed_up_count(5, subset(token_warmup_step=20), step, 100) == count


def test_tag_warm_up_below_one_is_a_fraction_of_all_steps():
    assert process("a, b, c, d, e", token_warmup_step=0.2, step=10, max_train_steps=100) == "a, b, c"
    assert process("a, b, c, d, e", token_warmup_step=0.2, step=20, max_train_steps=100) == "a, b, c, d, e"


def test_the_same_draw_gives_the_same_caption():
    first = process("a, b, c, d, e, f", seed=5, shuffle_caption=True, caption_tag_dropout_rate=0.3)

    assert first == process("a, b, c, d, e, f", seed=5, shuffle_caption=True, caption_tag_dropout_rate=0.3)


def test_captions_vary_with_any_random_option_only():
    assert not varies(subset(caption_prefix="a", keep_tokens=3, secondary_separator=";"))
    assert all(
        varies(subset(**keys))
        for keys in (
            {"shuffle_caption": True},
            {"enable_wildcard": True},
            {"caption_dropout_rate": 0.1},
            {"caption_dropout_every_n_epochs": 3},
            {"caption_tag_dropout_rate": 0.1},
            {"token_warmup_step": 5},
        )
    )
