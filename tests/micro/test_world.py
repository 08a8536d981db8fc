from collections import Counter

import numpy as np
import pytest
from tanren.micro.world import (
    BACKGROUNDS,
    COLORS,
    HELD_OUT,
    SHAPES,
    Words,
    draw_caption,
    draw_scene,
    known_words,
    prompt,
    spread,
)


def test_a_tenth_of_the_combinations_is_held_out():
    assert len(known_words()) == 192
    assert sum(words.is_held_out for words in known_words()) == len(HELD_OUT) == 20


def test_no_pair_of_words_is_missing_altogether():
    kept = [words for words in known_words() if not words.is_held_out]

    assert len({(w.shape, w.color) for w in kept}) == 48
    assert len({(w.shape, w.background) for w in kept}) == 24
    assert len({(w.color, w.background) for w in kept}) == 32


def test_every_word_is_held_out_somewhere():
    for place, table in enumerate((SHAPES, COLORS, BACKGROUNDS)):
        assert {combination[place] for combination in HELD_OUT} == set(table)


def test_drawn_scenes_never_show_a_held_out_combination():
    rng = np.random.default_rng(0)
    scenes = [draw_scene(rng) for _ in range(2000)]

    assert not any(scene.words.is_held_out for scene in scenes)
    assert {scene.words.size for scene in scenes} == {"small", "big", ""}
    assert len({(s.words.shape, s.words.color, s.words.background) for s in scenes}) == 172


def test_the_same_seed_draws_the_same_scenes_and_captions():
    def draw() -> list[str]:
        rng = np.random.default_rng(7)
        return [draw_caption(draw_scene(rng).words, rng) for _ in range(20)]

    assert draw() == draw()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (Words("circle", "red", "white"), "a red circle on a white background"),
        (Words("star", "orange", "black", "small"), "a small orange star on a black background"),
        (Words("heart", "orange", ""), "an orange heart"),
    ],
)
def test_prompt_is_the_plain_sentence(words: Words, expected: str):
    assert prompt(words) == expected


def test_prompt_can_name_the_shape_by_a_trigger_word():
    assert prompt(Words("moon", "blue", "gray"), shape_word="sks") == "a blue sks on a gray background"


def test_captions_say_the_size_and_leave_other_words_out_now_and_then():
    rng = np.random.default_rng(1)
    captions = [draw_caption(Words("cross", "green", "cyan", "big"), rng) for _ in range(1000)]

    assert all("big" in caption for caption in captions)
    missing = Counter(word for caption in captions for word in ("green", "cross", "cyan") if word not in caption)
    assert 30 <= missing["green"] <= 100
    assert 30 <= missing["cross"] <= 100
    assert 100 <= missing["cyan"] <= 200


def test_spread_uses_each_combination_equally_often():
    counts = Counter(spread(known_words(), 192 * 3, seed=5))

    assert set(counts.values()) == {3}
