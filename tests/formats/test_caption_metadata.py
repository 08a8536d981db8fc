import pytest
from tanren.errors import DataError
from tanren.formats.caption_metadata import PictureText, read_caption_metadata


def written(tmp_path, text, name="meta.json"):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_json_names_pictures_with_caption_and_tags(tmp_path):
    path = written(tmp_path, '{"a.png": {"caption": "a cat", "tags": "x, y", "image_size": [1, 2]}, "b": {}}')

    assert read_caption_metadata(path) == {"a.png": PictureText("a cat", "x, y"), "b": PictureText(None, None)}


def test_json_lines_name_one_picture_a_line(tmp_path):
    path = written(
        tmp_path, '{"image_path": "a.png", "caption": "猫"}\n\n{"image_path": "b.png", "tags": "x"}\n', "m.jsonl"
    )

    assert read_caption_metadata(path) == {"a.png": PictureText("猫", None), "b.png": PictureText(None, "x")}


def test_caption_and_tags_are_joined_by_the_separator():
    assert PictureText("a cat", "x, y").joined(",", all_lines=False) == "a cat,x, y"
    assert PictureText(None, "x").joined(",", all_lines=False) == "x"
    assert PictureText("a", None).joined(",", all_lines=False) == "a"
    assert PictureText(None, None).joined(",", all_lines=False) is None


def test_with_wildcards_tags_go_behind_every_line():
    assert PictureText("a\nb", "x\ny").joined(", ", all_lines=True) == "a, x, y\nb, x, y"


@pytest.mark.parametrize(
    ("text", "name", "what"),
    [
        ("[]", "m.json", "holds one object"),
        ('{"a": 1}', "m.json", "'a': expected an object"),
        ('{"a": {"tags": ["x"]}}', "m.json", "'a': tags is not a text"),
        ('{\n"a": }', "m.json", "Line 2 is not JSON"),
        ('{"image_path": "a"}\n{"caption": "b"}', "m.jsonl", "Line 2 has no image_path"),
        ('{"image_path": "a"}\n{', "m.jsonl", "Line 2 is not JSON"),
    ],
)
def test_other_shapes_are_refused_with_the_place(tmp_path, text, name, what):
    path = written(tmp_path, text, name)

    with pytest.raises(DataError) as refused:
        read_caption_metadata(path)
    assert refused.value.where == str(path)
    assert what in refused.value.what


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_caption_metadata(tmp_path / "none.json")
