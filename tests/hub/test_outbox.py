"""The queue of results: its order, what it holds on to, and that it ends."""

import threading
import time

import pytest
from tanren.hub.outbox import Outbox
from tanren.hub.request import SILENT, TROUBLE, Answer

DONE = Answer(facts={"address": "there"})


class Line:
    """A way to the hub that carries one parcel at a time, when it is let."""

    def __init__(self, *answers, is_open=False):
        self.carried, self.read = [], []
        self.answers = list(answers)
        self.gate = threading.Event()
        if is_open:
            self.gate.set()

    def send(self, parcel, on_percent, is_cancelled):
        while not self.gate.is_set():
            if is_cancelled():
                return Answer("cancelled")
            time.sleep(0.005)
        self.carried.append(parcel.source.name)
        self.read.append({name: path.read_text() for name, path in parcel.files()})
        on_percent(70)
        on_percent(30)
        return self.answers.pop(0) if self.answers else DONE


@pytest.fixture
def outbox():
    """Makes outboxes and closes them."""
    made = []

    def make(line):
        made.append(Outbox(line.send))
        return made[-1]

    yield make
    for one in made:
        one.close()


def results(folder, *names):
    for name in names:
        (folder / name).write_text(f"bytes of {name}")
    return [folder / name for name in names]


def wait_for_the_end(outbox):
    until = time.monotonic() + 10
    while outbox.is_busy:
        assert time.monotonic() < until
        outbox.wait(0.01)


def test_results_go_one_after_the_other_in_the_order_of_saving(tmp_path, outbox):
    line = Line(is_open=True)
    box = outbox(line)
    for source in results(tmp_path, "c", "a", "b"):
        box.add(source, hold=True)
    wait_for_the_end(box)

    assert line.carried == ["c", "a", "b"]
    assert all(parcel.is_sent for parcel in box.parcels)
    assert box.percent == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_what_is_removed_or_replaced_while_it_waits_is_uploaded_as_it_was_saved(tmp_path, outbox):
    line = Line()
    box = outbox(line)
    state = tmp_path / "moon-state"
    (state / "inner").mkdir(parents=True)
    (state / "inner" / "part.txt").write_text("old state")
    file, other = results(tmp_path, "moon.safetensors", "sun.safetensors")
    for source in (file, state, other):
        box.add(source, hold=True)
    file.unlink()
    other.unlink()
    other.write_text("a newer one")
    (state / "inner" / "part.txt").unlink()
    line.gate.set()
    wait_for_the_end(box)

    assert line.read == [
        {"moon.safetensors": "bytes of moon.safetensors"},
        {"moon-state/inner/part.txt": "old state"},
        {"sun.safetensors": "bytes of sun.safetensors"},
    ]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".tn-")]


def test_only_a_few_removed_results_are_kept_so_that_a_silent_hub_fills_no_disk(tmp_path, outbox):
    box = outbox(Line())
    for source in results(tmp_path, *(f"moon-{number}" for number in range(9))):
        box.add(source, hold=True)
        source.unlink()

    # Three that wait, and the one that is on its way.
    assert len(list(tmp_path.iterdir())) <= 4


def test_a_second_attempt_is_made_for_what_may_have_passed_only(tmp_path, outbox):
    line = Line(Answer(TROUBLE), Answer("refused", status=403), Answer(SILENT), is_open=True)
    box = outbox(line)
    trouble, refused, gone = (box.add(source, hold=False) for source in results(tmp_path, "a", "b", "c"))
    wait_for_the_end(box)
    gone.source.unlink()
    box.try_again()
    wait_for_the_end(box)

    assert line.carried == ["a", "b", "c", "a"]
    assert trouble.is_sent
    assert (trouble.attempts, refused.attempts, gone.attempts) == (2, 1, 1)


@pytest.mark.rule("flt-11")
def test_closing_gives_up_what_is_on_its_way_and_what_waits(tmp_path, outbox):
    box = outbox(Line())
    for source in results(tmp_path, "a", "b"):
        box.add(source, hold=True)
    began = time.monotonic()
    box.close()

    # What is on its way would take forever.
    assert time.monotonic() - began < 30
    assert not any(parcel.is_sent for parcel in box.parcels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_system_without_links_is_no_obstacle(tmp_path, outbox, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    line = Line(is_open=True)
    box = outbox(line)
    box.add(results(tmp_path, "a")[0], hold=True)
    wait_for_the_end(box)

    assert line.read == [{"a": "bytes of a"}]
