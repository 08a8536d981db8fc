import multiprocessing
import zlib

import pytest
from tanren.data.store import DiskStore, Entry, FileFacts, MemoryStore
from tanren.errors import StorageError

KEY, OTHER = b"k" * 32, b"o" * 32


def stores(tmp_path):
    return [MemoryStore(1000), DiskStore(tmp_path / "cache", "latents-x")]


def value(store, key):
    entry = store.entries()[key]
    return bytes(store.buffer()[entry.start : entry.start + entry.length])


def test_values_come_back_aligned_with_their_checksum(tmp_path):
    for store in stores(tmp_path):
        store.add([(KEY, b"abc"), (OTHER, b"defgh")])

        assert store.entries() == {KEY: Entry(0, 3, zlib.crc32(b"abc")), OTHER: Entry(64, 5, zlib.crc32(b"defgh"))}
        assert (value(store, KEY), value(store, OTHER)) == (b"abc", b"defgh")


def test_a_known_key_keeps_its_value_until_it_is_forgotten(tmp_path):
    for store in stores(tmp_path):
        store.add([(KEY, b"first")])
        store.add([(KEY, b"second")])
        assert value(store, KEY) == b"first"

        store.forget([KEY])
        store.add([(KEY, b"third")])
        assert value(store, KEY) == b"third"


def test_a_later_run_finds_values_and_files(tmp_path):
    store = DiskStore(tmp_path, "latents-x")
    store.add([(KEY, b"abc")])
    store.remember("/pics", [("a.png", FileFacts(10, 20, b"d" * 32))])

    later = DiskStore(tmp_path, "latents-x")

    assert value(later, KEY) == b"abc"
    assert later.files("/pics") == {"a.png": FileFacts(10, 20, b"d" * 32)}
    assert later.files("/else") == {}
    assert DiskStore(tmp_path, "latents-y").entries() == {}


@pytest.mark.rule("flt-15")
def test_a_damaged_index_is_started_anew(tmp_path):
    DiskStore(tmp_path, "p").add([(KEY, b"abc")])
    (tmp_path / "index.sqlite3").write_bytes(b"this is not a database, not at all" * 100)

    store = DiskStore(tmp_path, "p")

    assert store.entries() == {}
    store.add([(KEY, b"new")])
    assert value(store, KEY) == b"new"


def test_a_crash_between_bytes_and_index_leaves_no_half_entry(tmp_path):
    store = DiskStore(tmp_path, "p")

    def values():
        yield KEY, b"abc"
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        store.add(values())

    assert store.entries() == {}
    store.add([(OTHER, b"whole")])
    assert value(store, OTHER) == b"whole"


def add_many(folder, number):
    store = DiskStore(folder, "p")
    for item in range(20):
        store.add([(bytes([number, item]) * 16, bytes([number, item]) * 50)])


@pytest.mark.rule("flt-08")
def test_processes_share_one_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_many, args=(tmp_path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    store = DiskStore(tmp_path, "p")

    assert len(store.entries()) == 60
    assert all(value(store, key) == key[:2] * 50 for key in store.entries())


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("x")

    with pytest.raises(StorageError) as refused:
        DiskStore(tmp_path / "file" / "cache", "p")
    assert refused.value.code == 5
