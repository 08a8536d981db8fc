"""What the train form can do: check, start, presets; values of fields in, values and HTML out.

Nothing here knows gradio. Fields hold what people read: the base model stands there by its name in the list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from ..errors import Problems, UsageError, UserError
from ..formats.checkpoint_kind import CheckpointKind
from ..options.contents import CONCEPTS, PROMPTS
from . import cards, presets
from . import concept_questions as concept
from . import control_questions as control
from .about_training import about_model, about_preset
from .base_models import BaseModels, base_models, kind_of_base
from .checking import Checked, check
from .concept_card import about_concept
from .context import Context
from .control_card import about_controls, in_form
from .draft import draft_text, read_draft
from .exchange import import_text
from .form_groups import BASE_MODEL, hidden_elements
from .form_presets import FormPresets
from .html import Html, render
from .import_report import import_report
from .imported import merged
from .presets import Preset
from .remedies import wished
from .said import refused
from .settings_files import written
from .simple_view import STANDS_FOR, fill_form, read_form
from .trainings import (
    BASE_KIND,
    CONCEPT,
    CONTROL,
    GOAL,
    GOALS,
    LORA,
    TRAININGS,
    Training,
    apart,
    carried,
    training_called,
    training_for,
    training_of,
    usual_values,
)
from .values import unquoted

NAME = "output_name"
# The page script keeps the draft and hands it back when the page is opened again; it hides what is not asked for, and
# has the form fitted to the training when another one is meant than is laid out.
KEPT = '<div data-draft="{draft}" data-hidden="{hidden}" data-fit="{fit}">{plan}</div>'
REFUSED = '<div class="tanren-refused" data-started="">{problem}</div>'
STARTED = '<div class="tanren-started" role="status" data-started="{id}"><p>{text}</p></div>'

Raw = Mapping[str, Any]


class TrainForm:
    """The train form of one page.

    Args:
        context: surroundings, jobs and doorkeeper.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._presets = FormPresets(context)

    @cached_property
    def models(self) -> BaseModels:
        """The base models on offer; `read_lists` reads them anew."""
        return base_models(self.context.surroundings)

    def read_lists(self) -> None:
        """Look again at what the WebUI has loaded and what lies in its folders."""
        self.__dict__.pop("models", None)

    def training(self, raw: Raw) -> Training:
        """The training that is meant: the goal decides, and what the base model is, or what the user says it is."""
        kind, goal = self._base_kind(raw), goal_of(raw)
        known = training_for(kind.family, goal) if kind else None
        return known or training_called(str(raw.get(BASE_KIND) or ""), self._base_name(raw), goal)

    def options(self, raw: Raw, problems: Problems) -> dict[str, Any]:
        """The options that the fields mean; what cannot be read goes to the problems."""
        return self._options(self.training(raw), raw, problems)

    def at_first(self) -> dict[str, Any]:
        """What the fields of a new page show: the model in use, and the preset that fits it."""
        proposed: dict[str, Any] = {}
        if self.models.proposed != self.models.embedded:
            proposed[BASE_MODEL] = self.models.path(self.models.proposed)
            proposed |= {"vae": self.models.vae} if self.models.vae else {}
        return self.usual | self._shown(presets.raw_of(self._preset_at_first(), proposed))

    @cached_property
    def usual(self) -> dict[str, Any]:
        """What the fields hold when nobody did anything."""
        return usual_values()

    def opened(self, draft: str) -> tuple[dict[str, Any], str]:
        """What the fields of a page that was just opened show, and the preset.

        Args:
            draft: what the browser kept of the form, or an empty text.
        """
        kept = read_draft(draft, self.usual)
        if kept is None:
            return self.at_first(), self.preset_at_first()
        raw = {**self.usual, **kept.fields}
        return {**raw, BASE_MODEL: raw[BASE_MODEL] or self.models.proposed}, kept.preset

    def fitted(self, raw: Raw, preset: str, laid_out: str) -> tuple[dict[str, Any], str]:
        """What the fields show after the goal or the base model led to another training, and the preset.

        Where nothing was changed after choosing the preset, the first preset of the other training takes its place;
        what somebody typed stays. What is trained to another end needs other numbers: its preset is taken anyway.

        Args:
            raw: values of the fields.
            preset: text of the chosen preset.
            laid_out: command that the form shows until now.
        """
        before, after = training_of(laid_out), self.training(raw)
        raw = self._with_vae_of_base(raw)
        if before is None or before is after:
            return dict(raw), preset
        raw = self._with_fitting_base(after, raw)
        has_own_numbers = self._presets.find(preset) is None or bool(self._changed(before, raw, preset))
        if before.goal == after.goal and has_own_numbers:
            return {**raw, **carried(raw, before, after)}, ""
        first = self._presets.text_of(self._presets.first(after, self._base_path(raw)))
        return dict(self._with_fitting_base(after, self.chosen_preset(raw, first))), first

    def about_model(self, raw: Raw) -> Html:
        """Which training the base model leads to."""
        return about_model(self.training(raw), self._base_kind(raw), self.context.words)

    def about_preset(self, raw: Raw, preset: str) -> Html:
        """What the chosen preset is for."""
        return about_preset(self._presets.find(preset), self.context.words)

    def preset_names(self, command: str = TRAININGS[0].command) -> list[str]:
        """The presets that can be chosen for a command, by the text that stands in the list."""
        return self._presets.names(command)

    def preset_at_first(self) -> str:
        """The preset of a new page."""
        return self._presets.text_of(self._preset_at_first())

    def chosen_preset(self, raw: Raw, text: str) -> dict[str, Any]:
        """What the fields show after choosing a preset; pictures, model and name stay.

        Raises:
            UserError: there is no such preset, or it cannot be read.
        """
        found = self._presets.called(text)
        preset = replace(found, options=apart(training_of(found.command) or self.training(raw), found.options))
        chosen = presets.raw_of(preset, self._typed(raw))
        # Leaving the example leaves its model too, and a form without any model is of no use to anybody.
        shown = self._shown({**chosen, BASE_MODEL: chosen[BASE_MODEL] or self.models.path(self.models.proposed)})
        training = training_of(preset.command) or self.training(raw)
        return {**raw, **{name: value for name, value in shown.items() if name not in training.hidden}}

    def _typed(self, raw: Raw) -> dict[str, Any]:
        """The options without prompts that follow from the control pictures, which may be others next."""
        options = self.options(raw, Problems())
        if goal_of(raw) == CONTROL and not raw.get(PROMPTS):
            options.pop(PROMPTS, None)
        return options

    def save_preset(self, raw: Raw, name: str, *, replace: bool) -> str:
        """Keep how the form trains under a name; the text of the new preset in the list.

        Raises:
            UserError: something in the form cannot be read, the name is no name, or it is taken.
        """
        self.context.guard.check_write()
        problems = Problems()
        options = self.options(raw, problems)
        problems.raise_if_any()
        training = self.training(raw)
        if training.goal == CONCEPT:
            options.setdefault(CONCEPTS, concept.content_of(raw))
        saved = presets.save(self.context.data_dir, name, training.command, options, replace=replace)
        return self._presets.text_of(saved)

    def delete_preset(self, text: str) -> None:
        """Put one of the user's presets into the trash.

        Raises:
            UserError: it is none of the user's.
        """
        self.context.guard.check_write()
        presets.delete(self.context.data_dir, self._presets.called(text).id)

    def imported(self, raw: Raw, text: str) -> tuple[dict[str, Any], Html]:
        """What the fields show after taking over a file's text, and the report for the page.

        Raises:
            UserError: the text is none of the known kinds, or has a syntax error.
        """
        found = import_text(self.training(raw).command, text, "The text", self._command_of_base)
        here = self.training(raw)
        training = training_of(found.command) or here
        if found.is_subject and training.goal != here.goal:
            raw, _ = self.fitted({**raw, GOAL: training.goal}, "", here.command)
        before = self._typed(raw)
        options = {**_kept(before, found.options), **merged(before, found)}
        filled = self.usual | self._filled(training, options) | {GOAL: training.goal}
        report = import_report(found, self.context.words)
        return self._with_base(training, filled, is_named=BASE_MODEL in found.options), report

    def exported(self, raw: Raw, kind: str) -> tuple[str, str]:
        """File name and text of the settings as another program reads them.

        Raises:
            UserError: something in the form cannot be read, or there is nothing of this kind.
        """
        problems = Problems()
        options = self.options(raw, problems)
        problems.raise_if_any()
        return written(self.training(raw).command, options, kind)

    def plan(self, raw: Raw, preset: str, *, is_draft: bool = True, laid_out: str = "") -> Html:
        """The plan of what the form would do, its problems, and what was changed after choosing the preset.

        Args:
            raw: values of the fields.
            preset: text of the preset in the list.
            is_draft: somebody did something; what the page proposed itself is proposed anew the next time.
            laid_out: command that the form shows; empty where it follows this plan anyway.
        """
        (checked, options), training = self._checked(raw), self.training(raw)
        words = self.context.words
        if training.goal == CONTROL:
            checked = in_form(checked, options)
        shown = cards.plan(
            checked,
            words,
            changed=self._changed(training, raw, preset),
            field_of=partial(field_of, raw),
            subject=self._subject(raw, options, checked, training),
        )
        return render(
            KEPT,
            draft=draft_text(raw, preset, self.usual) if is_draft else "",
            hidden=" ".join(self._hidden(raw, training)),
            fit=training.command if laid_out and laid_out != training.command else "",
            plan=shown,
        )

    def _subject(self, raw: Raw, options: Mapping[str, Any], checked: Checked, training: Training) -> Html:
        """The card of what is learned beside, or instead of, pictures."""
        words = self.context.words
        if training.goal == CONCEPT:
            return about_concept(raw, options, checked.changes, words)
        if training.goal != CONTROL:
            return cards.NOTHING
        around = self.context.surroundings
        return about_controls(options, checked.pairs, words, around.policy(), may_write=around.may_write)

    def granted(self, raw: Raw, wish: str) -> dict[str, Any]:
        """The values of the fields after a button of the plan was pressed.

        Args:
            raw: before.
            wish: what the button asks for, as `remedies.wish_text` writes it; anything else changes nothing.
        """
        return {**raw, **wished(wish, self.usual)}

    def notice(self) -> Html:
        """Why nothing can be started here; empty where it can."""
        try:
            self.context.guard.check_write()
        except UserError as problem:
            return refused(problem, self.context.words)
        return Html("")

    def start(self, raw: Raw, request_id: str) -> Html:
        """Freeze the settings into a job, unless something is wrong; the answer for the page.

        Args:
            raw: values of the fields.
            request_id: of the click; a second one with the same id starts nothing more.
        """
        words = self.context.words
        try:
            self.context.guard.check_write()
            checked, options = self._checked(raw)
            if not checked.can_start:
                raise UsageError(where="", what="Something in the form is still wrong.", fix="See the plan.")
            job = self.context.shelf.submit(
                self.training(raw).command, options, name=str(options.get(NAME, "")), request_id=request_id.strip()
            )
        except UserError as problem:
            return render(REFUSED, problem=refused(problem, words))
        return render(STARTED, id=job.id, text=words("{name} is in the queue.", name=job.envelope().name))

    def _checked(self, raw: Raw) -> tuple[Checked, dict[str, Any]]:
        problems, training = Problems(), self.training(raw)
        options = self._options(training, raw, problems)
        if training.goal == CONCEPT and not options.get(CONCEPTS):
            problems.add(concept.missing(raw))
        if not options.get(NAME):
            problems.add(_nameless(training))
        around = self.context.surroundings
        checked = check(training.command, options, policy=around.policy(), device=around.device(), problems=problems)
        return checked, options

    def _options(self, training: Training, raw: Raw, problems: Problems) -> dict[str, Any]:
        left_out = training.hidden | {GOAL, BASE_KIND}
        asked = {name: value for name, value in raw.items() if name not in left_out}
        named = {**asked, BASE_MODEL: self.models.path(str(raw.get(BASE_MODEL) or ""))}
        return read_form(training.command, named, problems, policy=self.context.policy)

    def _filled(self, training: Training, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the fields that a training asks for show for some options."""
        raw = self._shown(fill_form(training.command, apart(training, options)))
        return {name: value for name, value in raw.items() if name not in training.hidden}

    def _changed(self, training: Training, raw: Raw, preset: str) -> list[str]:
        chosen = self._presets.find(preset)
        if chosen is None:
            return []
        options, base = self._options(training, raw, Problems()), apart(training, chosen.options)
        # The example brings pictures and a word along; having others than those is no change of how it is trained.
        found = presets.changes(training.command, options, base)
        changed = [change.name for change in found if change.name not in presets.PERSONAL]
        if training.goal == CONCEPT:
            mine = options.get(CONCEPTS) or concept.content_of(raw)
            changed += concept.changed_questions(mine, chosen.options.get(CONCEPTS))
        return list(dict.fromkeys(name if name == CONCEPTS else STANDS_FOR.get(name, name) for name in changed))

    def _shown(self, raw: dict[str, Any]) -> dict[str, Any]:
        return raw | {BASE_MODEL: self.models.text(str(raw.get(BASE_MODEL) or ""))}

    def _hidden(self, raw: Raw, training: Training) -> list[str]:
        """Elements of the page that say nothing now."""
        is_told = self._base_kind(raw) is not None or not self._base_path(raw)
        unasked = concept.unasked(raw) if training.goal == CONCEPT else (concept.COLUMN,)
        return [*hidden_elements(training), *unasked, *([f"tanren-field-{BASE_KIND}"] if is_told else [])]

    def _base_path(self, raw: Raw) -> str:
        return unquoted(self.models.path(str(raw.get(BASE_MODEL) or "")))

    def _base_name(self, raw: Raw) -> str:
        """The name in the list, with the folder it stands in; the end of any other path."""
        text = str(raw.get(BASE_MODEL) or "")
        return text if text in self.models.paths else "/".join(re.split(r"[/\\]", text)[-2:])

    def _base_kind(self, raw: Raw) -> CheckpointKind | None:
        return kind_of_base(self._base_path(raw), self.context.policy)

    def _with_vae_of_base(self, raw: Raw) -> Raw:
        """The VAE that the WebUI uses goes with its model, and not with one of another kind."""
        theirs = self.models.vae
        if not theirs or raw.get("vae") not in ("", None, theirs):
            return raw
        return {**raw, "vae": theirs if raw.get(BASE_MODEL) == self.models.proposed else ""}

    def _command_of_base(self, path: str, goal: str = LORA) -> str | None:
        kind = kind_of_base(unquoted(path), self.context.policy)
        known = training_for(kind.family, goal) if kind else None
        return known.command if known else None

    def _with_base(self, training: Training, raw: dict[str, Any], *, is_named: bool) -> dict[str, Any]:
        """The fields with a base model that this training can use, and its kind where the file does not tell."""
        if not is_named and self.training(raw) is not training:
            goal, paths = training.goal, self.models.paths.items()
            commands = ((name, self._command_of_base(path, goal)) for name, path in paths)
            raw = {**raw, BASE_MODEL: next((name for name, command in commands if command == training.command), "")}
        return raw | ({BASE_KIND: training.model} if self.training(raw) is not training else {})

    def _with_fitting_base(self, training: Training, raw: Raw) -> Raw:
        """Another base model where the goal has no training for this one: the first of the list that fits."""
        kind = self._base_kind(raw)
        if kind is None or training_for(kind.family, training.goal):
            return raw
        paths = self.models.paths.items()
        fitting = (name for name, path in paths if self._command_of_base(path, training.goal) == training.command)
        return {**raw, BASE_MODEL: next(fitting, raw[BASE_MODEL])}

    def _preset_at_first(self) -> Preset:
        proposed = {BASE_MODEL: self.models.proposed}
        return self._presets.first(self.training(proposed), self._base_path(proposed))


def _kept(before: Mapping[str, Any], imported: Mapping[str, Any]) -> dict[str, Any]:
    """What the form knows and a file does not say: the model, the name, and the pictures or the concept."""
    names = {BASE_MODEL, NAME} | (set() if presets.SUBJECTS & set(imported) else presets.SUBJECTS)
    return {name: value for name, value in before.items() if name in names}


def _nameless(training: Training) -> UsageError:
    if training.goal == CONTROL:
        what, fix = "The control network has no name yet.", "Type one in “Name of the control network”."
        return UsageError(where=f"--{NAME}", what=what, fix=fix)
    return UsageError(where=f"--{NAME}", what="The LoRA has no name yet.", fix="Type one in “Name of the LoRA”.")


def goal_of(raw: Raw) -> str:
    """What the form is to do; learning from pictures where it does not say."""
    goal = raw.get(GOAL)
    return str(goal) if goal in GOALS else LORA


def field_of(raw: Raw, name: str) -> str:
    """The field that stands for an option: one of the form's own questions, unless the option's own field is used."""
    if name == CONCEPTS:
        return concept.question_of(raw)
    if raw.get(GOAL) == CONTROL:
        name = control.question_of(name)
    return name if raw.get(name) else STANDS_FOR.get(name, name)
