"""Tools that take captions along take those that are chosen under "Captions that are read"."""

from __future__ import annotations

import zipfile

import pytest
from story_folder import drawn
from tanren.preparation.journal import Journal
from tanren.preparation.levels import understand
from tanren.ui.data_folder import View
from tanren.ui.data_tool import Request, checked_values
from tanren.ui.data_tools import tool_named
from tanren.ui.data_work import Work


@pytest.fixture
def carry_out(tmp_path):
    """Use a tool on a folder whose pictures have captions of both kinds, more `.txt` than `.caption`."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a", "b"):
        drawn(1, (32, 32)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"tags of {name}", "utf-8")
    (folder / "a.caption").write_text("a sentence", "utf-8")

    def carry_out(name, suffix, **given):
        tool = tool_named(name)
        request = Request(
            level=understand(folder),
            pictures=[folder / "a.png", folder / "b.png"],
            values=checked_values(tool, given),
            plan=View().plan(),
            data=tmp_path / "data",
            suffix=suffix,
        )
        tool.prepare(request).carry_out(Journal(tmp_path / "data"), Work())

    return carry_out


@pytest.mark.parametrize(
    ("suffix", "captions"),
    [(".caption", ["a.caption", "b.txt"]), (".txt", ["a.txt", "b.txt"]), (None, ["a.txt", "b.txt"])],
)
def test_copies_take_the_chosen_captions_along(carry_out, tmp_path, suffix, captions):
    carry_out("resize", suffix, out="small", how="longest", size="16", format="png")

    assert sorted(path.name for path in (tmp_path / "small").iterdir() if path.suffix != ".png") == captions


@pytest.mark.parametrize(
    ("suffix", "text"), [(".caption", b"a sentence"), (".txt", b"tags of a"), (None, b"tags of a")]
)
def test_an_archive_holds_the_chosen_captions(carry_out, tmp_path, suffix, text):
    carry_out("archive", suffix, file="all")

    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert sorted(archive.namelist()) == ["a.png", "a.txt", "b.png", "b.txt"]
        assert archive.read("a.txt") == text
        assert archive.read("b.txt") == b"tags of b"
