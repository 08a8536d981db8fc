"""What scans of picture folders found, kept while the form is filled in.

Every key stroke asks for the plan again, and only few of them change what a scan would find. A scan is kept by what it
depends on: the settings of the data, and names, sizes and times of the files. Settings that the scan does not look at
(batch size, shuffling, rates) find it again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from threading import RLock

from ..data.records import Scan
from ..data.scan import scan
from ..errors import Problems, UserError
from ..events import Report
from ..options.dataset import DatasetOptions
from ..options.dataset_plan import DatasetPlan, SubsetPlan

MOST_SCANS, MOST_PICTURES = 8, 50_000
# With more pictures, files are asked for their sizes and times this often; folders that change are seen at once.
MANY_PICTURES, SECONDS_TRUSTED = 2_000, 10.0
# Settings that do not change what a scan finds; any other one, also a future one, asks for a new scan.
UNSEEN_OF_SUBSET = (
    *("cache_info", "shuffle_caption", "keep_tokens", "keep_tokens_separator", "secondary_separator"),
    *("caption_prefix", "caption_suffix", "caption_dropout_rate", "caption_dropout_every_n_epochs"),
    *("caption_tag_dropout_rate", "token_warmup_min", "token_warmup_step", "color_aug", "flip_aug"),
    *("resize_interpolation", "custom_attributes"),
)
UNSEEN_OF_DATASET = ("subsets", "batch_size", "resize_interpolation", "network_multiplier")
SEEN_OPTIONS = ("max_pixels", "min_side", "on_bad_image", "masked_loss")


@dataclass(frozen=True)
class _Kept:
    scan: Scan
    errors: tuple[UserError, ...]
    warnings: tuple[str, ...]
    folders: str
    files: str
    asked: float

    @property
    def pictures(self) -> int:
        return sum(len(dataset.images) + len(dataset.validation) for dataset in self.scan.datasets)


class ScanMemory:
    """Scans by what they depend on; a few of them, and no more than some ten thousand pictures beside the newest.

    Whoever checks holds `lock` meanwhile, so that two checks at the same time scan once.
    """

    def __init__(self, most_scans: int = MOST_SCANS, most_pictures: int = MOST_PICTURES) -> None:
        self.lock = RLock()
        self._most = most_scans, most_pictures
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """A folder for files that live as long as one check; gone when the program ends."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="tanren-check-")
        return Path(self._folder.name)

    def scan(
        self,
        plans: Sequence[DatasetPlan],
        options: DatasetOptions,
        report: Report | None,
        problems: Problems,
        *,
        seed: int | None = None,
        roots: Sequence[Path] | None = None,
    ) -> Scan:
        """As `data.scan.scan`, from memory where nothing it depends on has changed."""
        with self.lock:
            key = _key(plans, options, seed, roots)
            kept = self._still_true(key, plans)
            if kept is None:
                # Asked before the scan: what changes meanwhile is seen next time.
                facts = signature(plans, files=False), signature(plans, files=True), time.monotonic()
                own = Problems()
                found = scan(plans, options, report, own, seed=seed, roots=roots)
                kept = _Kept(found, tuple(map(_without_frames, own.errors)), tuple(own.warnings), *facts)
            self._kept[key] = kept
            self._kept.move_to_end(key)
            self._forget()
        for error in kept.errors:
            problems.add(error)
        for warning in kept.warnings:
            problems.warn(warning)
        pairs = zip(kept.scan.datasets, plans, strict=True)
        return Scan(tuple(replace(dataset, plan=plan) for dataset, plan in pairs), list(kept.scan.notes))

    def _still_true(self, key: str, plans: Sequence[DatasetPlan]) -> _Kept | None:
        """What is kept under a key, unless something changed on the disk."""
        kept = self._kept.get(key)
        if kept is None or kept.folders != signature(plans, files=False):
            return None
        now = time.monotonic()
        if kept.pictures > MANY_PICTURES and now - kept.asked < SECONDS_TRUSTED:
            return kept
        return replace(kept, asked=now) if kept.files == signature(plans, files=True) else None

    def _forget(self) -> None:
        scans, pictures = self._most
        while len(self._kept) > 1 and (
            len(self._kept) > scans or sum(kept.pictures for kept in self._kept.values()) > pictures
        ):
            self._kept.popitem(last=False)


@lru_cache(maxsize=1)
def shared_memory() -> ScanMemory:
    """The memory of this process."""
    return ScanMemory()


def _without_frames(error: UserError) -> UserError:
    """The error without what it was raised from, which would keep a whole scan's variables alive."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def signature(plans: Sequence[DatasetPlan], *, files: bool) -> str:
    """Changes when names in the data's folders come or go; with `files`, also when a file changes."""
    digest = hashlib.blake2b(digest_size=16)
    for plan in plans:
        for subset in plan.subsets:
            for folder in (subset.image_dir, subset.conditioning_data_dir):
                digest.update(_folder_facts(folder, files=files) if folder else b"-")
            digest.update(_facts(subset.metadata_file) if subset.metadata_file else b"-")
    return digest.hexdigest()


def _folder_facts(folder: str, *, files: bool) -> bytes:
    if not files:
        return _facts(folder)
    digest = hashlib.blake2b(digest_size=16)
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        return str(error.errno).encode()
    for entry in listed:
        digest.update(entry.name.encode("utf-8", "surrogatepass") + _entry_facts(entry))
    return digest.digest()


def _entry_facts(entry: os.DirEntry[str]) -> bytes:
    try:
        facts = entry.stat()
    except OSError as error:
        return str(error.errno).encode()
    return b"%d %d;" % (facts.st_size, facts.st_mtime_ns)


def _facts(path: str) -> bytes:
    try:
        facts = Path(path).stat()
    except OSError as error:
        return str(error.errno).encode()
    return b"%d %d;" % (facts.st_size, facts.st_mtime_ns)


def _key(plans: Sequence[DatasetPlan], options: DatasetOptions, seed: int | None, roots: Sequence[Path] | None) -> str:
    parts = [repr([(name, getattr(options, name)) for name in SEEN_OPTIONS]), repr(roots)]
    for plan in plans:
        # Only the split into training and validation is drawn.
        drawn = seed if plan.validation_split and plan.validation_seed is None else None
        parts.append(repr((_seen(plan, UNSEEN_OF_DATASET), drawn)))
        parts += [repr(_seen(subset, UNSEEN_OF_SUBSET)) for subset in plan.subsets]
    return "\n".join(parts)


def _seen(plan: DatasetPlan | SubsetPlan, unseen: Sequence[str]) -> list[tuple[str, object]]:
    return [(part.name, getattr(plan, part.name)) for part in fields(plan) if part.name not in unseen]
