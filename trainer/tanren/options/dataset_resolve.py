"""Tables of a dataset file to plans: who inherits what, which kind a dataset is, which sizes are possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ..errors import Problems, UsageError, UserError
from ..paths import ANYWHERE, PathPolicy, resolve_user_path
from .dataset import DatasetOptions
from .dataset_keys import DATASET_KEYS, KEYS_OF_KIND, SUBSET_KEYS, TYPED_AS
from .dataset_plan import CONTROLLED, DREAMBOOTH, MASKED, METADATA, DatasetPlan, SubsetPlan

PATHS = {"image_dir": "folder", "metadata_file": "file", "conditioning_data_dir": "folder"}
TITLES = {
    DREAMBOOTH: "a folder of pictures",
    METADATA: "a metadata file",
    MASKED: "pictures with masks",
    CONTROLLED: "pictures with control pictures",
}


@dataclass(frozen=True)
class Table:
    """Values of one table.

    Args:
        values: by key, converted.
        where: the table, for messages; empty for the command line.
        locate: where one of its keys stands.
        broken: keys that were refused already.
    """

    values: Mapping[str, Any]
    where: str
    locate: Callable[[str], str]
    broken: frozenset[str] = frozenset()

    def over(self, lower: Table) -> Table:
        """This table, with what it leaves open taken from `lower`."""

        def locate(key: str) -> str:
            is_lower = key in lower.values and key not in self.values
            return lower.locate(key) if is_lower else self.locate(key)

        return Table({**lower.values, **self.values}, self.where, locate, self.broken | lower.broken)


COMMAND_LINE = Table({}, "", lambda key: f"--{TYPED_AS.get(key, key)}")


def subset_defaults(options: DatasetOptions) -> dict[str, Any]:
    """What the command line says about every subset, repeats aside."""
    names = {part.name for part in fields(SubsetPlan)} - {"num_repeats", "conditioning_data_dir"}
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


def dataset_plan(
    values: Table,
    tables: Sequence[Table],
    options: DatasetOptions,
    problems: Problems,
    *,
    subsets: tuple[SubsetPlan, ...] | None = None,
    policy: PathPolicy = ANYWHERE,
) -> DatasetPlan | None:
    """One dataset, or None when something that nothing else can be checked without is missing.

    Args:
        values: the dataset's own values over those of [general].
        tables: its subsets.
        options: what the command line says.
        problems: what is wrong goes here.
        subsets: ready subsets of a dataset that comes from folders.
        policy: where the subsets' folders and files may lie.
    """
    chosen = {key: getattr(options, TYPED_AS.get(key, key), None) for key in DATASET_KEYS}
    chosen = {key: value for key, value in chosen.items() if value is not None}
    chosen |= {key: value for key, value in values.values.items() if key in DATASET_KEYS}
    if subsets is None:
        subsets = _subset_plans(values, tables, options, problems, policy)
    resolution = chosen.pop("resolution", None)
    if resolution is None:
        if "resolution" not in values.broken:
            problems.add(_no_resolution(values))
        return None
    plan = DatasetPlan(subsets=subsets, resolution_wh=resolution, **_usable(chosen, values, problems))
    return plan if subsets else None


def _no_resolution(values: Table) -> UsageError:
    return UsageError(
        where=values.locate("resolution"),
        what="The training resolution is missing.",
        fix="Add --resolution=512, or resolution = 512 under [general] or [[datasets]] of the dataset file.",
    )


def _usable(chosen: dict[str, Any], values: Table, problems: Problems) -> dict[str, Any]:
    """The dataset's values with the limits of buckets rounded outwards and an impossible split switched off."""
    split = chosen.get("validation_split", 0.0)
    if not 0 <= split <= 1:
        problems.warn(f"{values.locate('validation_split')}: {split:g} is not between 0 and 1; nothing is held out.")
        chosen["validation_split"] = 0.0
    if not chosen.get("enable_bucket") or chosen.get("bucket_no_upscale"):
        return chosen
    step = chosen["bucket_reso_steps"]
    low, high = chosen["min_bucket_reso"], chosen["max_bucket_reso"]
    for key, rounded in (("min_bucket_reso", low // step * step), ("max_bucket_reso", -(-high // step) * step)):
        if rounded != chosen[key]:
            problems.warn(f"{values.locate(key)}: {rounded} is used for {chosen[key]}, a multiple of {step}.")
            chosen[key] = rounded
    return chosen


def _subset_plans(
    values: Table, tables: Sequence[Table], options: DatasetOptions, problems: Problems, policy: PathPolicy
) -> tuple[SubsetPlan, ...]:
    kind = _kind(values, tables, options, problems)
    if kind is None:
        return ()
    plans: dict[tuple[str | None, ...], SubsetPlan] = {}
    for table in tables:
        plan = _subset_plan(kind, values, table, options, problems, policy)
        if plan is None:
            continue
        identity = (plan.metadata_file,) if kind == METADATA else (plan.image_dir, plan.conditioning_data_dir)
        if identity in plans:
            problems.warn(f"{table.where}: left out, the same pictures stand in {plans[identity].where}.")
        else:
            plans[identity] = plan
    return tuple(plans.values())


def _kind(values: Table, tables: Sequence[Table], options: DatasetOptions, problems: Problems) -> str | None:
    """The kind all subsets have in common, or None after a complaint."""
    if options.reads_controls:
        return CONTROLLED
    with_metadata = [table for table in tables if "metadata_file" in table.values]
    with_masks = [table for table in tables if "conditioning_data_dir" in table.values]
    if with_metadata and len(with_metadata) < len(tables):
        what = "Some subsets have a metadata_file and some have not."
        problems.add(UsageError(where=values.where, what=what, fix="Split them into two [[datasets]]."))
        return None
    if not with_masks:
        return METADATA if with_metadata else DREAMBOOTH
    what = ""
    if with_metadata:
        what, fix = "A subset has either a metadata_file or a conditioning_data_dir.", "Leave one of them out."
    elif not options.masked_loss:
        what, fix = "Mask pictures are named, but masks are not used.", "Add --masked_loss, or leave the key out."
    elif len(with_masks) < len(tables):
        what, fix = "Some subsets have masks and some have not.", "Split them into two [[datasets]]."
    if what:
        problems.add(UsageError(where=with_masks[0].locate("conditioning_data_dir"), what=what, fix=fix))
        return None
    return MASKED


def _subset_plan(
    kind: str, values: Table, table: Table, options: DatasetOptions, problems: Problems, policy: PathPolicy
) -> SubsetPlan | None:
    before = len(problems.errors)
    allowed = (*SUBSET_KEYS, *KEYS_OF_KIND[kind])
    for key in table.values:
        if key not in allowed:
            what = f"This key does not exist for {TITLES[kind]}."
            problems.add(UsageError(where=table.locate(key), what=what, fix="Leave it out."))
    needed = "metadata_file" if kind == METADATA else "image_dir"
    for key in (needed, "conditioning_data_dir") if kind == CONTROLLED else (needed,):
        if key not in table.values and key not in table.broken:
            fix = f"Name the folder of the {'pictures' if key == needed else 'control pictures'}."
            problems.add(UsageError(where=table.locate(key), what="The key is missing.", fix=fix))
    chosen = subset_defaults(options) | {"num_repeats": options.dataset_repeats}
    for level in (values, table):
        chosen |= {key: value for key, value in level.values.items() if key in allowed}
    for key, path_kind in PATHS.items():
        if chosen.get(key):
            chosen[key] = _existing(chosen[key], path_kind, table.locate(key), problems, policy)
    if len(problems.errors) > before or needed in table.broken:
        return None
    if chosen["num_repeats"] < 1:
        problems.warn(f"{table.where}: left out, num_repeats is {chosen['num_repeats']}.")
        return None
    chosen.setdefault("image_dir", None)
    return SubsetPlan(kind=kind, where=table.where, **chosen)


def _existing(text: str, kind: str, where: str, problems: Problems, policy: PathPolicy) -> str:
    try:
        return str(resolve_user_path(text, kind, where=where, policy=policy))
    except UserError as problem:
        problems.add(problem)
        return text
