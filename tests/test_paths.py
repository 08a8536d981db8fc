import os
import sys
from pathlib import Path

import pytest
from tanren.errors import UsageError
from tanren.paths import (
    PathPolicy,
    asset,
    check_created_name,
    data_folder,
    home_expanded,
    name_key,
    repository_folder,
    resolve_user_path,
    shipped_file,
)


@pytest.mark.parametrize(
    "name", ["cat", "鍛錬 テスト", "猫🐈", "it's 100% & [more]", "a.b.c", "COM10", "console", "x" * 200, "(1)"]
)
def test_ordinary_names_of_all_scripts_are_accepted(name):
    assert check_created_name(name, where="--output_name") == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("a/b", "it contains /"),
        ("a\\b", "it contains \\"),
        ('<>:"|?*', 'it contains < > : " | ? *'),
        ("a\x00b", "it contains \\x00"),
        ("tab\there", "it contains \\t"),
        ("lone\ud800", "it contains \\ud800"),
        (".hidden", "it begins with a dot or a space"),
        (" a", "it begins with a dot or a space"),
        ("a.", "it ends with a dot or a space"),
        ("a ", "it ends with a dot or a space"),
        ("CON", "Windows keeps this name for a device"),
        ("nul.safetensors", "Windows keeps this name for a device"),
        ("Com1.tar.gz", "Windows keeps this name for a device"),
        ("conin$", "Windows keeps this name for a device"),
        ("lpt9 .txt", "Windows keeps this name for a device"),
        ("猫" * 67, "it has 201 bytes, more than 200"),
    ],
)
def test_names_that_fail_on_some_system_are_refused_on_all(name, reason):
    with pytest.raises(UsageError) as refusal:
        check_created_name(name, where="--output_name")

    assert reason in refusal.value.what
    assert refusal.value.where == "--output_name"


def test_names_are_compared_as_file_systems_compare_them():
    assert name_key("カ\u3099.PNG") == name_key("ガ.png")


@pytest.mark.skipif(os.name == "nt", reason="a backslash divides folders there")
def test_only_a_tilde_that_stands_for_the_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/絵")

    assert home_expanded("~") == Path("/home/絵")
    assert home_expanded("~/a b") == Path("/home/絵/a b")
    for name in ("~\\a", "~nobody/a", "a/~", "~a.toml"):
        assert home_expanded(name) == Path(name)


def test_a_path_is_resolved_and_must_be_of_the_kind_asked_for(tmp_path):
    (tmp_path / "a b 猫").mkdir()
    (tmp_path / "file.txt").write_text("x", encoding="utf-8")

    assert resolve_user_path(f"{tmp_path}/a b 猫/../file.txt", "file") == tmp_path.resolve() / "file.txt"
    assert resolve_user_path(f"{tmp_path}/not/yet", "new folder") == tmp_path.resolve() / "not" / "yet"
    with pytest.raises(UsageError, match="is a file"):
        resolve_user_path(f"{tmp_path}/file.txt", "folder", where="--train_data_dir")
    with pytest.raises(UsageError, match="is a folder"):
        resolve_user_path(f"{tmp_path}/a b 猫", "new file")


def test_a_missing_path_names_the_nearest_folder_that_exists(tmp_path):
    with pytest.raises(UsageError) as refusal:
        resolve_user_path(f"{tmp_path}/models/sd.safetensors", "file", where="--vae")

    assert refusal.value.fix == f"The nearest folder that exists is {tmp_path}."


def test_home_is_expanded_only_where_it_is_the_users_own(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "~x").mkdir()

    assert resolve_user_path("~/new", "new file") == tmp_path.resolve() / "new"
    with pytest.raises(UsageError, match="another user's home folder"):
        resolve_user_path("~root/secret", "file")


@pytest.mark.rule("cfg-02")
def test_control_characters_in_a_path_come_with_the_hint_about_quotes():
    with pytest.raises(UsageError) as refusal:
        resolve_user_path("C:\new\train", "folder", where="train_data_dir")

    assert "control characters (\\n \\t)" in refusal.value.what
    assert "single quotes or /" in refusal.value.fix


@pytest.mark.parametrize(
    "text",
    ["\\\\server\\share", "\\\\?\\C:\\x", "\\\\.\\PhysicalDrive0", "file:///etc/passwd", "https://x.org/a", "C:train"],
)
def test_addresses_device_paths_and_drive_relative_paths_are_refused(text):
    with pytest.raises(UsageError, match="is not accepted as a path"):
        resolve_user_path(text, "new file")


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_path_is_refused(text):
    with pytest.raises(UsageError, match="The path is empty"):
        resolve_user_path(text, "new file")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_that_leaves_the_roots_is_refused_and_a_similar_prefix_is_no_root(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "root-but-not"
    root.mkdir()
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    policy = PathPolicy(roots=(root,))

    assert resolve_user_path(str(root / "a" / ".." / "b"), "new file", policy=policy) == root.resolve() / "b"
    for text in (root / "link", outside, root / ".." / "root-but-not"):
        with pytest.raises(UsageError, match="outside of the folders"):
            resolve_user_path(str(text), "new folder", policy=policy)
    with pytest.raises(UsageError, match="is not there"):
        resolve_user_path(str(root / "loop"), "file", policy=policy)


def test_the_data_folder_is_the_option_then_the_variable_then_the_checkouts(monkeypatch, tmp_path):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "from variable"))

    assert data_folder(str(tmp_path / "from option")) == tmp_path.resolve() / "from option"
    assert data_folder() == tmp_path.resolve() / "from variable"
    monkeypatch.delenv("TANREN_DATA")
    root = repository_folder()
    assert data_folder() == root / "data" if root else data_folder().name == "tanren"


def test_assets_are_part_of_the_package():
    assert asset("clip", "merges.txt.gz").is_file()
    assert isinstance(asset(), Path)


def test_shipped_file_lies_beside_the_package_in_the_repository():
    found = shipped_file("localizations", "ja_JP.json")

    assert found is not None
    assert found.parts[-2:] == ("localizations", "ja_JP.json")
    assert shipped_file("localizations", "xx.json") is None


def test_outside_of_the_roots_nothing_tells_whether_a_file_is_there(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "there").touch()
    messages = set()
    for name in ("there", "missing"):
        with pytest.raises(UsageError) as caught:
            resolve_user_path(str(outside / name), "file", policy=PathPolicy((inside,)))
        messages.add(str(caught.value).replace(name, ""))

    assert len(messages) == 1
    assert "lies outside" in messages.pop()


@pytest.mark.parametrize("text", ["x" * 256, "/a/" + "猫" * 86, "/a" * 2100])
def test_path_that_no_system_can_look_up_is_refused(text):
    with pytest.raises(UsageError, match="is too long"):
        resolve_user_path(text, "new folder")
