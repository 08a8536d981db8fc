"""What a run learns from when there are no pictures: pairs of prompts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..formats.leco_prompts import LecoPrompts, pair_fields
from .records import Scan

SHOWN_PAIRS = 16


@dataclass
class PromptScan(Scan):
    """The pairs of a prompt file, in the place of pictures.

    Args:
        prompts: what the file says.
        file: its name, without the folder.
        batches: of the whole run, over all processes; a run is one epoch.
    """

    prompts: LecoPrompts = field(default_factory=lambda: LecoPrompts((), has_sliders=False))
    file: str = ""
    batches: int = 0

    def batches_per_epoch(self) -> int:
        """Batches of the whole run."""
        return self.batches

    def fingerprint(self) -> str:
        """Changes when a pair does; 32 hex digits."""
        return hashlib.blake2b(json.dumps(self.pair_facts).encode(), digest_size=16).hexdigest()

    @property
    def pair_facts(self) -> list[dict[str, Any]]:
        """Every field of every pair."""
        return [pair_fields(pair) for pair in self.prompts.pairs]

    @property
    def metadata(self) -> dict[str, str]:
        """kohya's keys of LECO files."""
        shown = self.pair_facts[:SHOWN_PAIRS]
        return {
            "ss_leco_prompt_count": str(len(self.prompts.pairs)),
            "ss_leco_prompts_file": self.file,
            "ss_leco_preview": json.dumps(shown, ensure_ascii=False),
        }


def scan_prompts(prompts: LecoPrompts, path: Path, batches: int) -> PromptScan:
    """The scan of a prompt file."""
    return PromptScan((), list(prompts.notes), prompts, path.name, batches)
