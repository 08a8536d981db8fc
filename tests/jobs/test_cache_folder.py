import subprocess
import sys

import pytest
from jobs.light_trainer import PATIENCE, dispatching, reaches, trains, until
from tanren.data.store import DiskStore
from tanren.errors import BusyError
from tanren.jobs.cache_folder import PROC, cache_bytes, empty_cache


@pytest.fixture
def filled(shelf):
    """A cache with a value of a thousand bytes, the index of a library, and a note of the user."""
    folder = shelf.data_dir / "cache"
    DiskStore(folder, "latents").add([(b"key", b"v" * 1000)])
    (folder / "hub" / "models").mkdir(parents=True)
    (folder / "hub" / "models" / "state").write_bytes(b"s" * 500)
    (folder / "library").mkdir()
    (folder / "library" / "library.json").write_bytes(b"l" * 500)
    (folder / "my note.txt").write_text("mine")
    return folder


def test_an_empty_cache_has_no_size_and_can_be_emptied(shelf):
    assert cache_bytes(shelf) == 0
    assert empty_cache(shelf) == 0


def test_emptying_removes_what_runs_keep_and_nothing_else(shelf, filled):
    before = cache_bytes(shelf)
    assert before > 2000

    assert empty_cache(shelf) == before - 4

    assert [path.name for path in filled.iterdir()] == ["my note.txt"]
    assert DiskStore(filled, "latents").entries() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="the light trainer is a script")
def test_while_a_job_runs_the_cache_stays(shelf, filled, program, submit):
    job = submit()

    with dispatching(shelf, program):
        trains(job)
        with pytest.raises(BusyError, match="'cat' is running and reads the cache"):
            empty_cache(shelf)
        assert len(DiskStore(filled, "latents").entries()) == 1
        job.ask_stop()
        reaches(job, "stopped")
        until(lambda: not job.look().is_active, PATIENCE)
        assert empty_cache(shelf) > 1000


@pytest.mark.skipif(not PROC.joinpath("self", "maps").exists(), reason="looks into /proc")
def test_a_run_at_a_shell_that_reads_the_cache_is_named(shelf, filled):
    program = "import mmap, sys; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)"
    program += "; print('up', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", program, str(filled / "latents.pack")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout.readline() == b"up\n"
        with pytest.raises(BusyError, match=f"Process {reader.pid} reads the cache"):
            empty_cache(shelf)
        reader.stdin.close()
        reader.wait(PATIENCE)
    assert empty_cache(shelf) > 1000
