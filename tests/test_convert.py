"""`convert` writes a new file, shows it, and never touches an old one."""

from __future__ import annotations

from tanren import convert

OLD = "- target: circle\n  strange: 1\n"
NEW = '[[prompts]]\ntarget = "circle"\n'


def test_the_new_file_is_written_and_shown(tmp_path, capsys):
    old, new = tmp_path / "古い.yaml", tmp_path / "new.toml"
    old.write_text(OLD, "utf-8")
    assert convert.main(["leco", str(old), str(new)]) == 0
    shown = capsys.readouterr()
    assert (new.read_text("utf-8"), shown.out) == (NEW, NEW)
    assert shown.err == "[0].strange: left out, it has no counterpart.\n"
    assert old.read_text("utf-8") == OLD


def test_nothing_is_overwritten(tmp_path, capsys):
    old = tmp_path / "old.yaml"
    old.write_text(OLD, "utf-8")
    assert convert.main(["leco", str(old), str(old)]) == 2
    assert "The file exists already." in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path, capsys):
    assert convert.main(["leco", str(tmp_path / "no.yaml"), str(tmp_path / "new.toml")]) == 2
    assert "no.yaml" in capsys.readouterr().err
