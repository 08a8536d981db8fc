"""What an import understood: the options, and a report of what was taken, changed and left out.

An import never fails because of one value; what cannot be taken is in the report with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..commands import COMMANDS
from ..errors import UsageError
from ..formats.nearest import nearest
from ..masking import HIDDEN, SECRET_NAME
from ..options.contents import CONCEPTS, PROMPTS
from ..options.convert import shown
from ..options.elsewhere import known_elsewhere
from ..options.spec import Refuses
from .fields import form_options
from .values import as_json, option_value

LONGEST_SHOWN = 200
NOT_IN_FORMS = {
    "config_file": "It names the file that options come from.",
    "output_config": "It writes a file and trains nothing.",
    "job_dir": "Every job gets a folder of its own.",
    "data_dir": "It is set where the program is started.",
    "debug_dataset": "It lists the pictures and trains nothing.",
}


class Changed(NamedTuple):
    """A value that means the same in other words."""

    name: str
    before: Any
    after: str
    why: str


class NotTaken(NamedTuple):
    """A value that has no place here."""

    name: str
    value: Any
    why: str


@dataclass
class Imported:
    """The outcome of an import.

    Args:
        title: what kind of file it was.
        options: as a form holds them, those that differ from the default.
        taken: names, as the file calls them, of what was understood as it is.
        changed, not_taken: the rest of the report.
        is_subject: only the pictures or the concept were imported; other settings stay.
        command: that the options are for.
        notes: sentences about what the file cannot say.
    """

    title: str
    options: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    not_taken: list[NotTaken] = field(default_factory=list)
    is_subject: bool = False
    command: str = ""
    notes: list[str] = field(default_factory=list)


class Ledger:
    """Collects an import, value by value.

    Args:
        command: the options are for.
        title: what kind of file it is.
    """

    def __init__(self, command: str, title: str) -> None:
        self.declared = form_options(command)
        self.result = Imported(title, command=command)
        self._refused = _refused(command)

    def take(self, key: str, value: Any, option: str | None = None) -> bool:
        """Take a value as it is, under the name of an option; False after a complaint in the report."""
        is_taken = self._put(key, value, option or key)
        if is_taken:
            self.result.taken.append(key)
        return is_taken

    def change(self, key: str, value: Any, option: str, after: Any, why: str) -> None:
        """Take a value in other words; the report shows both."""
        if self._put(key, after, option, written=value):
            now = self.result.options.get(option, as_json(self.declared[option].default))
            text = "true" if now is True else shown(tuple(now) if isinstance(now, list) else now)
            self.result.changed.append(Changed(key, value, f"{option} = {text}", why))

    def leave(self, key: str, value: Any, why: str) -> None:
        """Say why a value has no place here; secrets are not shown."""
        shown_value = HIDDEN if SECRET_NAME.search(key) else _short(value)
        self.result.not_taken.append(NotTaken(key, shown_value, why))

    def leave_unknown(self, key: str, value: Any) -> None:
        """The reason for a key that is not asked for by a form."""
        why = NOT_IN_FORMS.get(key) or known_elsewhere(key, self.declared)
        if SECRET_NAME.search(key):
            variable = self.declared[key].variable if key in self.declared else key.upper()
            why = f"Secrets are not kept in settings; set {variable} where the program is started."
        if why is None:
            close = nearest(key, self.declared)
            why = f"Unknown; did you mean {close}?" if close else "Unknown."
        self.leave(key, value, why)

    def _put(self, key: str, value: Any, option: str, *, written: Any = None) -> bool:
        declared = self.declared[option]
        try:
            read = option_value(declared, value, key)
        except UsageError as problem:
            self.leave(key, value if written is None else written, f"{problem.what} {problem.fix}".strip())
            return False
        if read and option in self._refused:
            self.leave(key, value if written is None else written, self._refused[option])
            return False
        self.result.options.pop(option, None)
        if read is not None and read != as_json(declared.default):
            self.result.options[option] = read
        return True


def _refused(command: str) -> dict[str, str]:
    """Why options that a command knows change nothing for what it trains."""
    rules = (rule for group in COMMANDS[command].groups for rule in getattr(group, "rules", ()))
    return {rule.option: f"It has no effect: {rule.because}." for rule in rules if isinstance(rule, Refuses)}


def _short(value: Any) -> Any:
    """A value as a report can hold it."""
    is_plain = isinstance(value, (bool, int, float)) or value is None
    text = str(value)
    return value if is_plain else text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]} …"


def merged(current: Mapping[str, Any], imported: Imported) -> dict[str, Any]:
    """The options of a form after an import: pictures or a concept replace those only, settings replace everything."""
    if not imported.is_subject:
        return dict(imported.options)
    replaced = {"train_data_dir", "conditioning_data_dir", "reg_data_dir", "in_json", CONCEPTS}
    # Sample prompts show what a concept becomes; another one has others.
    replaced |= {PROMPTS} if CONCEPTS in imported.options else set()
    return {name: value for name, value in current.items() if name not in replaced} | imported.options
