"""Time and memory of a scan: `python benchmarks/scan.py 100000`. Makes that many small pictures with captions first."""

from __future__ import annotations

import random
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "trainer"))

from tanren.data.records import Scan
from tanren.data.scan import scan
from tanren.errors import Problems
from tanren.options.dataset import DatasetOptions
from tanren.options.dataset_plan import DREAMBOOTH, DatasetPlan, SubsetPlan


def make_pictures(folder: Path, count: int) -> None:
    rng = random.Random(0)
    words = ["1girl", "solo", "smile", "outdoors", "blue sky", "long hair", "looking at viewer", "tree", "hat", "dress"]
    kinds = []
    for size in ((96, 64), (64, 96), (80, 80), (128, 72), (72, 128)):
        for suffix in ("png", "jpg", "webp"):
            path = folder / f"kind.{suffix}"
            Image.effect_noise(size, 60).convert("RGB").save(path)
            kinds.append((suffix, path.read_bytes()))
            path.unlink()
    for number in range(count):
        suffix, content = rng.choice(kinds)
        (folder / f"picture_of_{number:07}.{suffix}").write_bytes(
            content + number.to_bytes(4, "little") * (number % 97)
        )
        (folder / f"picture_of_{number:07}.txt").write_text(", ".join(rng.sample(words, 8)), "utf-8")


def scanned(folder: Path) -> Scan:
    subset = SubsetPlan(kind=DREAMBOOTH, image_dir=str(folder), where="benchmark", caption_extension=".txt")
    plan = DatasetPlan(subsets=(subset,), resolution_wh=(512, 512), enable_bucket=True)
    return scan([plan], DatasetOptions(min_side=1), None, Problems())


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder, count)
        scanned(folder)
        start, cpu = time.perf_counter(), time.process_time()
        scanned(folder)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        tracemalloc.start()
        result = scanned(folder)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{count} pictures, {result.batches_per_epoch()} batches")
        print(f"wall {wall / count * 1e6:.1f} us, cpu {cpu / count * 1e6:.1f} us a picture")
        print(f"kept {kept / count:.0f} bytes, at most {peak / count:.0f} bytes a picture")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
