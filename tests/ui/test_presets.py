"""Presets: ours are sound, the user's are kept safely, a broken one is a row with its reason."""

import shutil

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems, UsageError
from tanren.options.checks import check_settings
from tanren.options.parse import parse_spec
from tanren.paths import asset
from tanren.ui.fields import fields
from tanren.ui.presets import PERSONAL, Change, applied, changes, delete, find, presets, raw_of, save
from tanren.ui.simple_view import read_form

OURS = presets(asset("nowhere"))
HEAD = '[tanren]\nschema = 1\ncommand = "train_network"\n'


def write(data_dir, name, text):
    folder = data_dir / "presets"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def problem_of(data_dir, text):
    write(data_dir, "p.toml", text)
    (preset,) = [preset for preset in presets(data_dir) if preset.is_own]
    return str(preset.problem)


HAS_MICRO_SDXL = asset("micro", "micro-sdxl.safetensors").is_file()


def test_ours_are_in_the_order_of_the_list():
    assert [preset.id for preset in OURS] == [
        "built-in/character-8gb",
        "built-in/style-8gb",
        "built-in/character-12gb",
        "built-in/prodigy",
        "built-in/quick-try",
        "built-in/sdxl-8gb",
        "built-in/sdxl-12gb",
        "built-in/sdxl-16gb",
        "built-in/sdxl-anime",
        "built-in/sdxl-style",
        *(["built-in/quick-try-sdxl"] if HAS_MICRO_SDXL else []),
        "built-in/leco-8gb",
        "built-in/leco-sdxl-8gb",
        "built-in/leco-sdxl-12gb",
        "built-in/leco-sdxl-16gb",
        "built-in/quick-try-leco",
        *(["built-in/quick-try-leco-sdxl"] if HAS_MICRO_SDXL else []),
        "built-in/lllite-8gb",
        "built-in/lllite-12gb",
        "built-in/lllite-16gb",
        "built-in/lllite-24gb",
        *(["built-in/quick-try-lllite"] if HAS_MICRO_SDXL else []),
    ]


@pytest.mark.parametrize("preset", OURS, ids=lambda preset: preset.id)
def test_each_of_ours_says_what_it_is_and_lacks_nothing_but_model_and_pictures(preset):
    assert preset.problem is None
    assert all((preset.name, preset.description, preset.audience, preset.requires))
    is_concept = COMMANDS[preset.command].reads == "prompts"
    has_pairs = preset.command == "sdxl_train_control_net_lllite"
    assert preset.repeats or is_concept or has_pairs or preset.id.startswith("built-in/quick-try")
    assert set(preset.options.get("prompts_file", {})) >= ({"resolution", "batch_size"} if is_concept else set())
    problems = Problems()
    contents = ("sample_prompts", "prompts_file")
    options = {name: value for name, value in preset.options.items() if name not in contents}
    settings = parse_spec(preset.command, COMMANDS[preset.command].groups, options, "", problems).settings
    check_settings(settings, problems)
    named = {error.where for error in problems.errors} - {"--pretrained_model_name_or_path"}
    assert named == {"--output_dir"}
    assert problems.warnings == ["No sample pictures will be drawn: --sample_prompts is missing."]


def test_the_quick_try_brings_its_model_and_pictures_and_takes_them_away_again():
    quick, style = (find(asset("nowhere"), f"built-in/{name}") for name in ("quick-try", "style-8gb"))
    model, pictures = str(asset("micro", "micro-sd.safetensors")), str(asset("micro", "pictures"))

    chosen = applied(quick, {"output_name": "mine"})

    assert (chosen["pretrained_model_name_or_path"], chosen["train_data_dir"]) == (model, pictures)
    assert raw_of(quick, {})["pictures"] == pictures
    assert applied(style, chosen) == {"output_name": "mine", **style.options}
    assert applied(quick, {"train_data_dir": "/own"})["train_data_dir"] == "/own"


def test_an_example_is_not_on_offer_without_its_model(tmp_path, monkeypatch):
    package = tmp_path / "package"
    shutil.copytree(asset("presets"), package / "assets" / "presets")
    monkeypatch.setattr("tanren.ui.presets.asset", package.joinpath("assets").joinpath)

    names = [preset.id for preset in presets(tmp_path)]

    assert "built-in/sdxl-12gb" in names
    assert not {"built-in/quick-try", "built-in/quick-try-sdxl"} & set(names)


def test_the_examples_pictures_are_as_kohya_lays_them_out():
    (folder,) = asset("micro", "pictures").iterdir()

    assert folder.name == "20_sks"
    assert len(list(folder.glob("*.png"))) == len(list(folder.glob("*.txt"))) == 16
    assert "sks" in (folder / "000.txt").read_text()


def test_a_saved_preset_comes_back_without_what_belongs_to_one_run(tmp_path):
    options = {"network_dim": 8, "resolution": [512, 768], "output_name": "mine", "optimizer_args": ["a=(1, 2)"]}

    saved = save(tmp_path, "私の設定 [1]", "train_network", options, description="Mine.", repeats=3)

    assert saved.id == "user/私の設定 [1]"
    assert saved.options == {"network_dim": 8, "resolution": [512, 768], "optimizer_args": ["a=(1, 2)"]}
    assert (saved.description, saved.repeats, saved.is_own) == ("Mine.", 3, True)
    assert find(tmp_path, saved.id) == saved
    assert presets(tmp_path)[-1] == saved


def test_a_name_is_taken_once_in_any_mix_of_capitals(tmp_path):
    save(tmp_path, "Mine", "train_network", {"network_dim": 8})

    with pytest.raises(UsageError, match="There is a preset 'Mine' already"):
        save(tmp_path, "mine", "train_network", {"network_dim": 9})
    assert save(tmp_path, "mine", "train_network", {"network_dim": 9}, replace=True).options == {"network_dim": 9}
    assert len(list((tmp_path / "presets").iterdir())) == 1


@pytest.mark.parametrize("name", ["", "  ", "a/b", "../x", "con", ".hidden", "a" * 197, "x\n"])
def test_names_that_no_file_can_have_are_refused(tmp_path, name):
    if name == "x\n":
        assert save(tmp_path, name, "train_network", {}).name == "x"
        return
    with pytest.raises(UsageError, match="cannot be the name of a file"):
        save(tmp_path, name, "train_network", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tanren\n", "p.toml:1: This is not valid TOML"),
        ("[options]\nnetwork_dim = 4\n", "p.toml: This is no preset."),
        (f"{HEAD}[options]\nnetwork_dmi = 4\n", "p.toml:5: There is no 'network_dmi' in a preset.\n  Did you mean net"),
        (f"{HEAD}[options]\nwandb_api_key = 'k'\n", "p.toml:5: There is no 'wandb_api_key' in a preset."),
        (f"{HEAD}[options]\nnetwork_dim = 'many'\n", "p.toml:5 (network_dim): 'many' is not a whole number."),
        (f"{HEAD}colour = 1\n", "p.toml:4: There is no 'colour' in a preset."),
        (f"{HEAD}repeats = 0\n", "p.toml:4: 0 is not a number from 1."),
        (f"{HEAD}name = 3\n", "p.toml:4: 3 is not text."),
        ("[tanren]\nschema = 2\n", "p.toml:2: The preset was written by a newer version (format 2; this one reads 1)."),
        ('[tanren]\nschema = 1\ncommand = "x"\n', "p.toml:3: There is no command 'x'."),
        ("options = 3\n[tanren]\nschema = 1\n", "p.toml:1: options is not a table."),
    ],
)
@pytest.mark.rule("cfg-01")
def test_a_broken_preset_stays_in_the_list_with_its_reason(tmp_path, text, message):
    assert problem_of(tmp_path, text).startswith(f"{tmp_path}/presets/{message}")


def test_a_broken_preset_cannot_be_used(tmp_path):
    write(tmp_path, "p.toml", "[tanren")

    with pytest.raises(UsageError, match="not valid TOML"):
        find(tmp_path, "user/p")
    with pytest.raises(UsageError, match="There is no preset 'user/q'"):
        find(tmp_path, "user/q")


def test_a_deleted_preset_lies_in_the_trash(tmp_path):
    save(tmp_path, "mine", "train_network", {"network_dim": 8})

    delete(tmp_path, "user/mine")

    assert [preset for preset in presets(tmp_path) if preset.is_own] == []
    assert len(list((tmp_path / "trash" / "presets").iterdir())) == 1


@pytest.mark.parametrize("preset_id", ["built-in/style-8gb", "user/../../x", "user/nosuch"])
def test_only_own_presets_can_be_deleted(tmp_path, preset_id):
    with pytest.raises(UsageError, match="is not one of your presets"):
        delete(tmp_path, preset_id)


def test_choosing_a_preset_keeps_what_is_trained():
    style = find(asset("nowhere"), "built-in/style-8gb")
    now = {"train_data_dir": "/a", "output_name": "mine", "learning_rate": 1.0, "xformers": True}

    options = applied(style, now)

    assert options == {"train_data_dir": "/a", "output_name": "mine", **style.options}
    raw = raw_of(style, now)
    assert (raw["pictures"], raw["repeats"], raw["length_unit"], raw["length"]) == ("/a", 2, "epochs", 10)
    assert read_form("train_network", raw, Problems()) == options


def test_changes_from_a_preset_are_named_with_both_values():
    base = {"network_dim": 8, "seed": 42}

    found = changes("train_network", {"network_dim": 16, "output_name": "x", "xformers": True}, base)

    assert found == [Change("network_dim", 8, 16), Change("seed", 42, None), Change("xformers", None, True)]


def test_what_is_personal_exists():
    assert {field.name for field in fields("train_network")} >= PERSONAL
