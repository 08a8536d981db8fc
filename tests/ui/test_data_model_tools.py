"""The tools that need a model: what the tab asks for is what the command line takes, flag by flag."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest
from PIL import Image
from tanren.errors import BusyError
from tanren.options.dataset_plan import DatasetPlan
from tanren.picture_models import arguments
from tanren.preparation.levels import understand
from tanren.ui.data_model_run import _Heard
from tanren.ui.data_model_tools import groups
from tanren.ui.data_tool import CHOICE, FLAG, LINES, TEXT, Request, checked_values
from tanren.ui.data_work import Work

TOOLS = {tool.name: tool for group in groups() for tool in group.tools}
COMMANDS = {
    "tag": "tag",
    "describe": "describe",
    "cut_out": "mask",
    "depth": "condition",
    "faces": "faces",
    "class": "regularize",
}
# Of the process itself; and what stands for two other flags.
NOT_ASKED = {"--recursive", "--only", "--events", "--stop-file", "--help", "--threshold of tag"}


@pytest.fixture
def folder(tmp_path):
    for name in ("2_a", "3_b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / name / "x.png")
        (tmp_path / "pictures" / name / "x.caption").write_text("a", "utf-8")
    return tmp_path / "pictures"


def words_of(folder, name, suffix=None, **given):
    tool = TOOLS[name]
    usual = {"model": str(folder / "model.onnx"), "out": "made", "class": "girl", "base": ""}
    values = checked_values(tool, {**usual, **given})
    plan = DatasetPlan(subsets=(), resolution_wh=(512, 512))
    prepared = tool.prepare(Request(understand(folder), (), values, plan, folder, suffix=suffix, python=Path("python")))
    return prepared.words


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_takes_what_the_tab_asks(folder, name):
    words = words_of(folder, name, **({"transparent": True} if name == "class" else {}))

    asked = arguments.read([*words, "--events"])
    assert (asked.tool, asked.request.dry_run, asked.request.device) == (COMMANDS[name], False, "auto")
    assert getattr(asked.request, "recursive", True)
    if name in ("tag", "describe"):
        assert asked.request.caption_extension == ".caption"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_of_the_command_is_asked_for_in_the_tab(folder, name):
    fields = TOOLS[name].fields
    files = {field: str(folder / "2_a" / "x.png") for field in ("boxes", "vae", "base")}
    texts = {field.name: "1" for field in fields if field.kind in (TEXT, LINES) and field.name not in ("out", "class")}
    flags = [field.name for field in fields if field.kind == FLAG]
    words = []
    for value in (True, False):
        filled = {name: path for name, path in files.items() if name != "boxes" or not value}
        words += words_of(folder, name, ".txt", **texts, **filled, clip_skip=2, **dict.fromkeys(flags, value))

    parser = argparse.ArgumentParser()
    arguments.TOOLS[COMMANDS[name]].add(parser)
    known = {action.option_strings[0] for action in parser._actions if action.option_strings}
    known = {f"{flag} of tag" if (name, flag) == ("tag", "--threshold") else flag for flag in known}
    assert {flag for flag in known if flag != "-h"} - {word.partition("=")[0] for word in words} - NOT_ASKED == set()


def test_a_training_keeps_its_memory_unless_the_device_is_named(folder):
    def device(name, training, **given):
        usual = {"model": "x/y", "out": "made", "class": "girl"}
        values = checked_values(TOOLS[name], {**usual, **given})
        plan = DatasetPlan(subsets=(), resolution_wh=(512, 512))
        request = Request(understand(folder), (), values, plan, folder, python=Path("python"), is_training=training)
        return next(word for word in TOOLS[name].prepare(request).words if word.startswith("--device"))

    assert device("tag", False) == "--device=auto"
    assert device("tag", True) == "--device=cpu"
    assert device("tag", True, device="cuda") == "--device=cuda"
    assert device("class", True, transparent=True) == "--device=auto"
    with pytest.raises(BusyError, match="A training computes at this moment"):
        device("class", True)


def test_choices_are_those_of_the_models():
    pytest.importorskip("numpy")
    from tanren.picture_models.depth import DEPTH
    from tanren.picture_models.masks import SEGMENTATION
    from tanren.picture_models.tag_choice import ORDERS, RATINGS

    def choices(tool, name):
        (field,) = (field for field in TOOLS[tool].fields if field.name == name and field.kind == CHOICE)
        return [key for key, _ in field.choices]

    assert choices("cut_out", "kind") == ["auto", *SEGMENTATION.by_name]
    assert choices("depth", "kind") == ["auto", *DEPTH.by_name]
    assert choices("tag", "order") == list(ORDERS)
    assert choices("tag", "rating") == list(RATINGS)


def test_a_run_that_only_tells_says_for_each_picture_what_it_would_write(tmp_path):
    work = Work()
    heard = _Heard(work, tmp_path / "stop", only_tells=True)
    events = [
        {"kind": "picture", "file": "/pictures/01.png", "changed": True, "text": "1girl, hat"},
        {"kind": "result", "written": 1, "unchanged": 0, "failed": 0},
    ]
    heard.follow(io.BytesIO("\n".join(map(json.dumps, events)).encode()))

    assert str(heard.outcome(0, io.BytesIO())) == "Nothing was written. 1 would be written."
    assert work.notes == ["01.png: 1girl, hat"]


def test_faces_need_a_model_or_boxes(folder):
    with pytest.raises(Exception, match="It needs a detector or a file of boxes"):
        words_of(folder, "faces", model="")
