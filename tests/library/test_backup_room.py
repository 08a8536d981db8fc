"""How many backups are kept: the last five of each file, all of 30 days, and no more than there is room for."""

from __future__ import annotations

import json

from network_files import write_network
from tanren.formats.safetensors_header import read_header
from tanren.library.backup_room import DAY, make_room
from tanren.library.backups import backups_of, keep_header

NOW = 1_800_000_000.0
FIRST, SECOND = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def backup(folder, place, days, size=100, kept=None):
    name = f"{int((NOW - days * DAY) * 1000):013d}-{place}-{days:08x}.json"
    content = json.dumps({"beside": {"preview": {"kept": kept}}, "x": "y" * size})
    (folder / name).write_text(content, "utf-8")
    return name


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_old_backups_go_when_their_file_has_five_newer_ones(tmp_path):
    made = [backup(tmp_path, FIRST, days) for days in (1, 2, 3, 40, 50, 60, 70)]
    other = backup(tmp_path, SECOND, 400)

    gone = make_room(tmp_path, now=NOW)

    assert [path.name for path in gone] == [made[6], made[5]]
    assert names(tmp_path) == sorted([*made[:5], other])


def test_backups_of_the_last_thirty_days_stay_however_many_there_are(tmp_path):
    for days in range(20):
        backup(tmp_path, FIRST, days)

    assert make_room(tmp_path, now=NOW) == []
    assert len(names(tmp_path)) == 20


def test_where_room_is_short_the_oldest_go_but_never_the_newest_of_a_file(tmp_path):
    made = [backup(tmp_path, FIRST, days, 1000) for days in (1, 2, 3)]
    only = backup(tmp_path, SECOND, 100, 1000)

    make_room(tmp_path, most_bytes=3500, now=NOW)
    assert names(tmp_path) == sorted([made[0], made[1], only])
    make_room(tmp_path, most_bytes=1, now=NOW)
    assert names(tmp_path) == sorted([made[0], only])


def test_the_picture_of_a_backup_goes_with_it_and_nothing_else_is_touched(tmp_path):
    picture, other = "1700000000000-preview-00000001.png", "1700000000000-preview-00000002.png"
    for name in (picture, other, "notes.txt", f"5-{FIRST}-x.json"):
        (tmp_path / name).write_bytes(b"x")
    backup(tmp_path, FIRST, 1)
    backup(tmp_path, FIRST, 2, kept=picture)

    make_room(tmp_path, most_bytes=1, now=NOW)

    left = names(tmp_path)
    assert picture not in left
    assert {other, "notes.txt", f"5-{FIRST}-x.json"} <= set(left)
    assert len(left) == 4


def test_without_a_folder_nothing_happens(tmp_path):
    assert make_room(tmp_path / "none") == []


def test_an_edit_makes_room_for_its_backup(tmp_path):
    path = write_network(tmp_path / "cat.safetensors")
    for _ in range(7):
        keep_header(path, read_header(path), tmp_path / "data")
    for number, file in enumerate(sorted((tmp_path / "data" / "backups").iterdir())):
        file.rename(file.with_name(f"{1_500_000_000_000 + number:013d}{file.name[13:]}"))

    keep_header(path, read_header(path), tmp_path / "data")

    assert len(backups_of(path, tmp_path / "data")) == 5
