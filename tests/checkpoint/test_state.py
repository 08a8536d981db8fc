import errno
import json
import random
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from faults import count_calls, die_at, refuse_at
from tanren.checkpoint.choosing import choose_state, state_to_resume
from tanren.checkpoint.describe import Session
from tanren.checkpoint.fingerprint import Fingerprint, differences, fingerprint_of
from tanren.checkpoint.rng import capture_streams, restore_streams
from tanren.checkpoint.state import (
    TrainState,
    load_state,
    plain_data,
    restore_optimizer,
    save_state,
    session_of,
)
from tanren.errors import NumericError, ResumeError, StorageError
from tanren.folders import faults_of, sweep
from tanren.options.dataset import DatasetOptions
from tanren.options.job import JobOptions
from tanren.options.network import NetworkOptions
from tanren.options.optimizer import OptimizerOptions
from tanren.options.saving import ResumeOptions, SavingOptions
from tanren.options.spec import Settings
from tanren.options.tracking import TrackingOptions
from tanren.options.training import TrainingOptions

posix = pytest.mark.skipif(sys.platform == "win32", reason="fork")
PRINT = Fingerprint({"learning_rate": 1e-4}, "d", "b", "v", 1, "cpu", "no", {"torch": "2.13.0"})


def a_state(step=5, **changes):
    whole = TrainState(
        step=step,
        epoch=1,
        batch=2,
        weights={"a.lora_up.weight": torch.full((2, 2), float(step))},
        optimizer={},
        scheduler={"count": step},
        scaler=None,
        streams=capture_streams(),
        session=Session(7, 1700000000.5, 42),
        fingerprint=PRINT,
        counters={"average": {"losses": [0.1, 0.2], "total": 0.30000000000000004}},
    )
    return replace(whole, **changes)


def test_a_state_comes_back_as_it_was_saved(tmp_path):
    save_state(tmp_path / "cat-state", a_state(scaler={"scale": 1024.0}))

    state, accepted = load_state(tmp_path / "cat-state", PRINT)

    assert accepted == []
    assert (state.step, state.epoch, state.batch) == (5, 1, 2)
    assert torch.equal(state.weights["a.lora_up.weight"], torch.full((2, 2), 5.0))
    assert state.scheduler == {"count": 5}
    assert state.scaler == {"scale": 1024.0}
    assert state.session == Session(7, 1700000000.5, 42)
    assert state.counters["average"]["total"] == 0.30000000000000004
    assert state.fingerprint == PRINT
    assert json.loads((tmp_path / "cat-state" / "train_state.json").read_text()) == {
        "current_epoch": 2,
        "current_step": 5,
    }


def test_weights_keep_the_precision_they_are_trained_in(tmp_path):
    weights = {"w": torch.tensor([1 / 3], dtype=torch.bfloat16), "alpha": torch.tensor(1 / 3, dtype=torch.float64)}
    save_state(tmp_path / "cat-state", a_state(weights=weights))

    state, _ = load_state(tmp_path / "cat-state", PRINT)

    assert {name: (tensor.dtype, tensor) for name, tensor in state.weights.items()} == {
        name: (tensor.dtype, tensor) for name, tensor in weights.items()
    }


def optimizers():
    def built(module, name, **more):
        return pytest.param(lambda params: getattr(pytest.importorskip(module), name)(params, **more), id=name)

    return [
        built("torch.optim", "AdamW", lr=1e-2),
        built("torch.optim", "SGD", lr=1e-2, momentum=0.9),
        built("torch.optim", "Adagrad", lr=1e-2),
        built("transformers.optimization", "Adafactor", lr=None, relative_step=True, warmup_init=True),
        built("bitsandbytes.optim", "AdamW8bit", lr=1e-2),
        built("bitsandbytes.optim", "Lion8bit", lr=1e-3),
        built("lion_pytorch", "Lion", lr=1e-3),
        built("prodigyopt", "Prodigy", lr=1.0),
        built("dadaptation", "DAdaptAdam", lr=1.0),
        built("schedulefree", "AdamWScheduleFree", lr=1e-2, warmup_steps=3),
    ]


@pytest.mark.parametrize("make", optimizers())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_every_optimizer_goes_on_bit_for_bit(tmp_path, make, dtype):
    """8-bit kinds quantize tensors of 4096 numbers and more."""

    def start():
        torch.manual_seed(0)
        parameter = torch.nn.Parameter(torch.randn(64, 64).to(dtype))
        try:
            optimizer = make([parameter])
        except (ValueError, TypeError, RuntimeError) as error:
            pytest.skip(f"cannot be made here: {error}")
        if hasattr(optimizer, "train"):
            optimizer.train()
        return parameter, optimizer

    def updates(parameter, optimizer, first, last):
        for number in range(first, last):
            gradient = torch.randn(64, 64, generator=torch.Generator().manual_seed(number))
            parameter.grad = gradient.to(dtype)
            try:
                optimizer.step()
            except (RuntimeError, NotImplementedError, AssertionError) as error:
                pytest.skip(f"does not run here: {error}")

    undisturbed = start()
    updates(*undisturbed, 0, 6)
    killed = start()
    updates(*killed, 0, 3)
    save_state(tmp_path / "cat-state", a_state(weights={"w": killed[0].detach()}, optimizer=killed[1].state_dict()))

    state, _ = load_state(tmp_path / "cat-state", PRINT)
    resumed = start()
    resumed[0].data.copy_(state.weights["w"])
    restore_optimizer(resumed[1], state.optimizer)
    updates(*resumed, 3, 6)

    assert torch.equal(resumed[0], undisturbed[0])


def test_an_object_that_cannot_be_read_back_safely_is_refused_when_saving(tmp_path):
    class Odd:
        pass

    with pytest.raises(ResumeError, match="cannot hold the Odd") as refusal:
        save_state(tmp_path / "cat-state", a_state(optimizer={"state": {0: {"odd": Odd()}}}))

    assert refusal.value.where == "optimizer.state.0.odd"
    assert not (tmp_path / "cat-state").exists()


def test_numpy_numbers_and_default_dicts_become_plain():
    counted = defaultdict(dict, {0: {"d": np.float64(0.5), "k": np.int32(3), "v": np.arange(2), "b": (0.9, 0.99)}})

    plain = plain_data({"state": counted}, "optimizer")

    assert type(plain["state"]) is dict
    assert type(plain["state"][0]["d"]) is float and type(plain["state"][0]["k"]) is int
    assert plain["state"][0]["v"].tolist() == [0, 1]
    assert plain["state"][0]["b"] == (0.9, 0.99)


def test_weights_that_are_not_finite_make_no_state(tmp_path):
    with pytest.raises(NumericError):
        save_state(tmp_path / "cat-state", a_state(weights={"w": torch.tensor([float("nan")])}))

    assert list(tmp_path.iterdir()) == []


def test_random_streams_of_others_go_on():
    def draws():
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    streams = capture_streams()
    first = draws()
    restore_streams(streams, "state")

    assert draws() == first


def test_streams_of_another_number_of_gpus_are_refused():
    with pytest.raises(ResumeError, match="saved with 1 GPUs, here are"):
        restore_streams({**capture_streams(), "cuda": [torch.get_rng_state()] * (torch.cuda.device_count() or 1)}, "x")


def test_streams_survive_the_file(tmp_path):
    save_state(tmp_path / "cat-state", a_state())
    state, _ = load_state(tmp_path / "cat-state", PRINT)
    expected = (random.random(), float(np.random.rand()), float(torch.rand(())))

    restore_streams(state.streams, "state")

    assert isinstance(expected[0], float)
    restore_streams(state.streams, "state")
    again = (random.random(), float(np.random.rand()), float(torch.rand(())))
    restore_streams(state.streams, "state")
    assert (random.random(), float(np.random.rand()), float(torch.rand(()))) == again


@posix
@pytest.mark.rule("flt-01")
def test_a_process_killed_while_saving_leaves_the_older_state_or_the_new_one(tmp_path):
    calls = len(count_calls(lambda: save_state(tmp_path / "counted-state", a_state())))
    steps = set()

    for call in range(1, calls + 1, 2):
        place = tmp_path / str(call)
        place.mkdir()
        save_state(place / "cat-000001-state", a_state(step=1))
        die_at(call, lambda place=place: save_state(place / "cat-000002-state", a_state(step=2)))
        sweep(place, before=2**40)
        state, _ = load_state(choose_state(place)[0], PRINT)
        assert torch.equal(state.weights["a.lora_up.weight"], torch.full((2, 2), float(state.step)))
        steps.add(state.step)

    assert steps == {1, 2}


@posix
@pytest.mark.rule("flt-02")
def test_a_full_disk_while_saving_a_state_is_a_storage_error(tmp_path):
    save_state(tmp_path / "cat-state", a_state(step=1))
    calls = count_calls(lambda: save_state(tmp_path / "other-state", a_state(step=2)))

    for call in range(1, len(calls), 4):
        with pytest.raises(StorageError):
            refuse_at(call, errno.ENOSPC, lambda: save_state(tmp_path / "cat-state", a_state(step=2)))
        assert faults_of(tmp_path / "cat-state", hashes=True) == []


def test_a_damaged_state_is_passed_over_for_the_next_older_one_and_that_is_said(tmp_path):
    for step in (10, 20, 30):
        save_state(tmp_path / f"cat-step{step:08d}-state", a_state(step=step))
    save_state(tmp_path / "dog-step00000025-state", a_state(step=25))
    (tmp_path / "cat-step00000030-state" / "training.pt").write_bytes(b"")

    chosen, lines = choose_state(tmp_path / "cat-step00000030-state")

    assert chosen == tmp_path / "cat-step00000020-state"
    assert len(lines) == 1
    assert lines[0].startswith("cat-step00000030-state cannot be used: training.pt has 0 bytes instead of ")
    assert lines[0].endswith("Resuming from cat-step00000020-state, the next older one.")


def test_a_folder_of_states_means_its_newest_whole_one_by_step_and_not_by_age(tmp_path):
    for step in (20, 10):
        save_state(tmp_path / f"step-{step:08d}", a_state(step=step))

    assert choose_state(tmp_path) == (tmp_path / "step-00000020", [])


def test_of_a_folder_of_states_a_damaged_one_that_is_passed_over_is_said(tmp_path):
    for step in (10, 20):
        save_state(tmp_path / f"step-{step:08d}", a_state(step=step))
    (tmp_path / "step-00000020" / "training.pt").write_bytes(b"")

    chosen, (line,) = choose_state(tmp_path)

    assert chosen == tmp_path / "step-00000010"
    assert line.startswith("step-00000020 cannot be used: training.pt has 0 bytes")
    assert line.endswith("Resuming from step-00000010, the next older one.")


def resuming(**options):
    return Settings(
        "train_network", [ResumeOptions(resume=options.get("resume")), JobOptions(job_dir=options.get("job"))]
    )


def test_a_job_goes_on_from_its_own_states_unless_another_is_named(tmp_path):
    checkpoints = tmp_path / "job" / "checkpoints"
    assert state_to_resume(resuming()) is None
    assert state_to_resume(resuming(job=str(tmp_path / "job"))) is None
    checkpoints.mkdir(parents=True)
    assert state_to_resume(resuming(job=str(tmp_path / "job"))) is None

    save_state(checkpoints / "step-00000010", a_state(step=10))

    assert state_to_resume(resuming(job=str(tmp_path / "job"))) == checkpoints
    assert state_to_resume(resuming(job=str(tmp_path / "job"), resume="x-state")) == Path("x-state")


def test_a_run_without_a_seed_goes_on_with_the_one_it_drew(tmp_path):
    save_state(tmp_path / "step-00000010", a_state(step=10))

    assert session_of(tmp_path).seed == 42


def test_nothing_to_resume_from_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat-state").mkdir()
    (tmp_path / "cat-state" / "optimizer.bin").write_bytes(b"x")

    with pytest.raises(ResumeError, match="It is no whole state"):
        choose_state(tmp_path / "empty")
    with pytest.raises(ResumeError, match="There is no such folder"):
        choose_state(tmp_path / "none")
    with pytest.raises(ResumeError, match="a state of sd-scripts") as refusal:
        choose_state(tmp_path / "cat-state")
    assert refusal.value.code == 8


def test_a_flipped_bit_is_found(tmp_path):
    save_state(tmp_path / "cat-state", a_state())
    path = tmp_path / "cat-state" / "training.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(ResumeError, match=r"It is no whole state") as refusal:
        load_state(tmp_path / "cat-state", PRINT)
    assert refusal.value.why == "training.pt was changed: its SHA-256 is another."


def test_a_state_of_a_newer_format_is_refused_with_its_number(tmp_path):
    save_state(tmp_path / "cat-state", a_state())
    manifest = tmp_path / "cat-state" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["facts"]["format"] = 2
    manifest.write_text(json.dumps(content))

    with pytest.raises(ResumeError, match="a state of format 2; this version reads format 1"):
        load_state(tmp_path / "cat-state", PRINT)


def test_every_difference_is_listed_and_only_named_ones_are_accepted(tmp_path):
    save_state(tmp_path / "cat-state", a_state())
    now = replace(PRINT, settings={"learning_rate": 2e-4}, data="other")

    with pytest.raises(ResumeError) as refusal:
        load_state(tmp_path / "cat-state", now, ["data"])
    assert refusal.value.what == "This run is not the one that saved this state; 1 thing changed."
    assert refusal.value.why == "learning_rate: 0.0001 before, 0.0002 now"
    assert refusal.value.fix.endswith("--allow_changes learning_rate")

    state, accepted = load_state(tmp_path / "cat-state", now, ["data", "learning_rate"])
    assert [one.name for one in accepted] == ["learning_rate", "data"]
    assert state.accepted_changes == ["learning_rate", "data"]


def printed(**options):
    groups = (DatasetOptions, NetworkOptions, OptimizerOptions, TrainingOptions, SavingOptions, TrackingOptions)
    settings = Settings(
        "train_network",
        [
            kind(**{name: value for name, value in options.items() if name in kind.__dataclass_fields__})
            for kind in groups
        ],
    )
    known = {"data": "d", "base_model": "b", "vae": "", "processes": 1, "device": "cpu", "precision": "no"}
    return fingerprint_of(settings, torch_version="2.13.0", **known)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"learning_rate": 1.0}, ["learning_rate"]),
        ({"network_dim": 8, "seed": 1}, ["network_dim", "seed"]),
        ({"max_train_steps": 9, "max_train_epochs": 3}, []),
        ({"output_dir": "x", "output_name": "y", "save_every_n_steps": 3, "logging_dir": "z"}, []),
        ({"train_data_dir": "moved", "max_data_loader_n_workers": 0}, []),
    ],
)
def test_what_decides_the_next_update_must_be_the_same_and_the_rest_may_differ(options, names):
    assert [one.name for one in differences(printed(), printed(**options))] == names


def test_only_the_first_number_of_a_version_counts():
    old = replace(PRINT, versions={"torch": "2.13.0+cpu", "python": "3.11.2"})

    assert differences(old, replace(PRINT, versions={"torch": "2.14.1", "python": "3.12.0"})) == []
    assert [one.name for one in differences(old, replace(PRINT, versions={"torch": "3.0", "python": "3.11.2"}))] == [
        "torch"
    ]


def test_secrets_are_in_no_fingerprint():
    assert "secret-key" not in json.dumps(printed(wandb_api_key="secret-key").settings)
