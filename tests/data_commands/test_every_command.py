"""Every `data` command that changes anything, on folders of all kinds: `undo` takes it back, `redo` makes it again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("transformers")

from captioner_models import write_blip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_models import write_detector, write_first_colour, write_tagger
from tanren import data_command
from tanren.data_commands.edit import OPERATIONS
from tanren.preparation.caption_files import decoded
from ui.data_tool_values import FOLDER_NAMES, PICTURES, TAGS, make_folder, make_masks

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
EASY = settings(derandomize=True, deadline=None, max_examples=6, suppress_health_check=list(HealthCheck))
ONLY_SHOW = {"scan", "pairs", "history", "undo", "redo"}
# {in} is the folder of pictures, {by} the folder around it, {models} one with small models.
WAYS = {
    "caption": [
        "caption {in} --from pictures",
        "caption {in} --from folders --mode append",
        "caption {in} --from {by}/texts.json --mode replace",
        "caption {in} --to-json {by}/new.json --sizes",
    ],
    "tag": ["tag {in} --model {models}/tagger", "tag {in} --model {models}/tagger --mode append"],
    "describe": ["describe {in} --model {models}/captioner --max-tokens 8 --beams 1"],
    "resize": ["resize {in} {by}/small --longest 8 --format jpg", "resize {in} {by}/x --exact 9,7 --alpha white"],
    "mask": [
        "mask {in} {by}/clean --clean 128 --grow 1",
        "mask {in} {by}/cut --model {models}/plane.onnx --kind isnet",
    ],
    "condition": [
        "condition {in} {by}/lines --kind lineart",
        "condition {in} {by}/deep --model {models}/plane.onnx --kind midas",
    ],
    "faces": ["faces {in} {by}/faces --model {models}/faces.onnx --smallest 1"],
    "regularize": ["regularize {by}/reg --class 1girl --count 2 --size 64,64 --transparent"],
    "layout": ["layout {in} {by}/train --name 猫 --repeats 3", "layout {in} {by}/train --name x --link"],
    "export": ["export {in} --toml {by}/new.toml --resolution 512", "export {in} --zip {by}/all.zip"],
}
FILLING = ["caption {in} --from pictures", "caption {in} --from {by}/texts.json", WAYS["tag"][0], WAYS["describe"][0]]
VALUES = {
    "TAGS": TAGS,
    "WORDS": TAGS,
    "TAG": st.sampled_from(["a", "猫"]),
    "NEW": st.sampled_from(["", "b, 猫"]),
    "TEXT": st.sampled_from(["a", "猫"]),
    "PATTERN": st.sampled_from(["a+", "."]),
    "KEEP": st.sampled_from(["0", "2"]),
}

Tree = dict[str, bytes | str | None]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_tagger(folder / "tagger")
    write_blip(folder / "captioner")
    write_first_colour(folder / "plane.onnx")
    write_detector(folder / "faces.onnx", [(32, 32, 40, 40, 0.9)])
    return folder


@contextmanager
def made(drawn: st.DataObject) -> Iterator[tuple[Path, Path]]:
    """A folder of pictures, and the folder around it with masks and a JSON file of texts."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as place, patch.dict(os.environ, TANREN_DATA=f"{place}/data"):
        around = Path(place) / "学習 (1)"
        folder = make_folder(around, drawn.draw(FOLDER_NAMES), drawn.draw(PICTURES))
        make_masks(around, folder)
        texts = {picture.name: {"caption": "from JSON"} for picture in folder.glob("*.png")}
        (around / "texts.json").write_text(json.dumps(texts), "utf-8")
        yield folder, around


def tree(around: Path) -> Tree:
    found: Tree = {}
    for path in around.rglob("*"):
        name = path.relative_to(around).as_posix()
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


def revert(what: str) -> None:
    """Undo or redo all there is."""
    while data_command.main([what]) == 0:
        pass


def check_both_ways(around: Path, words: Sequence[str]) -> bool:
    """Run a command, undo and redo it twice; False when nothing was changed."""
    before = tree(around)
    assert data_command.main(list(words)) in (0, 2, 3)
    after = tree(around)
    for _ in range(2):
        revert("undo")
        assert tree(around) == before
        revert("redo")
        assert tree(around) == after
    return after != before


def test_all_commands_are_tried():
    assert {*WAYS, "edit"} | ONLY_SHOW == set(data_command.COMMANDS)


@pytest.mark.parametrize("way", [way for ways in WAYS.values() for way in ways])
def test_undo_is_the_inverse_of_every_command(models, way):
    changed = 0

    @settings(EASY, max_examples=2 if "{models}" in way else 6)
    @given(st.data())
    def check(drawn):
        nonlocal changed
        with made(drawn) as (folder, around):
            words = [word.format(**{"in": folder, "by": around, "models": models}) for word in way.split()]
            changed += check_both_ways(around, words)

    check()
    assert changed


@pytest.mark.parametrize(("flag", "metavar"), [(flag, metavar) for flag, metavar, *_ in OPERATIONS])
def test_undo_is_the_inverse_of_every_operation_on_captions(flag, metavar):
    """Each comes with one or two others before it, in the order given."""
    changed = 0

    @settings(EASY, max_examples=3 if flag == "--regex" else 8)
    @given(st.data(), st.lists(st.sampled_from([one for one in OPERATIONS if one[0] != "--regex"]), max_size=2))
    def check(drawn, others):
        nonlocal changed
        with made(drawn) as (folder, around):
            words = ["edit", str(folder), *drawn.draw(st.sampled_from([[], ["--create"], ["--to-utf8"]]))]
            for name, value, *_ in [*others, (flag, metavar)]:
                names = () if value is None else value if isinstance(value, tuple) else (value,)
                words += [name, *(drawn.draw(VALUES[one]) for one in names)]
            changed += check_both_ways(around, words)

    check()
    assert changed


@pytest.mark.parametrize("way", FILLING)
def test_filling_is_what_is_done_unless_asked_and_leaves_captions_that_say_something(models, way):
    @settings(EASY, max_examples=2 if "{models}" in way else 8)
    @given(st.data())
    def check(drawn):
        with made(drawn) as (folder, around):
            before = tree(folder)
            words = [word.format(**{"in": folder, "by": around, "models": models}) for word in way.split()]
            data_command.main(words)
            after = tree(folder)
            for name, content in before.items():
                is_caption = isinstance(content, bytes) and name.endswith((".txt", ".caption"))
                assert after[name] == content or (is_caption and not decoded(content)[0].strip()), name

    check()
