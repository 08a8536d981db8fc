"""Looking at and editing a data set: `python benchmarks/preparation.py 10000`. Makes that many small pictures first.

First rows and the whole walk, without and with the index; memory that a walk keeps; one edit of all captions through
the journal, and its undoing; the first hundred pictures decoded.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "trainer"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from scan import make_pictures
from tanren.preparation.caption_edit import captions_of, carry_out, per_line, plan_edit
from tanren.preparation.index import PictureIndex, Wanted
from tanren.preparation.journal import Journal
from tanren.preparation.levels import understand
from tanren.preparation.overview import Questions, Survey
from tanren.preparation.tags import adding

FIRST_ROWS = 50


def walk(folder: Path, cache: Path, what: str) -> None:
    """Time one walk: the first rows, all of them, and the processor's part."""
    start, cpu = time.perf_counter(), time.process_time()
    level = understand(folder)
    rows = Survey(level, PictureIndex(cache), Questions(), Wanted()).rows()
    list(islice(rows, FIRST_ROWS))
    first, first_cpu = time.perf_counter() - start, time.process_time() - cpu
    for _ in rows:
        pass
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{what}: first {FIRST_ROWS} rows {first:.3f} s (cpu {first_cpu:.3f}), all {wall:.2f} s (cpu {cpu:.2f})")


def memory(folder: Path, cache: Path) -> None:
    """What a walk holds at most, and what of it stays, in bytes a picture."""
    level = understand(folder)
    tracemalloc.start()
    survey = Survey(level, PictureIndex(cache), Questions(), Wanted())
    survey.finish()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = (cache / "pictures.sqlite").stat().st_size
    count = level.pictures
    print(f"memory: kept {kept / count:.0f}, at most {peak / count:.0f}, index {size / count:.0f} bytes a picture")


def edit(folder: Path, data: Path) -> None:
    """One tag added to every caption, and taken back."""
    level = understand(folder)
    start = time.perf_counter()
    plan = plan_edit(level, captions_of(level), "add a tag", [per_line(adding(["benchmark"]))])
    planned = time.perf_counter() - start
    carry_out(plan, Journal(data))
    done = time.perf_counter() - start - planned
    start = time.perf_counter()
    Journal(data).undo()
    undone = time.perf_counter() - start
    print(f"edit: plan {planned:.2f} s, change {done:.2f} s, undo {undone:.2f} s for {len(plan.changes)} captions")


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        make_pictures(folder, count)
        print(f"{count} pictures")
        walk(folder, Path(name) / "cache", "without index")
        walk(folder, Path(name) / "cache", "with index")
        memory(folder, Path(name) / "cache")
        start = time.perf_counter()
        rows = PictureIndex(Path(name) / "other").survey(folder, Wanted(decode=True))
        print(f"decoding: {(len(list(islice(rows, 100))), time.perf_counter() - start)[1] * 10:.1f} ms a picture")
        if count <= 20_000:
            edit(folder, Path(name) / "data")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
