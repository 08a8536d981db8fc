"""The tools that need a model: what the tab asks for is what the command line takes, flag by flag."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image
from tanren.errors import BusyError, UserError
from tanren.options.dataset_plan import DatasetPlan
from tanren.picture_models import arguments
from tanren.preparation.levels import understand
from tanren.ui.data_model_run import PreparedRun, _Heard
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
    heard = _Heard(work, tmp_path / "stop", only_tells=True, tell=work.notes.append)
    events = [
        {"kind": "picture", "file": "/pictures/01.png", "changed": True, "text": "1girl, hat"},
        {"kind": "result", "written": 1, "unchanged": 0, "failed": 0},
    ]
    heard.follow(io.BytesIO("\n".join(map(json.dumps, events)).encode()))

    assert str(heard.outcome(0, io.BytesIO())) == "Nothing was written. 1 would be written."
    assert work.notes == ["01.png: 1girl, hat"]


LOOKED_AT = {"kind": "picture", "file": "/pictures/01.png", "changed": True, "text": "1girl, hat"}
ON_THE_CPU = {"kind": "warning", "text": "onnxruntime could not use the GPU; the model runs on the CPU."}


def trial_of(tmp_path, *events, is_stopped=False):
    """Work and sentence of a trial whose process tells these events."""
    lines = "\n".join(map(json.dumps, events))
    program = tmp_path / "python"
    program.write_text(f"#!{sys.executable}\nprint({lines!r})\n", "utf-8")
    program.chmod(0o755)
    work = Work(is_stopped=is_stopped)
    run = PreparedRun(program, ["tag", "--mode=fill"], tmp_path / "data", total=1)
    return work, str(run.try_on(Path("/pictures/01.png"), work))


def test_a_trial_shows_what_the_model_says_and_notes_stand_apart(tmp_path):
    result = {"kind": "result", "written": 1, "unchanged": 0, "failed": 0}
    work, said = trial_of(tmp_path, ON_THE_CPU, LOOKED_AT, result)

    assert said == "This is what would be made of 01.png. Nothing was written."
    assert work.trial is not None and work.trial.texts == ("01.png: 1girl, hat",)
    assert work.notes == ["onnxruntime could not use the GPU; the model runs on the CPU."]


def test_a_trial_that_was_stopped_or_saw_nothing_says_so_and_shows_none(tmp_path):
    work, said = trial_of(tmp_path, ON_THE_CPU, {"kind": "ended", "code": 3, "reason": ""}, is_stopped=True)
    assert (said, work.trial) == ("It was stopped; what was written so far stays.", None)

    problem = {"kind": "problem", "where": "/pictures/01.png", "what": "The picture cannot be read.", "why": "It ends."}
    work, said = trial_of(tmp_path, problem, {"kind": "result", "written": 0, "unchanged": 0, "failed": 1})
    assert (said, work.trial) == ("Nothing was written. 0 would be written.", None)
    (note,) = work.notes
    assert isinstance(note, UserError) and note.what == "The picture cannot be read."


def test_faces_need_a_model_or_boxes(folder):
    with pytest.raises(Exception, match="It needs a detector or a file of boxes"):
        words_of(folder, "faces", model="")
