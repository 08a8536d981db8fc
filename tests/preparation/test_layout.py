"""Folders as training reads them, dataset files, archives."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from story_folder import drawn, story_folder, tree_bytes
from tanren.data.scan import scan
from tanren.errors import DataError, Problems, UsageError
from tanren.options.caching import CachingOptions
from tanren.options.dataset import DatasetOptions
from tanren.options.dataset_file import dataset_plans
from tanren.options.dataset_plan import DatasetPlan
from tanren.options.spec import Settings
from tanren.preparation.journal import Journal
from tanren.preparation.layout import (
    COPY,
    HARD_LINK,
    LINK,
    dataset_toml,
    export_archive,
    lay_out,
    plan_layout,
    write_dataset_toml,
)
from tanren.preparation.levels import understand


@pytest.fixture
def folder(tmp_path):
    return story_folder(tmp_path / "in")


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "data")


@pytest.mark.parametrize("way", [COPY, LINK, HARD_LINK])
def test_a_folder_is_laid_out_and_taken_back(folder, journal, tmp_path, way):
    before, parent = tree_bytes(folder), tmp_path / "train"
    placings = plan_layout(understand(folder), parent, repeats=5, name="sks girl")
    assert not parent.exists()

    assert lay_out(placings, journal, way=way) == 23

    made = parent / "5_sks girl"
    assert (made / "10 turned.caption").read_bytes() == b"sks girl, indoors\n"
    assert (made / "01.png").is_symlink() == (way == LINK)
    assert (made / "01.png").samefile(folder / "01.png") == (way != COPY)
    assert lay_out(placings, journal, way=way) == 0
    journal.undo()
    assert not parent.exists()
    assert tree_bytes(folder) == before


def test_masks_beside_pictures_go_along(tmp_path):
    drawn(1, (32, 32)).save(tmp_path / "a.png")
    drawn(1, (32, 32)).save(tmp_path / "a-masklabel.png")

    names = [one.target.name for one in plan_layout(understand(tmp_path), tmp_path / "t", repeats=1, name="x")]

    assert names == ["a.png", "a-masklabel.png"]


@pytest.mark.parametrize(
    ("repeats", "name", "what"),
    [
        (0, "sks", "fewer than 1 repeat"),
        (1, " ", "The name is empty"),
        (1, "a/b", "cannot be the name of a file"),
    ],
)
def test_impossible_folders_are_refused(folder, tmp_path, repeats, name, what):
    with pytest.raises(UsageError, match=what):
        plan_layout(understand(folder), tmp_path, repeats=repeats, name=name)


def test_two_files_of_one_name_are_refused(tmp_path):
    for part in ("1_a", "2_b"):
        (tmp_path / part).mkdir()
        drawn(1, (32, 32)).save(tmp_path / part / "x.png")
    with pytest.raises(UsageError, match="would have the same name there"):
        plan_layout(understand(tmp_path), tmp_path / "out", repeats=1, name="c")


def test_unknown_ways_are_refused(folder, journal, tmp_path):
    placings = plan_layout(understand(folder), tmp_path / "t", repeats=1, name="x")
    with pytest.raises(UsageError, match="There is no such way"):
        lay_out(placings, journal, way="move")


def plans_of(path: Path) -> tuple[DatasetPlan, ...]:
    problems = Problems()
    options = DatasetOptions(dataset_config=str(path))
    plans = dataset_plans(Settings("train_network", [options, CachingOptions()]), problems)
    problems.raise_if_any()
    return plans


def test_the_dataset_file_trains_the_same_as_the_folders(folder, journal, tmp_path):
    (folder / "07 broken.jpg").unlink()
    level = understand(folder / "3_sks girl")
    wanted = DatasetPlan(subsets=(), resolution_wh=(256, 320), enable_bucket=True, max_bucket_reso=512)

    text = dataset_toml(level, wanted, batch_size=2, suffix=".txt")
    write_dataset_toml(text, tmp_path / "data.toml", journal)

    (plan,) = plans_of(tmp_path / "data.toml")
    assert (plan.resolution_wh, plan.batch_size, plan.max_bucket_reso) == ((256, 320), 2, 512)
    (subset,) = plan.subsets
    assert (subset.image_dir, subset.num_repeats) == (str(folder / "3_sks girl"), 3)
    assert (subset.class_tokens, subset.caption_extension) == ("sks girl", ".txt")
    (folder / "3_sks girl" / "02.txt").write_text("x", "utf-8")
    assert len(scan([plan], DatasetOptions(), None, Problems()).datasets[0].images) == 4
    with pytest.raises(DataError, match="There is something of this name already"):
        write_dataset_toml(text, tmp_path / "data.toml", journal)
    with pytest.raises(UsageError, match=r"A dataset file ends in \.toml"):
        write_dataset_toml(text, tmp_path / "data.json", journal)


def test_regularization_folders_are_marked_in_the_dataset_file(tmp_path):
    made = tmp_path / "reg" / "1_girl"
    made.mkdir(parents=True)
    drawn(1, (32, 32)).save(made / "x.png")

    text = dataset_toml(
        understand(tmp_path / "reg"), DatasetPlan(subsets=(), resolution_wh=(64, 64)), batch_size=1, suffix=".txt"
    )

    assert "is_reg = true" in text
    assert "enable_bucket" not in text


def test_an_archive_holds_pictures_and_utf8_texts_side_by_side(folder, journal, tmp_path):
    assert export_archive(understand(folder), tmp_path / "all.zip", journal) == 12

    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 23
        assert archive.read("02.txt").decode() == "sks girl, 桜色の髪, 笑顔"
        assert archive.read("10 turned.txt") == b"sks girl, indoors"
        assert archive.read("06 透明.png") == (folder / "06 透明.png").read_bytes()
    first = (tmp_path / "all.zip").read_bytes()
    export_archive(understand(folder), tmp_path / "again.zip", journal)
    assert (tmp_path / "again.zip").read_bytes() == first
    journal.undo()
    assert not (tmp_path / "again.zip").exists()


def test_archives_of_clashing_names_and_of_other_suffixes_are_refused(tmp_path, journal):
    for name in ("a.png", "a.jpg"):
        drawn(1, (32, 32)).save(tmp_path / name)
    with pytest.raises(UsageError, match=r"An archive ends in \.zip"):
        export_archive(understand(tmp_path), tmp_path / "x.tar", journal)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "b.txt").write_bytes(b"\x00\x01")
    with pytest.raises(DataError, match="The caption cannot be read"):
        export_archive(understand(tmp_path), tmp_path / "x.zip", journal)
