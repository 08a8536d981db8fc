"""The table of all LoRAs, asked as the page asks: rows in pieces, filters, work in the background, cards."""

from __future__ import annotations

import json
import time

import pytest

pytest.importorskip("starlette.testclient")
pytest.importorskip("httpx")

from network_files import FLUX_LORA, SD1_LORA, SDXL_LORA, write_network
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tanren.jobs.shelf import Shelf
from tanren.ui import routes
from tanren.ui.access import Access
from tanren.ui.answers import Desk
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone

PUBLIC = Access(is_public=True, why="--listen is set", opt_in="Start it with --token.")
TAGS = json.dumps({"5_mycat": {"mycat": 5, "sofa": 1}})


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "Lora"
    (folder / "アニメ").mkdir(parents=True)
    write_network(folder / "アニメ" / "cat.safetensors", SD1_LORA, {"ss_v2": "False", "ss_tag_frequency": TAGS})
    write_network(folder / "copy.safetensors", SD1_LORA, {"ss_v2": "False", "ss_output_name": "another name"})
    write_network(folder / "silent.safetensors", SDXL_LORA)
    write_network(folder / "flux.safetensors", FLUX_LORA, {"ss_v2": "False"})
    (folder / "broken.safetensors").write_bytes(b"<html>")
    return folder


def page(tmp_path, folder=None, access=None, **more):
    access = access or Access(is_public=False)
    around = Standalone(tmp_path / "data", access, settings={"lora_dir": str(folder)} if folder else {}, **more)
    desk = Desk(around, Shelf(around.data_dir), Guard(access))
    app = Starlette()
    routes.install(app, desk)
    return TestClient(app, base_url="http://127.0.0.1:7870"), desk


def get(client, route, **query):
    answer = client.get(f"/tanren/api/library{route}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def finish(client):
    until = time.monotonic() + 60
    while (work := get(client, "")["work"])["is_running"]:
        assert time.monotonic() < until
        time.sleep(0.01)
    return work


@pytest.fixture
def client(tmp_path, folder):
    client, _ = page(tmp_path, folder)
    get(client, "/refresh")
    finish(client)
    return client


def names(client, **query):
    return [row["name"].partition(".")[0] for row in get(client, "/rows", **query)["rows"]]


def test_rows_say_what_the_table_shows(client):
    rows = {row["name"]: row for row in get(client, "/rows")["rows"]}
    cat = rows["cat.safetensors"]

    assert (cat["place"], cat["family"], cat["type"], cat["rank"]) == ("アニメ", "SD 1", "LoRA", "4–8")
    assert (cat["words"], cat["tags"], cat["flags"], cat["alias"]) == ("mycat", ["mycat", "sofa"], [], "")
    assert rows["copy.safetensors"]["alias"] == "another name"
    assert rows["broken.safetensors"]["problem"].startswith("It is a web page")
    assert rows["broken.safetensors"]["family"] == ""
    assert [flag["kind"] for flag in rows["silent.safetensors"]["flags"]] == ["silent"]
    assert [flag["kind"] for flag in rows["flux.safetensors"]["flags"]] == ["doubt"]


def test_rows_come_in_pieces_in_the_order_asked_for(client):
    everything = names(client, sort="name", descending=1)
    piece = get(client, "/rows", sort="name", descending=1, **{"from": 1, "count": 2})

    assert everything == ["silent", "flux", "copy", "cat", "broken"]
    assert [row["name"] for row in piece["rows"]] == ["flux.safetensors", "copy.safetensors"]
    assert (piece["total"], piece["from"]) == (5, 1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"text": "アニメ"}, ["cat"]),
        ({"tag": "sofa"}, ["cat"]),
        ({"family": "sdxl"}, ["silent"]),
        ({"type": "lora", "family": "flux"}, ["flux"]),
        ({"rank_from": 16}, ["flux"]),
        ({"rank_to": 4, "rank_from": 1}, []),
        ({"without_metadata": 1}, ["silent"]),
        ({"broken": 1}, ["broken"]),
        ({"date_from": "2100-01-01"}, []),
        ({"hidden": 1}, ["broken", "cat", "copy", "flux", "silent"]),
    ],
    ids=lambda one: str(one),
)
def test_filters_of_the_page(client, query, expected):
    assert names(client, **query) == expected
    assert [path.rpartition("/")[2].partition(".")[0] for path in get(client, "/paths", **query)["paths"]] == [
        name for name in expected if name != "broken"
    ]


def test_the_overview_offers_what_occurs(client, folder):
    told = get(client, "")

    assert told["count"] == 5
    assert told["families"] == [
        ["flux", "FLUX.1"],
        ["sd1", "SD 1"],
        ["sdxl", "SDXL"],
        ["unknown", "unknown"],
    ]
    assert (told["folders"], told["host"]) == ([str(folder)], "")


def test_copies_are_searched_when_somebody_asks_for_it(client):
    assert names(client, duplicates=1) == []
    assert get(client, "")["copies_left"] > 0

    assert client.post("/tanren/api/library/work", json={"action": "copies"}).json()["ok"]
    work = finish(client)

    assert (work["kind"], work["is_whole"]) == ("copies", True)
    assert names(client, duplicates=1) == ["cat", "copy"]
    assert get(client, "/rows", tag="mycat")["rows"][0]["flags"] == [
        {"kind": "copy", "text": "Other files with the same tensors: 1."}
    ]
    assert get(client, "")["copies_left"] == 0


def test_a_new_file_is_seen_by_the_next_refresh_that_is_asked_for(client, folder):
    write_network(folder / "fresh.safetensors")
    before = get(client, "")["version"]

    get(client, "/refresh")
    assert names(client, text="fresh") == []
    get(client, "/refresh", asked=1)
    finish(client)

    assert names(client, text="fresh") == ["fresh"]
    assert get(client, "")["version"] > before


def test_the_next_start_shows_rows_before_anything_is_read(client, tmp_path, folder):
    again, _ = page(tmp_path, folder)

    assert get(again, "")["work"] is None
    assert len(names(again)) == 5


def test_results_of_jobs_are_listed_without_the_folders_around_them(tmp_path):
    client, desk = page(tmp_path)
    results = tmp_path / "results"
    (results / "other").mkdir(parents=True)
    write_network(results / "moon.safetensors")
    write_network(results / "other" / "far.safetensors")
    desk.shelf.submit("train_network", {"output_dir": str(results)}, name="moon", request_id="1", is_submitted=False)

    get(client, "/refresh")
    finish(client)

    assert names(client) == ["moon"]
    assert get(client, "/rows")["rows"][0]["place"] == str(results)


def test_a_card_is_told_by_path_or_by_name(client, folder):
    there = str(folder / "silent.safetensors")
    assert get(client, "/find", path=there, name="cat") == {"path": there}
    elsewhere = "/x/y.safetensors"
    assert get(client, "/find", path=elsewhere, name="cat") == {"path": str(folder / "アニメ" / "cat.safetensors")}
    assert get(client, "/find", name="cat") == {"path": str(folder / "アニメ" / "cat.safetensors")}
    assert get(client, "/find", name="another name") == {"path": str(folder / "copy.safetensors")}

    refusal = client.get("/tanren/api/library/find", params={"name": "gone"})
    assert refusal.status_code == 404
    assert refusal.json()["problem"]["what"] == "No LoRA of the name 'gone' is known."


def test_odd_questions_are_refused_in_words(client):
    def refused(path, **query):
        answer = client.get(f"/tanren/api/library{path}", params=query)
        return answer.status_code, answer.json()["problem"]["what"]

    assert refused("/rows", sort="__class__") == (400, "There is no such column.")
    assert refused("/rows", **{"from": "-1"}) == (400, "`from` is not a number.")
    assert refused("/rows", rank_from="9" * 400) == (400, "`rank_from` is not a number.")
    answer = client.post("/tanren/api/library/work", json={"action": "delete"})
    assert (answer.status_code, answer.json()["problem"]["what"]) == (404, "There is no such action.")


def test_where_others_may_look_folders_outside_the_roots_are_left_out_and_nothing_is_begun(tmp_path, folder):
    client, desk = page(tmp_path, folder, PUBLIC, allowed=[tmp_path / "elsewhere"])
    get(client, "/refresh")
    finish(client)

    assert names(client) == []
    assert get(client, "")["folders"] == []
    assert client.post("/tanren/api/library/work", json={"action": "copies"}).status_code == 403
    assert desk.library.work().kind == "refresh"
