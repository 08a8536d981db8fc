"""A folder while pages look at it: what is read from the disk, when, and what is counted without reading."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest
from PIL import Image
from story_folder import story_folder
from tanren.errors import UsageError
from tanren.preparation.caption_edit import caption_of
from tanren.preparation.facts import caption_facts
from tanren.preparation.levels import understand
from tanren.ui import data_folder
from tanren.ui.data_folder import DONE, FAILED, DataFolder, DataFolders, View

# Seconds; a machine that is busy with other tests may take its time.
PATIENCE = 300


@pytest.fixture
def folder(tmp_path):
    return story_folder(tmp_path / "pictures")


def read(found: DataFolder) -> DataFolder:
    assert found.wait(PATIENCE)
    assert found.progress.phase == DONE
    return found


def test_rows_can_be_shown_before_all_are_read(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(data_folder, "TOLD_FIRST", 3)
    seen = []

    class Watched(DataFolder):
        @property
        def version(self):
            return self._version

        @version.setter
        def version(self, number):
            self._version = number
            seen.append(len(self.rows) if number else 0)

    read(Watched(folder, View(), tmp_path / "data"))

    assert seen[:5] == [0, 3, 4, 6, 9]
    assert seen[-1] == 12


def test_a_changed_caption_is_counted_and_nothing_is_read_for_it(folder, tmp_path, monkeypatch):
    folders = DataFolders(tmp_path / "data")
    found = read(folders.open(folder, View(trigger="sks girl")))
    assert (found.overview.captions.with_trigger, found.overview.captions.filled) == (10, 11)
    monkeypatch.setattr(DataFolder, "_read", None)
    (folder / "06 透明.txt").write_text("sks girl, solo, new", "utf-8")
    row = next(row for row in found.rows if row.name == "06 透明.png")

    folders.put(replace(row, caption=caption_facts(str(folder / "06 透明.txt"))))
    read(found)

    assert (found.overview.captions.with_trigger, found.overview.captions.filled) == (11, 11)
    assert found.overview.captions.tags["new"] == 1
    assert found.overview.captions.tags["sks girl"] == 11
    assert [len(group) for group in found.groups] == [2]
    assert sum(found.overview.buckets.values()) == 11


def test_another_view_of_a_folder_takes_over_what_was_read(folder, tmp_path, monkeypatch):
    folders = DataFolders(tmp_path / "data")
    first = read(folders.open(folder, View()))
    monkeypatch.setattr(DataFolder, "_read", None)

    second = folders.open(folder, View(resolution_wh=(256, 256)))

    assert second.progress.phase == DONE
    assert [row.name for row in second.rows] == [row.name for row in first.rows]
    assert second.overview.buckets == {(256, 256): 11}
    assert second.groups == first.groups


def test_another_view_that_is_opened_right_after_a_change_shows_it_too(folder, tmp_path, monkeypatch):
    folders, may_read = DataFolders(tmp_path / "data"), threading.Event()
    first = read(folders.open(folder, View()))
    wait = SimpleNamespace(sleep=lambda seconds: seconds and may_read.wait(PATIENCE))
    monkeypatch.setattr(data_folder, "time", wait)
    Image.new("RGB", (300, 300), "red").save(folder / "12 new.png")
    folders.changed(folder)

    second = folders.open(folder, View(resolution_wh=(256, 256)))

    assert len(read(second).rows) == 13
    assert second.overview.buckets == {(256, 256): 12}
    assert len(first.rows) == 12
    may_read.set()
    assert len(read(first).rows) == 13


def test_what_was_added_meanwhile_is_seen_at_the_next_look(folder, tmp_path):
    folders = DataFolders(tmp_path / "data")
    found = read(folders.open(folder, View()))
    Image.new("RGB", (300, 300), "red").save(folder / "12 new.png")

    found.refresh(at_once=True)

    assert len(read(found).rows) == 13


def test_after_a_fault_of_ours_the_page_gets_a_sentence_and_can_look_again(folder, tmp_path, monkeypatch, caplog):
    found = read(DataFolder(folder, View(), tmp_path / "data"))
    with monkeypatch.context() as broken:
        broken.setattr(DataFolder, "_read", None)
        found.refresh(at_once=True)
        assert found.wait(PATIENCE)

    assert (found.is_settled, found.progress.phase) == (True, FAILED)
    assert found.progress.problem.what == "Tanren itself failed at this."
    assert "is not callable" in found.progress.problem.why
    assert "Traceback" in caplog.text and str(folder) in caplog.text
    found.refresh(at_once=True)
    assert read(found).progress.problem is None


def test_a_damaged_index_keeps_nobody_from_looking(folder, tmp_path):
    first = read(DataFolder(folder, View(), tmp_path / "data"))
    with closing(sqlite3.connect(tmp_path / "data" / "cache" / "pictures.sqlite")) as index, index:
        index.execute("UPDATE pictures SET facts = '{'")

    again = read(DataFolder(folder, View(), tmp_path / "data"))

    assert again.rows == first.rows


def test_a_wish_to_read_is_not_lost_while_the_one_before_is_taken_up(folder, tmp_path):
    asked = threading.Event()

    class Asked(DataFolder):
        """Somebody wants it read at the moment when it looks what is wanted."""

        is_wanted, asking = True, None

        @property
        def _is_wanted(self):
            before = self.is_wanted
            if threading.current_thread() is self._thread and self.asking is not None:
                asking, self.asking = self.asking, None
                asking.start()
                asked.set()
                # As long as the lock is kept, it has to wait.
                asking.join(0.5)
            return before

        @_is_wanted.setter
        def _is_wanted(self, value):
            self.is_wanted = value

    found = read(Asked(folder, View(), tmp_path / "data"))
    Image.new("RGB", (300, 300), "red").save(folder / "12 new.png")
    found.asking = asking = threading.Thread(target=found.refresh, kwargs={"at_once": True})

    # Only counts are wanted.
    found.put(found.rows[0])
    assert asked.wait(PATIENCE)
    asking.join(PATIENCE)

    assert len(read(found).rows) == 13


def test_folders_with_too_many_pictures_are_not_kept_beside_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(data_folder, "PICTURES_KEPT", 20)
    one, other = story_folder(tmp_path / "one"), story_folder(tmp_path / "other")
    folders = DataFolders(tmp_path / "data")
    first = read(folders.open(one, View()))
    second = read(folders.open(other, View()))

    assert folders.open(other, View()) is second
    assert folders.open(one, View()) is not first


def test_the_caption_of_one_picture_is_found_without_the_others(folder, monkeypatch):
    level = understand(folder)

    caption = caption_of(level, folder / "02.jpg")
    assert (caption.target.name, caption.text) == ("02.txt", "sks girl, 桜色の髪, 笑顔")
    assert caption_of(level, folder / "11.png").file is None
    assert caption_of(level, folder / "10 turned.jpg").target.name == "10 turned.caption"


@pytest.mark.parametrize("other", ["01.jpg", "01_400_200_30_30.png"])
def test_a_picture_that_shares_its_caption_file_is_told(folder, other):
    Image.new("RGB", (300, 300)).save(folder / other)
    first, second = sorted(["01.png", other])

    assert caption_of(understand(folder), folder / first).target.name == "01.txt"
    with pytest.raises(UsageError, match="Another picture of the same name uses this caption file"):
        caption_of(understand(folder), folder / second)


def test_a_picture_of_elsewhere_is_told(folder, tmp_path):
    with pytest.raises(UsageError, match="There is no such picture in this folder"):
        caption_of(understand(folder), tmp_path / "01.png")
