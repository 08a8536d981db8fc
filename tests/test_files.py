import errno
import json
import os
import stat
import sys
import time

import pytest
from faults import DISK_ERRORS, count_calls, die_at, leftovers, names_in, refuse_at
from tanren import disk, files
from tanren.disk import check_free_space, probe_writable, size_text
from tanren.errors import StorageError
from tanren.files import append_line, cut_torn_line, durable_write, read_lines, write_json, write_text

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes, links and fork")
OLD, NEW = "old content\n", "new content, longer than before\n" * 100


def test_a_file_is_created_and_replaced(tmp_path):
    path = tmp_path / "鍛錬.txt"

    write_text(path, OLD)
    write_text(path, NEW)

    assert path.read_text("utf-8") == NEW
    assert names_in(tmp_path) == ["鍛錬.txt"]


def test_json_keeps_the_order_of_its_keys_and_is_utf8(tmp_path):
    write_json(tmp_path / "a.json", {"z": "猫", "a": 1})

    assert (tmp_path / "a.json").read_bytes() == '{\n "z": "猫",\n "a": 1\n}\n'.encode()


@posix
def test_mode_and_symbolic_link_survive_a_replacement(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text(OLD)
    real.chmod(0o640)
    link.symlink_to(real)

    write_text(link, NEW)

    assert link.is_symlink()
    assert real.read_text() == NEW
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@posix
def test_a_new_file_has_the_mode_the_users_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", OLD)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_failing_writer_or_check_leaves_the_old_file_and_no_leftover(tmp_path):
    path = tmp_path / "a"
    path.write_text(OLD)

    def write(file):
        file.write(b"half")
        raise ValueError("no")

    def verify(_):
        raise ValueError("bad bytes")

    with pytest.raises(ValueError, match="no"):
        durable_write(path, write)
    with pytest.raises(ValueError, match="bad bytes"):
        durable_write(path, lambda file: file.write(b"new"), verify=verify)
    assert path.read_text() == OLD
    assert names_in(tmp_path) == ["a"]


@posix
def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_end(tmp_path):
    path = tmp_path / "a"

    trace = count_calls(lambda: write_text(path, NEW))

    order = [call for call in trace if call in ("file.write", "fsync", "replace", "rename", "fsync folder")]
    assert order == ["file.write", "fsync", "replace", "fsync folder"]


@posix
@pytest.mark.rule("flt-01")
def test_a_process_killed_at_any_call_leaves_the_old_file_or_the_new_one(tmp_path):
    calls = len(count_calls(lambda: write_text(tmp_path / "counted", NEW)))
    seen = set()

    for call in range(1, calls + 1):
        path = tmp_path / f"{call}"
        path.write_text(OLD)
        die_at(call, lambda path=path: write_text(path, NEW))
        seen.add(path.read_text())

    assert calls >= 5
    assert seen == {OLD, NEW}


@posix
@pytest.mark.rule("flt-02")
@pytest.mark.parametrize("number", DISK_ERRORS)
def test_a_disk_error_at_any_call_is_a_storage_error_and_the_old_file_stays(tmp_path, number):
    path = tmp_path / "a"
    path.write_text(OLD)
    calls = count_calls(lambda: write_text(path, OLD))

    for call in range(1, calls.index("replace") + 2):
        with pytest.raises(StorageError) as refusal:
            refuse_at(call, number, lambda: write_text(path, NEW))
        assert os.strerror(number) in refusal.value.why
        assert path.read_text() == OLD
        assert leftovers(tmp_path) == []


@pytest.mark.rule("flt-02")
def test_no_room_is_refused_beforehand_with_both_numbers(tmp_path):
    with pytest.raises(StorageError) as refusal:
        durable_write(tmp_path / "big", lambda file: None, expected_bytes=2**60)

    assert "big needs 1048576.0 TiB, but only " in refusal.value.what
    assert names_in(tmp_path) == []


def test_room_is_measured_on_the_disk_a_folder_will_be_made_on(tmp_path):
    check_free_space(tmp_path / "not" / "there", 1, what="nothing")


@pytest.mark.rule("flt-03")
def test_a_vanished_folder_is_said(tmp_path):
    with pytest.raises(StorageError, match=r"The folder is not there \(any more\)"):
        write_text(tmp_path / "gone" / "a", NEW)


@posix
@pytest.mark.rule("flt-03")
def test_a_folder_is_probed_by_writing_renaming_and_deleting(tmp_path):
    probe_writable(tmp_path / "new")
    assert names_in(tmp_path / "new") == []

    trace = count_calls(lambda: probe_writable(tmp_path / "counted"))
    for call in range(1, len(trace) + 1):
        with pytest.raises(StorageError):
            refuse_at(call, errno.EROFS, lambda call=call: probe_writable(tmp_path / str(call)))


@pytest.mark.rule("flt-14")
def test_a_moment_of_sharing_violation_is_waited_for(tmp_path, monkeypatch):
    path, pauses = tmp_path / "a.safetensors", []
    path.write_text(OLD)
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(os, "replace", sharing_violations(3, os.replace))

    write_text(path, NEW)

    assert path.read_text() == NEW
    assert len(pauses) == 3


@pytest.mark.rule("flt-14")
def test_a_file_kept_open_for_long_leaves_the_new_content_beside_it_under_a_clear_name(tmp_path, monkeypatch):
    path, pauses = tmp_path / "a.safetensors", []
    path.write_text(OLD)
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(os, "replace", sharing_violations(10, os.replace))

    with pytest.raises(StorageError) as refusal:
        write_text(path, NEW)

    kept = next(entry for entry in tmp_path.iterdir() if entry != path)
    assert kept.name.startswith("a.new-") and kept.suffix == ".safetensors"
    assert kept.name in refusal.value.why
    assert kept.read_text() == NEW
    assert path.read_text() == OLD
    assert sum(pauses) == pytest.approx(5.0)


def sharing_violations(count, replace):
    left = [count]

    def call(source, target):
        if left[0]:
            left[0] -= 1
            error = PermissionError(errno.EACCES, "in use")
            error.winerror = 32
            raise error
        replace(source, target)

    return call


def test_lines_are_appended_whole_and_a_torn_one_is_ignored_and_cut(tmp_path):
    path = tmp_path / "events.jsonl"
    append_line(path, json.dumps({"n": 1}))
    append_line(path, "two\n")
    with path.open("ab") as file:
        file.write(b'{"half": ')

    assert read_lines(path) == ['{"n": 1}', "two"]
    assert cut_torn_line(path) == 9
    append_line(path, "three")
    assert read_lines(path) == ['{"n": 1}', "two", "three"]


def test_no_file_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "none") == []
    assert cut_torn_line(tmp_path / "none") == 0


def test_what_no_encoding_can_say_is_appended_escaped(tmp_path):
    append_line(tmp_path / "log", "lone \ud800")

    assert read_lines(tmp_path / "log") == ["lone \\ud800"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 * 2**30, "5.0 GiB")]
)
def test_sizes_are_written_as_people_read_them(count, text):
    assert size_text(count) == text


def test_names_of_temporary_files_fit_where_a_long_name_does(tmp_path):
    path = tmp_path / ("猫" * 82 + ".safetens")

    write_text(path, NEW)

    assert len(path.name.encode()) == 255
    assert files.TEMP_PREFIX == disk.TEMP_PREFIX == ".tn-"
