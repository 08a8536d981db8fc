import threading
from dataclasses import fields

import pytest
from tanren.commands import COMMANDS
from tanren.engine import saver as saver_module
from tanren.engine.position import Position
from tanren.engine.processes import Processes
from tanren.engine.saver import Saver
from tanren.errors import StorageError
from tanren.events import Report
from tanren.folders import durable_folder
from tanren.options.parse import parse
from tanren.options.saving import SavingOptions
from torch import device

ALONE = Processes(device("cpu"))


class Threads(Processes):
    """Two processes as threads that meet at a barrier; one that waits for something else is an error, not a hang."""

    def __init__(self, index, meeting, said):
        super().__init__(device("cpu"), index, 2)
        object.__setattr__(self, "_meeting", meeting)
        object.__setattr__(self, "_said", said)

    def _exchange(self, kind, value):
        self._said[self.index] = (kind, value)
        self._meeting.wait(10)
        heard = dict(self._said)
        self._meeting.wait(10)
        assert {told for told, _ in heard.values()} == {kind}
        return [heard[0][1], heard[1][1]]

    def wait(self):
        self._exchange("wait", None)

    def agree(self, words):
        return set().union(*self._exchange("agree", words))


def make_saver(folder, *, write_weights=None, job_dir=None, num_epochs=4, processes=ALONE, **options):
    def write(path, position):
        path.write_text(f"{position.step}")

    def write_state(path, position):
        durable_folder(path, lambda part: (part / "state.txt").write_text(f"{position.step}"))

    events = []
    saver = Saver(
        SavingOptions(output_dir=str(folder), output_name="moon", **options),
        num_epochs,
        write_weights=write_weights or write,
        write_state=write_state,
        processes=processes,
        report=Report([events.append]),
        job_dir=job_dir,
    )
    return saver, events


def run_steps(saver, steps, *, first=1):
    for step in range(first, steps + 1):
        saver.after_step(Position(step=step), settled=lambda: None)
        agreed = saver.processes.agree(saver.due())
        if "retry" in agreed:
            saver.save_now(Position(step=step))
        if "state" in agreed:
            saver.save_automatic_state(Position(step=step))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_steps_are_kept_for_a_window_of_steps(tmp_path):
    saver, _ = make_saver(tmp_path, save_every_n_steps=10, save_last_n_steps=30)

    run_steps(saver, 50)

    assert names_in(tmp_path) == [f"moon-step{step:08d}.safetensors" for step in (20, 30, 40, 50)]


def test_the_newest_epochs_are_kept_and_the_last_is_the_final_file(tmp_path):
    saver, _ = make_saver(tmp_path, save_every_n_epochs=1, save_last_n_epochs=2, save_state=True)

    for epoch in (1, 2, 3, 4):
        saver.after_epoch(Position(step=epoch * 5, epoch=epoch))
    saver.finish(Position(step=20, epoch=4))

    assert names_in(tmp_path) == [
        "moon-000002-state",
        "moon-000002.safetensors",
        "moon-000003-state",
        "moon-000003.safetensors",
        "moon-state",
        "moon.safetensors",
    ]


KEPT = [
    pytest.param("save_every_n_epochs=2", "000002 moon", marks=pytest.mark.option("save_every_n_epochs")),
    pytest.param("save_n_epoch_ratio=4", "000001 000002 000003 moon", marks=pytest.mark.option("save_n_epoch_ratio")),
    pytest.param("save_every_n_steps=5", "5 10 15 20 moon", marks=pytest.mark.option("save_every_n_steps")),
    pytest.param("save_state_on_train_end", "moon moon-state", marks=pytest.mark.option("save_state_on_train_end")),
    pytest.param(
        "save_every_n_epochs=1 save_last_n_epochs=1", "000003 moon", marks=pytest.mark.option("save_last_n_epochs")
    ),
    pytest.param(
        "save_every_n_steps=5 save_last_n_steps=5", "15 20 moon", marks=pytest.mark.option("save_last_n_steps")
    ),
    pytest.param(
        "save_every_n_epochs=1 save_state save_last_n_epochs=2 save_last_n_epochs_state=1",
        "000002 000003 000003-state moon moon-state",
        marks=pytest.mark.option("save_last_n_epochs", "save_last_n_epochs_state", "save_state"),
    ),
    pytest.param(
        "save_every_n_steps=5 save_state save_last_n_steps=10 save_last_n_steps_state=0",
        "10 15 20 20-state moon moon-state",
        marks=pytest.mark.option("save_last_n_steps", "save_last_n_steps_state", "save_state"),
    ),
]


@pytest.mark.parametrize(("words", "kept"), KEPT)
def test_options_of_saving_decide_what_lies_there_after_four_epochs_of_five_steps(tmp_path, words, kept):
    groups = COMMANDS["train_network"].groups
    options = parse("train_network", groups, [f"--{word}" for word in words.split()]).settings[SavingOptions]
    saver, _ = make_saver(tmp_path, **{field.name: getattr(options, field.name) for field in fields(options)[2:]})

    for epoch in range(4):
        run_steps(saver, 5 * epoch + 5, first=5 * epoch + 1)
        saver.after_epoch(Position(step=5 * epoch + 5, epoch=epoch + 1))
    saver.finish(Position(step=20, epoch=4))

    assert {path.name for path in tmp_path.iterdir()} == {named(word) for word in kept.split()}


def named(word):
    """`5` is the file of a step, `000002` of an epoch, with `-state` the folder beside it."""
    if word.startswith("moon"):
        return word if "-" in word else f"{word}.safetensors"
    number, _, state = word.partition("-")
    stem = f"moon-{number}" if len(number) == 6 else f"moon-step{int(number):08d}"
    return f"{stem}-state" if state else f"{stem}.safetensors"


def test_folders_in_diffusers_layout_go_by_the_same_rules(tmp_path):
    def write(path, position):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{position.step}")

    rules = {"save_every_n_steps": 10, "save_last_n_steps": 10, "save_model_as": "diffusers_safetensors"}
    saver, _ = make_saver(tmp_path, write_weights=write, **rules)

    run_steps(saver, 40)
    saver.finish(Position(step=40))

    assert names_in(tmp_path) == ["moon", "moon-step00000030", "moon-step00000040"]
    assert names_in(tmp_path / "moon") == ["pytorch_lora_weights.safetensors"]


@pytest.mark.rule("flt-02")
def test_a_full_disk_is_tried_again_while_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(saver_module, "RETRY_AFTER_SECONDS", (0.0, 0.0, 0.0))
    failures = [1, 1]

    def write(path, position):
        if failures:
            failures.pop()
            raise StorageError(what="No space left on the disk.", where=str(path))
        path.write_text("good")

    saver, events = make_saver(tmp_path, write_weights=write, save_every_n_steps=2)
    run_steps(saver, 5)

    assert names_in(tmp_path) == ["moon-step00000003.safetensors", "moon-step00000004.safetensors"]
    assert [event["kind"] for event in events] == ["warning", "warning", "saved", "saved"]


@pytest.mark.rule("flt-02")
def test_all_processes_take_part_when_a_save_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(saver_module, "RETRY_AFTER_SECONDS", (0.0,))
    failures = [1]

    def write(path, position):
        if failures:
            failures.pop()
            raise StorageError(what="No space left on the disk.", where=str(path))
        path.write_text("good")

    meeting, said, ended = threading.Barrier(2), {}, []

    def work(index):
        processes = Threads(index, meeting, said)
        run_steps(make_saver(tmp_path, write_weights=write, processes=processes, save_every_n_steps=2)[0], 5)
        ended.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(ended) == [0, 1]
    assert names_in(tmp_path) == ["moon-step00000002.safetensors", "moon-step00000004.safetensors"]


@pytest.mark.rule("flt-02")
def test_a_disk_that_stays_full_ends_the_run_with_code_5(tmp_path, monkeypatch):
    monkeypatch.setattr(saver_module, "RETRY_AFTER_SECONDS", (0.0, 0.0, 0.0))

    def write(path, position):
        raise StorageError(what="No space left on the disk.", where=str(path))

    saver, _ = make_saver(tmp_path, write_weights=write, save_every_n_steps=1)

    with pytest.raises(StorageError, match="No space left") as caught:
        run_steps(saver, 10)
    assert caught.value.code == 5


@pytest.mark.rule("flt-03")
def test_a_vanished_output_folder_sends_the_result_to_the_job_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(saver_module, "RETRY_AFTER_SECONDS", (0.0,))
    job = tmp_path / "job"
    job.mkdir()

    def write(path, position):
        if path.parent != job:
            raise StorageError(what="The folder is gone.", where=str(path))
        path.write_text("good")

    saver, events = make_saver(tmp_path / "gone", write_weights=write, job_dir=job)
    saver.finish(Position(step=3, epoch=1))

    assert (job / "moon.safetensors").read_text() == "good"
    assert str(job / "moon.safetensors") in events[-1]["text"]


@pytest.mark.rule("flt-01")
def test_a_job_keeps_its_two_newest_automatic_states(tmp_path):
    saver, _ = make_saver(tmp_path, job_dir=tmp_path / "job")

    for epoch in (1, 2, 3):
        saver.after_epoch(Position(step=epoch * 7, epoch=epoch))

    assert names_in(tmp_path / "job" / "checkpoints") == ["step-00000014", "step-00000021"]
