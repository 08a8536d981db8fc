"""Which option a problem belongs to, and what one press of a button would change about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import UserError
from ..options.contents import CONCEPTS, DATASET
from ..options.dataset_folders import WrongFolderError
from ..options.dataset_keys import TYPED_AS
from ..options.dataset_plan import DatasetPlan
from ..options.spec import Option
from ..paths import home_expanded
from .remedies import Wish, wishes

AT_OPTION = re.compile(r"--(\w+)")
FORM = "form"
IN_FORM = re.compile(rf"{FORM} \((\w+)\)")
IN_FILE = re.compile(r"\((\w+)\)$")
CONTROLS = "conditioning_data_dir"
ADVICE = re.compile(r"Use --(\w+)=(\S+)$")
# Options whose files and folders problems speak of; what is named first decides.
NAMED_PLACES = (
    *("pretrained_model_name_or_path", "vae", "network_weights", "resume", "sample_prompts", "log_tracker_config"),
    *(DATASET, CONCEPTS, "in_json", "reg_data_dir", "train_data_dir", "output_dir", "logging_dir"),
)


@dataclass(frozen=True)
class Remedy:
    """A change that would mend a problem: one option and its new value."""

    name: str
    value: str


@dataclass(frozen=True)
class FoundProblem:
    """A problem as the form shows it.

    Args:
        name: option or question of the form that it belongs to, or None.
        label: of that option; empty where there is none.
        where: place as the checks named it: option, file, folder, or a place in a file.
        what, why, fix: sentences.
        code: exit code of the class of problem.
        remedy: what would mend it, where that is known.
        wishes: further buttons.
    """

    name: str | None
    label: str
    where: str
    what: str
    why: str
    fix: str
    code: int
    remedy: Remedy | None = None
    wishes: tuple[Wish, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Notice:
    """A warning, the option it belongs to, or None, and its buttons."""

    name: str | None
    text: str
    wishes: tuple[Wish, ...] = ()


class Places:
    """Finds the option behind the place of a problem.

    Args:
        declared: all options of the command.
        options: those that were given, as JSON.
        plans: the datasets that were asked for.
        also: further files and folders, and the option each stands for.
        shown_as: text that stands for a path of ours.
    """

    def __init__(
        self,
        declared: Mapping[str, Option],
        options: Mapping[str, Any],
        plans: Sequence[DatasetPlan],
        also: Mapping[str, str],
        shown_as: Mapping[str, str],
    ) -> None:
        self._declared, self._shown_as = declared, shown_as
        named = next((name for name in (DATASET, "in_json", "train_data_dir") if options.get(name)), "train_data_dir")
        self._paths = list(also.items())
        # With one folder it goes without saying which part of the data a setting does not fit.
        self._has_one_folder = sum(len(plan.subsets) for plan in plans) == 1
        for subset in (subset for plan in plans for subset in plan.subsets):
            is_apart = subset.is_reg and named == "train_data_dir"
            places = (subset.image_dir, subset.conditioning_data_dir, subset.metadata_file)
            if subset.conditioning_data_dir and options.get(CONTROLS):
                self._paths.append((subset.conditioning_data_dir, CONTROLS))
            self._paths += [(path, "reg_data_dir" if is_apart else named) for path in places if path]
        self._paths += [(path, name) for name in NAMED_PLACES for path in _paths(options.get(name))]

    def problem(self, error: UserError) -> FoundProblem:
        """An error as the form shows it."""
        remedy = _remedy(error)
        about = AT_OPTION.match(error.what) if self._has_one_folder else None
        at = about[0] if about and about[1] in self._declared else error.where
        name = remedy.name if remedy else self.of(at)
        # The form takes a folder of pictures by whatever name.
        advice = "Choose that folder." if isinstance(error, WrongFolderError) and error.pictures else error.fix
        where, what, why, fix = (self._shown(text) for text in (at, error.what, error.why, advice))
        found = wishes(error.where, f"{error.what} {error.fix}", self._declared)
        return FoundProblem(name, self._label(name), where, what, why, fix, error.code, remedy, found)

    def notice(self, warning: str) -> Notice:
        """A warning as the form shows it."""
        at_option = AT_OPTION.match(warning)
        head = at_option[0] if at_option else warning.partition(": ")[0]
        return Notice(self.of(head), self._shown(warning), wishes(head, warning, self._declared))

    def of(self, where: str) -> str | None:
        """The option that a place belongs to; None where there is none."""
        for found in (*AT_OPTION.findall(where), *IN_FILE.findall(where), where):
            name = TYPED_AS.get(found, found)
            if name in self._declared:
                return str(name)
        for path, name in self._paths:
            if where == path or where.startswith(tuple(f"{path}{end}" for end in (":", " ", "/", "\\"))):
                return name
        # Questions of the form that are no options, such as the length, and names that nobody knows.
        own = AT_OPTION.fullmatch(where) or IN_FORM.fullmatch(where)
        return own[1] if own else None

    def _label(self, name: str | None) -> str:
        option = self._declared.get(name or "")
        return option.text.label if option else ""

    def _shown(self, text: str) -> str:
        for path, shown in self._shown_as.items():
            text = text.replace(path, shown)
        return text


def _paths(value: Any) -> list[str]:
    """A path as it was given, and as the checks may have resolved it."""
    if not isinstance(value, str) or not value:
        return []
    path = home_expanded(value)
    try:
        return [value, str(path), str(path.resolve())]
    except (OSError, RuntimeError, ValueError):
        return [value]


def _remedy(error: UserError) -> Remedy | None:
    if isinstance(error, WrongFolderError):
        folder = error.instead or error.pictures
        return Remedy(error.option, str(folder)) if folder else None
    advice = ADVICE.search(error.fix)
    return Remedy(advice[1], advice[2]) if advice else None
