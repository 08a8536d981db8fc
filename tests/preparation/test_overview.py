"""What the overview says of a folder as people have them."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from contextlib import closing

import pytest
from PIL import Image
from story_folder import drawn, story_folder, tree_bytes
from tanren.options.dataset_plan import DatasetPlan
from tanren.preparation.facts import look_of
from tanren.preparation.fitting import cropper
from tanren.preparation.index import NAME, PictureIndex, Wanted
from tanren.preparation.levels import DEEPER, NOTHING, NUMBERED_FOLDER, PARENT, PICTURES, understand
from tanren.preparation.lookalikes import near_groups
from tanren.preparation.overview import Overview, Questions, Survey, has_trigger


@pytest.fixture
def folder(tmp_path):
    return story_folder(tmp_path / "in")


@pytest.fixture
def index(tmp_path):
    return PictureIndex(tmp_path / "cache")


def overview_of(folder, index, *, decode=True, **questions) -> Overview:
    return Survey(understand(folder), index, Questions(**questions), Wanted(decode=decode)).finish()


def test_every_count_of_the_story_folder_is_right_and_nothing_is_changed(folder, index):
    before = tree_bytes(folder)

    found = overview_of(folder, index, trigger="sks girl")

    captions = found.captions
    assert found.pictures == 12
    assert dict(captions.by_suffix) == {".txt": 10, ".caption": 1}
    assert captions.missing.first == ["11.png"]
    assert captions.filled == 11
    assert captions.guessed.first == ["02.jpg"]
    assert captions.several_lines.first == ["04.bmp"]
    assert captions.too_long.first == ["08 tiny.png"]
    assert captions.lengths == {75: 10, 225: 1}
    assert (captions.with_trigger, captions.trigger_first) == (10, 9)
    assert captions.without_trigger.first == ["06 透明.png"]
    assert captions.tags["hat"] == 2
    assert captions.tags["桜色の髪"] == 1
    assert found.unusable.first == ["07 broken.jpg"]
    assert "truncated" in found.faults["07 broken.jpg"]
    assert found.tiny.first == ["08 tiny.png"]
    assert found.transparent.first == ["06 透明.png"]
    assert found.rotated.first == ["10 turned.jpg"]
    assert found.duplicates == []
    assert found.lookalikes == [[str(folder / "09 twin a.png"), str(folder / "09 twin b.jpg")]]
    assert tree_bytes(folder) == before


def test_headers_alone_do_not_show_what_is_broken_inside(folder, index):
    found = overview_of(folder, index, decode=False)

    assert (found.unusable.count, found.decoded) == (0, 0)
    assert found.transparent.first == ["06 透明.png"]


def test_the_second_look_reads_only_what_changed(folder, index):
    first = overview_of(folder, index)
    (folder / "11.png").unlink()
    (folder / "06 透明.txt").write_text("sks girl, changed", "utf-8")
    shutil.copy2(folder / "01.png", folder / "12.png")

    again = overview_of(folder, index, decode=False)

    assert first.decoded == 11
    # What was decoded before is still known; the new picture was not decoded.
    assert again.decoded == 10
    assert again.pictures == 12
    assert again.captions.tags["changed"] == 1
    assert again.duplicates == [[str(folder / "01.png"), str(folder / "12.png")]]


def test_a_damaged_index_is_made_again(folder, index, tmp_path):
    overview_of(folder, index)
    (tmp_path / "cache" / NAME).write_bytes(b"this is no database" * 100)

    assert overview_of(folder, index).pictures == 12
    assert sqlite3.connect(tmp_path / "cache" / NAME).execute("SELECT count(*) FROM pictures").fetchone() == (12,)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE pictures SET facts = 'no JSON'",
        "UPDATE pictures SET facts = '[]'",
        "UPDATE pictures SET facts = '{}'",
        "UPDATE pictures SET facts = NULL",
        "UPDATE pictures SET look = '[1'",
        """UPDATE pictures SET look = '["no number", false, ""]'""",
        "UPDATE pictures SET facts = CAST(x'ff' AS TEXT)",
    ],
)
def test_rows_of_the_index_that_cannot_be_understood_are_read_again(folder, index, tmp_path, damage):
    before = overview_of(folder, index)
    with closing(sqlite3.connect(tmp_path / "cache" / NAME)) as rows, rows:
        rows.execute(damage)

    assert overview_of(folder, index) == before
    with closing(sqlite3.connect(tmp_path / "cache" / NAME)) as rows:
        assert rows.execute("SELECT count(*) FROM pictures WHERE facts LIKE '{%caption%'").fetchone() == (12,)


@pytest.mark.parametrize(
    "damage",
    [
        # Behind the header, where the file still looks like a database when it is opened.
        lambda content: content[:100] + b"\xaa" * 3996 + content[4096:],
        lambda content: content[:4096] + b"\xaa" * (len(content) - 4096),
        # Names of the table; what SQLite says about the first is no text.
        lambda content: content.replace(b"WITHOUT", b"WITH\xffUT"),
        lambda content: content.replace(b"facts TEXT", b"fects TEXT"),
    ],
    ids=["first page", "other pages", "no text", "other column"],
)
def test_an_index_that_is_damaged_inside_is_made_again(folder, index, tmp_path, damage):
    before = overview_of(folder, index)
    file = tmp_path / "cache" / NAME
    with closing(sqlite3.connect(file)) as rows:
        rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = file.read_bytes()
    assert len(content) > 2 * 4096
    file.write_bytes(damage(content))
    assert file.read_bytes() != content

    assert overview_of(folder, index) == before
    with closing(sqlite3.connect(file)) as rows:
        assert rows.execute("SELECT count(*) FROM pictures").fetchone() == (12,)
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_where_no_index_can_be_kept_everything_works_without(folder, tmp_path):
    (tmp_path / "cache").write_text("a file in the place of the folder", "utf-8")

    assert overview_of(folder, PictureIndex(tmp_path / "cache")).pictures == 12


def test_rows_come_while_the_folder_is_still_read(folder, index):
    survey = Survey(understand(folder), index, Questions(), Wanted())

    first = next(survey.rows())

    assert (first.name, first.width, first.kind) == ("01.png", 320, "PNG")
    assert survey.overview.pictures == 1


def test_a_survey_can_be_stopped(folder, index):
    seen = []

    for row in Survey(understand(folder), index, Questions(), Wanted(should_stop=lambda: len(seen) >= 3)).rows():
        seen.append(row.name)

    assert seen == ["01.png", "02.jpg", "03.webp"]


def test_buckets_of_the_folder_with_its_repeats(folder, index):
    crop = cropper(DatasetPlan(subsets=(), resolution_wh=(256, 256), enable_bucket=True, min_bucket_reso=128))

    found = overview_of(folder / "3_sks girl", index, crop=crop)

    assert found.buckets == {(256, 256): 6, (192, 320): 3, (320, 192): 3}
    assert found.enlarged.count == 0


def test_levels_are_understood(folder, tmp_path):
    assert understand(folder).kind == PICTURES
    assert [part.name for part in understand(folder).other_parts] == ["sks girl"]
    inner = understand(folder / "3_sks girl")
    assert (inner.kind, inner.parts[0].repeats, inner.parts[0].name) == (NUMBERED_FOLDER, 3, "sks girl")
    assert inner.instead == folder

    parent = tmp_path / "train"
    shutil.copytree(folder / "3_sks girl", parent / "3_sks girl")
    shutil.copytree(folder / "3_sks girl", parent / "pictures")
    level = understand(parent)
    assert (level.kind, level.pictures, level.left_out) == (PARENT, 4, ("pictures",))
    assert understand(tmp_path).kind == DEEPER
    (tmp_path / "empty").mkdir()
    assert understand(tmp_path / "empty").kind == NOTHING


def test_regularization_folders_are_seen_by_their_name(folder, tmp_path):
    shutil.copytree(folder / "3_sks girl", tmp_path / "reg" / "1_girl")

    assert understand(tmp_path / "reg").parts[0].is_regularization


@pytest.mark.parametrize(
    ("text", "trigger", "has", "first"),
    [
        ("sks girl, hat", "sks girl", True, True),
        ("hat, SKS girl", "sks girl", True, False),
        ("sks girls", "sks girl", False, False),
        ("asks girl", "sks girl", False, False),
        ("猫耳の少女", "少女", True, False),
        ("", "sks", False, False),
    ],
)
def test_a_trigger_is_found_as_words(text, trigger, has, first):
    assert (has_trigger(text, trigger), has_trigger(text, trigger, first=True)) == (has, first)


def test_pictures_look_alike_after_recompression_resizing_and_turning(tmp_path):
    pictures = {f"{seed}": drawn(seed, (256, 320)) for seed in range(20)}
    for seed in range(20):
        drawn(seed, (256, 320)).save(tmp_path / "x.jpg", quality=35)
        with Image.open(tmp_path / "x.jpg") as image:
            pictures[f"{seed} again"] = image.resize((160, 200), Image.Resampling.LANCZOS)

    groups = near_groups((name, look_of(image)) for name, image in pictures.items())

    assert sorted(groups) == sorted([f"{seed}", f"{seed} again"] for seed in range(20))


def test_pictures_without_edges_look_like_nothing():
    assert look_of(Image.new("RGB", (50, 50), "red")) == ""
    assert near_groups([("a", ""), ("b", "")]) == []


def test_ten_thousand_looks_are_compared_quickly():
    rng = random.Random(0)
    looks = [(str(n), f"{rng.getrandbits(128):032x}") for n in range(10_000)]
    looks.append(("twin", looks[77][1]))

    began = time.process_time()
    assert near_groups(looks) == [["77", "twin"]]
    assert time.process_time() - began < 60
