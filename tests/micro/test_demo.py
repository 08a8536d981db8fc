"""The demo's settings are an ordinary config file and its pictures are read back as the trainer names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.micro import demo, demonstration
from tanren.micro.lessons import Lesson
from tanren.options.network import NetworkOptions
from tanren.options.parse import parse
from tanren.options.training import TrainingOptions


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / '学習 "データ"'
    (place / "sample").mkdir(parents=True)
    return place


@pytest.mark.parametrize("base", demonstration.BASES.values(), ids=demonstration.BASES)
def test_the_config_file_is_understood_without_a_problem_or_warning(folder, base):
    config = folder / "demo.toml"
    config.write_text(demonstration._config_text(folder, Lesson(folder / "train", folder / "reg"), 12, base), "utf-8")
    problems = Problems()
    settings = parse(base.command, COMMANDS[base.command].groups, [f"--config_file={config}"], problems).settings
    assert (problems.errors, problems.warnings) == ([], [])
    assert settings[TrainingOptions].max_train_steps == 12
    assert settings[NetworkOptions].network_dim == demonstration.SETTINGS["network_dim"]


def test_half_of_the_new_words_colours_were_never_shown():
    samples = demonstration._samples()
    assert [sample.is_new for sample in samples] == [True] * 16 + [False] * 8
    new = [sample for sample in samples if sample.is_new]
    assert all("sks" in sample.text and sample.words.shape == demonstration.NEW_SHAPE for sample in new)
    assert len({sample.words for sample in new}) == 16
    assert not any(demonstration.NEW_SHAPE in sample.text for sample in samples)
    assert all(" --d 10" in line for line in demonstration._prompt_lines(samples))


def test_pictures_come_in_the_order_of_the_prompts_and_by_moment(folder):
    for number in (1, 0):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(
            folder / "sample" / f"demo_e000000_0{number}_20260102030405_100{number}.png"
        )
    Image.new("RGB", (64, 64)).save(folder / "sample" / "demo_000600_00_20260102030405_1000.png")
    assert [picture.getpixel((0, 0))[0] for picture in demonstration._pictures(folder, "e000000", 2)] == [0, 1]
    assert len(demonstration._pictures(folder, "000600", 1)) == 1


def test_losses_come_from_the_jobs_events(folder):
    (folder / "job").mkdir()
    lines = ['{"kind": "step", "step": 1, "loss": 0.5}', '{"kind": "note", "text": "x"}', '{"kind": "step", "st']
    (folder / "job" / "events.jsonl").write_text("\n".join(lines), "utf-8")
    assert demonstration._losses(folder) == [(1, 0.5)]


def test_a_path_that_cannot_be_is_refused(capsys):
    assert demo.main(["--out", "bad\nname"]) == 2
    assert not Path("bad\nname").exists()
