from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch):
    """The journal of a test is its own."""
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"
