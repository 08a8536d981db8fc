"""Every tool of the tab of pictures and captions, on folders of all kinds: it can be undone, redone and killed."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("transformers")

from captioner_models import write_blip
from faults import count_calls, die_at
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_models import write_detector, write_first_colour, write_tagger
from tanren.errors import UserError
from tanren.picture_models.__main__ import main as run_model
from tanren.preparation import tags
from tanren.preparation.caption_files import decoded
from tanren.preparation.journal import Journal
from tanren.preparation.levels import understand
from tanren.ui.data_folder import View
from tanren.ui.data_model_tools import PreparedRun
from tanren.ui.data_tool import Prepared, Request, Tool, checked_values
from tanren.ui.data_tools import all_groups, tool_named
from tanren.ui.data_work import Work
from ui.data_tool_values import FOLDER_NAMES, PICTURES, Picture, answers, make_folder, make_masks, placed

# Hundreds of changes, each of which waits for the disk several times, are quick where there is no disk.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
TOOLS = [tool.name for group in all_groups() for tool in group.tools]
WITH_MODEL = [name for name in TOOLS if {"model", "base"} & {field.name for field in tool_named(name).fields}]
FILLING = [name for name in TOOLS if "mode" in {field.name for field in tool_named(name).fields}]
EASY = settings(derandomize=True, deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))

Tree = dict[str, bytes | str | None]


class Case:
    """A folder of pictures with what lies beside it, a journal, and a tool with its answers."""

    def __init__(self, place: Path, models: Path, tool: Tool, drawn: tuple[str, list[Picture], dict]) -> None:
        name, pictures, values = drawn
        self.parent, self.tool = place / "学習 (1)", tool
        folder = make_folder(self.parent, name, pictures)
        make_masks(self.parent, folder)
        self.data = place / "data"
        self.journal = Journal(self.data)
        self.level = understand(folder)
        self.values = checked_values(tool, placed(values, self.parent, models))

    def prepared(self) -> Prepared:
        pictures = sorted(self.level.folder.glob("*.png"))
        return self.tool.prepare(
            Request(self.level, pictures, self.values, View().plan(), self.data, python=Path("python"))
        )

    def carry_out(self) -> None:
        """As the page does it; models run in this process."""
        prepared = self.prepared()
        if not isinstance(prepared, PreparedRun):
            prepared.carry_out(self.journal, Work())
        elif run_model(prepared.words) not in (0, 3):
            raise UserError(what="The process says that something is wrong.")

    def tree(self) -> Tree:
        """All that lies beside and in the folder; what a killed writer leaves aside."""
        found: Tree = {}
        for path in self.parent.rglob("*"):
            name = path.relative_to(self.parent).as_posix()
            if path.name.startswith(".tn-"):
                continue
            found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
        return found

    def times(self) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in self.level.folder.iterdir() if path.is_file()}

    def undo_all(self) -> None:
        while any(one.can_be_undone for one in self.journal.history()):
            self.journal.undo()

    def redo_all(self) -> None:
        while any(one.can_be_redone for one in self.journal.history()):
            self.journal.redo()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """One small model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    write_tagger(folder / "tagger")
    write_blip(folder / "captioner")
    write_first_colour(folder / "plane.onnx")
    write_detector(folder / "faces.onnx", [(32, 32, 40, 40, 0.9)])
    return folder


@contextmanager
def case(models: Path, name: str, drawn: st.DataObject, **fixed) -> Iterator[Case]:
    tool = tool_named(name)
    values = drawn.draw(answers(tool))
    values |= {key: value for key, value in fixed.items() if key in values}
    pictures = drawn.draw(FOLDER_NAMES), drawn.draw(PICTURES), values
    with tempfile.TemporaryDirectory(dir=MEMORY) as place, patch.dict(os.environ, TANREN_DATA=f"{place}/data"):
        yield Case(Path(place), models, tool, pictures)


def done(one: Case) -> bool:
    """Carry it out; False when it was refused, in which case nothing may have been touched."""
    before = one.tree()
    try:
        prepared = one.prepared()
        assert one.tree() == before
        assert len(prepared.shown(2)) <= 2 and all(map(str, prepared.notes()))
        if not prepared.count or one.tool.only_shows:
            return False
        one.carry_out()
    except UserError:
        if not one.journal.history():
            assert one.tree() == before
            return False
    return True


@pytest.mark.parametrize("name", TOOLS)
def test_undo_brings_everything_back_redo_makes_it_again(models, name):
    carried_out = 0

    @settings(EASY, max_examples=2 if name in WITH_MODEL else 8)
    @given(st.data())
    def check(drawn):
        nonlocal carried_out
        with case(models, name, drawn) as one:
            before, times = one.tree(), one.times()
            if not done(one):
                return
            carried_out += 1
            after = one.tree()
            for _ in range(2):
                one.undo_all()
                assert (one.tree(), one.times()) == (before, times)
                one.redo_all()
                assert one.tree() == after

    check()
    assert carried_out or tool_named(name).only_shows


@pytest.mark.parametrize("name", FILLING)
def test_filling_never_touches_a_caption_that_says_something(models, name):
    @settings(EASY, max_examples=2 if name in WITH_MODEL else 10)
    @given(st.data())
    def check(drawn):
        with case(models, name, drawn, mode=tags.FILL) as one:
            before = one.tree()
            done(one)
            after = one.tree()
            for file, content in before.items():
                is_caption = isinstance(content, bytes) and file.endswith((".txt", ".caption"))
                assert after[file] == content or (is_caption and not decoded(content)[0].strip()), file

    check()


@pytest.mark.rule("flt-01")
@pytest.mark.parametrize("name", [name for name in TOOLS if name not in WITH_MODEL and not tool_named(name).only_shows])
def test_killed_in_the_middle_every_file_is_whole_and_undo_brings_all_back(models, name):
    @settings(EASY, max_examples=2)
    @given(st.data(), st.randoms(use_true_random=False))
    def check(drawn, random_: random.Random):
        # Expressions are matched by another process, whose pipes are no files to be refused.
        with case(models, name, drawn, is_pattern=False) as one:
            before = one.tree()
            if not done(one):
                return
            after = one.tree()
            one.undo_all()
            shutil.rmtree(one.data)
            trace = count_calls(one.carry_out)
            one.undo_all()
            shutil.rmtree(one.data)
            die_at(random_.randint(1, len(trace)), one.carry_out)
            for file, content in one.tree().items():
                assert content in (before.get(file), after.get(file)), file
            one.undo_all()
            assert one.tree() == before

    check()
