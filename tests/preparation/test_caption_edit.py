"""Captions of a folder: planned, changed through the journal, brought back; read from pictures and JSON files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from story_folder import story_folder, tree_bytes
from tanren.errors import DataError, UsageError
from tanren.formats.caption_metadata import read_caption_metadata
from tanren.preparation import tags
from tanren.preparation.caption_edit import (
    CaptionPlan,
    captions_of,
    carry_out,
    matching,
    per_line,
    plan_edit,
    plan_texts,
)
from tanren.preparation.caption_files import CaptionFile, decoded, encoded, read_caption_file
from tanren.preparation.caption_tables import caption_table, texts_of_table, write_caption_table
from tanren.preparation.journal import Journal
from tanren.preparation.levels import understand
from tanren.preparation.picture_text import plain_prompt, prompt_of, prompt_of_graph
from tanren.preparation.tag_filter import TagFilter

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def folder(tmp_path):
    return story_folder(tmp_path / "in")


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "data")


def planned(folder, *operations, **keys) -> CaptionPlan:
    level = understand(folder)
    return plan_edit(level, captions_of(level), "test", operations, **keys)


def test_planning_changes_nothing_and_carrying_out_can_be_undone(folder, journal):
    before = tree_bytes(folder)
    plan = planned(folder, per_line(tags.trigger_first("sks girl")))
    assert tree_bytes(folder) == before

    assert carry_out(plan, journal) == 3

    assert (folder / "04.txt").read_bytes() == b"sks girl, outdoors\nsks girl, a second line that nobody trains\n"
    assert (folder / "06 透明.txt").read_bytes() == b"sks girl, solo"
    assert (folder / "05 [five].txt").read_bytes() == b"sks girl, 1girl, long_hair, :3"
    journal.undo()
    assert tree_bytes(folder) == before


def test_only_captions_that_the_filter_wants_are_changed(folder):
    plan = planned(folder, per_line(tags.adding(["cap"])), only=TagFilter("hat"))

    assert [change.caption.target.name for change in plan.changes] == ["09 twin a.txt", "09 twin b.txt"]
    assert plan.unchanged == 10


def test_other_encodings_are_converted_only_when_asked(folder, journal):
    assert planned(folder).changes == ()

    plan = planned(folder, to_utf8=True)
    carry_out(plan, journal)

    assert [change.caption.target.name for change in plan.changes] == ["02.txt", "03.txt"]
    assert (folder / "02.txt").read_text("utf-8") == "sks girl, 桜色の髪, 笑顔"
    assert (folder / "03.txt").read_bytes() == b"sks girl, blue eyes"


def test_a_changed_caption_is_written_as_utf8_and_the_plan_says_so(folder):
    (change,) = planned(folder, per_line(tags.adding(["x"])), only=TagFilter("笑顔")).changes

    assert change.is_converted
    assert change.after == "sks girl, 桜色の髪, 笑顔, x"


def test_captions_are_made_where_there_are_none_only_when_asked(folder, journal):
    assert all(
        change.caption.picture.name != "11.png" for change in planned(folder, per_line(tags.adding(["x"]))).changes
    )

    carry_out(planned(folder, per_line(tags.adding(["x"])), creates=True), journal)

    assert (folder / "11.txt").read_bytes() == b"x"
    assert (folder / "10 turned.caption").read_bytes() == b"sks girl, indoors, x\n"
    assert not (folder / "10 turned.txt").exists()


def test_expressions_over_all_captions(folder):
    plan = planned(folder, matching(r"tag number (\d)\b", r"tag \1"))

    assert "tag 9, tag number 10" in plan.changes[0].after


def test_captions_that_become_empty_are_named(folder):
    plan = planned(folder, per_line(tags.removing(["solo"])))

    assert [change.caption.target.name for change in plan.emptied] == ["06 透明.txt"]


def test_a_file_that_is_no_text_is_left_alone(folder):
    (folder / "01.txt").write_bytes(b"a\x00b")

    plan = planned(folder, per_line(tags.adding(["x"])))

    assert [(one.target.name, one.problem) for one in plan.unreadable] == [
        ("01.txt", "not a text: it holds NUL characters")
    ]


def test_pictures_that_share_a_caption_change_it_once(tmp_path, journal):
    for name in ("a.png", "a.jpg", "a_10_20_30_40.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "a.txt").write_text("x", "utf-8")

    assert carry_out(planned(tmp_path, per_line(tags.adding(["y"]))), journal) == 1
    assert (tmp_path / "a.txt").read_text("utf-8") == "x, y"


def test_a_caption_changed_between_plan_and_deed_is_refused(folder, journal):
    plan = planned(folder, per_line(tags.adding(["x"])))
    (folder / "04.txt").write_text("changed", "utf-8")

    with pytest.raises(DataError, match="changed meanwhile"):
        carry_out(plan, journal)

    assert (folder / "01.txt").read_bytes() == b"sks girl, red hair, smile"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: "\x00" not in text)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.one_of(st.none(), TEXTS), TEXTS), min_size=1, max_size=4))
def test_filling_on_the_disk_never_touches_a_caption_that_is_not_empty(pairs):
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder, journal = Path(name) / "in", Journal(Path(name) / "data")
        folder.mkdir()
        for number, (old, _) in enumerate(pairs):
            Image.new("RGB", (1, 1)).save(folder / f"{number}.bmp")
            if old is not None:
                (folder / f"{number}.txt").write_bytes(old.encode())
        before = tree_bytes(folder)
        level = understand(folder)
        texts = {folder / f"{number}.bmp": new for number, (_, new) in enumerate(pairs)}

        carry_out(plan_texts(level, captions_of(level), "fill", texts, tags.FILL), journal)

        after = tree_bytes(folder)
        for file, content in before.items():
            assert after[file] == content or (file.endswith(".txt") and not decoded(content)[0].strip())
        if journal.history():
            journal.undo()
        assert tree_bytes(folder) == before


def test_an_unknown_mode_is_refused(folder):
    level = understand(folder)
    with pytest.raises(UsageError, match="'over' is not known"):
        plan_texts(level, captions_of(level), "x", {}, "over")


@pytest.mark.rule("txt-01", "txt-02")
@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp932", "桜色の髪の少女, 笑顔"),
        ("gbk", "长发，蓝眼睛，一个女孩"),
        ("big5", "一個女孩在跑步，長髮"),
        ("cp1252", "café au lait, Straße"),
        ("utf-16", "猫"),
        ("utf-16-le", "1girl, 猫"),
    ],
)
def test_encodings_are_guessed_for_showing(encoding, text):
    assert decoded(text.encode(encoding)) == (text, encoding)


def test_texts_too_long_for_a_caption_are_refused(tmp_path):
    with pytest.raises(DataError, match="The caption has 70000 bytes; at most 65536 are read"):
        encoded("x" * 70_000)
    with pytest.raises(DataError, match="half a character"):
        encoded("\ud83d")
    (tmp_path / "a.txt").write_bytes(b"x" * 70_000)
    assert read_caption_file(tmp_path / "a.txt").problem == "longer than 65536 bytes"
    assert CaptionFile(tmp_path, b"", " \n", "utf-8").is_empty


PARAMETERS = "1girl, (red hair:1.2), <lora:x:1> BREAK smile\nNegative prompt: bad\nSteps: 20, Sampler: Euler a"
GRAPH = {
    "3": {"class_type": "KSampler", "inputs": {"positive": ["6", 0], "negative": ["7", 0], "seed": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["9", 0], "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "bad", "clip": ["4", 1]}},
    "9": {"class_type": "PrimitiveString", "inputs": {"value": "a cat, 猫"}},
}


def with_chunk(path: Path, compressed: bool, **texts: str) -> Path:
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text, zip=compressed)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


def test_prompts_come_out_of_pictures(tmp_path):
    info = PngInfo()
    info.add_text("parameters", PARAMETERS)
    Image.new("RGB", (8, 8)).save(tmp_path / "latin.png", pnginfo=info)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\x00" + "猫, hat\nSteps: 1".encode("utf-16-be")
    for suffix in ("jpg", "webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"x.{suffix}", exif=exif)

    assert prompt_of(str(tmp_path / "latin.png")) == "1girl, red hair, smile"
    assert prompt_of(str(tmp_path / "latin.png"), plain=False) == "1girl, (red hair:1.2), <lora:x:1> BREAK smile"
    for compressed in (False, True):
        path = with_chunk(tmp_path / "i.png", compressed, parameters="猫耳, smile\nSteps: 20")
        assert prompt_of(str(path)) == "猫耳, smile"
    assert prompt_of(str(tmp_path / "x.jpg")) == "猫, hat"
    assert prompt_of(str(tmp_path / "x.webp")) == "猫, hat"
    assert prompt_of(str(with_chunk(tmp_path / "c.png", False, prompt=json.dumps(GRAPH)))) == "a cat, 猫"
    assert prompt_of(str(with_chunk(tmp_path / "n.png", False, Description="novel"))) == "novel"
    assert prompt_of(str(with_chunk(tmp_path / "e.png", False))) == ""


CIRCLE = '{"3": {"class_type": "KSampler", "inputs": {"positive": ["3", 0], "negative": 1}}}'


@pytest.mark.parametrize("text", ["", "[]", "{", '{"1": 3}', CIRCLE])
def test_graphs_that_tell_no_plain_prompt_give_none(text):
    assert prompt_of_graph(text) == ""


def test_emphasis_is_left_out_of_captions():
    assert plain_prompt(r"((a)), [b], \(c\), <lora:d:0.5>, , (e, f:1.3)") == "a, b, (c), e, f"


def test_captions_go_into_a_json_file_and_come_back(folder, journal, tmp_path):
    level = understand(folder)
    table = caption_table(captions_of(level), folder, key="caption", sizes=True)
    assert table["10 turned.jpg"] == {"caption": "sks girl, indoors", "image_size": [300, 400]}
    assert table["11.png"] == {"image_size": [320, 480]}

    write_caption_table(table, tmp_path / "all.json", journal)

    assert read_caption_metadata(tmp_path / "all.json")["02.jpg"].caption == "sks girl, 桜色の髪, 笑顔"
    pictures = [caption.picture for caption in captions_of(level)]
    texts, unknown = texts_of_table(read_caption_metadata(tmp_path / "all.json"), pictures, folder)
    assert (texts[folder / "01.png"], len(texts), unknown) == ("sks girl, red hair, smile", 11, [])
    with pytest.raises(DataError, match="There is something of this name already"):
        write_caption_table(table, tmp_path / "all.json", journal)


def test_kohyas_names_without_suffix_and_strangers_are_told_apart(folder, tmp_path):
    (tmp_path / "t.json").write_text('{"01": {"tags": "a, b", "caption": "c"}, "nobody.png": {"tags": "x"}}', "utf-8")

    texts, unknown = texts_of_table(read_caption_metadata(tmp_path / "t.json"), [folder / "01.png"], folder)

    assert texts == {folder / "01.png": "c, a, b"}
    assert unknown == ["nobody.png"]
