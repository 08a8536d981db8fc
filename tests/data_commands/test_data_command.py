"""`data …` on the command line: exit codes, what is printed, that dry runs change nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from story_folder import story_folder, tree_bytes
from tanren import data_command, launcher


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    return story_folder(tmp_path / "in")


@pytest.fixture
def run(capsys):
    """Run a command; gives exit code, output and errors."""

    def run(*words) -> tuple[int, str, str]:
        try:
            code = data_command.main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_scan_tells_what_a_person_wants_to_know(folder, run):
    before = tree_bytes(folder)

    code, out, _ = run("scan", folder, "--trigger=sks girl", "--resolution=512", "--enable_bucket")

    assert code == 0
    for line in (
        "captions found: 11 of 12 (.txt 10, .caption 1)",
        "1 without a caption: 11.png",
        "tokens a caption: up to 75: 10, up to 225: 1; at most 192",
        "'sks girl' stands in 10 of 11 captions, in 9 at the beginning",
        "cannot be used: 07 broken.jpg: The picture cannot be read.",
        "1 tiny: 08 tiny.png",
        "1 transparent: 06 透明.png",
        "trained sizes, repeats counted: 384x640 ×1",
    ):
        assert line in out
    assert tree_bytes(folder) == before


def test_scan_tells_programs_the_same(folder, run):
    code, out, _ = run("scan", folder / "3_sks girl", "--json", "--resolution", "512,512")

    found = json.loads(out)
    assert code == 0
    assert found["level"]["parts"][0]["repeats"] == 3
    assert found["captions"]["tags"]["sks girl"] == 4
    assert found["buckets"] == [[512, 512, 12]]


def test_rows_come_one_by_one_with_their_crops(folder, run):
    _, out, _ = run("scan", folder, "--rows", "--quick", "--resolution=512", "--enable_bucket")

    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 12
    assert rows[3]["crop"]["bucket_wh"] == [640, 384]
    assert rows[1]["caption"]["encoding"] == "cp932"


def test_edit_shows_first_changes_then_and_undo_takes_back(folder, run):
    before = tree_bytes(folder)
    words = ("edit", folder, "--trigger", "sks girl", "--regex", r"tag number (\d+)", r"n\1", "--spaces", "--dedupe")

    code, out, _ = run(*words, "--dry-run")
    assert (code, tree_bytes(folder)) == (0, before)
    assert "5 captions would change, 7 unchanged." in out
    assert "  + sks girl, 1girl, long hair, :3" in out

    code, out, _ = run(*words)
    assert code == 0
    assert (folder / "09 twin b.txt").read_text("utf-8") == "sks girl, hat"
    assert "edit captions" in run("history")[1]
    assert "undone, 5 files" in run("undo")[1]
    assert tree_bytes(folder) == before
    assert run("redo")[0] == 0
    assert run("undo", "1")[0] == 0
    assert tree_bytes(folder) == before
    assert run("undo")[0] == 2


def test_operations_are_done_in_the_order_given(folder, run):
    run("edit", folder, "--only", "hat and not 1girl", "--add", "b, a", "--sort", "1", "--add-front", "z")

    assert (folder / "09 twin a.txt").read_text("utf-8") == "z, sks girl, a, b, hat"


def test_edit_answers_programs_in_json(folder, run):
    _, out, _ = run("edit", folder, "--find", "red", "blue", "--dry-run", "--json")

    (change,) = json.loads(out)["changes"]
    assert (change["before"], change["after"]) == ("sks girl, red hair, smile", "sks girl, blue hair, smile")


def test_all_operations_have_an_effect(folder, run):
    target = folder / "01.txt"
    for words, before, after in (
        (["--remove", "smile"], "a, smile", "a"),
        (["--replace", "a", "b"], "a, c", "b, c"),
        (["--order", "c"], "a, c", "c, a"),
        (["--tidy"], "a ,, c", "a, c"),
        (["--underscores"], "a b", "a_b"),
        (["--escape"], "a (b)", r"a \(b\)"),
        (["--unescape"], r"a \(b\)", "a (b)"),
    ):
        target.write_text(before, "utf-8")
        assert run("edit", folder, *words)[0] == 0
        assert target.read_text("utf-8") == after


def test_captions_come_from_folder_names_pictures_and_json(folder, run, tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\x00" + "(a cat:1.2)\nSteps: 1".encode("utf-16-be")
    Image.new("RGB", (64, 64)).save(folder / "3_sks girl" / "new.jpg", exif=exif)
    inner = folder / "3_sks girl"

    assert run("caption", inner, "--from", "pictures", "--dry-run")[0] == 0
    assert not (inner / "new.txt").exists()
    run("caption", inner, "--from", "pictures")
    assert (inner / "new.txt").read_text("utf-8") == "a cat"
    run("caption", inner, "--from", "folders", "--mode", "prepend")
    assert (inner / "new.txt").read_text("utf-8") == "sks girl, a cat"
    assert run("caption", inner, "--to-json", tmp_path / "c.json", "--as-tags", "--sizes")[0] == 0
    table = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert table["new.jpg"] == {"tags": "sks girl, a cat", "image_size": [64, 64]}
    table["new.jpg"]["tags"] = "from json"
    (tmp_path / "d.json").write_text(json.dumps({**table, "gone.png": {}}), "utf-8")
    code, out, _ = run("caption", inner, "--from", tmp_path / "d.json", "--mode", "replace")
    assert (code, (inner / "new.txt").read_text("utf-8")) == (0, "from json")
    assert "1 entry is about no picture here: gone.png" in out


def test_the_encoding_of_captions_can_be_named_where_a_guess_is_wrong(folder, run):
    inner = folder / "3_sks girl"
    (inner / "03.txt").write_bytes("까치".encode("cp949"))

    assert "1 not in UTF-8, read as Shift-JIS 1" in run("scan", folder, "--quick")[1]
    # What does not fit the named encoding is left alone.
    assert (
        "2 with a caption that cannot be read: 02.jpg, 03.webp"
        in run("scan", inner, "--quick", "--encoding", "ascii")[1]
    )
    code, _, err = run("edit", inner, "--to-utf8", "--encoding", "CP949")
    assert (code, (inner / "03.txt").read_text("utf-8")) == (0, "까치"), err
    assert run("undo")[0] == 0
    assert (inner / "03.txt").read_bytes() == "까치".encode("cp949")
    assert "There is no such encoding" in run("scan", inner, "--encoding", "klingon")[2]
    assert "There is no such encoding" in run("scan", inner, "--encoding", "hex")[2]


def test_pictures_are_resized_masked_and_conditioned_into_other_folders(folder, run, tmp_path):
    before = tree_bytes(folder)
    (out := tmp_path / "out").mkdir()

    code, text, err = run("resize", folder, out / "small", "--longest", 100, "--format", "jpg", "--alpha", "white")
    assert code == 3
    assert "11 resized pictures made" in text
    assert "07 broken.jpg" in err
    with Image.open(out / "small" / "10 turned.jpg") as image:
        assert image.size == (75, 100)
    assert (out / "small" / "01.txt").exists()

    run("mask", folder, out / "masks", "--clean", "128", "--to-masks")
    with Image.open(out / "masks" / "06 透明.png") as mask, Image.open(out / "masks" / "01.png") as white:
        assert (mask.mode, mask.getextrema(), white.getextrema()) == ("L", (0, 255), (255, 255))
    run("mask", folder, out / "again", "--from-masks", out / "masks", "--grow", "1")
    with Image.open(out / "again" / "06 透明.png") as image:
        assert image.mode == "RGBA"
    run("condition", folder, out / "edges", "--low", "50", "--high", "100")
    assert len(list((out / "edges").iterdir())) == 11
    assert json.loads(run("pairs", folder, out / "masks", "--json")[1])["missing"] == ["07 broken.jpg"]
    code, text, _ = run("pairs", folder, out / "edges")
    assert (code, "1 without a partner: 07 broken.jpg" in text) == (3, True)
    assert json.loads(run("pairs", folder, out / "edges", "--json")[1])["pairs"] == 11
    assert tree_bytes(folder) == before
    for _ in range(4):
        assert run("undo")[0] == 0
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (["--shortest", "150"], (200, 150)),
        (["--area", "100,100"], (115, 87)),
        (["--exact", "64,96"], (64, 96)),
        (["--trained", "--resolution", "256", "--enable_bucket"], (256, 256)),
        (["--crop", "10,20,110,70"], (100, 50)),
        (["--longest", "800", "--enlarge"], (800, 600)),
        ([], (400, 300)),
    ],
)
def test_sizes_of_copies(folder, run, tmp_path, words, size):
    run("resize", folder / "3_sks girl", tmp_path / "out", *words)

    with Image.open(tmp_path / "out" / "02.jpg") as image:
        assert image.size == size


def test_folders_are_laid_out_and_exported(folder, run, tmp_path):
    code, text, _ = run(
        "layout", folder, tmp_path / "train", "--repeats", 5, "--name", "sks girl", "--link", "--dry-run"
    )
    assert (code, (tmp_path / "train").exists()) == (0, False)
    assert f"23 files would go into {tmp_path / 'train' / '5_sks girl'}" in text

    run("layout", folder, tmp_path / "train", "--repeats", 5, "--name", "sks girl", "--link")
    assert (tmp_path / "train" / "5_sks girl" / "01.png").is_symlink()
    code, text, _ = run("export", tmp_path / "train", "--toml", tmp_path / "d.toml", "--resolution", "512")
    assert code == 0
    assert "num_repeats = 5" in (tmp_path / "d.toml").read_text("utf-8")
    assert "12 pictures would go into" in run("export", folder, "--zip", tmp_path / "a.zip", "--dry-run")[1]
    assert run("export", folder, "--zip", tmp_path / "a.zip")[0] == 0
    assert (tmp_path / "a.zip").stat().st_size > 100_000


def test_an_archive_holds_the_captions_of_the_suffix_that_is_given(folder, run, tmp_path):
    (folder / "01.caption").write_text("a sentence", "utf-8")

    assert run("export", folder, "--zip", tmp_path / "usual.zip")[0] == 0
    assert run("export", folder, "--zip", tmp_path / "given.zip", "--caption_extension", "caption")[0] == 0

    with zipfile.ZipFile(tmp_path / "usual.zip") as usual, zipfile.ZipFile(tmp_path / "given.zip") as given:
        assert usual.read("01.txt") == b"sks girl, red hair, smile"
        assert given.read("01.txt") == b"a sentence"


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["scam"], 2, "Did you mean scan?"),
        (["scan", "{tmp}/nowhere"], 2, "is not there"),
        (["scan", "{tmp}"], 3, "There are no pictures in this folder"),
        (["scan", "{in}", "--resolution", "big"], 2, "is neither one number nor WIDTH,HEIGHT"),
        (["edit", "{in}"], 2, "Nothing to change"),
        (["edit", "{in}", "--add", " , "], 2, "There is no tag in it"),
        (["edit", "{in}", "--sort", "x"], 2, "is a whole number"),
        (["edit", "{in}", "--regex", "(", ""], 2, "This is no regular expression"),
        (["edit", "{in}", "--add", "x", "--only", "(a"], 2, "The filter cannot be understood"),
        (["caption", "{in}", "--from", "somewhere"], 2, "This is not a source of captions"),
        (["resize", "{in}", "{tmp}/o", "--crop", "1,2"], 2, "These are not four whole numbers"),
        (["resize", "{in}", "{tmp}/o", "--longest", "0"], 2, "A side has at least 1 pixel"),
        (["resize", "{in}", "{tmp}/o", "--trained"], 2, "It needs the resolution of the training"),
        (["resize", "{in}", "{tmp}/o", "--quality", "0"], 2, "Quality goes from 1 to 100"),
        (["mask", "{in}", "{tmp}/o"], 2, "Nothing to do"),
        (["export", "{in}", "--toml", "{tmp}/a.toml"], 2, "The resolution is missing"),
        (["undo"], 2, "There is nothing to undo"),
        (["history", "--forget", "9"], 2, "There is no operation of this number"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(folder, run, tmp_path, words, code, what):
    (tmp_path / "empty").mkdir()
    places = {"in": folder, "tmp": tmp_path / "empty"}

    seen, _, err = run(*(word.format(**places) for word in words))

    assert (seen, what in err) == (code, True), err


def test_history_of_a_folder_and_forgetting(folder, run):
    run("edit", folder, "--add", "x")

    assert json.loads(run("history", "--json", "--folder", folder)[1])[0]["state"] == "done"
    assert "became free" in run("history", "--forget", "1")[1]
    assert "Nothing was changed yet" in run("history")[1]


def test_a_reader_that_goes_away_ends_the_command_quietly(folder):
    words = [sys.executable, "-m", "tanren.data_command", "scan", str(folder), "--rows", "--quick"]
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, env=with_trainer(), check=False)

    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def with_trainer() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(data_command.__file__).parents[1])}


def test_the_list_of_commands(run, capsys):
    assert "scan" in run("--help")[1]
    assert run()[0] == 2
    for name in data_command.COMMANDS:
        assert "usage: data" in run(name, "--help")[1]
    assert launcher.main(["data", "--help"], managed=False) == 0
    assert launcher.main(["data", "scam"], managed=False) == 2


def test_pictures_without_a_caption_are_said_where_an_edit_passes_over_them(tmp_path, capsys):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")

    assert data_command.main(["edit", str(tmp_path), "--add", "photo", "--dry-run"]) == 0
    assert "1 picture has no caption file; --create makes one for each." in capsys.readouterr().out
