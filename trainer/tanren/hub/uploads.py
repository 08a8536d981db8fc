"""Uploading what a run saves, while it runs and at its end. Whatever the hub does, the run and its exit code stay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoppedOnRequest
from ..events import Event, Report
from ..options.hub import HubOptions
from ..options.job import JobOptions
from ..options.saving import result_of
from ..options.spec import Settings
from .account import endpoint, environment_for, no_upload_because
from .failures import reason, remedy
from .outbox import Outbox, Parcel, sender
from .place import Repository, repository_of
from .request import CANCELLED, Answer, Limits, ask

PHASE = "upload"
CHECK_LIMITS = Limits(silence=20.0, longest=30.0)
LOOK_EVERY_SECONDS = 0.2
HEARTBEAT_SECONDS = 5.0
# A UI gives a job that it stops a minute before it ends the process.
SECONDS_AFTER_A_STOP = 30.0
TOLD_AT, RESULTS = ("step", "epoch"), ("saved",)
RESULTS_WITH_STATES = (*RESULTS, "saved_state")


@contextmanager
def uploading(
    settings: Settings, report: Report, *, processes: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Upload what the run inside saves, when the settings ask for it.

    Args:
        settings: of the run; checked.
        report: tells what is saved, and is told what becomes of it.
        processes: that train together; others must not wait for an upload of this one.
        environment: for reaching the hub; that of this process, as it is now, when None.
    """
    options = settings[HubOptions]
    repository = repository_of(options)
    if repository is None:
        yield
        return
    surroundings = dict(os.environ if environment is None else environment)
    hindrance = no_upload_because(options.huggingface_token, surroundings)
    environment = environment_for(options.huggingface_token, surroundings)
    if hindrance is None:
        _check(repository, environment, report)
    uploads = Uploads(
        repository,
        report,
        environment,
        waits=not options.async_upload and processes == 1,
        with_states=options.save_state_to_huggingface,
        hindrance=hindrance,
        seconds_after_a_stop=SECONDS_AFTER_A_STOP if settings[JobOptions].job_dir else None,
    )
    report.add_sink(uploads)
    try:
        yield
    except StoppedOnRequest:
        uploads.finish(uploads.seconds_after_a_stop)
        raise
    except KeyboardInterrupt:
        uploads.finish(0.0)
        raise
    except BaseException:
        uploads.finish(SECONDS_AFTER_A_STOP)
        raise
    uploads.finish()


class Uploads:
    """A sink that uploads what it hears was saved.

    Args:
        repository: where to.
        report: told about successes and failures, from the thread that hands the events over.
        environment: of the process that talks to the hub.
        waits: the run goes on when an upload has ended; otherwise at once.
        with_states: states are uploaded too.
        hindrance: why nothing can be uploaded; then nothing is tried, and the end says how to do it later.
        seconds_after_a_stop: that are left for uploads once the run was asked to stop; None for as long as they take.
    """

    def __init__(
        self,
        repository: Repository,
        report: Report,
        environment: Mapping[str, str],
        *,
        waits: bool,
        with_states: bool = False,
        hindrance: str | None = None,
        seconds_after_a_stop: float | None = None,
    ) -> None:
        self.repository, self.report, self.waits, self.hindrance = repository, report, waits, hindrance
        self.seconds_after_a_stop = seconds_after_a_stop
        self.outbox = Outbox(sender(repository, environment))
        self._left: list[Path] = []
        self._endpoint = endpoint(environment)
        self._kinds = RESULTS_WITH_STATES if with_states else RESULTS
        self._is_listening = True

    def __call__(self, event: Event) -> None:
        """One event."""
        if not self._is_listening:
            return
        if event["kind"] in self._kinds:
            self._take(result_of(Path(event["file"])))
        elif event["kind"] in TOLD_AT:
            self._tell_news()

    def finish(self, limit: float | None = None) -> None:
        """Wait for what is left, try once more what failed, and say what did not arrive.

        Args:
            limit: seconds; None waits for as long as uploads move on and nobody asks to stop.
        """
        self._is_listening = False
        if limit is None or limit > 0:
            self.outbox.try_again()
        try:
            if self.outbox.is_busy:
                self._await_the_rest(limit)
        except KeyboardInterrupt:
            # What was learnt is saved; whoever presses Ctrl-C now ends the waiting and nothing else.
            self.report.note("The uploads are given up.")
        finally:
            self.outbox.close()
        self._tell_news()
        self._tell_what_is_left()

    def _take(self, source: Path) -> None:
        if self.hindrance is not None:
            self._left.append(source)
            return
        parcel = self.outbox.add(source, hold=not self.waits)
        if self.waits:
            self.report.note(f"uploading {source.name} to {self.repository.repo_id}")
            self._await(parcel)
        self._tell_news()

    def _await(self, parcel: Parcel) -> None:
        """Wait for one result; a request to stop is heard by the training, which is let go on for it."""
        with self.report.phase(PHASE, 100) as phase:
            told_at = time.monotonic()
            while parcel.answer is None and not self.report.is_asked_to_stop():
                self.outbox.wait(LOOK_EVERY_SECONDS)
                if parcel.percent > phase.done or time.monotonic() - told_at > HEARTBEAT_SECONDS:
                    phase.advance(parcel.percent - phase.done)
                    told_at = time.monotonic()
            if parcel.answer is not None:
                phase.advance(100 - phase.done)
        if parcel.answer is not None and parcel.answer.may_pass:
            self.waits = False
            self.report.note("Further results are uploaded in the background, so that the training need not wait.")

    def _await_the_rest(self, limit: float | None) -> None:
        open_ones = [one for one in self.outbox.parcels if one.answer is None]
        names = ", ".join(one.source.name for one in open_ones)
        self.report.note(f"uploading {names} to {self.repository.repo_id}; stopping now gives it up")
        if "stop" in self.report.asked() and limit is None:
            limit = self.seconds_after_a_stop
        # A Ctrl-C stays "asked" for ever; a second one then ends the waiting as an exception.
        is_asked_for_ever = self.report.is_asked_to_stop()
        until = None if limit is None else time.monotonic() + limit
        finished = self.outbox.percent - sum(one.percent for one in open_ones)
        with self.report.phase(PHASE, 100 * len(open_ones)) as phase:
            told_at = time.monotonic()
            while self.outbox.is_busy:
                self.outbox.wait(LOOK_EVERY_SECONDS)
                done = max(phase.done, min(self.outbox.percent - finished, 100 * len(open_ones)))
                if done > phase.done or time.monotonic() - told_at > HEARTBEAT_SECONDS:
                    phase.advance(done - phase.done)
                    told_at = time.monotonic()
                if until is not None and time.monotonic() > until:
                    return
                if not is_asked_for_ever and self.report.is_asked_to_stop():
                    return
                if any(one.answer is not None and one.answer.may_pass for one in open_ones):
                    # The others would meet the same, and every one of them might wait for minutes.
                    return

    def _tell_news(self) -> None:
        for parcel in self.outbox.parcels:
            if parcel.answer is not None and not parcel.is_told:
                parcel.is_told = True
                self._tell(parcel, parcel.answer)

    def _tell(self, parcel: Parcel, answer: Answer) -> None:
        if answer.is_done:
            name, is_folder = parcel.source.name, parcel.source.is_dir()
            self.report.note(f"uploaded {self.repository.address_of(name, self._endpoint, is_folder=is_folder)}")
            return
        if answer.failed == CANCELLED:
            # The list at the end names it.
            return
        head = f"{parcel.source.name} was not uploaded{', the run goes on' if self._is_listening else ''}."
        self.report.warning(f"{head} {reason(answer)} {remedy(answer, self.repository.repo_id)}".rstrip())

    def _tell_what_is_left(self) -> None:
        left = [*self._left, *(one.source for one in self.outbox.parcels if not one.is_sent)]
        here = [source for source in dict.fromkeys(left) if source.exists()]
        if not left:
            return
        why = f" {self.hindrance}" if self.hindrance is not None else ""
        if not here:
            self.report.warning(
                f"Of the results, {len(left)} were not uploaded, and newer ones have replaced them.{why}"
            )
            return
        commands = [self.repository.upload_command(source.absolute()) for source in here]
        head = f"{_count(len(here))} not uploaded and {'is' if len(here) == 1 else 'are'} safe on this machine.{why}"
        self.report.warning("\n  ".join([f"{head} To upload later:", *commands]))


def _check(repository: Repository, environment: Mapping[str, str], report: Report) -> None:
    """Ask once, shortly, whether uploads will work; a run of hours should not end with the news that they do not."""
    request = {"do": "check", "repo_id": repository.repo_id, "kind": repository.kind, "private": repository.is_private}
    with report.phase("ask hub"):
        answer = ask(request, environment, CHECK_LIMITS, is_cancelled=report.is_asked_to_stop)
    if answer.is_done:
        report.note(f"results are uploaded to {answer.facts['address']}")
        return
    report.warning(
        f"--huggingface_repo_id: {reason(answer)} {remedy(answer, repository.repo_id)}".rstrip()
        + " The run goes on; every result stays on this machine, and its upload is tried all the same."
    )


def _count(number: int) -> str:
    return "1 result was" if number == 1 else f"{number} results were"
