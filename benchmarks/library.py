"""The library of 5,000 LoRAs: seconds to the first rows, to the first full scan and to the next one, and memory.

    PYTHONPATH=trainer python benchmarks/library.py [FILES]

The files have the names and shapes of real ones (SD 1 and SDXL networks of 264 and 986 layers in turn, of seven ranks
and three dtypes, with metadata and tags) but are sparse: their tensors take no room on the disk.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from tanren.formats.safetensors_header import header_bytes, lay_out
from tanren.library.index import LibraryIndex
from tanren.library.table import Filters, filtered, ordered

FILES = 5000
RANKS = (4, 8, 16, 32, 64, 128, 256)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else FILES
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name) / "Lora", Path(name) / "cache"
        folder.mkdir()
        write_library(folder, count)
        memory = peak_megabytes()
        spent = time.process_time()
        full = LibraryIndex(cache).refresh([folder])
        spent = time.process_time() - spent
        began = time.perf_counter()
        index = LibraryIndex(cache)
        rows = ordered(index.rows(), "name")
        first = time.perf_counter() - began
        began = time.perf_counter()
        shown = filtered(rows, Filters(text="tag7 cat", family="sdxl"))
        filtering = time.perf_counter() - began
        again = index.refresh([folder])
        print(f"{count} files, {len(rows)} rows, index {(cache / 'library.json').stat().st_size / 1e6:.1f} MB")
        print(f"first full scan     {full.seconds:8.2f} s ({full.seconds / count * 1000:.1f} ms per file)")
        print(f"  processor time    {spent:8.2f} s ({spent / count * 1000:.1f} ms per file)")
        print(f"first rows          {first:8.2f} s")
        print(f"search and filter   {filtering:8.3f} s ({len(shown)} rows)")
        print(f"next scan           {again.seconds:8.2f} s ({again.kept} kept)")
        print(f"memory, more at peak{peak_megabytes() - memory:8.0f} MB")


def write_library(folder: Path, count: int) -> None:
    draw = random.Random(1)
    tables = {
        (layers, rank, dtype): network(layers, name, rank, dtype)
        for layers, name in ((264, "lora_unet_down_blocks_1_attentions_{}_x"), (986, "lora_unet_input_blocks_{}_1_x"))
        for rank in RANKS
        for dtype in ("F16", "BF16", "F32")
    }
    for number in range(count):
        layers = (264, 986)[number % 2]
        base, v2 = ("sd_v1", "sdxl_base_v1-0")[number % 2], "False"
        tensors = tables[layers, draw.choice(RANKS), draw.choice(("F16", "F16", "F16", "BF16", "F32"))]
        tags = {f"10_cat {number}": {f"tag{tag}": 200 - tag for tag in range(150)}}
        metadata = {
            "ss_output_name": f"cat {number}",
            "ss_base_model_version": base,
            "ss_v2": v2,
            "ss_network_module": "networks.lora",
            "ss_tag_frequency": json.dumps(tags),
            "modelspec.date": f"2025-01-{number % 28 + 1:02}T00:00:00",
            **{f"ss_setting_{key}": "None" for key in range(60)},
        }
        head = header_bytes(metadata, tensors)
        with (folder / f"cat {number:05}.safetensors").open("wb") as file:
            file.write(head)
            file.truncate(len(head) + max(entry.end for entry in tensors.values()))


def network(layers: int, name: str, rank: int, dtype: str) -> dict:
    shapes = {}
    for layer in range(layers):
        stem = name.format(layer % 12) + f"_{layer}"
        shapes[f"{stem}.lora_down.weight"] = (rank, 640)
        shapes[f"{stem}.lora_up.weight"] = (640, rank)
        shapes[f"{stem}.alpha"] = ()
    return lay_out((key, dtype, shape) for key, shape in shapes.items())


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
