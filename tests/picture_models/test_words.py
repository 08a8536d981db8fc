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
