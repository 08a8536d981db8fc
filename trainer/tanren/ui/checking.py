"""What the form would do, told while it is filled in: plan, memory, disk, and what is wrong with which field.

The functions that look are those that look again before a job trains, so what the form promises is what the run does.
Here they look from the page's own process: packages of the trainer are not judged, paths stay where the surroundings
allow them, and folders of pictures are not read again for every key stroke. No model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..commands import COMMANDS, Command
from ..data.records import PairFacts
from ..errors import Problems, UsageError, UserError
from ..memory_hints import hints_for
from ..models.hub import is_hub_id
from ..options.contents import CONCEPTS, DATASET, FILES, contents_of
from ..options.leco import LecoOptions
from ..options.parse import options_by_name, parse_spec
from ..options.spec import Settings
from ..options.training import TrainingOptions
from ..paths import ANYWHERE, PathPolicy, asset, data_folder, refuse_overlong, resolve_user_path
from ..plan_facts import facts_of
from ..preflight import Asker, Preflight, examine_all
from ..room import Room, check_room, size_of
from ..vram import memory_need
from .caption_card import CaptionCard, caption_card
from .concept_card import changes_of
from .estimates import MemoryEstimate, memory_estimate
from .host import DeviceFacts
from .output_place import check_output
from .places import FORM, FoundProblem, Notice, Places
from .plan_sentence import concept_sentence, plan_sentence
from .scan_memory import ScanMemory, shared_memory
from .size_hint import size_notices
from .trained_parts import trained_parts
from .words import Text

CACHE_OPTION = "cache_latents_to_disk"
HUB_OPTIONS = ("pretrained_model_name_or_path", "vae")
# A run without a folder of its own for results gets one when it is submitted.
OWN_OUTPUT = "output"


@dataclass(frozen=True)
class Checked:
    """The outcome of one look at the form.

    Args:
        sentence: how pictures become steps, or what a step takes; None while there is nothing to learn from.
        caption_card: what the folders hold; None while none could be looked at.
        changes: what a training without pictures will change.
        pairs: pictures and their control pictures, where a training has them.
        trained: what learns, and what does not and why.
        base_model: what the base model is, such as "a Stable Diffusion 1 model", where that is known.
        memory: what is needed and free; None while there is nothing to learn from.
        savers: settings that would need less memory, the most effective first.
        room: bytes on the disk; None where they could not be told.
        problems: everything that keeps the run from starting.
        warnings: what the user should know.
        facts: the plan as plain facts, as `plan --json` tells them.
    """

    sentence: Text | None = None
    caption_card: CaptionCard | None = None
    changes: tuple[Text, ...] = ()
    pairs: tuple[PairFacts, ...] = ()
    trained: tuple[Text, ...] = ()
    base_model: str | None = None
    memory: MemoryEstimate | None = None
    savers: tuple[str, ...] = ()
    room: Room | None = None
    problems: tuple[FoundProblem, ...] = ()
    warnings: tuple[Notice, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def can_start(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


def check(
    command: str,
    options: Mapping[str, Any],
    *,
    policy: PathPolicy = ANYWHERE,
    device: DeviceFacts | None = None,
    problems: Problems | None = None,
    memory: ScanMemory | None = None,
) -> Checked:
    """Look at everything a run with these options needs; never raises for anything the user can do wrong.

    Args:
        command: key of COMMANDS.
        options: as a job's spec holds them; a dataset and sample prompts may stand there as content.
        policy: where paths may lead.
        device: what will compute; None when nobody can tell.
        problems: what was wrong already when the form was read; problems that only follow from those are left out.
        memory: of scans; by default the one of this process.
    """
    memory = memory or shared_memory()
    found_before = problems or Problems()
    with memory.lock:
        return _Look(COMMANDS[command], command, policy, memory).checked(dict(options), device, found_before)


class _Look:
    """One check."""

    def __init__(self, command: Command, name: str, policy: PathPolicy, memory: ScanMemory) -> None:
        self._command, self._name, self._memory = command, name, memory
        self._policy = policy if policy.roots is None else PathPolicy((*policy.roots, asset()))
        self._declared = options_by_name(command.groups)
        self._problems = Problems()

    def checked(self, options: dict[str, Any], device: DeviceFacts | None, before: Problems) -> Checked:
        for error in before.errors:
            self._problems.add(error)
        for warning in before.warnings:
            self._problems.warn(warning)
        given = self._with_contents(self._allowed(options))
        own_output = str(data_folder() / OWN_OUTPUT)
        given.setdefault("output_dir", own_output)
        settings = parse_spec(self._name, self._command.groups, given, FORM, self._problems).settings
        found = self._examined(settings)
        facts, room, memory = self._measured(found, device)
        if options.get("output_dir"):
            check_output(settings, found.counts, self._problems)
        cache = {room.cache_dir: CACHE_OPTION} if room else {}
        shown_as = {f"{self._memory.folder / name}": option for option, name in FILES.items()}
        places = Places(self._declared, given, found.plans, cache, {**shown_as, f"{FORM} (": "("})
        has_pictures = found.counts is not None and any(dataset.images for dataset in found.scan.datasets)
        return Checked(
            sentence=_sentence(found, has_pictures=has_pictures),
            changes=changes_of(found.scan),
            pairs=tuple(pairs for dataset in found.scan.datasets for pairs in dataset.pairs),
            caption_card=caption_card(found.scan, self._problems.errors) if found.plans else None,
            trained=trained_parts(settings, facts.get("training", {})),
            base_model=found.base.sentence if found.base else None,
            memory=memory if has_pictures or found.scan.pair_facts else None,
            savers=tuple(hints_for(settings, on_gpu=device is None or device.kind == "gpu")),
            room=room,
            problems=tuple(map(places.problem, self._problems.errors)),
            warnings=(*size_notices(found), *map(places.notice, self._problems.warnings)),
            facts=facts,
        )

    def _allowed(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options without those whose paths the policy forbids; these are told."""
        if self._policy.roots is None:
            return options
        allowed = {}
        for name, value in options.items():
            option = self._declared.get(name)
            is_elsewhere = name == "resume" and options.get("resume_from_huggingface")
            is_path = option is not None and bool(option.text.path) and not is_elsewhere
            is_content = name in FILES and not isinstance(value, str)
            values = value if isinstance(value, (list, tuple)) else [value]
            texts = [text for text in values if isinstance(text, str) and text] if is_path and not is_content else []
            if all(self._may_read(name, text) for text in texts):
                allowed[name] = value
        return allowed

    def _may_read(self, name: str, text: str) -> bool:
        if text.startswith("data:") or (name in HUB_OPTIONS and is_hub_id(text) and not Path(text).exists()):
            return True
        # Whether it is there, and of which kind, is the business of the checks that follow.
        try:
            refuse_overlong(text, f"--{name}")
            kind = "new folder" if Path(text).is_dir() else "new file"
            resolve_user_path(text, kind, where=f"--{name}", policy=self._policy)
        except UserError as problem:
            self._problems.add(problem)
            return False
        return True

    def _with_contents(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with paths where contents stood; the files live as long as this check."""
        try:
            texts = contents_of(options)
        except (UserError, TypeError, ValueError) as error:
            name, what = (DATASET, "dataset") if DATASET in options else (CONCEPTS, "prompt file")
            self._problems.add(UsageError(where=f"--{name}", what=f"The {what} cannot be read: {error}"))
            return {name: value for name, value in options.items() if name not in FILES}
        paths = {option: self._memory.folder / name for option, name in FILES.items() if name in texts}
        for path in paths.values():
            path.write_text(texts[path.name], "utf-8")
        return {**options, **{option: str(path) for option, path in paths.items()}}

    def _examined(self, settings: Settings) -> Preflight:
        policy = self._policy
        if policy.roots is not None:
            policy = PathPolicy((*policy.roots, self._memory.folder))
        asker = Asker(typed_at_shell=False, trains_here=False, policy=policy, scan=self._memory.scan)
        return examine_all(self._command, settings, self._problems, asker=asker)

    def _measured(
        self, found: Preflight, device: DeviceFacts | None
    ) -> tuple[dict[str, Any], Room | None, MemoryEstimate | None]:
        """The plan's facts, the disk and the memory; what cannot be told is told as a problem."""
        try:
            facts = facts_of(found)
            room = Room(**facts["disk"])
            on_gpu = device is None or device.kind == "gpu"
            need = memory_need(found, size_of(found), on_gpu=on_gpu)
        except UserError as problem:
            self._problems.add(problem)
            return {}, None, None
        check_room(room, self._problems)
        return facts, room, memory_estimate(need, device)


def _sentence(found: Preflight, *, has_pictures: bool) -> Text | None:
    settings = found.settings
    if found.counts is None:
        return None
    if found.scan.pair_facts:
        return concept_sentence(found.scan, found.counts, settings[LecoOptions])
    return plan_sentence(found.scan, found.counts, settings[TrainingOptions]) if has_pictures else None
