"""Starting runs and killing them at random moments."""

from __future__ import annotations

import random
import time
from pathlib import Path

from acceptance.processes import RESUMED, SAVED, TRAINING_BEGINS, Running
from recipes.training import lasting, same_tensors


class Killer:
    """Starts runs and kills them, each at a moment that differs by saved files and by fractions of a second.

    The first kill comes late enough for a state to be there.
    """

    def __init__(self, seed: int, most_saves: int, command: str = "train_network") -> None:
        self.random, self.most_saves, self.command = random.Random(seed), most_saves, command
        self.done = self.leftovers = self.resumed = 0

    def start(self, words: list[str], out: Path) -> bool:
        """Start and kill; True when the run had got to its end by itself before."""
        with Running(words, self.command) as run:
            assert run.wait_for(TRAINING_BEGINS), run.text
            for _ in range(self.random.randrange(self.most_saves) if self.done else self.most_saves):
                run.wait_for(SAVED)
            time.sleep(self.random.uniform(0, 0.3))
            if run.process.poll() is not None:
                assert run.end() == 0, run.text
                return True
            run.kill()
        self.done += 1
        self.resumed += RESUMED in run.text
        self.leftovers += len(leftovers_of(out))
        return False

    def finish(self, words: list[str]) -> None:
        """Let a run get to its end."""
        with Running(words, self.command) as run:
            assert run.end() == 0, run.text
        self.resumed += RESUMED in run.text


def leftovers_of(folder: Path) -> list[str]:
    """What killed writers left half done."""
    return [path.name for path in folder.rglob(".tn-*") if path.suffix in (".tmp", ".part", ".old")]


def check_same(result: Path, undisturbed: Path) -> None:
    """Bit by bit, and in all that the file says but its times."""
    assert same_tensors(result, undisturbed)
    assert lasting(result) == lasting(undisturbed)
