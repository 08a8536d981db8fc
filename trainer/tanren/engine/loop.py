"""The training loop of every method: epochs, updates, and what happens between them."""

from __future__ import annotations

import time
from contextlib import closing

from ..errors import StoppedOnRequest
from ..events import Report
from ..options.dataset import DatasetOptions
from ..options.distributed import DistributedOptions
from ..options.network import NetworkOptions
from ..options.optimizer import OptimizerOptions
from ..options.spec import Settings
from .fused import FusedStep
from .memory import peak_memory
from .position import Position
from .rates import Rates
from .readback import Readback, StepNumbers
from .run import Run
from .saver import Saver
from .step import Inputs, TrainingStep
from .validation import Validation


def fit(run: Run, saver: Saver, settings: Settings, report: Report) -> None:
    """Train `run` from its start to its end.

    Raises:
        StoppedOnRequest: somebody asked; everything needed to go on is saved.
        NumericError: too many updates had no finite loss or gradient.
    """
    loop = Loop(run, saver, settings, report)
    counts = run.counts
    report.tell("phase", name="train", done=run.start.step, total=counts.max_train_steps, epochs=counts.num_epochs)
    loop.before()
    while loop.is_inside_an_epoch or loop.has_epochs_left:
        loop.one_epoch()
    loop.after()


class Loop:
    """State of a running training; `fit` reads as its table of contents."""

    def __init__(self, run: Run, saver: Saver, settings: Settings, report: Report) -> None:
        self.run, self.saver, self.report = run, saver, report
        self.position = run.start
        self.average, self.watch = run.average, run.watch
        self.readback = Readback(run.precision.device)
        self.validation = Validation(run, settings[DatasetOptions], report)
        kind = FusedStep if settings[OptimizerOptions].fused_backward_pass else TrainingStep
        self.step = kind(
            run.objective,
            run.network,
            run.learner.optimizer,
            run.learner.scheduler,
            run.scaler,
            run.precision,
            run.processes,
            seed=run.seed,
            max_grad_norm=settings[OptimizerOptions].max_grad_norm,
            scale_weight_norms=settings[NetworkOptions].scale_weight_norms,
            distributed=settings[DistributedOptions],
        )
        self._rates: dict[int, Rates] = {}
        self._facts: dict[int, dict[str, float]] = {}
        self._told_nan_latents = False
        self._step_started = time.monotonic()
        self._first_step_of_epoch = run.start.step
        self._cut_short: Position | None = None

    @property
    def is_done(self) -> bool:
        """True when the last update is made."""
        return self.position.step >= self.run.counts.max_train_steps

    @property
    def is_inside_an_epoch(self) -> bool:
        """True until what follows an epoch has happened; a state may have been saved after its last update."""
        return self.position.batch > 0

    @property
    def has_epochs_left(self) -> bool:
        """True when a further epoch makes an update."""
        return self.position.epoch < self.run.counts.num_epochs and not self.is_done

    def before(self) -> None:
        """What happens once, before the first update; loading takes some processes longer than others."""
        self.run.processes.wait()
        if self.run.previews is not None and self.position.step == 0:
            self._sample(at_start=True)

    def one_epoch(self) -> None:
        """All further updates of the current epoch, then what is due after an epoch."""
        run = self.run
        run.network.on_epoch_start()
        self._first_step_of_epoch = self.position.step - -(-self.position.batch // run.accumulation)
        self._step_started = time.monotonic()
        if not self.is_done:
            self._updates()
        self._tell_steps(self.readback.flush())
        if self.is_done and self.position.batch < run.counts.batches_per_process:
            self._cut_short = self.position
        self.position = self.position.after_epoch()
        self.report.tell("epoch", step=self.position.step, epoch=self.position.epoch, average=self.average.value)
        self.saver.after_epoch(self.position)
        self.validation.after_epoch(self.position, self.average.value)
        self._sample(epoch_end=True)

    def _updates(self) -> None:
        with closing(self.run.groups(self.position)) as groups:
            for group in groups:
                self._one_update(group)
                if self.is_done:
                    break

    def after(self) -> None:
        """Write the final files. A longer run goes on inside the epoch that the last update cut short."""
        self.saver.finish(self.position, self._cut_short)

    def _one_update(self, group: list[Inputs]) -> None:
        self._rates[self.position.step + 1] = self.run.learner.rates()
        self._facts[self.position.step + 1] = dict(self.run.facts(group[-1]))
        tensors = self.step(group, self.position.step)
        self.position = self.position.after_update(len(group))
        self.readback.push(self.position.step, tensors)
        self._tell_steps(self.readback.arrived())
        self._sample()
        self.saver.after_step(self.position, settled=self._settle)
        self.validation.after_step(self.position, self.average.value)
        self._answer_requests()

    def _settle(self) -> None:
        self._tell_steps(self.readback.flush())

    def _sample(self, *, at_start: bool = False, epoch_end: bool = False, on_request: bool = False) -> None:
        if self.run.previews is None:
            return
        self.run.previews.maybe(
            step=self.position.step,
            epoch=self.position.epoch,
            at_start=at_start,
            epoch_end=epoch_end,
            on_request=on_request,
        )

    def _answer_requests(self) -> None:
        asked = self.run.processes.agree(self.report.asked() | self.saver.due())
        if "retry" in asked:
            self._settle()
            self.saver.save_now(self.position)
        if "state" in asked:
            self._settle()
            self.saver.save_automatic_state(self.position)
        if "sample" in asked:
            self._sample(on_request=True)
        if "save" in asked:
            self._settle()
            self.saver.save_now(self.position)
        if "stop" in asked and not self.is_done:
            self._settle()
            folder = self.saver.save_to_resume(self.position)
            raise StoppedOnRequest(f"Stopped at step {self.position.step}; resume with --resume={folder}")

    def _tell_nan_latents(self, numbers: StepNumbers) -> None:
        if numbers.nan_latents and not self._told_nan_latents:
            self._told_nan_latents = True
            self.report.warning(
                f"Step {numbers.step}: the VAE gave {numbers.nan_latents} values that are not numbers; 0 stands in for "
                "them, here and later. --no_half_vae or another --vae helps."
            )

    def _tell_steps(self, arrived: list[StepNumbers]) -> None:
        for numbers in arrived:
            now = time.monotonic()
            seconds, self._step_started = now - self._step_started, now
            self._tell_nan_latents(numbers)
            if numbers.finite:
                self.average.add(
                    epoch=self.position.epoch,
                    step_in_epoch=numbers.step - 1 - self._first_step_of_epoch,
                    loss=numbers.loss,
                )
            rates, effective = self._rates.pop(numbers.step)
            facts = self._facts.pop(numbers.step)
            self.report.tell(
                "step",
                step=numbers.step,
                epoch=self.position.epoch + 1,
                loss=numbers.loss,
                average=self.average.value,
                lr=rates,
                effective_lr=effective,
                seconds=seconds,
                memory=peak_memory(self.run.precision.device),
                grad_norm=numbers.grad_norm,
                keys_scaled=numbers.keys_scaled,
                mean_key_norm=numbers.mean_key_norm,
                max_key_norm=numbers.max_key_norm,
                **({"facts": facts} if facts else {}),
            )
            # The loss scale of float16 begins far too high and finds its place by such steps: no harm is done.
            is_sound = numbers.finite or numbers.overflow
            self.watch.add(step=numbers.step, finite=is_sound, last_good=self.saver.last_good)
