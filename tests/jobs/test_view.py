import json

import pytest
from tanren.errors import UsageError
from tanren.files import append_line, write_json
from tanren.jobs.history import MOST_POINTS, History, pace, points_since
from tanren.jobs.terminal_text import TAIL_BYTES, read_terminal
from tanren.jobs.view import detail, file_path, log_text, sample_path, summary
from tanren.locks import Lock


def tell(folder, kind, **facts):
    append_line(folder / "events.jsonl", json.dumps({"kind": kind, "time": 1000.0, **facts}))


def step(folder, number, *, loss=0.5, seconds=0.1, **facts):
    known = {"epoch": 1, "average": 0.4, "lr": {"unet": 1e-4}, "memory": 100}
    tell(folder, "step", step=number, loss=loss, seconds=seconds, **known, **facts)


def train(folder, first, last, **facts):
    tell(folder, "phase", name="train", done=first - 1, total=100, epochs=2)
    for number in range(first, last + 1):
        step(folder, number, **facts)


def test_points_come_as_columns_and_then_only_what_is_new(tmp_path):
    train(tmp_path, 1, 2)
    step(tmp_path, 3, loss=None)

    points, following, more = points_since(tmp_path, 0)

    assert points == {
        "step": [1, 2, 3],
        "loss": [0.5, 0.5, None],
        "average": [0.4, 0.4, 0.4],
        "seconds": [0.1, 0.1, 0.1],
        "lr": {"unet": [1e-4, 1e-4, 1e-4]},
        "memory": [100, 100, 100],
    }
    assert not more
    assert following == (tmp_path / "events.jsonl").stat().st_size
    step(tmp_path, 4)
    assert points_since(tmp_path, following)[0]["step"] == [4]


@pytest.mark.rule("flt-01")
def test_a_torn_last_line_is_left_for_later(tmp_path):
    train(tmp_path, 1, 2)
    whole = (tmp_path / "events.jsonl").stat().st_size
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"kind": "step", "time": 1, "step": 3, "lo')

    points, following, more = points_since(tmp_path, 0)

    assert (points["step"], following, more) == ([1, 2], whole, False)
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'ss": 0.25}\n')
    assert points_since(tmp_path, following)[0]["loss"] == [0.25]


def test_steps_that_an_attempt_did_again_replace_the_lost_ones(tmp_path):
    train(tmp_path, 1, 5, loss=1.0)
    train(tmp_path, 3, 6, loss=2.0)

    points = points_since(tmp_path, 0)[0]

    assert points["step"] == [1, 2, 3, 4, 5, 6]
    assert points["loss"] == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_a_long_run_comes_in_several_answers(tmp_path):
    line = '{"kind": "step", "time": 1.0, "step": %d, "loss": 0.5}\n'
    (tmp_path / "events.jsonl").write_text("".join(line % number for number in range(1, 12001)))

    steps, since, answers, more = [], 0, 0, True
    while more:
        points, since, more = points_since(tmp_path, since)
        assert len(points["step"]) <= MOST_POINTS == 5000
        steps += points["step"]
        answers += 1

    assert steps == list(range(1, 12001))
    assert answers == 3


@pytest.mark.parametrize("since", [-5, 10**9, 7])
def test_any_offset_gives_an_answer(tmp_path, since):
    train(tmp_path, 1, 3)

    points, following, _ = points_since(tmp_path, since)

    assert points["step"] == [1, 2, 3]
    assert following == (tmp_path / "events.jsonl").stat().st_size
    assert points_since(tmp_path / "nowhere", 0)[0]["step"] == []


def test_odd_lines_do_no_harm(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(
        b"\x00\xff\n[1]\n{}\nnull\n"
        b'{"kind": 7}\n{"kind": "step", "step": "x"}\n{"kind": "sample"}\n{"kind": "saved"}\n{"kind": "epoch"}\n'
        b'{"kind": "step", "step": 1, "loss": "high", "lr": 3}\n'
    )

    assert points_since(tmp_path, 0)[0] == {
        "step": [1], "loss": [None], "average": [None], "seconds": [None], "lr": {}, "memory": [None],
    }  # fmt: skip
    assert len(History(tmp_path).look().samples) == 1


def test_the_first_step_of_an_attempt_is_not_counted_as_pace(tmp_path):
    train(tmp_path, 1, 1, seconds=90.0)
    assert pace(tmp_path, is_active=True) == (None, None)

    for number, seconds in enumerate([1.0, 1.0, 1.0, 5.0], 2):
        step(tmp_path, number, seconds=seconds)
    assert pace(tmp_path, is_active=True) == (1.0, 2.0)
    train(tmp_path, 6, 6, seconds=50.0)
    step(tmp_path, 7, seconds=3.0)
    assert pace(tmp_path, is_active=True) == (3.0, 3.0)


def test_samples_are_grouped_by_prompt_and_drawn_again_once(tmp_path):
    def sample(number, index, file):
        tell(tmp_path, "sample", file=f"/out/sample/{file}", prompt=f"prompt {index}", seed=7, index=index, step=number)

    sample(0, 0, "a.png")
    tell(tmp_path, "epoch", step=10, epoch=1, average=0.1)
    sample(10, 0, "b.png")
    sample(10, 1, "c.png")
    sample(15, 0, "lost.png")
    sample(15, 0, "d.png")

    history = History(tmp_path).look()

    assert [(one["path"], one["index"], one["step"], one["epoch"]) for one in history.samples] == [
        ("/out/sample/a.png", 0, 0, 0),
        ("/out/sample/b.png", 0, 10, 1),
        ("/out/sample/d.png", 0, 15, 2),
        ("/out/sample/c.png", 1, 10, 1),
    ]
    sample(20, 1, "e.png")
    assert history.look().samples[-1]["path"] == "/out/sample/e.png"


def test_samples_of_several_strengths_are_kept_apart(tmp_path):
    for strength in (1.0, -1.0, 0.0, 1.0):
        facts = {"prompt": "p", "seed": 7, "index": 0, "step": 5, "strength": strength}
        tell(tmp_path, "sample", file=f"/out/x{strength:+g}.png", **facts)

    samples = History(tmp_path).look().samples

    assert [(one["path"], one["strength"]) for one in samples] == [
        ("/out/x-1.png", -1.0),
        ("/out/x+0.png", 0.0),
        ("/out/x+1.png", 1.0),
    ]


@pytest.fixture
def running(shelf, submit, tmp_path):
    """A job that this process pretends to train."""
    job = submit("猫", max_train_steps=100, sample_prompts="prompts.txt")
    out = shelf.default_output(job.id)
    (out / "sample").mkdir(parents=True)
    (out / "cat-000001.safetensors").write_bytes(b"weights")
    (out / "sample" / "cat.png").write_bytes(b"picture")
    write_json(job.folder / "runner.json", {"attempt": 1, "nonce": "n", "pid": 1, "device": "cpu"})
    train(job.folder, 1, 20, seconds=2.0)
    tell(job.folder, "epoch", step=20, epoch=1, average=0.1)
    tell(job.folder, "saved", file=str(out / "cat-000001.safetensors"), step=20, epoch=1)
    tell(job.folder, "saved", file=str(out / "gone.safetensors"), step=20, epoch=1)
    tell(job.folder, "sample", file=str(out / "sample" / "cat.png"), prompt="a cat", seed=5, index=0, step=20)
    tell(job.folder, "warning", text="token=abcdef123456 is odd")
    progress = {"attempt": 1, "counter": 5, "phase": "train", "done": 20, "total": 100, "total_steps": 100}
    facts = {"total_epochs": 5, "step": 20, "epoch": 1, "loss": 0.5, "average": 0.4, "seconds": 2.0, "memory": 77}
    write_json(job.folder / "progress.json", {**progress, **facts, "sample": str(out / "sample" / "cat.png")})
    with Lock(job.folder / "job.lock").acquire(what="job"):
        yield job


def test_the_summary_of_a_running_job(running):
    told = summary(running)

    assert told["started"] > 1e9
    assert told["created"] > 1e9
    assert {name: told[name] for name in told if name not in ("id", "started", "created", "actions")} == {
        "name": "猫",
        "command": "train_network",
        "title": "Train a LoRA for Stable Diffusion 1.x and 2.x",
        "state": "running",
        "is_resumable": False,
        "resume_step": None,
        "is_paused": False,
        "is_by_hand": False,
        "is_unsaved": False,
        "code": None,
        "phase": "train",
        "done": 20,
        "total": 100,
        "step": 20,
        "total_steps": 100,
        "epoch": 1,
        "total_epochs": 5,
        "loss": 0.5,
        "average": 0.4,
        "seconds_per_step": 2.0,
        "eta_seconds": 160.0,
        "memory": 77,
        "device": "cpu",
        "ended": None,
        "order": 1,
        "attempt": 1,
        "retry_of": None,
        "grace_seconds": None,
        "reason": "",
        "sample": "cat.png",
    }
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_the_details_of_a_running_job(running, shelf):
    out = shelf.default_output(running.id)

    told = detail(running)

    assert told["samples"] == [
        {"file": "cat.png", "step": 20, "epoch": 1, "prompt": "a cat", "seed": 5, "index": 0},
    ]
    assert told["files"] == [
        {
            "name": "cat-000001.safetensors",
            "path": str(out / "cat-000001.safetensors"),
            "step": 20,
            "epoch": 1,
            "time": 1000.0,
            "bytes": 7,
            "exists": True,
        },
        {
            "name": "gone.safetensors",
            "path": str(out / "gone.safetensors"),
            "step": 20,
            "epoch": 1,
            "time": 1000.0,
            "bytes": None,
            "exists": False,
        },
    ]
    assert told["problem"] is None
    values = {setting["name"]: (setting["value"], setting["is_default"]) for setting in told["settings"]}
    assert values["max_train_steps"] == (100, False)
    assert values["train_batch_size"] == (1, True)
    assert "wandb_api_key" not in values
    assert told["points"]["step"] == list(range(1, 21))
    assert detail(running, told["next"])["points"]["step"] == []
    json.dumps(told, allow_nan=False)


def test_keys_and_tokens_are_never_shown(running, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "my-secret-value")
    tell(running.folder, "warning", text="my-secret-value was refused")
    (running.folder / "log.txt").write_text("login with my-secret-value and hf_abcdefghijklmnopqrstu\n")

    assert detail(running)["warnings"] == ["token=*** is odd", "*** was refused"]
    assert log_text(running)["text"] == "login with *** and ***\n"


def test_only_files_that_the_job_has_written_are_found(running, shelf):
    out = shelf.default_output(running.id)

    assert sample_path(running, "cat.png") == out / "sample" / "cat.png"
    assert file_path(running, "cat-000001.safetensors") == out / "cat-000001.safetensors"
    for wrong in ("../spec.json", "spec.json", "gone.safetensors", "", str(out / "sample" / "cat.png")):
        with pytest.raises(UsageError, match="no such file"):
            sample_path(running, wrong)
        with pytest.raises(UsageError, match="no such file"):
            file_path(running, wrong)


def test_a_summary_follows_its_files(running):
    assert summary(running)["loss"] == 0.5
    progress = json.loads((running.folder / "progress.json").read_text("utf-8"))
    write_json(running.folder / "progress.json", {**progress, "loss": 0.25, "step": 21})

    assert (summary(running)["loss"], summary(running)["step"]) == (0.25, 21)


def test_the_log_is_followed_line_by_line(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes("erste Zeile 猫\nsecond \x1b[31mred\x1b[0m\nsteps:   1%|".encode())

    first = read_terminal(log, 0)

    assert first.text == "erste Zeile 猫\nsecond red\n"
    assert (first.unfinished, first.more) == ("steps:   1%|", False)
    with log.open("ab") as file:
        file.write(b"\rsteps:  50%|##\rsteps: 100%|####")
    bar = read_terminal(log, first.next)
    assert (bar.text, bar.unfinished) == ("", "steps: 100%|####")
    with log.open("ab") as file:
        file.write(b"\nsaved\r\nlast\n")
    assert read_terminal(log, bar.next).text == "steps: 100%|####\nsaved\nlast\n"
    assert read_terminal(log, log.stat().st_size).text == ""
    assert read_terminal(log, 10**9).text == first.text + "steps: 100%|####\nsaved\nlast\n"


def test_of_a_long_log_the_end_is_shown(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number:06d}\n" for number in range(20000)))

    shown = read_terminal(log, 0)

    assert len(shown.text) <= TAIL_BYTES
    assert shown.text.startswith("line 0")
    assert shown.text.endswith("line 019999\n")
    assert shown.next == log.stat().st_size


def test_what_would_turn_text_around_is_not_shown(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes("a\u202egnp.exe\u2066 b\x07\x08\tc\x9b\n".encode() + b"\xff\xfe bad\n")

    assert read_terminal(log, 0).text == "agnp.exe b\tc\n\ufffd\ufffd bad\n"
    assert read_terminal(tmp_path / "none", 0).text == ""
