"""Joins the processes of a run, and ends them together: what ends one of them becomes the report of all."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs

from ..errors import EnvironmentProblem, OutOfMemory, SeveralProblems, StoppedOnRequest, UsageError, UserError
from ..events import Event, Report
from ..options.distributed import DistributedOptions
from .board import Board, Ending, Mark, name_of
from .processes import AS_LONG_AS_IT_TAKES, LostProcesses, Processes
from .sharing import asked_sharing

LOOK_SECONDS = 0.5
# A process that has heard of an ending elsewhere gets this long to end by itself; it may hang in a message to the dead.
GRACE_SECONDS = 10.0
# So long a reason may take to arrive after the connection broke; also more than two marks of a living process.
REASON_SECONDS = 4.0
# The devices' messages run out later than those of the hosts, whose failure can be told.
LATER = timedelta(minutes=1)

GiveUp = Callable[[Exception], None]


@contextmanager
def joined(options: DistributedOptions, report: Report, give_up: GiveUp) -> Iterator[Processes]:
    """Join the processes that the launcher started, if it did; leave together.

    Args:
        options: how long to wait for each other, and who holds the model.
        report: told what other processes warn of.
        give_up: ends this process from another thread, with a report, when it hangs in a message that cannot arrive.

    Raises:
        UserError: what ended another process, with its number; or one is gone, or did not come in time.
        StoppedOnRequest: another process was asked to stop before there was anything to save.
    """
    count = int(os.environ.get("WORLD_SIZE", "1") or 1)
    sharing = asked_sharing(options, count, report)
    if count == 1:
        yield Processes(_accelerator(None).device)
        # A launcher of one process makes a group all the same.
        if dist.is_initialized():
            dist.destroy_process_group()
        return
    _refuse_half_launched()
    index = int(os.environ["RANK"])
    board = Board(index, count)
    report.add_sink(board.note_phase)
    if index:
        report.add_sink(board.say)
    watch = Watch(board, give_up)
    try:
        processes = replace(_join(options, board, Listener(board, report), watch), sharing=sharing)
        yield processes
        processes.wait()
    except BaseException as error:
        reason = _reason(error, board)
        if reason is error:
            raise
        raise reason from error
    finally:
        watch.stop()
    dist.destroy_process_group()


def tell_before_joining(error: BaseException) -> None:
    """Announce why this process does not join; does nothing where no launcher keeps a store."""
    if not _has_store() or _missing_variables():
        return
    board = Board(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    # The launcher may be gone, and then nobody waits.
    with suppress(RuntimeError):
        board.connect()
        board.announce(_ending_of(error, board.index))


class Listener:
    """Tells in the main process what the others warn of, each text once."""

    def __init__(self, board: Board, report: Report) -> None:
        self._board, self._report = board, report
        self._told: set[str] = set()
        if board.index == 0:
            report.add_sink(self._note)

    def __call__(self) -> None:
        """Pass on what is new."""
        if self._board.index:
            return
        for index, event in self._board.hear():
            facts = {name: value for name, value in event.items() if name not in ("kind", "time")}
            if event["kind"] == "warning":
                if event["text"] in self._told:
                    continue
                self._told.add(event["text"])
                facts["text"] = f"{name_of(index, self._board.count)}: {event['text']}"
            self._report.tell(event["kind"], **facts)

    def _note(self, event: Event) -> None:
        if event["kind"] == "warning":
            self._told.add(event["text"])


class Watch:
    """A thread that shows that this process lives, and looks whether another one has ended.

    Args:
        board: of the run.
        give_up: called when this process has not ended by itself some seconds after another one did.
    """

    def __init__(self, board: Board, give_up: GiveUp) -> None:
        self._board, self._give_up = board, give_up
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="other processes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End: this process leaves by itself."""
        self._ended.set()

    def _look(self) -> None:
        heard_at: float | None = None
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._board.mark()
            except RuntimeError:
                # The launcher is gone; what still works, goes on.
                return
            ending = self._board.ending()
            if ending is None or ending.index == self._board.index:
                continue
            heard_at = heard_at or time.monotonic()
            if time.monotonic() - heard_at > GRACE_SECONDS:
                self._give_up(ending.as_exception(self._board.count))


def _join(options: DistributedOptions, board: Board, hear: Callable[[], None], watch: Watch) -> Processes:
    patience = timedelta(minutes=options.ddp_timeout) if options.ddp_timeout else None
    # The store of a launcher is there from the beginning; without a launcher the main process makes one by joining.
    if _has_store():
        board.connect()
        _refuse_lost(board)
        watch.start()
        accelerator = _accelerator(patience)
    else:
        accelerator = _accelerator(patience)
        board.connect()
        watch.start()
    on_cpu = accelerator.device.type == "cpu"
    hosts = None if on_cpu else dist.new_group(backend="gloo", timeout=patience or dist.default_pg_timeout)
    return Processes(
        accelerator.device,
        accelerator.process_index,
        accelerator.num_processes,
        hosts,
        patience or AS_LONG_AS_IT_TAKES,
        board,
        hear,
    )


def _has_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _refuse_lost(board: Board) -> None:
    """Not even begin when another process has ended already."""
    ending = board.ending()
    if ending is not None:
        raise ending.as_exception(board.count)


def _missing_variables() -> list[str]:
    return [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]


def _refuse_half_launched() -> None:
    missing = _missing_variables()
    if missing:
        raise UsageError(
            where="WORLD_SIZE",
            what=f"It says that several processes train, but {', '.join(missing)} is not set.",
            fix="Start with `accelerate launch --multi_gpu` or `torchrun`, which set all of them; or unset WORLD_SIZE.",
        )


def _accelerator(patience: timedelta | None) -> Accelerator:
    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    handlers = [InitProcessGroupKwargs(timeout=patience if on_cpu else patience + LATER)] if patience else []
    # Precision is ours; what accelerate's own configuration says about it can only fail here.
    return Accelerator(mixed_precision="no", kwargs_handlers=handlers)


def _reason(error: BaseException, board: Board) -> BaseException:
    """What this process ends with; tells the others, if it is the first to know."""
    if isinstance(error, LostProcesses):
        then = board.marks()
        ending = _ending_soon(board)
        if ending is not None:
            return ending.as_exception(board.count)
        error = _missing(str(error), board, then, board.marks())
    elif not isinstance(error, (UserError, StoppedOnRequest)):
        # Messages of the device fail where their result is read, with an error of any kind.
        ending = board.ending()
        if ending is not None and ending.index != board.index:
            return ending.as_exception(board.count)
    board.announce(_ending_of(error, board.index))
    return error


def _ending_soon(board: Board) -> Ending | None:
    until = time.monotonic() + REASON_SECONDS
    while (ending := board.ending()) is None and time.monotonic() < until:
        time.sleep(LOOK_SECONDS / 2)
    return ending


def _ending_of(error: BaseException, index: int) -> Ending:
    if isinstance(error, UserError):
        parts = error.problems if isinstance(error, SeveralProblems) else (error,)
        return Ending(index, "problem", problems=tuple(part.as_dict() for part in parts))
    if isinstance(error, StoppedOnRequest):
        return Ending(index, "stopped", text=str(error))
    return Ending(index, "fault", text=repr(error), trace="".join(traceback.format_exception(error)))


def _missing(text: str, board: Board, then: list[Mark | None], now: list[Mark | None]) -> UserError:
    """A process that did not come although it lives, or one that is gone without a word.

    Args:
        text: of the message that failed.
        board: of this process.
        then, now: how far everybody was when the message failed, and some seconds later.
    """
    others = [index for index in range(board.count) if index != board.index]
    gone = [index for index in others if _beat(now[index]) == _beat(then[index])]
    if gone:
        return OutOfMemory(
            where=", ".join(name_of(index, board.count) for index in gone),
            what="It ended without a word.",
            why=f"Most often main memory was full and the system ended it. {text}",
            fix="Look at the system's log; fewer processes, smaller batches and caches on the disk need less memory.",
        )
    late = [index for index in others if _arrivals(then[index]) < board.arrivals]
    doing = {index: mark.doing for index in late if (mark := then[index]) is not None}
    return EnvironmentProblem(
        where=", ".join(name_of(index, board.count) for index in late) or "--ddp_timeout",
        what="It lives, but did not come in the time that processes wait for each other.",
        why=f"Last heard of in: {', '.join(sorted(set(doing.values()))) or 'training'}. {text}",
        fix="See what keeps it: its disk, the network, its device. --ddp_timeout=MINUTES waits longer.",
    )


def _beat(mark: Mark | None) -> int:
    return -1 if mark is None else mark.beat


def _arrivals(mark: Mark | None) -> int:
    return -1 if mark is None else mark.arrivals
