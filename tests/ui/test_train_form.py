"""The train form without a page: values of fields in, values and HTML out."""

from __future__ import annotations

import html
import json
import re

import pytest
from PIL import Image
from tanren.errors import UsageError
from tanren.jobs.shelf import Shelf
from tanren.paths import asset
from tanren.ui.access import Access
from tanren.ui.base_models import MICRO_SD, BaseModels, base_models
from tanren.ui.context import Context
from tanren.ui.form_view import shown
from tanren.ui.guard import Guard, Refused
from tanren.ui.host_standalone import Standalone
from tanren.ui.settings_files import CONFIG, DATASET, PROMPT, SHELL
from tanren.ui.train_form import BASE_MODEL, TrainForm

MICRO = str(asset("micro", "micro-sd.safetensors"))
QUICK, CHARACTER = "Quick try · CPU, no model needed", "Character · 8 GB"
OPEN_TO_OTHERS = Access(is_public=True, why="--listen is set", opt_in="Start it with --token.")


def form_in(folder, access=None, **settings):
    around = Standalone(folder / "data", access, settings=settings)
    return TrainForm(Context(around, Shelf(around.data_dir), Guard(around.access)))


@pytest.fixture
def form(tmp_path):
    return form_in(tmp_path)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "学習 データ (1)"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (number * 40, 90, 10)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("mychr1, a ball", "utf-8")
    return str(folder)


@pytest.fixture
def ready(form, pictures):
    """A form that only waits for Start."""
    return {**form.at_first(), "pictures": pictures, "output_name": "mychr1", "trigger": "mychr1"}


def test_without_any_model_the_embedded_one_and_its_example_are_proposed(form):
    raw = form.at_first()

    assert raw[BASE_MODEL] == MICRO_SD
    assert form.preset_at_first() == QUICK
    assert raw["pictures"].endswith("pictures")
    assert 'data-can-start="false"' in form.plan(raw, QUICK)
    assert "The LoRA has no name yet." in form.plan(raw, QUICK)


def test_with_a_model_it_is_proposed_with_a_preset_for_a_gpu(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "anime.safetensors").write_bytes((asset("micro", "micro-sd.safetensors")).read_bytes())
    form = form_in(tmp_path, models_dir=str(models))

    raw = form.at_first()

    assert raw[BASE_MODEL].startswith("anime")
    assert form.preset_at_first() == CHARACTER
    assert (raw["resolution"], raw["length"], raw["length_unit"], raw["pictures"]) == ("512,512", 5, "epochs", "")


def test_two_models_of_one_name_are_told_apart():
    models = BaseModels({"a": "/x/a.safetensors", "/y/a.safetensors": "/y/a.safetensors"}, "a")

    assert models.path("a") == "/x/a.safetensors"
    assert models.text("/y/a.safetensors") == "/y/a.safetensors"
    assert models.path(" /z/own.ckpt") == " /z/own.ckpt"


def test_the_embedded_model_is_always_on_offer(form):
    assert base_models(form.context.surroundings).paths[MICRO_SD] == MICRO


def test_a_preset_changes_how_it_is_trained_and_leaves_what_is_trained(form, ready):
    raw = form.chosen_preset(ready, CHARACTER)

    kept = ("pictures", "output_name", "trigger", BASE_MODEL)
    assert {name: raw[name] for name in kept} == {name: ready[name] for name in kept}
    assert (raw["network_dim"], raw["resolution"]) == (16, "512,512")


def test_leaving_the_example_leaves_its_pictures_but_not_the_form_without_a_model(form):
    raw = form.chosen_preset(form.at_first(), CHARACTER)

    assert (raw["pictures"], raw[BASE_MODEL]) == ("", MICRO_SD)


def test_what_differs_from_the_preset_is_named_by_its_field(form, ready):
    plan = form.plan({**ready, "network_dim": "99", "length": "7"}, QUICK)

    assert 'data-changed="network_dim length"' in plan


def test_a_reloaded_page_shows_what_was_in_the_form(form, ready):
    raw = {**form.chosen_preset(ready, CHARACTER), "network_dim": "12", "enable_bucket": False}
    draft = html.unescape(re.search('data-draft="([^"]*)"', form.plan(raw, CHARACTER))[1])

    opened, preset = form.opened(draft)

    assert preset == CHARACTER
    assert {name: shown(value) for name, value in opened.items()} == {name: shown(raw[name]) for name in opened}


@pytest.mark.parametrize("draft", ["", "{", "[1]", '{"fields": 3}', "[" * 100_000])
def test_what_is_no_draft_leads_to_the_usual_proposal(form, draft):
    assert form.opened(draft) == (form.at_first(), QUICK)


def test_a_draft_can_only_fill_fields(form):
    raw, preset = form.opened('{"preset": ["x"], "fields": {"job_dir": "/x", "network_dim": {"a": 1}, "seed": "7"}}')

    assert preset == ""
    assert "job_dir" not in raw
    assert (raw["network_dim"], raw["seed"]) == (form.usual["network_dim"], "7")


def test_what_the_page_proposed_itself_is_no_draft(form):
    assert 'data-draft=""' in form.plan(form.at_first(), QUICK, is_draft=False)


def test_the_plan_says_what_will_happen(form, ready):
    plan = form.plan({**ready, "length": "2", "length_unit": "epochs", "train_batch_size": "1"}, QUICK)

    assert "3 pictures × 10 repeats × 2 epochs ÷ batch 1 = 60 steps" in plan
    assert 'data-can-start="true"' in plan


def test_a_problem_stands_at_the_field_of_its_question(form, ready):
    plan = form.plan({**ready, "pictures": "/not/there"}, QUICK)

    assert 'data-field="pictures"' in plan
    assert 'data-can-start="false"' in plan


def test_a_problem_of_folders_named_in_all_settings_stands_at_their_field(form, ready):
    plan = form.plan({**ready, "pictures": "", "train_data_dir": "/not/there"}, QUICK)

    assert 'data-field="train_data_dir"' in plan


@pytest.mark.parametrize("value", ["many", "0", "1.5"])
def test_a_number_that_is_none_is_told_at_its_field(form, ready, value):
    plan = form.plan({**ready, "network_dim": value}, QUICK)

    assert 'data-field="network_dim"' in plan
    assert 'data-can-start="false"' in plan


def test_start_freezes_the_form_into_a_job(form, ready):
    answer = form.start(ready, "click 1")

    (job,) = form.context.shelf.all()
    assert f'data-started="{job.id}"' in answer
    assert job.envelope().name == "mychr1"
    assert job.spec().options["pretrained_model_name_or_path"] == MICRO
    assert job.spec().options["network_dim"] == 32


@pytest.mark.rule("flt-08")
def test_a_second_click_with_the_same_id_starts_nothing_more(form, ready):
    first, second = form.start(ready, "click 1"), form.start(ready, "click 1")

    assert first == second
    assert len(form.context.shelf.all()) == 1


def test_nothing_starts_while_something_is_wrong(form, ready):
    answer = form.start({**ready, "output_name": " "}, "click 1")

    assert 'data-started=""' in answer
    assert "Something in the form is still wrong." in answer
    assert form.context.shelf.all() == []


def test_nothing_starts_and_no_preset_is_kept_on_a_public_server(tmp_path, pictures):
    form = form_in(tmp_path, OPEN_TO_OTHERS)
    raw = {**form.at_first(), "output_name": "x"}

    answer = form.start(raw, "click 1")

    assert "it starts, changes and deletes nothing" in answer
    assert "it starts, changes and deletes nothing" in form.notice()
    assert not (tmp_path / "data").exists()
    with pytest.raises(Refused):
        form.save_preset(raw, "mine", replace=False)
    with pytest.raises(Refused):
        form.delete_preset(CHARACTER)


def test_paths_outside_of_the_roots_are_refused_on_a_public_server(tmp_path):
    form = form_in(tmp_path, OPEN_TO_OTHERS)

    plan = form.plan({**form.at_first(), "pictures": "/etc", "output_name": "x"}, QUICK)

    assert 'data-field="pictures"' in plan
    assert "outside of the folders that may be used here" in plan


def test_own_presets_are_saved_chosen_replaced_and_deleted(form, ready):
    text = form.save_preset({**ready, "network_dim": "48"}, "mine", replace=False)

    assert text == "mine (own)"
    assert text in form.preset_names()
    assert form.chosen_preset(ready, text)["network_dim"] == 48
    with pytest.raises(UsageError, match="already"):
        form.save_preset(ready, "mine", replace=False)
    form.save_preset({**ready, "network_dim": "8"}, "mine", replace=True)
    assert form.chosen_preset(ready, text)["network_dim"] == 8
    form.delete_preset(text)
    assert text not in form.preset_names()


def test_presets_of_ours_cannot_be_deleted(form):
    with pytest.raises(UsageError, match="not one of your presets"):
        form.delete_preset(CHARACTER)


def test_a_config_file_sets_the_form_and_keeps_what_it_does_not_say(form, ready):
    raw, report = form.imported(ready, 'network_dim = 64\nmax_train_epochs = 3\nnonsense = 1\nlearning_rate = "1e-4"\n')

    assert (raw["network_dim"], raw["length"], raw["length_unit"]) == (64, 3, "epochs")
    assert (raw[BASE_MODEL], raw["output_name"], raw["pictures"]) == (MICRO_SD, "mychr1", ready["pictures"])
    assert "3 taken as they are, 0 changed, 1 not taken." in report
    assert "nonsense" in report


def test_settings_of_kohyas_gui_are_taken_over_with_a_report(form, ready):
    saved = {"LoRA_type": "Standard", "network_dim": 32, "max_resolution": "768,768", "epoch": 4, "lr_warmup": 10}

    raw, report = form.imported(ready, json.dumps(saved))

    assert (raw["network_dim"], raw["resolution"]) == (32, "768,768")
    assert "Settings of kohya_ss" in report


def test_a_text_of_no_known_kind_is_refused(form, ready):
    with pytest.raises(UsageError, match="kohya_ss"):
        form.imported(ready, '{"some": "thing"}')


def test_names_of_a_foreign_file_cannot_become_anything_but_text(form, ready):
    _, report = form.imported(ready, '"<img src=x onerror=alert(1)>" = "<b>"\n')

    assert "<img" not in report
    assert "&lt;img" in report


def test_settings_are_written_as_command_lines_and_files(form, ready):
    raw = {**ready, "network_dim": "48"}

    assert "--network_dim=48" in form.exported(raw, SHELL)[1]
    assert form.exported(raw, SHELL)[1].startswith("python launch.py train_network ")
    assert form.exported(raw, PROMPT)[0] == "train.cmd"
    assert "network_dim = 48" in form.exported(raw, CONFIG)[1]
    name, text = form.exported(raw, DATASET)
    assert name == "dataset.toml"
    assert "[[datasets]]" in text


def test_a_form_that_names_folders_needs_no_dataset_file(form, ready):
    with pytest.raises(UsageError, match=r"need no dataset\.toml"):
        form.exported({**ready, "pictures": "", "train_data_dir": "/some/where"}, DATASET)


def test_what_cannot_be_read_is_not_exported(form, ready):
    with pytest.raises(UsageError, match="many"):
        form.exported({**ready, "network_dim": "many"}, SHELL)
