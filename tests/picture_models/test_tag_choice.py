import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tanren.errors import UserError
from tanren.picture_models.tag_choice import (
    Label,
    TagRules,
    choose_tags,
    is_face,
    merged,
    read_labels,
    written,
)

LABELS = [
    Label("general", 9),
    Label("explicit", 9),
    Label("long_hair", 0),
    Label("1girl", 0),
    Label(">_<", 0),
    Label("lum_(urusei_yatsura)", 4),
    Label("copyright_of_a_series", 3),
]
SCORES = [0.7, 0.2, 0.5, 0.9, 0.4, 0.6, 0.1]


def chosen(**rules):
    return [tag.text for tag in choose_tags(LABELS, SCORES, TagRules(**rules))]


def test_tags_above_the_threshold_come_by_certainty_with_spaces_and_whole_faces():
    assert chosen() == ["1girl", "lum (urusei yatsura)", "long hair", ">_<"]


def test_each_kind_has_its_threshold():
    assert chosen(general=0.45) == ["1girl", "lum (urusei yatsura)", "long hair"]
    assert chosen(character=0.85) == ["1girl", "long hair", ">_<"]


def test_other_kinds_of_tags_count_as_general():
    assert chosen(general=0.05)[-1] == "copyright of a series"


def test_excluded_tags_are_known_in_every_spelling():
    excluded = frozenset(("Long Hair", r"lum_\(urusei_yatsura\)"))
    assert chosen(excluded=excluded) == ["1girl", ">_<"]


@pytest.mark.parametrize(
    ("rules", "tags"),
    [
        ({"order": "model"}, ["long hair", "1girl", ">_<", "lum (urusei yatsura)"]),
        ({"order": "alphabet"}, ["1girl", ">_<", "long hair", "lum (urusei yatsura)"]),
        ({"characters_first": True}, ["lum (urusei yatsura)", "1girl", "long hair", ">_<"]),
        ({"rating": "first", "general": 0.8}, ["general", "1girl", "lum (urusei yatsura)"]),
        ({"rating": "last", "general": 0.8}, ["1girl", "lum (urusei yatsura)", "general"]),
        ({"rating": "last", "general": 0.8, "excluded": frozenset(["general"])}, None),
        ({"keeps_underscores": True}, ["1girl", "lum_(urusei_yatsura)", "long_hair", ">_<"]),
        ({"escapes_brackets": True, "general": 0.8}, ["1girl", r"lum \(urusei yatsura\)"]),
    ],
)
def test_order_rating_and_spelling(rules, tags):
    assert chosen(**rules) == (["1girl", "lum (urusei yatsura)", "explicit"] if tags is None else tags)


@pytest.mark.parametrize("name", [">_<", "^_^", "o_o", "0_0", "(o)_(o)", "<|>_<|>", "||_||", "@_@", "6_9", "._."])
def test_faces_keep_their_underscore(name):
    assert is_face(name)
    assert written(name, TagRules()) == name


@pytest.mark.parametrize("name", ["long_hair", "1girl", "k-on!_x", "v-shaped_eyebrows", "長い_髪"])
def test_words_are_no_faces(name):
    assert not is_face(name)


def test_filling_leaves_every_caption_alone():
    assert merged("a cat", ["dog"], "fill", TagRules()) is None
    assert merged(" \n", ["dog"], "fill", TagRules()) == "dog"


def test_appending_adds_what_is_not_there_in_any_spelling():
    rules = TagRules()
    assert merged("long_hair, 1girl", ["long hair", "smile"], "append", rules) == "long_hair, 1girl, smile"
    assert merged("smile, 1girl", ["smile"], "append", rules) is None


def test_replacing_forgets_the_old_caption_and_tags_that_open_come_first_once():
    rules = TagRules(first=("sks", "smile"))
    assert merged("a cat", ["smile", "1girl"], "replace", rules) == "sks, smile, 1girl"
    assert merged("1girl, sks", ["smile"], "append", rules) == "sks, smile, 1girl"


@settings(derandomize=True, max_examples=300)
@given(st.text(min_size=1).filter(lambda text: text.strip()), st.lists(st.text()), st.sampled_from(["", "sks"]))
def test_filling_never_touches_a_caption_that_is_not_empty(before, tags, first):
    assert merged(before, tags, "fill", TagRules(first=tuple(filter(None, [first])))) is None


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"general": 1.5}, "--general-threshold: 1.5 is no share between 0 and 1."),
        ({"character": -1.0}, "--character-threshold: -1 is no share between 0 and 1."),
        ({"separator": " "}, "--separator: Tags need a character between them."),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules, message):
    with pytest.raises(UserError) as caught:
        TagRules(**rules)
    assert str(caught.value).splitlines()[0] == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "This is no list of tags: the columns name and category are missing."),
        ("tag_id,name,category,count\n1,sky,x,1\n", "Line 2 has no tag with a category."),
        ("tag_id,name,category,count\n1,sky\n", "Line 2 has no tag with a category."),
    ],
)
def test_a_list_of_another_kind_is_refused(tmp_path, text, message):
    path = tmp_path / "selected_tags.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_labels(path)
    assert caught.value.what == message


def test_a_list_with_quoted_names_is_read(tmp_path):
    path = tmp_path / "selected_tags.csv"
    path.write_bytes('\ufefftag_id,name,category,count\r\n1,"a,b",0,5\r\n2,lum,4,3\r\n'.encode())
    assert read_labels(path) == (Label("a,b", 0), Label("lum", 4))


def test_a_picture_in_which_nothing_is_found_keeps_its_caption():
    assert merged("a cat", [], "replace", TagRules(first=("sks",))) is None
    assert merged("", [], "fill", TagRules()) is None
