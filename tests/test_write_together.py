"""Many small files written together: each is old or new, whatever happens."""

from __future__ import annotations

import errno

import pytest
from faults import count_calls, die_at, leftovers, refuse_at
from tanren.errors import StorageError
from tanren.files import write_together

NAMES = [f"{number}.txt" for number in range(12)]


def write_all(folder) -> None:
    write_together([(folder / name, lambda file, name=name: file.write(name.encode()) and None) for name in NAMES])


def prepared(folder):
    folder.mkdir()
    for name in NAMES[::2]:
        (folder / name).write_bytes(b"old")
    return folder


def test_files_are_made_and_replaced(tmp_path):
    folder = prepared(tmp_path / "x")
    (folder / "0.txt").chmod(0o640)

    write_all(folder)

    assert [(folder / name).read_text("utf-8") for name in NAMES] == NAMES
    assert (folder / "0.txt").stat().st_mode & 0o777 == 0o640
    assert leftovers(folder) == []
    write_together([])


@pytest.mark.rule("flt-01")
def test_killed_at_calls_all_over_each_file_is_old_or_new(tmp_path):
    counted = prepared(tmp_path / "counted")
    calls = len(count_calls(lambda: write_all(counted)))
    for call in range(1, calls + 1, 5):
        folder = prepared(tmp_path / str(call))
        die_at(call, lambda folder=folder: write_all(folder))
        for number, name in enumerate(NAMES):
            seen = (folder / name).read_bytes() if (folder / name).exists() else b""
            assert seen in (name.encode(), b"old" if number % 2 == 0 else b""), (call, name)


@pytest.mark.rule("flt-02")
def test_a_full_disk_leaves_every_file_as_it_was(tmp_path):
    folder = prepared(tmp_path / "x")
    before = {name: (folder / name).exists() for name in NAMES}

    with pytest.raises(StorageError, match="The disk is full"):
        refuse_at(10, errno.ENOSPC, lambda: write_all(folder))

    assert {name: (folder / name).exists() for name in NAMES} == before
    assert all((folder / name).read_bytes() == b"old" for name in NAMES[::2])
    assert leftovers(folder) == []
