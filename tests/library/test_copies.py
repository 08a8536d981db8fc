"""Files with the same tensors: certain before they are called copies, next to nothing read where there are none."""

from __future__ import annotations

from network_files import SD1_LORA, SDXL_LORA, write_network
from tanren.library import copies
from tanren.library.background import LibraryWork
from tanren.library.copies import CopySearch, duplicates, work_left
from tanren.library.index import LibraryIndex

LARGE = {"lora_unet_x.lora_down.weight": (8, 320_000), "lora_unet_x.lora_up.weight": (320_000, 8)}


def indexed(tmp_path):
    index = LibraryIndex(tmp_path / "cache")
    index.refresh([tmp_path / "Lora"])
    return index


def library(tmp_path):
    folder = tmp_path / "Lora"
    folder.mkdir()
    write_network(folder / "one.safetensors", SD1_LORA, {"ss_output_name": "one"})
    write_network(folder / "two.safetensors", SD1_LORA, {"ss_output_name": "another name"})
    write_network(folder / "three.safetensors", SD1_LORA, alpha=2.0)
    write_network(folder / "other.safetensors", SDXL_LORA)
    return folder


def names(groups):
    return [[row.name.partition(".")[0] for row in group] for group in groups]


def test_copies_are_found_whatever_their_metadata_say(tmp_path):
    library(tmp_path)
    index = indexed(tmp_path)
    assert duplicates(index.rows()) == []

    assert CopySearch(index, lambda: False).run()

    assert names(duplicates(index.rows())) == [["one", "two"]]
    assert work_left(index.rows()).bytes == 0


def test_only_files_of_equal_size_are_sampled_and_only_equal_samples_are_read_whole(tmp_path):
    library(tmp_path)
    index = indexed(tmp_path)

    before = work_left(index.rows())
    CopySearch(index, lambda: False).run()
    rows = {row.name.partition(".")[0]: row for row in index.rows()}

    assert sorted(row.name for row in before.samples) == ["one.safetensors", "three.safetensors", "two.safetensors"]
    assert before.whole == ()
    assert rows["other"].samples == ""
    assert rows["three"].samples != ""
    assert rows["three"].tensors == ""


def test_files_that_differ_between_the_samples_are_no_copies(tmp_path):
    folder = tmp_path / "Lora"
    folder.mkdir()
    write_network(folder / "one.safetensors", LARGE)
    data = bytearray((folder / "one.safetensors").read_bytes())
    data[-400_000] = 1
    (folder / "two.safetensors").write_bytes(data)
    index = indexed(tmp_path)

    CopySearch(index, lambda: False).run()

    first, second = index.rows()
    assert first.samples == second.samples
    assert first.tensors != second.tensors
    assert duplicates(index.rows()) == []


def test_a_search_can_be_paused_and_goes_on_where_it_was(tmp_path):
    library(tmp_path)
    index = indexed(tmp_path)
    seen = []

    is_whole = CopySearch(index, lambda: len(seen) >= 2, lambda done, total: seen.append((done, total))).run()
    again = LibraryIndex(tmp_path / "cache")
    sampled = [row.name for row in again.rows() if row.samples]

    assert not is_whole
    assert len(sampled) == 2
    assert CopySearch(again, lambda: False).run()
    assert names(duplicates(again.rows())) == [["one", "two"]]


def test_a_long_file_is_left_in_the_middle(tmp_path):
    folder = tmp_path / "Lora"
    folder.mkdir()
    write_network(folder / "one.safetensors", LARGE)
    write_network(folder / "two.safetensors", LARGE)
    index = indexed(tmp_path)
    read = []

    CopySearch(index, lambda: sum(read) > 2_000_000, lambda done, total: read.append(done - sum(read))).run()

    assert sum(read) < 4_000_000
    assert [row.tensors for row in index.rows()] == ["", ""]


def test_a_file_that_vanished_or_changed_is_nobodys_copy(tmp_path):
    folder = library(tmp_path)
    index = indexed(tmp_path)
    (folder / "one.safetensors").unlink()
    write_network(folder / "two.safetensors", SDXL_LORA)

    assert CopySearch(index, lambda: False).run()
    assert duplicates(index.rows()) == []


def test_what_was_found_out_about_a_file_goes_when_it_is_read_anew(tmp_path):
    folder = library(tmp_path)
    index = indexed(tmp_path)
    CopySearch(index, lambda: False).run()
    write_network(folder / "two.safetensors", SDXL_LORA)

    index.refresh([folder])

    assert duplicates(index.rows()) == []
    assert index.row(folder / "two.safetensors").tensors == ""


def test_the_search_runs_while_rows_are_shown(tmp_path):
    library(tmp_path)
    index = indexed(tmp_path)
    work = LibraryWork(index, [], "copies")

    assert work.wait(60)
    assert work.is_whole
    assert work.done == work.total > 0
    assert copies.duplicates(index.rows())
