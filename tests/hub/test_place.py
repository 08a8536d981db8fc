"""How options name places on the hub."""

from pathlib import Path

import pytest
from tanren.errors import UsageError
from tanren.hub.place import Repository, StateOnHub, repository_of, state_of
from tanren.options.hub import HubOptions


def test_without_a_repository_nothing_is_uploaded():
    assert repository_of(HubOptions(huggingface_path_in_repo="loras")) is None


@pytest.mark.parametrize(
    ("options", "repository"),
    [
        ({}, Repository("mika/moon", "model", is_private=True)),
        ({"huggingface_repo_type": "dataset"}, Repository("mika/moon", "dataset", is_private=True)),
        ({"huggingface_repo_visibility": "public"}, Repository("mika/moon", is_private=False)),
        ({"huggingface_repo_visibility": "Public"}, Repository("mika/moon", is_private=True)),
        ({"huggingface_path_in_repo": "/loras/moon/"}, Repository("mika/moon", folder="loras/moon")),
    ],
)
def test_a_repository_is_a_private_model_unless_it_is_said_otherwise(options, repository):
    assert repository_of(HubOptions(huggingface_repo_id="mika/moon", **options)) == repository


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("moon", "'moon' is not the name of a repository: user, slash, name."),
        ("mika/moon/loras", "Write --huggingface_repo_id=USER/NAME."),
        ("mika/moon--lora", "no -- or .. in it"),
        ("mika/月", "Letters, digits, - _ and . are allowed"),
        ("-mika/moon", "is not the name of a repository"),
        ("mika/moon.git", "is not the name of a repository"),
        ("https://huggingface.co/mika/moon/tree/main", "Use --huggingface_repo_id=mika/moon"),
        ("https://huggingface.co/datasets/mika/moon", "Use --huggingface_repo_id=mika/moon"),
    ],
)
def test_what_is_no_name_of_a_repository_is_refused(text, message):
    with pytest.raises(UsageError) as caught:
        repository_of(HubOptions(huggingface_repo_id=text))

    assert str(caught.value).startswith("--huggingface_repo_id: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("folder", ["../moon", "a//b", "a\\b", "a/.git/b", "./a", ".."])
def test_a_folder_outside_of_the_repository_is_refused(folder):
    with pytest.raises(UsageError, match="is not a folder inside of a repository") as caught:
        repository_of(HubOptions(huggingface_repo_id="mika/moon", huggingface_path_in_repo=folder))

    assert caught.value.where == "--huggingface_path_in_repo"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("mika/moon/moon-state", StateOnHub("mika/moon", "moon-state")),
        ("mika/moon/loras/moon-000002-state/", StateOnHub("mika/moon", "loras/moon-000002-state")),
        ("mika/moon/moon-state:v1", StateOnHub("mika/moon", "moon-state", "v1")),
        ("mika/moon/moon-state:main:dataset", StateOnHub("mika/moon", "moon-state", "main", "dataset")),
        ("mika/moon/moon-state::space", StateOnHub("mika/moon", "moon-state", None, "space")),
    ],
)
def test_a_state_on_the_hub_is_named_as_in_sd_scripts(text, state):
    assert state_of(text) == state


@pytest.mark.parametrize(
    "text", ["mika/moon", "moon-state", "/home/mika/moon-state", "mika/moon/a:b:c:d", "mika/moon/../a", "C:\\moon"]
)
def test_what_names_no_state_on_the_hub_is_refused_with_the_form(text):
    with pytest.raises(UsageError, match="does not name a state on the hub") as caught:
        state_of(text)

    assert caught.value.where == "--resume"
    assert "--resume=USER/NAME/FOLDER" in caught.value.fix


def test_an_unknown_kind_of_repository_is_refused():
    with pytest.raises(UsageError, match="'kernel' is not a kind of repository: model, dataset, space"):
        state_of("mika/moon/state:main:kernel")


@pytest.mark.parametrize(
    ("repository", "command"),
    [
        (Repository("mika/moon"), "hf upload mika/moon '/out/my lora.safetensors' 'my lora.safetensors' --private"),
        (
            Repository("mika/moon", "dataset", is_private=False, folder="a"),
            "hf upload mika/moon '/out/my lora.safetensors' 'a/my lora.safetensors' --repo-type=dataset",
        ),
    ],
)
def test_the_command_that_uploads_later_is_ready_to_paste(repository, command, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")

    assert repository.upload_command(Path("/out/my lora.safetensors")) == command


def test_addresses_are_those_that_a_browser_shows():
    files, data = Repository("mika/moon", folder="a"), Repository("mika/moon", "dataset")

    assert files.address_of("b.safetensors", "https://hub.example/") == (
        "https://hub.example/mika/moon/blob/main/a/b.safetensors"
    )
    assert data.address_of("b-state", "https://hub.example", is_folder=True) == (
        "https://hub.example/datasets/mika/moon/tree/main/b-state"
    )
