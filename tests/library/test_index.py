"""The index of Lora folders: shown at once, brought up to date, broken files with their reason, filters and order."""

from __future__ import annotations

import json
import os

from network_files import SD1_LORA, SDXL_LORA, write_network
from tanren.library.background import LibraryWork
from tanren.library.copies import CopySearch
from tanren.library.index import LibraryIndex
from tanren.library.rows import Row
from tanren.library.table import Filters, choices, filtered, ordered, same_alias

XL = {"ss_output_name": "dog", "ss_base_model_version": "sdxl_base_v1-0", "ss_network_module": "networks.lora"}
TAGS = {"ss_tag_frequency": json.dumps({"5_cat": {"mycat": 5, "1girl": 5}}), "modelspec.date": "2025-03-04T05:06:07"}


def library(tmp_path):
    folder = tmp_path / "Lora"
    (folder / "more").mkdir(parents=True)
    write_network(folder / "cat.safetensors", SD1_LORA, {**TAGS, "ss_v2": "False"})
    write_network(folder / "copy.safetensors", SD1_LORA, {"modelspec.author": "somebody"})
    write_network(folder / "more" / "dog.safetensors", SDXL_LORA, XL)
    write_network(folder / "silent.safetensors", SDXL_LORA, alpha=1.0)
    (folder / "broken.safetensors").write_bytes(b"<html>")
    (folder / "old.pt").write_bytes(b"PK\3\4")
    (folder / "notes.txt").write_text("x", "utf-8")
    return folder


def test_rows_are_read_once_and_come_back_from_the_index(tmp_path):
    folder, cache = library(tmp_path), tmp_path / "cache"
    first = LibraryIndex(cache).refresh([folder])
    again = LibraryIndex(cache)

    names = [row.name for row in again.rows()]
    second = again.refresh([folder])

    assert (first.read, first.kept, first.broken) == (6, 0, 2)
    assert names == [
        "broken.safetensors",
        "cat.safetensors",
        "copy.safetensors",
        "dog.safetensors",
        "old.pt",
        "silent.safetensors",
    ]
    assert (second.read, second.kept, second.gone) == (0, 6, 0)


def test_changed_new_and_vanished_files_are_seen(tmp_path):
    folder, index = library(tmp_path), LibraryIndex(tmp_path / "cache")
    index.refresh([folder])
    write_network(folder / "cat.safetensors", SD1_LORA, {"ss_output_name": "new name"})
    os.utime(folder / "cat.safetensors", ns=(5, 5))
    (folder / "copy.safetensors").unlink()
    (folder / "silent.json").write_text('{"activation text": "hush"}', "utf-8")
    write_network(folder / "fresh.safetensors")

    done = index.refresh([folder])

    assert (done.read, done.gone) == (3, 1)
    assert index.row(folder / "cat.safetensors").alias == "new name"
    assert index.row(folder / "silent.safetensors").words == "hush"
    assert index.row(folder / "copy.safetensors") is None


def test_broken_files_are_rows_with_their_reason(tmp_path):
    index = LibraryIndex(tmp_path / "cache")
    index.refresh([library(tmp_path)])

    broken = filtered(index.rows(), Filters(broken=True))

    assert [(row.name, row.problem.split(":")[0]) for row in broken] == [
        ("broken.safetensors", "It is a web page (an error page of the download, perhaps), not a safetensors file."),
        ("old.pt", "A PyTorch file"),
    ]


def test_a_damaged_index_is_made_again(tmp_path):
    folder, cache = library(tmp_path), tmp_path / "cache"
    LibraryIndex(cache).refresh([folder])
    for damage in ("{", '{"schema": 0}', '{"schema": 1, "fields": [], "rows": 3}', "[]"):
        (cache / "library.json").write_text(damage, "utf-8")
        index = LibraryIndex(cache)
        assert index.rows() == []
        assert index.refresh([folder]).read == 6


def test_an_index_that_cannot_be_written_still_shows_rows(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be", "utf-8")
    index = LibraryIndex(tmp_path / "cache")

    index.refresh([library(tmp_path)])

    assert len(index.rows()) == 6


def test_loops_of_links_end_and_missing_folders_are_empty(tmp_path):
    folder, index = library(tmp_path), LibraryIndex(tmp_path / "cache")
    (folder / "more" / "loop").symlink_to(folder, target_is_directory=True)

    assert index.refresh([folder, folder, tmp_path / "none"]).read == 6


def test_a_refresh_can_be_stopped_and_goes_on_later(tmp_path):
    folder, index = library(tmp_path), LibraryIndex(tmp_path / "cache")
    seen = []

    part = index.refresh(
        [folder], progress=lambda done, total: seen.append((done, total)), should_stop=lambda: len(seen) == 2
    )
    rest = index.refresh([folder])

    assert seen == [(1, 6), (2, 6)]
    assert (part.read, part.is_whole) == (2, False)
    assert (rest.read, rest.kept, rest.is_whole) == (4, 2, True)


def test_a_background_refresh_tells_how_far_it_is(tmp_path):
    index = LibraryIndex(tmp_path / "cache")
    work = LibraryWork(index, [library(tmp_path)])

    assert work.wait(30)
    assert (work.done, work.total, work.result.read) == (6, 6, 6)


def names_with(rows, **filters):
    return [row.name.partition(".")[0] for row in filtered(rows, Filters(**filters))]


def test_filters(tmp_path):
    index = LibraryIndex(tmp_path / "cache")
    index.refresh([library(tmp_path)])
    CopySearch(index, lambda: False).run()
    rows = index.rows()

    assert names_with(rows, family="sdxl") == ["dog", "silent"]
    assert names_with(rows, type="lora", family="sd1") == ["cat", "copy"]
    assert names_with(rows, trainer="kohya sd-scripts") == ["dog"]
    assert names_with(rows, text="LORA somebody") == ["copy"]
    assert names_with(rows, tag="MyCat") == ["cat"]
    assert names_with(rows, rank_from=8, rank_to=8) == ["cat", "copy", "dog", "silent"]
    assert names_with(rows, rank_from=9) == []
    assert names_with(rows, date_from="2025-03-04", date_to="2025-03-04") == ["cat"]
    assert names_with(rows, without_metadata=True) == ["silent"]
    assert names_with(rows, duplicates=True) == ["cat", "copy"]
    assert names_with(rows, hidden_by="AUTOMATIC1111", checkpoint_family="sdxl") == ["cat", "copy"]
    assert names_with(rows, hidden_by="AUTOMATIC1111") == []
    assert choices(rows, "family") == ["sd1", "sdxl", "unknown"]


def test_order_and_groups():
    rows = [Row("/b.safetensors", "", size=1, rank=4, alias="x"), Row("/A.safetensors", "", size=2, rank=4, alias="x")]

    assert [row.name for row in ordered(rows, "name")] == ["A.safetensors", "b.safetensors"]
    assert [row.name for row in ordered(rows, "size")] == ["b.safetensors", "A.safetensors"]
    assert [row.name for row in ordered(rows, "rank", descending=True)] == ["b.safetensors", "A.safetensors"]
    assert list(same_alias(rows)) == ["x"]
