"""`meta` on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from model_files import SDXL_SHAPES, write_model
from network_files import SD1_LORA, SDXL_LORA, payload_of, write_network
from PIL import Image
from tanren.formats.lora_metadata import sshs_hashes
from tanren.formats.safetensors_header import read_header
from tanren.launcher import main

META = {
    "ss_output_name": "cat",
    "ss_v2": "False",
    "ss_tag_frequency": json.dumps({"10_cat": {"mycat": 3, "grass": 1}}),
    "ss_sd_model_name": r"C:\Users\Alice\base.safetensors",
}


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def cat(tmp_path) -> Path:
    return write_network(tmp_path / "cat.safetensors", SD1_LORA, META)


def test_show_says_what_a_file_is(cat, capsys):
    assert main(["meta", "show", str(cat), "--blocks"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("cat · Stable Diffusion 1 · LoRA · unet rank 8, alpha 4 · te rank 4, alpha 4")
    assert "  family: Stable Diffusion 1 (derived from the tensors)" in lines
    assert "    unet down 1: rank 8, alpha 4" in lines
    assert "  AUTOMATIC1111 files it as SD1" in lines
    assert "  trigger: mycat (guess: in 100% of the captions of 10_cat)" in lines
    assert f"    {'█' * 20} 3 mycat" in lines


def test_show_json_is_a_list_with_everything(cat, capsys):
    assert main(["meta", "show", "--json", str(cat)]) == 0

    (shown,) = json.loads(capsys.readouterr().out)
    assert (shown["family"], shown["type"], shown["layers"]) == ("sd1", "lora", 2)
    assert shown["parts"]["unet"] == {"layers": 1, "ranks": {"8": 1}, "alphas": {"4.0": 1}}
    assert shown["metadata"] == META


def test_show_says_whether_a_file_fits_a_checkpoint(cat, tmp_path, capsys):
    base = write_model(tmp_path / "base.safetensors")
    large = write_model(tmp_path / "xl.safetensors", SDXL_SHAPES)

    assert main(["meta", "show", str(cat), "--fits", str(base)]) == 0
    assert "  fits: Made for Stable Diffusion 1: it fits a Stable Diffusion 1 model." in capsys.readouterr().out
    assert main(["meta", "show", str(cat), "--json", "--fits", str(large)]) == 0
    assert json.loads(capsys.readouterr().out)[0]["fits"] is False


def test_a_broken_file_among_several_is_code_4_and_the_others_are_shown(cat, tmp_path, capsys):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"<html>")

    assert main(["meta", "show", "--json", str(bad), str(cat)]) == 4

    said = capsys.readouterr()
    assert [one["alias"] for one in json.loads(said.out)] == ["cat"]
    assert "It is a web page" in said.err


def test_escape_sequences_of_a_stranger_do_not_reach_the_terminal(tmp_path, capsys):
    path = write_network(
        tmp_path / "x.safetensors", SD1_LORA, {"ss_output_name": "\x1b[2J\u202eevil\r", "k\x07": "\x9b"}
    )

    assert main(["meta", "show", str(path)]) == 0

    shown = capsys.readouterr().out
    assert not set("\x1b\u202e\r\x07\x9b") & set(shown)
    assert shown.startswith("[2Jevil ·")


def test_edit_sets_and_unsets_with_short_names_and_undo_brings_it_back(cat, capsys):
    before, payload = cat.read_bytes(), payload_of(cat)

    assert (
        main(["meta", "edit", str(cat), "--set", "name=a=b", "--set", "rating=7", "--unset", "ss_sd_model_name"]) == 0
    )

    metadata = read_header(cat).metadata
    assert (metadata["ss_output_name"], metadata["ssmd_rating"]) == ("a=b", "7")
    assert "ss_sd_model_name" not in metadata
    assert payload_of(cat) == payload
    assert "ss_output_name: 'cat' → 'a=b'" in capsys.readouterr().out

    assert main(["meta", "undo", str(cat)]) == 0
    assert cat.read_bytes() == before


def test_a_dry_run_writes_nothing(cat, capsys):
    before = cat.read_bytes()

    assert main(["meta", "edit", str(cat), "--set", "name=x", "--dry-run"]) == 0

    assert cat.read_bytes() == before
    assert "1 values would change" in capsys.readouterr().out


def test_covers_and_fields_beside_the_file(cat, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "cover.png")

    code = main(
        ["meta", "edit", str(cat), "--cover", str(tmp_path / "cover.png"), "--beside", "activation text=my cat"]
    )

    assert code == 0
    assert read_header(cat).metadata["modelspec.thumbnail"].startswith("data:image/jpeg;base64,")
    assert json.loads((tmp_path / "cat.json").read_text("utf-8")) == {"activation text": "my cat"}

    assert main(["meta", "undo", str(cat)]) == 0
    assert not (tmp_path / "cat.json").exists()
    assert "modelspec.thumbnail" not in read_header(cat).metadata


def test_a_preview_replaces_the_one_before_which_undo_brings_back(cat, tmp_path, capsys):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "new.webp")
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "cat.jpg")
    old, before = (tmp_path / "cat.jpg").read_bytes(), cat.read_bytes()

    assert main(["meta", "edit", str(cat), "--preview", str(tmp_path / "new.webp")]) == 0

    assert Image.open(tmp_path / "cat.preview.png").size == (8, 8)
    assert not (tmp_path / "cat.jpg").exists()
    assert "written: cat.preview.png" in capsys.readouterr().out
    assert cat.read_bytes() == before

    assert main(["meta", "undo", str(cat)]) == 0
    assert ((tmp_path / "cat.jpg").read_bytes(), (tmp_path / "cat.preview.png").exists()) == (old, False)


@pytest.mark.parametrize("option", ["--cover", "--preview"])
def test_what_is_no_picture_is_code_3(cat, tmp_path, option, capsys):
    (tmp_path / "x.png").write_bytes(b"<svg>")
    before = cat.read_bytes()

    assert main(["meta", "edit", str(cat), "--set", "name=x", option, str(tmp_path / "x.png")]) == 3

    assert "no picture that can be decoded" in capsys.readouterr().err
    assert (cat.read_bytes(), (tmp_path / "cat.preview.png").exists()) == (before, False)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["edit"], 2, "Nothing to change."),
        (["edit", "--set", "name"], 2, "This is not KEY=VALUE."),
        (["edit", "--set", "name=x", "--beside", "preferred weight=much"], 2, "'much' is no weight."),
        (["edit", "--unset", "ss_v2"], 2, "Add --lose-family if that is meant."),
        (["undo"], 2, "There is no earlier header of this file."),
    ],
)
def test_what_cannot_be_done_is_said_with_its_code(cat, words, code, message, capsys):
    before = cat.read_bytes()

    assert main(["meta", words[0], str(cat), *words[1:]]) == code

    assert message in capsys.readouterr().err
    assert cat.read_bytes() == before


def test_a_missing_file_is_code_2(tmp_path, capsys):
    assert main(["meta", "show", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err


def test_diff_shows_what_differs(cat, tmp_path, capsys):
    other = write_network(tmp_path / "other.safetensors", SDXL_LORA, {**META, "ss_output_name": "dog"})

    assert main(["meta", "diff", str(cat), str(other)]) == 0
    shown = capsys.readouterr().out
    assert "family: Stable Diffusion 1 | SDXL" in shown
    assert "ss_output_name: 'cat' | 'dog'" in shown

    assert main(["meta", "diff", "--json", str(cat), str(other)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same_tensors"] is False
    assert found["settings"] == [{"key": "ss_output_name", "first": "cat", "second": "dog"}]


def test_scrub_shows_first_and_writes_only_when_told(cat, capsys):
    before = cat.read_bytes()
    assert main(["meta", "scrub", str(cat)]) == 0
    assert cat.read_bytes() == before
    shown = capsys.readouterr().out
    assert "2 values would change" in shown
    assert "  folder: '10_cat' → '10_folder 1'\n  user name: 'Alice' → 'user'\n" in shown

    assert main(["meta", "scrub", "--write", str(cat)]) == 0
    assert read_header(cat).metadata["ss_sd_model_name"] == "base.safetensors"
    assert b"Alice" not in cat.read_bytes()


def test_verify_compares_the_stored_hashes(tmp_path, capsys):
    plain = write_network(tmp_path / "a.safetensors", SD1_LORA)
    right = sshs_hashes(b"x", [payload_of(plain)])["sshs_model_hash"]
    good = write_network(tmp_path / "good.safetensors", SD1_LORA, {"sshs_model_hash": right})
    bad = write_network(tmp_path / "bad.safetensors", SD1_LORA, {"sshs_model_hash": "0" * 64})

    assert main(["meta", "verify", str(plain), str(good)]) == 0
    assert f"(AutoV3 {right[:12].upper()})" in capsys.readouterr().out
    assert main(["meta", "verify", str(bad)]) == 4
    assert "they were changed" in capsys.readouterr().err


def test_meta_needs_neither_torch_nor_pillow(cat):
    program = (
        "import sys\nfor name in ('torch', 'PIL', 'numpy', 'safetensors'): sys.modules[name] = None\n"
        "from tanren.launcher import main\nsys.exit(main(['meta', 'show', sys.argv[1]]))"
    )
    trainer = Path(__file__).parents[1] / "trainer"
    environment = {**os.environ, "PYTHONPATH": str(trainer), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(cat)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cat \\xb7 Stable Diffusion 1")
