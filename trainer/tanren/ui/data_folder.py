"""One folder of pictures while pages look at it: its rows, read in the background, and what is asked about them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from ..data.buckets import Size
from ..errors import UserError
from ..options.dataset_plan import DatasetPlan
from ..preparation.caption_files import AUTO
from ..preparation.facts import PictureFacts
from ..preparation.fitting import cropper
from ..preparation.index import PictureIndex, Wanted
from ..preparation.levels import Level, understand
from ..preparation.lookalikes import MOST_DIFFERING
from ..preparation.overview import TINY, Overview, Questions, Survey, cache_folder

# Rows take about a kilobyte each; those of one folder are shared by all its views.
FOLDERS_KEPT, PICTURES_KEPT, ANSWERS_KEPT = 4, 200_000, 20
# While a folder is read, pages are told of the first pictures, and then whenever there are half as many again.
TOLD_FIRST, TOLD_AGAIN = 60, 1.5
# Most different sizes of pictures whose crops are kept.
CROPS_KEPT = 4096
# After a change the folder is read again, once for several changes that follow each other.
QUIET_SECONDS = 1.0
Answer = TypeVar("Answer")
log = logging.getLogger("tanren.ui")

LISTING, DECODING, DONE, FAILED = "listing", "decoding", "done", "failed"


@dataclass(frozen=True)
class View:
    """What a page asks about a folder, beside its place.

    Args:
        resolution_wh: trained size.
        enable_bucket: pictures keep their shape.
        no_upscale: small pictures are not enlarged.
        steps: sides of buckets are multiples of this.
        shortest, longest: limits of their sides; 0: the trainer's own, moved as far as the resolution needs.
        trigger: words that every caption should have; empty: the folder's own name for the concept.
        encoding: of captions that are not in UTF-8 (preparation/caption_files.py).
        suffix: of the captions that are read where a picture has several; empty: what the folder uses most.
        tiny: pictures whose shorter side has fewer pixels are marked.
        near: bits of 128 in which pictures that look alike may differ.
    """

    resolution_wh: Size = (512, 512)
    enable_bucket: bool = True
    no_upscale: bool = False
    steps: int = 64
    shortest: int = 0
    longest: int = 0
    trigger: str = ""
    encoding: str = AUTO
    suffix: str = ""
    tiny: int = TINY
    near: int = MOST_DIFFERING

    @property
    def reading(self) -> tuple[str, str, int]:
        """What decides about rows and groups themselves; two views that agree in it can share them."""
        return self.encoding, self.suffix, self.near

    def plan(self) -> DatasetPlan:
        """Resolution and buckets, as a dataset file would have them."""
        return DatasetPlan(
            subsets=(),
            resolution_wh=self.resolution_wh,
            enable_bucket=self.enable_bucket,
            min_bucket_reso=self.shortest or min(256, *self.resolution_wh),
            max_bucket_reso=self.longest or max(1024, *self.resolution_wh),
            bucket_reso_steps=self.steps,
            bucket_no_upscale=self.no_upscale,
        )


@dataclass(frozen=True)
class Progress:
    """How far the reading is.

    Args:
        phase: LISTING, DECODING, DONE or FAILED.
        done, total: pictures of the phase.
        problem: why it failed.
    """

    phase: str
    done: int
    total: int
    problem: UserError | None = None


class DataFolder:
    """The rows of a folder; read again whenever `refresh` is called.

    Args:
        folder: absolute.
        view: sizes and trigger word.
        data: our data folder, for the index.
        like: the same folder in another view; what was read for it is taken over.
    """

    def __init__(self, folder: Path, view: View, data: Path, like: DataFolder | None = None) -> None:
        self.folder, self.view = folder, view
        self.crop = lru_cache(CROPS_KEPT)(cropper(view.plan()))
        self.level: Level = understand(folder)
        self.overview: Overview = Overview(self.level)
        self.rows: list[PictureFacts] = []
        self.version = 0
        self.progress = Progress(LISTING, 0, self.level.pictures)
        self._index = PictureIndex(cache_folder(data))
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, tuple[int, Any]] = OrderedDict()
        self._is_wanted, self._is_count_wanted, self._is_closed = False, False, False
        self._thread: threading.Thread | None = None
        self._has_rows = threading.Event()
        if like is not None and like.progress.phase == DONE:
            # What was changed before this moment is perhaps not in its rows yet; later, both are told.
            is_settled = like.is_settled
            self.rows, self.level, self.overview = list(like.rows), like.level, like.overview
            self._count()
            self.progress = like.progress
            self._has_rows.set()
            if not is_settled:
                self.refresh(at_once=True)
        else:
            self.refresh(at_once=True)

    @property
    def is_settled(self) -> bool:
        """False while rows or counts are still to change, also in the moment before the reading begins."""
        return self._thread is None

    @property
    def groups(self) -> list[list[str]]:
        """Paths of pictures that are the same or look alike."""
        return [*self.overview.duplicates, *self.overview.lookalikes]

    @property
    def in_groups(self) -> set[str]:
        """Paths of all pictures that are in a group."""
        return self.answer("in groups", lambda: {path for group in self.groups for path in group})

    def answer(self, key: str, make: Callable[[], Answer]) -> Answer:
        """What `make` gives, kept under a key until the rows are others."""
        version, known = self._answers.get(key, (-1, None))
        if version == self.version:
            return cast(Answer, known)
        version, made = self.version, make()
        with self._lock:
            self._answers[key] = version, made
            while len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)
        return made

    def refresh(self, *, at_once: bool = False) -> None:
        """Read the folder again in the background; what is known stays until then."""
        with self._lock:
            self._is_wanted = True
            self._begin(0.0 if at_once else QUIET_SECONDS)

    def wait_for_rows(self, seconds: float) -> None:
        """Wait until there are pictures to show, or there are none."""
        self._has_rows.wait(seconds)

    def wait_for_all(self, seconds: float, *, looked_into: bool) -> bool:
        """Wait until every picture has its row, and each was decoded if `looked_into`; False when that takes longer."""
        missing = (LISTING, DECODING) if looked_into else (LISTING,)
        deadline = time.monotonic() + seconds
        while self.progress.phase in missing:
            if time.monotonic() > deadline or self._is_closed:
                return False
            time.sleep(0.02)
        return True

    def close(self) -> None:
        """Stop reading."""
        self._is_closed = True

    def wait(self, seconds: float) -> bool:
        """Wait until the folder has been read; False when it still is being read then."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return self._thread is None

    def put(self, row: PictureFacts) -> None:
        """A row whose caption was changed; counts follow in the background, and nothing is read for it."""
        place = next((place for place, known in enumerate(self.rows) if _is_same(known, row)), None)
        if place is None:
            return
        self.rows[place] = row
        self.version += 1
        with self._lock:
            # While the folder is being read, the caption may have been read before it was changed.
            self._is_wanted = self._is_wanted or self.progress.phase != DONE
            self._is_count_wanted = True
            self._begin(QUIET_SECONDS)

    def row(self, path: str) -> PictureFacts | None:
        """The row of a picture."""
        folder, _, name = path.rpartition(os.sep)
        return next((row for row in self.rows if row.name == name and row.folder == folder), None)

    def _begin(self, wait: float) -> None:
        if self._thread is None and not self._is_closed:
            self._thread = threading.Thread(target=self._work, args=(wait,), daemon=True)
            self._thread.start()

    def _work(self, wait: float) -> None:
        time.sleep(wait)
        while True:
            with self._lock:
                is_reading_wanted, self._is_wanted, self._is_count_wanted = self._is_wanted, False, False
            try:
                if is_reading_wanted:
                    self._read()
                else:
                    self._count()
            except UserError as problem:
                self.progress = replace(self.progress, phase=FAILED, problem=problem)
            except Exception as fault:
                # A fault of ours: the page gets a sentence and may ask again, the console the traceback.
                log.exception("A fault while looking at %s:", self.folder)
                said = UserError(what="Tanren itself failed at this.", why=repr(fault))
                self.progress = replace(self.progress, phase=FAILED, problem=said)
            finally:
                self._has_rows.set()
            with self._lock:
                if not (self._is_wanted or self._is_count_wanted) or self._is_closed:
                    self._thread = None
                    return

    def _count(self) -> None:
        survey = Survey(self.level, self._index, self._questions, Wanted())
        self.overview = survey.count(list(self.rows), self.overview)
        self.version += 1

    @property
    def _questions(self) -> Questions:
        view = self.view
        return Questions(view.suffix or None, view.trigger, view.tiny, view.encoding, self.crop, view.near)

    def _read(self) -> None:
        level = understand(self.folder)
        is_first = not self.rows
        for decode in (False, True) if is_first else (True,):
            phase = DECODING if decode else LISTING
            self.progress = Progress(phase, 0, level.pictures)
            wanted = Wanted(decode=decode, should_stop=lambda: self._is_closed)
            survey = Survey(level, self._index, self._questions, wanted)
            fresh: list[PictureFacts] = []
            told = TOLD_FIRST
            if not decode:
                # The first rows are shown while the others are still being read.
                self.rows, self.overview, self.level = fresh, survey.overview, level
            for row in survey.rows():
                fresh.append(row)
                self.progress = Progress(phase, len(fresh), level.pictures)
                if not decode and len(fresh) >= told:
                    told = int(told * TOLD_AGAIN)
                    self.version += 1
                    self._has_rows.set()
            if self._is_closed:
                return
            self.rows, self.overview, self.level = fresh, survey.overview, level
            self.version += 1
            self._has_rows.set()
        self.progress = Progress(DONE, len(self.rows), len(self.rows))


class DataFolders:
    """The folders that pages looked at last; may be asked from several threads.

    Args:
        data: our data folder.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Path, View], DataFolder] = OrderedDict()

    def open(self, folder: Path, view: View) -> DataFolder:
        """A folder, read in the background from its first opening on.

        Raises:
            DataError: it cannot be read.
            UsageError: the sizes of the view do not fit each other.
        """
        with self._lock:
            known = self._kept.get((folder, view))
            if known is None:
                like = next(
                    (
                        one
                        for one in reversed(self._kept.values())
                        if one.folder == folder and one.view.reading == view.reading
                    ),
                    None,
                )
                known = self._kept[folder, view] = DataFolder(folder, view, self._data, like)
            self._kept.move_to_end((folder, view))
            while len(self._kept) > 1 and (len(self._kept) > FOLDERS_KEPT or self._pictures() > PICTURES_KEPT):
                self._kept.popitem(last=False)[1].close()
            return known

    def put(self, row: PictureFacts) -> None:
        """A row whose caption was changed by us, wherever it is shown."""
        with self._lock:
            for known in self._kept.values():
                if known.view.suffix in ("", row.caption.suffix):
                    known.put(row)
                else:
                    known.refresh()

    def changed(self, folder: Path) -> None:
        """Something inside a folder was changed by us: whoever shows it reads it again."""
        with self._lock:
            for known in self._kept.values():
                if folder in (known.folder, *known.folder.parents) or known.folder in folder.parents:
                    known.refresh()

    def _pictures(self) -> int:
        return sum({known.folder: known.level.pictures for known in self._kept.values()}.values())


def _is_same(row: PictureFacts, other: PictureFacts) -> bool:
    return row.name == other.name and row.folder == other.folder


def tag_counts(rows: Sequence[PictureFacts], split: Callable[[str], list[str]]) -> list[tuple[str, int]]:
    """Tags and in how many captions they stand, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(set(split(row.caption.text)))
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
