"""Two real processes: what one of them says, warns of or dies of is the business of both."""

import os
import sys
import time

import pytest
import torch
from several import run_several
from tanren.engine import together
from tanren.engine.board import FaultElsewhere
from tanren.errors import DataError, EnvironmentProblem, NumericError, OutOfMemory, SeveralProblems, StoppedOnRequest
from tanren.events import Report
from tanren.options.distributed import DistributedOptions

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
ORDINARY = DistributedOptions()


def never(error):
    raise AssertionError(error)


def joined(work, *, options=ORDINARY, give_up=never):
    """The work of each process, given the processes and its report; returns its result and what was told."""

    def begin(index):
        told = []
        report = Report([lambda event: told.append(event)])
        with together.joined(options, report, give_up) as processes:
            result = work(processes, report)
        return result, [(event["kind"], event.get("text")) for event in told]

    return begin


def results(work, **options):
    return [result for result, _ in run_several(joined(work, **options))]


def test_numbers_words_and_values_reach_both():
    def work(processes, report):
        flat = torch.tensor([1.0, 2.0]) * (processes.index + 1)
        processes.average(flat)
        words = processes.agree({"stop"} if processes.index else {"save"})
        mean = processes.average_of([1.0, 2.0] if processes.is_main else [6.0])
        return flat.tolist(), words, mean, processes.from_main(processes.index), processes.gather(processes.index)

    assert results(work) == [([1.5, 3.0], {"stop", "save"}, 3.0, 0, [0, 1])] * 2


def test_processes_that_were_started_by_hand_find_each_other():
    def work(processes, report):
        if processes.index:
            report.warning("the VAE overflows")
        processes.wait()

    (_, told), _ = run_several(joined(work), has_launcher=False)

    assert told == [("warning", "process 2 of 2 (rank 1): the VAE overflows")]


def test_what_the_other_process_warns_of_is_told_once_and_names_it():
    def work(processes, report):
        report.warning("both see this")
        if processes.index:
            report.warning("the VAE overflows")
            report.warning("the VAE overflows")
            report.tell("sample", file="b.png", index=1)
        processes.wait()

    (_, told), _ = run_several(joined(work))

    assert told == [
        ("warning", "both see this"),
        ("warning", "process 2 of 2 (rank 1): the VAE overflows"),
        ("sample", None),
    ]


def ends_with(error):
    def work(processes, report):
        if processes.index:
            raise error
        processes.wait()

    return run_several(joined(work))


def test_a_problem_in_another_process_is_the_problem_of_the_run():
    main, other = ends_with(DataError(where="b.png", what="It is cut off.", why="Byte 17.", fix="Make it anew."))

    assert main.kind is DataError
    assert main.text == "process 2 of 2 (rank 1), b.png: It is cut off.\n  Byte 17.\n  Make it anew."
    assert other.text == "b.png: It is cut off.\n  Byte 17.\n  Make it anew."


def test_several_problems_in_another_process_stay_several():
    problems = [DataError(where="a.png", what="Cut off."), NumericError(what="NaN.")]

    main, _ = ends_with(SeveralProblems(problems))

    assert main.kind is SeveralProblems
    assert [(told["code"], told["where"]) for told in main.told] == [
        (DataError.code, "process 2 of 2 (rank 1), a.png"),
        (NumericError.code, "process 2 of 2 (rank 1)"),
    ]


def test_a_fault_in_another_process_comes_with_its_traceback():
    main, _ = ends_with(ZeroDivisionError("an epoch of no batches"))

    assert main.kind is FaultElsewhere
    assert main.text == "process 2 of 2 (rank 1): ZeroDivisionError('an epoch of no batches')"


def test_a_stop_in_one_process_before_the_training_stops_both():
    main, _ = ends_with(StoppedOnRequest("Nothing was learnt."))

    assert main.kind is StoppedOnRequest
    assert main.text == "Nothing was learnt."


@pytest.mark.rule("flt-07")
def test_a_process_that_was_killed_is_named():
    def work(processes, report):
        if processes.index:
            os._exit(9)
        processes.wait()

    main, code = run_several(joined(work))

    assert code == 9
    assert main.kind is OutOfMemory
    assert main.text.startswith("process 2 of 2 (rank 1): It ended without a word.\n")


@pytest.mark.option("ddp_timeout")
def test_a_process_that_does_not_come_in_time_is_named_with_what_it_does():
    """A limit of two seconds; who comes late learns that the run has ended without it."""

    def work(processes, report):
        with report.phase("cache latents", 1):
            if processes.index:
                time.sleep(5)
        processes.average(torch.ones(1))

    main, late = run_several(joined(work, options=DistributedOptions(ddp_timeout=2 / 60)))

    assert main.kind is late.kind is EnvironmentProblem
    (told,) = main.told
    assert told["where"] == "process 2 of 2 (rank 1)"
    assert told["what"] == "It lives, but did not come in the time that processes wait for each other."
    assert str(told["why"]).startswith("Last heard of in: cache latents.")
    assert str(told["fix"]).endswith("--ddp_timeout=MINUTES waits longer.")


@pytest.mark.option("ddp_timeout")
def test_without_a_limit_a_process_that_lives_is_waited_for():
    def work(processes, report):
        if processes.index:
            time.sleep(3)
        processes.wait()
        return "here"

    assert results(work) == ["here", "here"]


def test_a_process_that_hangs_when_another_one_has_ended_gives_up(monkeypatch):
    """A device can hang in a message to a process that is gone, and nothing can wake it."""
    monkeypatch.setattr(together, "GRACE_SECONDS", 1.0)

    def work(processes, report):
        if processes.index:
            raise DataError(where="b.png", what="It is cut off.")
        time.sleep(60)

    def give_up(error):
        os._exit(error.code)

    main, _ = run_several(joined(work, give_up=give_up))

    assert main == DataError.code
