"""How results are called, when they are written, and which older ones then go.

Names are kohya's: `{name}-000001.safetensors` by epoch, `{name}-step00000100.safetensors` by step, `{name}.safetensors`
at the end, and folders of the same names with `-state`. Without `--output_name` the words are epoch, at and last. In
diffusers' layouts a result is a folder, `{name}`, with the one file in it that diffusers looks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from math import ceil

from ..options.saving import DIFFUSERS_FILES, SavingOptions

FINAL_WORD, EPOCH_WORD, STEP_WORD = "last", "epoch", "at"


@dataclass(frozen=True)
class PlannedFile:
    """A result as the plan shows it.

    Args:
        name: file or folder name inside of `--output_dir`.
        after_step: optimizer updates done when it is written.
        removed_after_step: when the keep-last rules remove it again, or None.
        is_state: a folder for resuming, not a file for use.
    """

    name: str
    after_step: int
    removed_after_step: int | None = None
    is_state: bool = False


def weights_name(options: SavingOptions, *, epoch: int | None = None, step: int | None = None) -> str:
    """File or folder of the weights saved after an epoch (1 is first), after a step, or, with neither, at the end."""
    stem = _stem(options, epoch, step)
    return stem if options.save_model_as in DIFFUSERS_FILES else f"{stem}.{options.save_model_as}"


def weights_file(options: SavingOptions, *, epoch: int | None = None, step: int | None = None) -> str:
    """The file that holds these weights: `weights_name`, or the path of the file inside of that folder."""
    name, inside = weights_name(options, epoch=epoch, step=step), DIFFUSERS_FILES.get(options.save_model_as)
    return f"{name}/{inside}" if inside else name


def state_name(options: SavingOptions, *, epoch: int | None = None, step: int | None = None) -> str:
    """Folder name of the state that belongs to the weights of the same moment."""
    return f"{_stem(options, epoch, step)}-state"


def epochs_between_saves(options: SavingOptions, num_epochs: int) -> int | None:
    """N of "every N epochs", or None; `--save_n_epoch_ratio` wins."""
    if options.save_n_epoch_ratio:
        return max(1, num_epochs // options.save_n_epoch_ratio)
    return options.save_every_n_epochs


def saves_after_epoch(options: SavingOptions, epoch: int, num_epochs: int) -> bool:
    """True when weights are due after this epoch; the last one has the final file instead."""
    every = epochs_between_saves(options, num_epochs)
    return every is not None and epoch % every == 0 and epoch < num_epochs


def saves_after_step(options: SavingOptions, step: int) -> bool:
    """True when weights are due after this step, the last one included."""
    return options.save_every_n_steps is not None and step % options.save_every_n_steps == 0


def saves_state_at_end(options: SavingOptions) -> bool:
    """True when `{name}-state` is due at the end."""
    return options.save_state or options.save_state_on_train_end


def outdated_epoch(options: SavingOptions, epoch: int, num_epochs: int, *, state: bool = False) -> int | None:
    """The epoch whose file (or state) goes once that of `epoch` is safe: the newest M are kept."""
    every = epochs_between_saves(options, num_epochs)
    keep = (state and options.save_last_n_epochs_state) or options.save_last_n_epochs
    if every is None or keep is None:
        return None
    outdated = epoch - every * keep
    return outdated if outdated > 0 else None


def outdated_step(options: SavingOptions, step: int, *, state: bool = False) -> int | None:
    """The step whose file (or state) goes once that of `step` is safe.

    `--save_last_n_steps` is a window in steps, not a number of files: every 10, last 30, at step 50, removes step 10.
    """
    every = options.save_every_n_steps
    window = options.save_last_n_steps
    if state and options.save_last_n_steps_state is not None:
        window = options.save_last_n_steps_state
    if every is None or window is None:
        return None
    outdated = step - window - 1
    outdated -= outdated % every
    return outdated if outdated > 0 else None


def planned_files(options: SavingOptions, total_steps: int, steps_per_epoch: int) -> list[PlannedFile]:
    """Everything a whole run writes into `--output_dir`, in order of time."""
    num_epochs = ceil(total_steps / steps_per_epoch)
    removals = dict(_removals(options, total_steps, steps_per_epoch, num_epochs))
    written = sorted(_written(options, total_steps, steps_per_epoch, num_epochs), key=lambda one: one[0])
    return [PlannedFile(name, step, removals.get(name), is_state) for step, name, is_state in written]


def most_at_once(files: list[PlannedFile], *, state: bool) -> int:
    """How many of the planned files (or states) lie on the disk at the same time, at worst.

    The older file goes after the newer one is safe, so both count for that moment.
    """
    chosen = [one for one in files if one.is_state == state]
    # At one step, what is written (0) counts before what is removed (1).
    changes = [(one.after_step, 0, 1) for one in chosen]
    changes += [(one.removed_after_step, 1, -1) for one in chosen if one.removed_after_step is not None]
    return max(accumulate(change for _, _, change in sorted(changes)), default=0)


def _stem(options: SavingOptions, epoch: int | None, step: int | None) -> str:
    name = options.output_name
    if epoch is not None:
        return f"{name or EPOCH_WORD}-{epoch:06d}"
    if step is not None:
        return f"{name or STEP_WORD}-step{step:08d}"
    return name or FINAL_WORD


def _written(
    options: SavingOptions, total_steps: int, steps_per_epoch: int, num_epochs: int
) -> Iterator[tuple[int, str, bool]]:
    for step in _save_steps(options, total_steps):
        yield step, weights_name(options, step=step), False
        if options.save_state:
            yield step, state_name(options, step=step), True
    for epoch in _save_epochs(options, num_epochs):
        yield epoch * steps_per_epoch, weights_name(options, epoch=epoch), False
        if options.save_state:
            yield epoch * steps_per_epoch, state_name(options, epoch=epoch), True
    yield total_steps, weights_name(options), False
    if saves_state_at_end(options):
        yield total_steps, state_name(options), True


def _removals(
    options: SavingOptions, total_steps: int, steps_per_epoch: int, num_epochs: int
) -> Iterator[tuple[str, int]]:
    """Name of what goes, and the step at which it goes."""
    for step in _save_steps(options, total_steps):
        for state, name_of in ((False, weights_name), (True, state_name)):
            outdated = outdated_step(options, step, state=state)
            if outdated is not None:
                yield name_of(options, step=outdated), step
    for epoch in _save_epochs(options, num_epochs):
        for state, name_of in ((False, weights_name), (True, state_name)):
            outdated = outdated_epoch(options, epoch, num_epochs, state=state)
            if outdated is not None:
                yield name_of(options, epoch=outdated), epoch * steps_per_epoch


def _save_steps(options: SavingOptions, total_steps: int) -> range:
    every = options.save_every_n_steps
    return range(every, total_steps + 1, every) if every else range(0)


def _save_epochs(options: SavingOptions, num_epochs: int) -> range:
    every = epochs_between_saves(options, num_epochs)
    return range(every, num_epochs, every) if every else range(0)
