"""The journal of changes: what was done can be taken back byte by byte, after restarts, kills and in any order."""

from __future__ import annotations

import errno
import tempfile
import time
from pathlib import Path

import pytest
from faults import count_calls, die_at
from hypothesis import given, settings
from hypothesis import strategies as st
from tanren.errors import BusyError, DataError, ResumeError, StorageError, UsageError
from tanren.locks import Lock
from tanren.preparation.journal import Journal, Write
from tanren.preparation.journal_room import make_room

# Hundreds of operations, each of which waits for the disk several times, are quick where there is no disk.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@pytest.fixture
def quick_path():
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "data")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "学習 データ (1)"
    made.mkdir()
    (made / "a.txt").write_bytes("猫".encode("cp932"))
    (made / "b.txt").write_bytes(b"\xef\xbb\xbftwo\r\nlines")
    return made


def state_of(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: bytes of files, targets of links, None for folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        found[name] = str(path.readlink()) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
    return found


def change_everything(journal: Journal, folder: Path) -> None:
    """One operation with a change of every kind."""
    with journal.operation("everything", folder) as changes:
        before = (folder / "a.txt").read_bytes()
        changes.write_all([Write(folder / "a.txt", b"new", before), Write(folder / "c.txt", b"made", None)])
        changes.remove(folder / "b.txt")
        changes.make_folder(folder / "10_sks" / "inner")
        changes.create(folder / "10_sks" / "picture.bin", lambda file: file.write(b"pixels") and None)
        changes.link(folder / "10_sks" / "soft", folder / "a.txt")
        changes.link(folder / "10_sks" / "hard", folder / "a.txt", hard=True)
        changes.write(folder / "c.txt", b"made and changed", expected=b"made")


def test_undo_after_a_restart_brings_every_byte_and_time_back(tmp_path, journal, folder):
    before, times = state_of(folder), (folder / "a.txt").stat().st_mtime_ns
    change_everything(journal, folder)
    assert state_of(folder)["a.txt"] == b"new"

    outcome = Journal(tmp_path / "data").undo()

    assert state_of(folder) == before
    assert (folder / "a.txt").stat().st_mtime_ns == times
    assert outcome.left == ()


def test_redo_makes_the_same_again_and_undo_takes_it_back_again(journal, folder):
    before = state_of(folder)
    change_everything(journal, folder)
    after = state_of(folder)

    journal.undo()
    journal.redo()
    assert state_of(folder) == after

    journal.undo()
    assert state_of(folder) == before


def test_operations_are_undone_from_the_last_and_redone_from_the_first(journal, folder):
    for text in (b"1", b"2", b"3"):
        with journal.operation(text.decode(), folder) as changes:
            changes.write(folder / "a.txt", text, expected=(folder / "a.txt").read_bytes())
    file = folder / "a.txt"

    seen = []
    for turn in (journal.undo, journal.undo, journal.redo, journal.undo, journal.redo, journal.redo):
        turn()
        seen.append(file.read_bytes())

    assert seen == [b"2", b"1", b"2", b"1", b"2", b"3"]


def test_undo_refuses_when_a_file_was_changed_since_and_touches_nothing(journal, folder):
    change_everything(journal, folder)
    (folder / "a.txt").write_bytes(b"by somebody else")
    seen = state_of(folder)

    with pytest.raises(ResumeError) as refusal:
        journal.undo()

    assert str(refusal.value).splitlines()[0] == (
        "everything: It cannot be undone: files were changed by somebody else since: a.txt."
    )
    assert state_of(folder) == seen


def test_the_rest_can_be_undone_leaving_what_was_changed_since(journal, folder):
    change_everything(journal, folder)
    (folder / "c.txt").write_bytes(b"by somebody else")

    outcome = journal.undo(leave_changed=True)

    assert outcome.left == (str(folder / "c.txt"),)
    assert (folder / "c.txt").read_bytes() == b"by somebody else"
    assert (folder / "b.txt").read_bytes() == b"\xef\xbb\xbftwo\r\nlines"


def test_a_folder_into_which_somebody_put_something_stays(journal, folder):
    with journal.operation("folder", folder) as changes:
        changes.make_folder(folder / "10_sks")
    (folder / "10_sks" / "mine.txt").write_text("x", "utf-8")

    assert journal.undo().left == (str(folder / "10_sks"),)
    assert (folder / "10_sks" / "mine.txt").exists()


def test_nothing_is_overwritten_by_what_is_created(journal, folder):
    with pytest.raises(DataError, match="There is something of this name already"):  # noqa: SIM117
        with journal.operation("copy", folder) as changes:
            changes.create(folder / "a.txt", lambda file: None)
    assert journal.history() == []


def test_a_caption_changed_meanwhile_is_left_and_told(journal, folder):
    with pytest.raises(DataError, match="changed meanwhile"):  # noqa: SIM117
        with journal.operation("edit", folder) as changes:
            changes.write(folder / "a.txt", b"new", expected=b"what I saw before")
    assert (folder / "a.txt").read_bytes() == "猫".encode("cp932")


def test_what_ends_early_can_be_undone(journal, folder):
    before = state_of(folder)
    with pytest.raises(ZeroDivisionError), journal.operation("broken", folder) as changes:
        changes.create(folder / "new.txt", lambda file: None)
        raise ZeroDivisionError

    assert [(one.title, one.state) for one in journal.history()] == [("broken", "stopped")]
    journal.undo()
    assert state_of(folder) == before


def test_history_can_be_that_of_one_folder(journal, tmp_path, folder):
    other = tmp_path / "other"
    other.mkdir()
    for place in (folder, other):
        with journal.operation(place.name, place) as changes:
            changes.write(place / "x.txt", b"x", expected=None)

    assert [one.title for one in journal.history(other)] == ["other"]
    journal.undo(folder=folder)
    assert not (folder / "x.txt").exists()
    assert (other / "x.txt").exists()


def test_nothing_to_undo_is_said(journal):
    with pytest.raises(UsageError, match="There is nothing to undo"):
        journal.undo()


def test_a_long_operation_lets_others_work_and_cannot_be_undone_meanwhile(journal, folder):
    before = state_of(folder)
    with journal.operation("long", folder) as long:
        long.create(folder / "copy.png", lambda file: None)
        with pytest.raises(UsageError, match="There is nothing to undo"):
            journal.undo()
        with journal.operation("short", folder) as short:
            short.write(folder / "c.txt", b"c", expected=None)
        assert [(one.title, one.state) for one in journal.history()] == [("long", "running"), ("short", "done")]
        assert journal.undo().operation.title == "short"
        long.remove(folder / "b.txt")

    assert [(one.title, one.state) for one in journal.history()] == [("long", "done"), ("short", "undone")]
    journal.undo()
    assert state_of(folder) == before


def test_the_journal_in_use_elsewhere_is_said(tmp_path, journal, folder, monkeypatch):
    monkeypatch.setattr("tanren.preparation.journal.LOCK_SECONDS", 0.05)
    (tmp_path / "data" / "journal").mkdir(parents=True)
    with (
        Lock(tmp_path / "data" / "journal" / "journal.lock").acquire(what="x"),
        pytest.raises(BusyError, match="The journal of changes is in use"),
    ):
        journal.undo()


def test_a_damaged_journal_is_said_and_the_file_is_left(tmp_path, journal, folder):
    change_everything(journal, folder)
    kept = tmp_path / "data" / "journal" / "000001" / "kept.bin"
    kept.write_bytes(bytes(kept.stat().st_size))

    with pytest.raises(ResumeError, match="What was kept of a file is damaged"):
        journal.undo()

    assert (folder / "a.txt").read_bytes() == b"new"


def test_without_room_for_redoing_a_change_can_still_be_undone(journal, folder, monkeypatch):
    before = state_of(folder)
    change_everything(journal, folder)
    monkeypatch.setattr("tanren.preparation.reverting.SPARE_BYTES", 2**60)

    journal.undo()

    assert state_of(folder) == before
    with pytest.raises(UsageError, match="There is nothing to redo"):
        journal.redo()


def test_forgetting_frees_what_was_kept(journal, folder):
    change_everything(journal, folder)

    assert journal.forget(1) > 0
    assert journal.history() == []


def test_what_cannot_be_forgotten_now_is_said_and_can_still_be_undone(tmp_path, journal, folder, monkeypatch):
    before = state_of(folder)
    change_everything(journal, folder)

    def in_use(path, missing_ok=False):
        # Windows answers so while another program reads the file.
        raise PermissionError(errno.EACCES, "It is in use", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", in_use)
        with pytest.raises(StorageError) as refused:
            journal.forget(1)
    assert refused.value.where == str(tmp_path / "data" / "journal" / "000001")
    assert refused.value.why == "The system says: It is in use"
    journal.undo(1)
    assert state_of(folder) == before


def whole(folder: Path) -> bool:
    """Every file is as before or as after; temporary files aside."""
    allowed = {"a.txt": ("猫".encode("cp932"), b"new"), "b.txt": (b"\xef\xbb\xbftwo\r\nlines",)}
    allowed |= {"c.txt": (b"made", b"made and changed"), "10_sks/picture.bin": (b"pixels",)}
    files = {name: content for name, content in state_of(folder).items() if isinstance(content, bytes)}
    return all(content in allowed[name] for name, content in files.items() if name in allowed)


@pytest.mark.rule("flt-01")
def test_killed_at_any_call_every_file_is_whole_and_undo_brings_all_back(quick_path):
    def fresh(name: str) -> tuple[Journal, Path]:
        place = quick_path / name / "pictures"
        place.mkdir(parents=True)
        (place / "a.txt").write_bytes("猫".encode("cp932"))
        (place / "b.txt").write_bytes(b"\xef\xbb\xbftwo\r\nlines")
        return Journal(quick_path / name / "data"), place

    journal, folder = fresh("counted")
    calls = len(count_calls(lambda: change_everything(journal, folder)))
    for call in range(1, calls + 1):
        journal, folder = fresh(str(call))
        before = state_of(folder)
        die_at(call, lambda journal=journal, folder=folder: change_everything(journal, folder))
        assert whole(folder), call
        if journal.history():
            journal.undo()
        seen = {name: content for name, content in state_of(folder).items() if ".tn-" not in name}
        assert seen == before, call


@pytest.mark.rule("flt-01")
def test_undo_killed_at_any_call_can_be_finished(quick_path):
    def changed(name: str) -> tuple[Journal, Path, dict]:
        place = quick_path / name / "pictures"
        place.mkdir(parents=True)
        (place / "a.txt").write_bytes(b"a")
        (place / "b.txt").write_bytes(b"b")
        before = state_of(place)
        journal = Journal(quick_path / name / "data")
        change_everything(journal, place)
        return journal, place, before

    journal, folder, _ = changed("counted")
    calls = len(count_calls(journal.undo))
    for call in range(1, calls + 1):
        journal, folder, before = changed(str(call))
        die_at(call, journal.undo)
        if any(one.can_be_undone for one in journal.history()):
            journal.undo()
        seen = {name: content for name, content in state_of(folder).items() if ".tn-" not in name}
        assert seen == before, call


NAMES = st.sampled_from(["a.txt", "b.txt", "c.png", "d é.txt"])
ACTIONS = st.lists(st.tuples(st.sampled_from(["write", "remove", "create", "folder"]), NAMES, st.binary(max_size=6)))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, st.binary(max_size=6)), st.lists(ACTIONS, min_size=1, max_size=3))
def test_undo_is_the_inverse_of_any_operations(start, operations):
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        for file, content in start.items():
            (folder / file).write_bytes(content)
        journal = Journal(Path(name) / "data")
        states = [state_of(folder)]
        for actions in operations:
            if perform(journal, folder, actions):
                states.append(state_of(folder))
        for before in reversed(states[:-1]):
            journal.undo()
            assert state_of(folder) == before
        for after in states[1:]:
            journal.redo()
            assert state_of(folder) == after


def perform(journal: Journal, folder: Path, actions: list) -> bool:
    """Do what can be done; False when nothing could."""
    with journal.operation("actions", folder) as changes:
        for action, file, content in actions:
            path = folder / file
            if action == "write":
                changes.write(path, content, expected=path.read_bytes() if path.exists() else None)
            elif action == "remove" and path.exists():
                changes.remove(path)
            elif action == "create" and not path.exists():
                changes.create(path, lambda out, content=content: out.write(content) and None)
            elif action == "folder" and not (folder / "f").exists():
                changes.make_folder(folder / "f")
        return bool(changes.changed)


DAY = 24 * 3600
OLD = 91 * DAY


def rewrite(journal: Journal, file: Path, contents: list[bytes]) -> None:
    """One operation for each content."""
    for content in contents:
        with journal.operation(content.decode(), file.parent) as changes:
            changes.write(file, content, expected=file.read_bytes())


def places(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "data" / "journal").glob("0*"))


def states(journal: Journal) -> list[str]:
    return [one.state for one in journal.history()]


def test_old_changes_are_forgotten_when_many_newer_ones_are_kept(tmp_path, journal, folder, monkeypatch):
    monkeypatch.setattr("tanren.preparation.journal_room.KEPT_WHOLE", 2)
    rewrite(journal, folder / "a.txt", [b"1", b"2", b"3", b"4"])

    assert make_room(places(tmp_path), now=time.time() + OLD) == [1, 2]

    assert states(journal) == ["forgotten", "forgotten", "done", "done"]
    assert make_room(places(tmp_path), now=time.time() + 2 * OLD) == []


def test_young_changes_and_the_last_two_hundred_stay(tmp_path, journal, folder, monkeypatch):
    rewrite(journal, folder / "a.txt", [b"1", b"2", b"3"])
    assert make_room(places(tmp_path), now=time.time() + OLD) == []

    monkeypatch.setattr("tanren.preparation.journal_room.KEPT_WHOLE", 1)
    assert make_room(places(tmp_path), now=time.time() + 89 * DAY) == []


def test_too_much_goes_undone_first_then_the_oldest_and_never_the_newest(tmp_path, journal, folder):
    rewrite(journal, folder / "a.txt", [b"1" * 1000, b"2" * 1000, b"3" * 1000])
    journal.undo()
    rewrite(journal, folder / "a.txt", [b"4" * 1000])

    assert make_room(places(tmp_path), most_bytes=2500 + 3000) == [3]
    assert make_room(places(tmp_path), most_bytes=1500) == [1, 2]
    assert make_room(places(tmp_path), most_bytes=0) == []
    assert states(journal) == ["forgotten", "forgotten", "forgotten", "done"]


def test_undoing_what_is_forgotten_says_so_and_touches_nothing(tmp_path, journal, folder):
    rewrite(journal, folder / "a.txt", [b"first", b"second"])
    assert make_room(places(tmp_path), most_bytes=0) == [1]
    journal.undo()

    for number in (1, None):
        with pytest.raises(UsageError) as refusal:
            journal.undo(number)
        assert (refusal.value.where, refusal.value.what, refusal.value.why) == (
            "first",
            "There is nothing to undo. What files were before this change is no longer kept.",
            "Earlier contents of files are kept for 90 days and for the last 200 changes, 5 GB at most.",
        )
    assert (folder / "a.txt").read_bytes() == b"first"
    journal.redo()
    assert (folder / "a.txt").read_bytes() == b"second"


def test_room_is_made_before_each_change(tmp_path, journal, folder, monkeypatch):
    monkeypatch.setattr("tanren.preparation.journal_room.KEPT_WHOLE", 1)
    rewrite(journal, folder / "a.txt", [b"1", b"2"])
    monkeypatch.setattr("tanren.preparation.journal_room.DAYS", 0)

    rewrite(journal, folder / "a.txt", [b"3"])

    assert states(journal) == ["forgotten", "done", "done"]
    assert sorted(path.name for path in places(tmp_path)[0].iterdir()) == ["operation.json"]


def test_a_change_at_work_is_not_forgotten(tmp_path, journal, folder):
    with journal.operation("long", folder) as long:
        long.write(folder / "c.txt", b"c", expected=None)
        rewrite(journal, folder / "a.txt", [b"1"])
        assert make_room(places(tmp_path), most_bytes=0) == []
    assert make_room(places(tmp_path), most_bytes=0) == [1]


def test_names_of_forgotten_changes_go_in_the_end(tmp_path, journal, folder, monkeypatch):
    rewrite(journal, folder / "a.txt", [b"1", b"2", b"3"])
    make_room(places(tmp_path), most_bytes=0)
    monkeypatch.setattr("tanren.preparation.journal_room.NAMED", 2)

    make_room(places(tmp_path))

    assert [one.number for one in journal.history()] == [2, 3]


@pytest.mark.rule("flt-01")
def test_killed_while_forgetting_nothing_is_half_kept(quick_path):
    def fresh(name: str) -> tuple[Path, Journal, Path]:
        place = quick_path / name / "pictures"
        place.mkdir(parents=True)
        (place / "a.txt").write_bytes(b"a")
        journal = Journal(quick_path / name / "data")
        rewrite(journal, place / "a.txt", [b"1", b"2"])
        return quick_path / name, journal, place

    root, *_ = fresh("counted")
    calls = len(count_calls(lambda: make_room(places(root), most_bytes=0)))
    for call in range(1, calls + 1):
        root, journal, folder = fresh(str(call))
        die_at(call, lambda root=root: make_room(places(root), most_bytes=0))
        assert states(journal) in (["done", "done"], ["forgotten", "done"]), call
        make_room(places(root), most_bytes=0)
        assert states(journal) == ["forgotten", "done"], call
        assert [path.name for path in places(root)[0].iterdir() if ".tn-" not in path.name] == ["operation.json"], call
        journal.undo()
        assert (folder / "a.txt").read_bytes() == b"1", call
