import json
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from tanren.errors import BusyError
from tanren.locks import Lock, lock_holder

HOLD = """
    import sys, time
    from pathlib import Path
    from tanren.locks import Lock
    lock = Lock(Path(sys.argv[1]), job="first").acquire(what="The job")
    print("held", flush=True)
    time.sleep(60)
"""


def other_process(path, code=HOLD):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


@pytest.mark.rule("flt-08")
def test_a_lock_held_elsewhere_is_busy_and_its_holder_is_named(tmp_path):
    process = other_process(tmp_path / "a.lock")
    try:
        with pytest.raises(BusyError) as refusal:
            Lock(tmp_path / "a.lock").acquire(what="The job", wait=0)
        holder = lock_holder(tmp_path / "a.lock")
    finally:
        process.kill()
        process.wait()

    assert f"The job is in use by process {process.pid}" in refusal.value.what
    assert refusal.value.code == 9
    assert holder["pid"] == process.pid
    assert holder["job"] == "first"


def test_a_killed_owner_frees_its_lock_and_the_file_that_stays_means_nothing(tmp_path):
    process = other_process(tmp_path / "a.lock")
    process.kill()
    process.wait()

    assert (tmp_path / "a.lock").is_file()
    assert lock_holder(tmp_path / "a.lock") is None
    with Lock(tmp_path / "a.lock").acquire(what="The job", wait=0):
        assert lock_holder(tmp_path / "a.lock")["pid"] == os.getpid()


def test_a_lock_can_be_taken_again_after_its_release(tmp_path):
    for _ in range(2):
        with Lock(tmp_path / "a.lock", nonce="x").acquire(what="It", wait=0):
            pass

    assert lock_holder(tmp_path / "a.lock") is None
    assert json.loads((tmp_path / "a.lock").read_text())["nonce"] == "x"


def test_no_file_is_held_by_nobody(tmp_path):
    assert lock_holder(tmp_path / "none") is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_that_outlives_its_killed_owner_does_not_keep_the_lock(tmp_path):
    code = """
        import os, sys, time
        from pathlib import Path
        from tanren.locks import Lock
        lock = Lock(Path(sys.argv[1])).acquire(what="The job")
        if os.fork() == 0:
            print("held", flush=True)
            os.close(1)
            time.sleep(3)
            os._exit(0)
        time.sleep(60)
    """
    process = other_process(tmp_path / "a.lock", code)
    process.kill()
    process.wait()

    assert lock_holder(tmp_path / "a.lock") is None


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a file that somebody has open")
def test_a_passing_lock_leaves_no_file_and_stays_exclusive_while_it_comes_and_goes(tmp_path):
    path = tmp_path / "passing.lock"
    held = [0]
    most = [0]

    def use():
        for _ in range(20):
            with Lock(path, is_passing=True).acquire(what="It", wait=30):
                held[0] += 1
                most[0] = max(most[0], held[0])
                time.sleep(0.001)
                held[0] -= 1

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1]
    assert list(tmp_path.iterdir()) == []
