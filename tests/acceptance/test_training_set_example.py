"""docs/making-a-training-set.md: every command of it, as it stands there, on the embedded SDXL."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tanren import launcher
from tanren.formats.infotext import read_infotext
from tanren.formats.safetensors_header import read_header

DOCUMENT = Path(__file__).parents[2] / "docs" / "making-a-training-set.md"
TRAINER = str(Path(__file__).parents[2] / "trainer")
PROGRAM = ["python", "launch.py"]
# The same commands with as little work as they can do.
FEW: Mapping[str, str] = {
    "--images_per_prompt": "4",
    "--steps": "2",
    "--max_train_steps": "2",
    "--train_batch_size": "2",
    "--batch_size": "4",
}
BACKGROUND = np.array((128, 128, 128))
CONTRAST = 110


def commands() -> list[list[str]]:
    """The words of all commands of the document, in its order."""
    blocks = re.findall(r"^```\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [shlex.split(line) for line in lines if line.strip()]
    assert all(words[:2] == PROGRAM for words in found)
    return [words[2:] for words in found]


def with_little_work(words: list[str]) -> list[str]:
    pairs = zip(["", *words], words, strict=False)
    return [FEW.get(before, word) for before, word in pairs]


@pytest.fixture
def run_all(tmp_path, monkeypatch):
    """Runs the document in an empty folder, in which `example` then is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))

    def run(changed: Callable[[list[str]], list[str]]) -> Path:
        for words in map(changed, commands()):
            if words[0] == "micro-model":
                # It ends the process that asks for it.
                command = [sys.executable, "-m", "tanren", *words]
                assert subprocess.run(command, env={**os.environ, "PYTHONPATH": TRAINER}, check=False).returncode == 0
            else:
                assert launcher.main(words, managed=False) == 0, " ".join(words)
        return tmp_path / "example"

    return run


def names(folder: Path, suffix: str) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == suffix)


def prompts_of(folder: Path) -> set[str]:
    found = set()
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            found.add(read_infotext(picture.info["parameters"]).prompt)
    return found


def test_the_example_makes_pictures_captions_edges_and_what_is_learned_from_them(run_all):
    example = run_all(with_little_work)

    assert len(names(example / "pictures", ".png")) == 4
    captions = [path.read_text("utf-8").strip() for path in (example / "pictures").glob("*.txt")]
    assert len(captions) == 4
    assert all(re.fullmatch(r"a \w+ shape on a \w+ background", caption) for caption in captions)
    assert names(example / "edges", ".png") == names(example / "pictures", ".png")
    control = read_header(example / "out" / "follow-edges.safetensors")
    assert all(name.startswith("lllite_unet_") for name in control.tensors)
    assert prompts_of(example / "steered") == prompts_of(example / "free") == {"a blue shape on a gray background"}
    assert names(example / "steered", ".png") == names(example / "guide-edges", ".png")
    lora = read_header(example / "out" / "shapes.safetensors")
    assert lora.metadata["ss_network_module"] == "networks.lora"
    assert lora.metadata["ss_num_train_images"] == "4"


def test_the_document_is_named_where_people_look_for_it():
    root = DOCUMENT.parents[1]

    texts = [(root / name).read_text("utf-8") for name in ("README.md", "README.ja.md")]
    assert ["(docs/making-a-training-set.md)" in text for text in texts] == [True, True]


@pytest.mark.proof
def test_what_is_drawn_with_the_examples_network_lies_where_the_edges_are(run_all):
    example = run_all(lambda words: words)

    shapes = [drawn(path, (245, 245, 245)) for path in sorted((example / "guides").glob("*.png"))]
    overlaps = {
        folder: [
            overlap(drawn(path, BACKGROUND), shape)
            for path, shape in zip(sorted((example / folder).glob("*.png")), shapes, strict=True)
        ]
        for folder in ("free", "steered")
    }
    free, steered = (float(np.mean(overlaps[folder])) for folder in ("free", "steered"))

    print(f"\noverlap with the guide's shape: without the network {free:.3f}, with it {steered:.3f}")
    assert steered >= free + 0.08


def drawn(path: Path, ground: object) -> np.ndarray:
    """Where a picture is not background."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=float)
    found: np.ndarray = np.abs(pixels - np.asarray(ground)).sum(-1) > CONTRAST
    return found


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / max(1, (one | other).sum()))
