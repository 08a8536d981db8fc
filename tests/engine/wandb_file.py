"""What Weights & Biases wrote in offline mode, read back without its package's help beyond the record's definition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADER, BLOCK, CHUNK_HEADER = 7, 32768, 7


def offline_runs(folder: Path) -> list[Path]:
    """The `.wandb` files below a folder."""
    return sorted(folder.rglob("*.wandb"))


def written(path: Path) -> dict[str, Any]:
    """Project, name, settings and every logged number of one run.

    Returns:
        "project", "name", "config" (key -> value) and "history" (one dict per step, `_step` in it).
    """
    from wandb.proto import wandb_internal_pb2

    run: dict[str, Any] = {"project": None, "name": None, "config": {}, "history": []}
    for data in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("run"):
            run["project"], run["name"] = record.run.project, record.run.display_name
        for update in record.config.update:
            run["config"][update.key or ".".join(update.nested_key)] = json.loads(update.value_json)
        if record.HasField("history"):
            items = record.history.item
            run["history"].append(
                {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
            )
    return run


def _records(data: bytes) -> Iterator[bytes]:
    """Records of LevelDB's log format: chunks in blocks, each with checksum, length and kind (1 whole, 2-4 parts)."""
    place, parts = HEADER, b""
    while place + CHUNK_HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < CHUNK_HEADER:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        place += CHUNK_HEADER
        parts += data[place : place + length]
        place += length
        if kind in (1, 4):
            yield parts
            parts = b""
