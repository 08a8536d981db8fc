"""What the train form can do: check, start, presets; values of fields in, values and HTML out.

Nothing here knows gradio. Fields hold what people read: the base model stands there by its name in the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

from ..errors import Problems, UsageError, UserError
from . import cards, presets
from .base_models import BaseModels, base_models
from .checking import Checked, check
from .context import Context
from .draft import draft_text, read_draft
from .exchange import import_text
from .html import Html, render
from .import_report import import_report
from .imported import merged
from .presets import Preset
from .said import refused
from .settings_files import written
from .simple_view import STANDS_FOR, fill_form, read_form

BASE_MODEL, NAME = "pretrained_model_name_or_path", "output_name"
FIRST_PRESET, WITHOUT_MODEL = "built-in/character-8gb", "built-in/quick-try"
# The page script keeps the draft and hands it back when the page is opened again.
KEPT = '<div data-draft="{draft}">{plan}</div>'
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
        self.command = context.command

    @cached_property
    def models(self) -> BaseModels:
        """The base models on offer; `read_lists` reads them anew."""
        return base_models(self.context.surroundings)

    def read_lists(self) -> None:
        """Look again at what the WebUI has loaded and what lies in its folders."""
        self.__dict__.pop("models", None)

    def options(self, raw: Raw, problems: Problems) -> dict[str, Any]:
        """The options that the fields mean; what cannot be read goes to the problems."""
        named = {**raw, BASE_MODEL: self.models.path(str(raw.get(BASE_MODEL) or ""))}
        return read_form(self.command, named, problems, policy=self.context.policy)

    def fields(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the fields show for some options."""
        return self._shown(fill_form(self.command, options))

    def at_first(self) -> dict[str, Any]:
        """What the fields of a new page show: the model in use, and the preset that fits it."""
        proposed: dict[str, Any] = {}
        if self.models.proposed != self.models.embedded:
            proposed[BASE_MODEL] = self.models.path(self.models.proposed)
            proposed |= {"vae": self.models.vae} if self.models.vae else {}
        return self._shown(presets.raw_of(self._preset_at_first(), proposed))

    @cached_property
    def usual(self) -> dict[str, Any]:
        """What the fields hold when nobody did anything."""
        return fill_form(self.command, {})

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

    def preset_names(self) -> list[str]:
        """The presets that can be chosen, by the text that stands in the list."""
        return [self._text_of(preset) for preset in self._presets() if preset.problem is None]

    def preset_at_first(self) -> str:
        """The preset of a new page."""
        return self._text_of(self._preset_at_first())

    def chosen_preset(self, raw: Raw, text: str) -> dict[str, Any]:
        """What the fields show after choosing a preset; pictures, model and name stay.

        Raises:
            UserError: there is no such preset, or it cannot be read.
        """
        chosen = presets.raw_of(self._preset(text), self.options(raw, Problems()))
        # Leaving the example leaves its model too, and a form without any model is of no use to anybody.
        return self._shown({**chosen, BASE_MODEL: chosen[BASE_MODEL] or self.models.path(self.models.proposed)})

    def save_preset(self, raw: Raw, name: str, *, replace: bool) -> str:
        """Keep how the form trains under a name; the text of the new preset in the list.

        Raises:
            UserError: something in the form cannot be read, the name is no name, or it is taken.
        """
        self.context.guard.check_write()
        problems = Problems()
        options = self.options(raw, problems)
        problems.raise_if_any()
        saved = presets.save(self.context.data_dir, name, self.command, options, replace=replace)
        return self._text_of(saved)

    def delete_preset(self, text: str) -> None:
        """Put one of the user's presets into the trash.

        Raises:
            UserError: it is none of the user's.
        """
        self.context.guard.check_write()
        presets.delete(self.context.data_dir, self._preset(text).id)

    def imported(self, raw: Raw, text: str) -> tuple[dict[str, Any], Html]:
        """What the fields show after taking over a file's text, and the report for the page.

        Raises:
            UserError: the text is none of the known kinds, or has a syntax error.
        """
        found = import_text(self.command, text, "The text")
        before = self.options(raw, Problems())
        options = {**_kept(before, found.options), **merged(before, found)}
        return self.fields(options), import_report(found, self.context.words)

    def exported(self, raw: Raw, kind: str) -> tuple[str, str]:
        """File name and text of the settings as another program reads them.

        Raises:
            UserError: something in the form cannot be read, or there is nothing of this kind.
        """
        problems = Problems()
        options = self.options(raw, problems)
        problems.raise_if_any()
        return written(self.command, options, kind)

    def plan(self, raw: Raw, preset: str, *, is_draft: bool = True) -> Html:
        """The plan of what the form would do, its problems, and what was changed after choosing the preset.

        Args:
            raw: values of the fields.
            preset: text of the preset in the list.
            is_draft: somebody did something; what the page proposed itself is proposed anew the next time.
        """
        checked, options = self._checked(raw)
        changed = self._changed(options, preset)
        shown = cards.plan(checked, self.context.words, changed=changed, field_of=partial(field_of, raw))
        return render(KEPT, draft=draft_text(raw, preset, self.usual) if is_draft else "", plan=shown)

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
                self.command, options, name=str(options.get(NAME, "")), request_id=request_id.strip()
            )
        except UserError as problem:
            return render(REFUSED, problem=refused(problem, words))
        return render(STARTED, id=job.id, text=words("{name} is in the queue.", name=job.envelope().name))

    def _checked(self, raw: Raw) -> tuple[Checked, dict[str, Any]]:
        problems = Problems()
        options = self.options(raw, problems)
        if not options.get(NAME):
            problems.add(
                UsageError(where=f"--{NAME}", what="The LoRA has no name yet.", fix="Type one in “Name of the LoRA”.")
            )
        around = self.context.surroundings
        checked = check(self.command, options, policy=around.policy(), device=around.device(), problems=problems)
        return checked, options

    def _changed(self, options: Mapping[str, Any], preset: str) -> list[str]:
        try:
            base = self._preset(preset).options
        except UserError:
            return []
        # The example brings pictures and a word along; having others than those is no change of how it is trained.
        found = presets.changes(self.command, options, base)
        changed = [change.name for change in found if change.name not in presets.PERSONAL]
        return list(dict.fromkeys(STANDS_FOR.get(name, name) for name in changed))

    def _shown(self, raw: dict[str, Any]) -> dict[str, Any]:
        return raw | {BASE_MODEL: self.models.text(str(raw.get(BASE_MODEL) or ""))}

    def _presets(self) -> list[Preset]:
        return presets.presets(self.context.data_dir, self.command)

    def _preset(self, text: str) -> Preset:
        found = next((preset for preset in self._presets() if self._text_of(preset) == text), None)
        return presets.find(self.context.data_dir, found.id if found else text)

    def _text_of(self, preset: Preset) -> str:
        """What stands for a preset in the list; the user's are told apart from ours."""
        words = self.context.words
        return words("{name} (own)", name=preset.name) if preset.is_own else words(preset.name)

    def _preset_at_first(self) -> Preset:
        wanted = WITHOUT_MODEL if self.models.proposed == self.models.embedded else FIRST_PRESET
        return presets.find(self.context.data_dir, wanted)


def _kept(before: Mapping[str, Any], imported: Mapping[str, Any]) -> dict[str, Any]:
    """What the form knows and a file does not say: the model, the name, and the pictures."""
    names = {BASE_MODEL, NAME} | (set() if presets.PICTURES & set(imported) else presets.PICTURES)
    return {name: value for name, value in before.items() if name in names}


def field_of(raw: Raw, name: str) -> str:
    """The field that stands for an option: one of the form's own questions, unless the option's own field is used."""
    return name if raw.get(name) else STANDS_FOR.get(name, name)
