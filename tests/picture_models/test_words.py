import json
from pathlib import Path

import pytest
from onnx_models import write_first_colour, write_tagger
from tanren import data_command
from tool_runs import pictures


def test_data_hands_the_words_to_the_models(tmp_path, capsys):
    folder = pictures(tmp_path / "in", "red.png")
    model = write_first_colour(tmp_path / "u2net.onnx")
    tagger = write_tagger(tmp_path / "tagger")
    assert data_command.main(["tag", str(folder), "--model", str(tagger)]) == 0
    assert data_command.main(["mask", str(folder), str(tmp_path / "out"), f"--model={model}"]) == 0
    assert (folder / "red.txt").read_text() == "red hair, >_<\n"
    assert (tmp_path / "out" / "red.png").is_file()
    assert data_command.main(["undo"]) == 0
    assert not (tmp_path / "out").exists()
    assert data_command.main(["undo"]) == 0
    assert not (folder / "red.txt").exists()


def test_only_the_listed_pictures_are_looked_at(tmp_path, capsys):
    folder = pictures(tmp_path / "in", "red.png", "blue.png")
    pictures(folder / "deeper", "red.png")
    tagger, listed = write_tagger(tmp_path / "tagger"), tmp_path / "only.json"
    listed.write_text(json.dumps(["blue.png", str(folder / "deeper" / "red.png"), "gone.png"]), "utf-8")

    words = ["tag", str(folder), "--recursive", "--model", str(tagger), "--only", str(listed)]
    assert data_command.main(words) == 0
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.txt")) == [
        "blue.txt",
        str(Path("deeper", "red.txt")),
    ]
    listed.write_text('{"blue.png": 1}', "utf-8")
    assert data_command.main(words) == 3
    listed.write_text("blue.png", "utf-8")
    assert data_command.main(words) == 3
    said = capsys.readouterr().err
    assert "This is no list of paths." in said
    assert "The file is not JSON." in said


@pytest.mark.parametrize(
    ("words", "sections"),
    [
        (["tag", "in", "--model", "x"], ("tagging",)),
        (["mask", "in", "out", "--model=x"], ("tagging",)),
        (["mask", "in", "out", "--clean", "128"], ()),
        (["condition", "in", "out", "--kind=blur"], ()),
        (["faces", "in", "out", "--boxes", "x"], ()),
        (["describe", "in", "--model", "x"], ()),
        (["regularize", "out", "--class", "x", "--model", "y"], ()),
    ],
)
def test_onnxruntime_is_asked_for_where_an_onnx_model_runs(words, sections):
    assert data_command.sections_for(words) == sections


@pytest.mark.parametrize("tool", ["tag", "describe", "faces", "regularize"])
def test_every_tool_has_help_that_names_all_its_flags(tool, capsys):
    with pytest.raises(SystemExit) as end:
        data_command.main([tool, "--help"])
    shown = capsys.readouterr().out
    assert end.value.code == 0
    for flag in ("--device", "--dry-run", "--events", "--stop-file", "--model"):
        assert flag in shown
