import errno
import json
import sys
import time

import pytest
from faults import count_calls, die_at, leftovers, names_in, refuse_at
from tanren.errors import StorageError
from tanren.folders import durable_folder, faults_of, read_manifest, remove_folder, sweep

posix = pytest.mark.skipif(sys.platform == "win32", reason="fork")
NOW = time.time() + 3600


def filled(text):
    def fill(folder):
        (folder / "a.bin").write_bytes(text)
        (folder / "inner").mkdir()
        (folder / "inner" / "b.bin").write_bytes(text * 2)

    return fill


def test_a_folder_carries_a_manifest_of_sizes_and_hashes(tmp_path):
    durable_folder(tmp_path / "state", filled(b"abc"), {"step": 3})

    assert json.loads((tmp_path / "state" / "manifest.json").read_text()) == {
        "name": "state",
        "facts": {"step": 3},
        "files": {
            "a.bin": {"size": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
            "inner/b.bin": {"size": 6, "sha256": "bbb59da3af939f7af5f360f2ceb80a496e3bae1cd87dde426db0ae40677e1c2c"},
        },
    }
    assert faults_of(tmp_path / "state", hashes=True) == []
    assert leftovers(tmp_path) == []


def test_damage_is_found_and_named(tmp_path):
    state = tmp_path / "state"
    durable_folder(state, filled(b"abc"))
    (state / "a.bin").write_bytes(b"abd")

    assert faults_of(state, hashes=False) == []
    assert faults_of(state, hashes=True) == ["a.bin was changed: its SHA-256 is another."]
    (state / "a.bin").write_bytes(b"ab")
    assert faults_of(state, hashes=False) == ["a.bin has 2 bytes instead of 3."]
    (state / "a.bin").unlink()
    assert faults_of(state, hashes=False) == ["a.bin is missing."]
    (state / "manifest.json").write_text("{")
    assert "never finished" in faults_of(state, hashes=False)[0]


@posix
@pytest.mark.rule("flt-01")
def test_a_folder_whose_writer_was_killed_at_any_call_is_complete_or_not_there(tmp_path):
    calls = len(count_calls(lambda: durable_folder(tmp_path / "counted", filled(b"new"))))
    outcomes = []

    for call in range(1, calls + 1):
        place = tmp_path / str(call)
        place.mkdir()
        die_at(call, lambda place=place: durable_folder(place / "state", filled(b"new")))
        outcomes.append((place / "state").exists())
        assert not (place / "state").exists() or faults_of(place / "state", hashes=True) == []
        sweep(place, NOW)
        assert leftovers(place) == []

    assert calls > 10
    assert outcomes[0] is False and outcomes[-1] is True


@posix
@pytest.mark.rule("flt-01")
def test_a_folder_being_replaced_is_the_old_or_the_new_one_after_the_sweep(tmp_path):
    durable_folder(tmp_path / "counted", filled(b"old"))
    calls = len(count_calls(lambda: durable_folder(tmp_path / "counted", filled(b"new"))))
    seen = set()

    for call in range(1, calls + 1):
        place = tmp_path / str(call)
        place.mkdir()
        durable_folder(place / "state", filled(b"old"))
        die_at(call, lambda place=place: durable_folder(place / "state", filled(b"new")))
        sweep(place, NOW)
        assert faults_of(place / "state", hashes=True) == []
        seen.add((place / "state" / "a.bin").read_bytes())
        assert names_in(place) == ["state"]

    assert seen == {b"old", b"new"}


@posix
@pytest.mark.rule("flt-02")
def test_a_full_disk_at_any_call_leaves_the_old_folder(tmp_path):
    durable_folder(tmp_path / "state", filled(b"old"))
    trace = count_calls(lambda: durable_folder(tmp_path / "state", filled(b"old")))

    for call in range(1, len(trace) - trace[::-1].index("rename")):
        with pytest.raises(StorageError):
            refuse_at(call, errno.ENOSPC, lambda: durable_folder(tmp_path / "state", filled(b"new")))
        assert (tmp_path / "state" / "a.bin").read_bytes() == b"old"
        assert faults_of(tmp_path / "state", hashes=True) == []


def test_a_folder_of_that_name_from_another_program_is_kept_aside(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "optimizer.bin").write_bytes(b"theirs")

    durable_folder(tmp_path / "state", filled(b"ours"))

    kept = next(entry for entry in tmp_path.iterdir() if entry.name.startswith("state.old-"))
    assert (kept / "optimizer.bin").read_bytes() == b"theirs"
    assert faults_of(tmp_path / "state", hashes=True) == []


def test_removing_a_folder_leaves_what_others_put_into_it(tmp_path):
    durable_folder(tmp_path / "clean", filled(b"x"))
    durable_folder(tmp_path / "mixed", filled(b"x"))
    (tmp_path / "mixed" / "notes.txt").write_text("mine")
    (tmp_path / "foreign").mkdir()

    for name in ("clean", "mixed", "foreign"):
        remove_folder(tmp_path / name)

    assert not (tmp_path / "clean").exists()
    assert sorted(entry.name for entry in (tmp_path / "mixed").rglob("*") if entry.is_file()) == ["notes.txt"]
    assert (tmp_path / "foreign").is_dir()
    assert read_manifest(tmp_path / "mixed") is None


def test_the_sweep_spares_what_is_young_and_what_is_not_ours(tmp_path):
    for name in (".tn-00000000.tmp", ".tn-notes.txt", "x.tmp"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".tn-00000001.part").mkdir()

    assert sweep(tmp_path, before=time.time() - 60) == 0
    assert sweep(tmp_path, before=NOW) == 2
    assert names_in(tmp_path) == [".tn-notes.txt", "x.tmp"]


@posix
def test_the_sweep_spares_what_a_live_process_is_writing(tmp_path):
    from tanren.files import durable_write

    counts = []
    durable_write(tmp_path / "a", lambda _: counts.append(sweep(tmp_path, NOW)))
    durable_folder(tmp_path / "b", lambda _: counts.append(sweep(tmp_path, NOW)))

    assert counts == [0, 0]
