"""A training without pictures (LECO) in the form: questions become a prompt file and come back from it."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace

import pytest
from model_files import SD1_SHAPES, SDXL_SHAPES, write_model
from tanren.errors import Problems, UserError
from tanren.formats.leco_prompts import pair_fields, read_leco_prompts
from tanren.jobs.shelf import Shelf
from tanren.ui import concept_questions as concept
from tanren.ui.checking import check
from tanren.ui.context import Context
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone
from tanren.ui.presets import applied, changes, find, presets, save
from tanren.ui.settings_files import CONCEPTS, SHELL
from tanren.ui.simple_view import fill_form, read_form
from tanren.ui.train_form import BASE_MODEL, TrainForm
from tanren.ui.trainings import CONCEPT, GOAL, LORA

QUICK, QUICK_LECO = "Quick try · CPU, no model needed", "Quick try of LECO · CPU, no model needed"
SHARED = {"resolution": 512, "batch_size": 1, "guidance_scale": 1.0}
ERASED = {**SHARED, "prompts": [{"action": "erase", "target": "van gogh", "neutral": "painting"}]}
SLIDER = {
    **SHARED,
    "targets": [{"target_class": "person", "positive": "old person", "negative": "young person", "neutral": "person"}],
}


@pytest.fixture
def form(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    write_model(models / "anime.safetensors", SD1_SHAPES)
    write_model(models / "tags.safetensors", SDXL_SHAPES)
    around = Standalone(tmp_path / "data", settings={"models_dir": str(models)})
    found = TrainForm(Context(around, Shelf(around.data_dir), Guard(around.access)))
    found.models = replace(found.models, proposed=found.models.embedded)
    return found


@pytest.fixture
def erasing(form):
    """A form that only waits for Start."""
    raw, _ = form.fitted({**form.at_first(), GOAL: CONCEPT}, QUICK, "train_network")
    return {**raw, "output_name": "no circles"}


def options_of(**raw):
    problems = Problems()
    found = read_form("train_leco", raw, problems)
    assert problems.errors == []
    return found


def hidden_in(plan):
    return {name.removeprefix("tanren-field-") for name in re.search('data-hidden="(.*?)"', plan)[1].split()}


def wishes_in(plan):
    return {label: json.loads(html.unescape(wish)) for wish, label in re.findall('data-wish="(.*?)">(.*?)<', plan)}


@pytest.mark.parametrize(
    ("answers", "entry"),
    [
        (
            {"concept_action": "Erase it", "concept": " van  gogh", "concept_neutral": "painting"},
            {"prompts": [{"action": "erase", "target": "van gogh", "neutral": "painting"}]},
        ),
        ({"concept": "眼鏡"}, {"prompts": [{"action": "erase", "target": "眼鏡"}]}),
        (
            {"concept_action": "Strengthen it", "concept": "old", "concept_neutral": "person"},
            {"prompts": [{"action": "enhance", "target": "person", "positive": "old", "neutral": "person"}]},
        ),
        (
            {"concept_action": "Make a slider", "concept_plus": "old person", "concept_minus": "young person"},
            {"targets": [{"target_class": "", "positive": "old person", "negative": "young person"}]},
        ),
        (
            {"concept_action": "Make a slider", "concept_plus": "smile", "concept_neutral": "face"},
            {"targets": [{"target_class": "face", "positive": "smile", "neutral": "face"}]},
        ),
    ],
)
def test_the_answers_become_a_prompt_file_and_come_back_from_it(answers, entry, tmp_path):
    content = options_of(**answers)["prompts_file"]

    assert content == {**SHARED, **entry}
    shown = fill_form("train_leco", {"prompts_file": content})
    asked = {name: " ".join(answer.split()) for name, answer in answers.items()}
    assert {name: shown[name] for name in asked} == asked
    assert shown["prompts_file"] == ""


def test_a_slider_of_the_form_asks_for_both_strengths(form, erasing, tmp_path):
    raw = {**erasing, "concept_action": "Make a slider", "concept_plus": "red shape", "concept_minus": "blue shape"}
    name, text = form.exported({**raw, "concept_neutral": "shape"}, CONCEPTS)

    (tmp_path / name).write_text(text, "utf-8")
    pairs = [pair_fields(pair) for pair in read_leco_prompts(tmp_path / name).pairs]

    assert name == "leco.toml"
    assert [(pair["action"], pair["positive"], pair["multiplier"]) for pair in pairs] == [
        ("erase", "blue shape", 1.0),
        ("enhance", "red shape", 1.0),
        ("erase", "red shape", -1.0),
        ("enhance", "blue shape", -1.0),
    ]
    assert {(pair["target"], pair["neutral"], pair["resolution_hw"], pair["batch_size"]) for pair in pairs} == {
        ("shape", "shape", (64, 64), 4)
    }


@pytest.mark.parametrize(
    "content",
    [
        {**ERASED, "prompts": [*ERASED["prompts"], {"target": "b"}]},
        {"prompts": ERASED["prompts"]},
        {**ERASED, "dynamic_resolution": True},
        {**SHARED, "prompts": [{"target": "x", "weight": 2.0}]},
        {**SLIDER, "targets": [{**SLIDER["targets"][0], "neutral": "other"}]},
        {**SHARED, "slider": {"targets": SLIDER["targets"]}},
        {**SHARED, "prompts": "odd"},
        "/some/prompts.toml",
    ],
)
def test_a_file_that_says_more_than_the_questions_is_shown_as_text(content):
    shown = fill_form("train_leco", {"prompts_file": content})

    assert shown["prompts_file"]
    assert options_of(prompts_file=shown["prompts_file"], concept="not this")["prompts_file"] == content


@pytest.mark.parametrize(
    ("answers", "place", "what"),
    [
        ({"concept_size": "513"}, "--concept_size", "513 is neither one number of pixels nor WIDTH,HEIGHT."),
        ({"concept_size": "x"}, "--concept_size", "x is neither one number of pixels nor WIDTH,HEIGHT."),
        ({"concept_size": "1e999"}, "--concept_size", "1e999 is neither one number of pixels nor WIDTH,HEIGHT."),
        ({"concept_size": "nan,64"}, "--concept_size", "nan,64 is neither one number of pixels nor WIDTH,HEIGHT."),
        ({"concept_batch": "0"}, "--concept_batch", "0 is not a whole number from 1 to 1024."),
        ({"concept_batch": "nan"}, "--concept_batch", "nan is not a whole number from 1 to 1024."),
        ({"concept_strength": "-1"}, "--concept_strength", "-1 is not a number from 0 to 100."),
        ({"concept_strength": "inf"}, "--concept_strength", "inf is not a number from 0 to 100."),
    ],
)
def test_an_answer_that_cannot_be_read_is_told_at_its_field(answers, place, what):
    problems = Problems()

    read_form("train_leco", {"concept": "x", **answers}, problems)

    assert [(one.where, one.what) for one in problems.errors] == [(place, what)]


def test_sizes_are_width_first_in_the_form_and_height_first_in_the_file():
    content = options_of(concept="x", concept_size="768, 512")["prompts_file"]

    assert content["resolution"] == [512, 768]
    assert fill_form("train_leco", {"prompts_file": content})["concept_size"] == "768,512"


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        (ERASED, ["van gogh --w 512 --h 512 --d 1", "painting --w 512 --h 512 --d 1"]),
        (SLIDER, ["person --w 512 --h 512 --d 1"]),
        (
            {"targets": [{"target_class": "", "positive": "smile", "resolution": [768, 512]}]},
            ["smile --w 512 --h 768 --d 1"],
        ),
        ({"prompts": [{"action": "enhance", "target": "", "positive": "fog"}]}, ["fog --w 512 --h 512 --d 1"]),
        ("/some/prompts.toml", []),
        (None, []),
    ],
)
def test_sample_prompts_show_what_changes(content, prompts):
    assert concept.sample_prompts(content) == prompts


def test_samples_are_drawn_of_the_concept_unless_others_are_named():
    asked = {"concept": "fog", "sample_every_n_steps": "10"}

    assert options_of(**asked)["sample_prompts"] == ["fog --w 512 --h 512 --d 1"]
    assert options_of(**asked, sample_prompts="a street")["sample_prompts"] == ["a street"]
    assert "sample_prompts" not in options_of(concept="fog")
    shown = fill_form("train_leco", options_of(**asked))
    assert (shown["sample_prompts"], shown["concept"]) == ("", "fog")


def test_choosing_the_goal_lays_out_its_form_with_its_preset(form):
    raw, preset = form.fitted({**form.at_first(), GOAL: CONCEPT, "output_name": "mine"}, QUICK, "train_network")
    back, before = form.fitted({**raw, GOAL: LORA}, preset, "train_leco")

    assert (preset, form.training(raw).command) == (QUICK_LECO, "train_leco")
    assert (raw["concept"], raw["concept_size"], raw["length"], raw["output_name"]) == ("circle", "64", 240, "mine")
    assert (before, form.training(back).command) == (QUICK, "train_network")
    assert (back["trigger"], back["length"], back["output_name"]) == ("sks", 400, "mine")


def test_numbers_of_one_goal_are_never_taken_for_the_other(form):
    changed = {**form.at_first(), GOAL: CONCEPT, "length": "3", "learning_rate": "1"}

    raw, preset = form.fitted(changed, QUICK, "train_network")

    assert (preset, raw["length"], raw["learning_rate"]) == (QUICK_LECO, 240, 0.006)


@pytest.mark.parametrize(
    ("model", "command", "preset"),
    [
        ("anime.safetensors", "train_leco", "Concept · 8 GB"),
        ("tags.safetensors", "sdxl_train_leco", "Concept · SDXL, 8 GB"),
    ],
)
def test_the_base_model_decides_which_leco_it_is(form, model, command, preset):
    raw, chosen = form.fitted({**form.at_first(), BASE_MODEL: model, GOAL: CONCEPT}, QUICK, "train_network")

    assert (form.training(raw).command, chosen) == (command, preset)
    assert "This changes a concept in Stable Diffusion" in form.about_model(raw)
    assert command in form.about_model(raw)
    assert (raw["concept"], raw["concept_strength"]) == ("", 1.0)


def test_only_the_questions_of_the_goal_and_the_action_are_shown(form, erasing):
    erases = hidden_in(form.plan(erasing, QUICK_LECO))
    slides = hidden_in(form.plan({**erasing, "concept_action": "Make a slider"}, QUICK_LECO))
    learns = hidden_in(form.plan(form.at_first(), QUICK))

    assert {"pictures", "trigger", "repeats", "length_unit", "resolution", "save_every_n_epochs"} <= erases & slides
    assert {"concept_plus", "concept_minus", "prompts_file"} <= erases
    assert not {"concept", "concept_neutral", "concept_strength", "concept_size", "length", "seed"} & erases
    assert {"concept", "prompts_file"} <= slides and not {"concept_plus", "concept_minus"} & slides
    assert set(concept.NAMES) | {"prompts_file"} <= learns and "pictures" not in learns


def test_the_plan_says_what_is_learned_how_long_and_whether_it_fits(form, erasing):
    plan = form.plan(erasing, QUICK_LECO)

    assert "240 steps at 64×64, batch 4, each with about 12 calls of the U-Net" in plan
    assert "“circle” is erased: nothing particular takes its place." in plan
    assert "U-Net: 192 layers trained with AdamW, learning rate 0.006" in plan
    assert "Text encoder: not trained, because LECO changes the U-Net only" in plan
    assert "Main memory" in plan or "Graphics memory" in plan
    assert 'data-can-start="true" data-changed=""' in plan


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"concept_neutral": "square"}, "“circle” is erased: “square” takes its place."),
        ({"concept_action": "Strengthen it"}, "All pictures get more of “circle”."),
        ({"concept_action": "Strengthen it", "concept_neutral": "shape"}, "“shape” gets more of “circle”."),
        (
            {"concept_action": "Make a slider", "concept_plus": "p", "concept_minus": "m", "concept_neutral": "n"},
            "“n” slides from “m” (-1) to “p” (+1).",
        ),
        (
            {"concept_action": "Make a slider", "concept_plus": "p", "concept_minus": "m"},
            "Pictures slide from “m” (-1) to “p” (+1).",
        ),
        (
            {"concept_action": "Make a slider", "concept_plus": "p"},
            "Pictures slide from less (-1) to more (+1) of “p”.",
        ),
        (
            {"concept_action": "Make a slider", "concept_minus": "m"},
            "Pictures slide from more (-1) to less (+1) of “m”.",
        ),
    ],
)
def test_the_plan_tells_every_change_in_a_sentence(form, erasing, answers, sentence):
    assert sentence in form.plan({**erasing, **answers}, QUICK_LECO)


@pytest.mark.parametrize(
    ("action", "what", "field"),
    [
        ("Erase it", "The concept is not named yet.", "concept"),
        ("Make a slider", "The slider has no ends yet.", "concept_plus"),
    ],
)
def test_what_is_missing_is_said_once_and_at_its_question(form, erasing, action, what, field):
    plan = form.plan({**erasing, "concept_action": action, "concept": ""}, QUICK_LECO)

    assert re.findall('class="tanren-problem" data-field="(.*?)"', plan) == [field]
    assert what in plan
    assert "The plan appears when the concept is named." in plan


def test_what_differs_from_the_preset_is_marked_and_the_concept_is_not(form, erasing):
    raw = {**erasing, "concept": "square", "concept_size": "128", "concept_strength": "2", "length": "10"}

    assert 'data-changed="length concept_size concept_strength"' in form.plan(raw, QUICK_LECO)
    assert 'data-changed=""' in form.plan({**erasing, "concept": "square"}, QUICK_LECO)


def test_the_file_can_be_edited_as_text_and_the_questions_come_back(form, erasing):
    plan = form.plan(erasing, QUICK_LECO)
    text = wishes_in(plan)["Edit it as text"]["prompts_file"]
    edited = {**erasing, "prompts_file": text + "weight = 2.0\n"}
    told = form.plan(edited, QUICK_LECO)

    assert text.endswith('[[prompts]]\naction = "erase"\ntarget = "circle"\n')
    assert form.options(edited, Problems())["prompts_file"]["prompts"][0]["weight"] == 2.0
    assert set(concept.NAMES) <= hidden_in(told) and "prompts_file" not in hidden_in(told)
    assert wishes_in(told) == {"Back to the questions": {"prompts_file": ""}}
    assert form.granted(edited, json.dumps({"prompts_file": ""}))["concept"] == "circle"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[[prompts]]\ntarget = ", "prompts_file"),
        ('[[prompts]]\ntarget = "x"\nstrange = 1\n', "strange is not a field of prompts."),
        ("resolution = 64\n", "The file holds no prompts."),
        ('[[prompts]]\ntarget = "x"\nwhen = 2020-01-01\n', "The prompt file holds a date"),
    ],
)
def test_mistakes_in_the_text_are_told_at_the_text(form, erasing, text, what):
    plan = form.plan({**erasing, "prompts_file": text}, QUICK_LECO)

    assert 'data-can-start="false"' in plan
    assert set(re.findall('class="tanren-problem" data-field="(.*?)"', plan)) == {"prompts_file"}
    assert what in plan


def test_starting_makes_a_job_that_holds_the_prompt_file(form, erasing):
    outcome = form.start(erasing, "1")

    (job,) = form.context.shelf.all()
    spec = job.spec()
    assert f'data-started="{job.id}"' in outcome
    assert spec.command == "train_leco"
    assert spec.options["prompts_file"] == str(job.folder / "leco.toml")
    assert 'target = "circle"' in (job.folder / "leco.toml").read_text("utf-8")
    assert "max_train_epochs" not in spec.options and "train_data_dir" not in spec.options


def test_as_a_command_line_it_names_the_file_that_is_exported(form, erasing):
    _, line = form.exported(erasing, SHELL)

    assert line.startswith("python launch.py train_leco ")
    assert " --prompts_file=leco.toml " in line and "--max_train_steps=240" in line


YAML = "# mine\n- target: glasses\n  action: erase\n  alpha: 1\n- target: hat\n"
TOOLKIT = """job: extension
config:
  process:
    - type: slider
      slider:
        targets:
          - {target_class: person, positive: old, negative: young}
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (YAML, '[[prompts]]\ntarget = "glasses"\naction = "erase"\n\n[[prompts]]\ntarget = "hat"\n'),
        (TOOLKIT, '[[targets]]\ntarget_class = "person"\npositive = "old"\nnegative = "young"\n'),
        ('[[prompts]]\ntarget = "hat"\n', '[[prompts]]\ntarget = "hat"\n'),
        ('[slider]\n[[slider.targets]]\ntarget_class = ""\npositive = "x"\n', "[slider]\n"),
    ],
)
def test_prompt_lists_of_other_programs_are_taken_over_whatever_the_form_was_for(form, text, shown):
    raw, report = form.imported(form.at_first(), text)

    assert (raw[GOAL], form.training(raw).command) == (CONCEPT, "train_leco")
    assert raw["prompts_file"].startswith(shown)
    assert (raw["length"], raw["sample_prompts"]) == (240, "")
    assert ("[0].alpha" in report) is (text is YAML)


def test_a_list_that_the_questions_can_say_fills_them(form, erasing):
    text = "resolution = 768\nbatch_size = 1\nguidance_scale = 2\n[[targets]]\ntarget_class = ''\nnegative = 'blurry'\n"

    raw, _ = form.imported({**erasing, "length": "77"}, text)

    assert (raw["concept_action"], raw["concept_minus"], raw["concept_size"]) == ("Make a slider", "blurry", "768")
    assert (raw["prompts_file"], raw["length"]) == ("", 77)


def test_a_yaml_that_is_no_such_list_is_refused(form):
    with pytest.raises(UserError, match="neither a list of LECO prompts nor a slider"):
        form.imported(form.at_first(), "job: train\nconfig: {}\n")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('prompts_file = "a.toml"\nmax_train_steps = 300\n', "train_leco"),
        ('pretrained_model_name_or_path = "{sdxl}"\nprompts_file = "a.toml"\n', "sdxl_train_leco"),
        ("accelerate launch sdxl_train_leco.py --prompts_file=a.toml --max_train_steps=300", "sdxl_train_leco"),
        ('train_data_dir = "/pictures"\nclip_skip = 2\n', "train_network"),
    ],
)
def test_settings_lead_to_the_training_that_they_are_for(form, text, command):
    sdxl = form.models.path("tags.safetensors")

    raw, _ = form.imported(form.at_first(), text.replace("{sdxl}", str(sdxl)))

    assert form.training(raw).command == command
    assert raw["prompts_file"] == ("a.toml" if command.endswith("leco") else "")


@pytest.mark.parametrize("text", ["learning_rate = 3e-4\n", "network_dim = 12\n"])
def test_settings_that_any_training_has_leave_the_form_what_it_is_for(form, erasing, text):
    raw, _ = form.imported(erasing, text)

    assert form.training(raw).command == "train_leco"
    assert raw["concept"] == "circle"


def test_pictures_are_taken_over_into_the_form_that_reads_them(form, erasing):
    raw, _ = form.imported(erasing, '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "/pictures"\nnum_repeats = 2\n')

    assert form.training(raw).command == "train_network"
    assert (raw["pictures"], raw["repeats"], raw["length"]) == ("/pictures", 2, 400)


def test_a_preset_keeps_how_and_not_what(form, erasing, tmp_path):
    form.save_preset({**erasing, "concept": "hat", "concept_size": "128"}, "mine", replace=False)

    saved = find(form.context.data_dir, "user/mine")
    assert saved.options["prompts_file"] == {"resolution": 128, "batch_size": 4, "guidance_scale": 1.5}
    raw = form.chosen_preset({**erasing, "concept": "boat", "concept_size": "64"}, "mine (own)")
    assert (raw["concept"], raw["concept_size"]) == ("boat", "128")


def test_the_quick_try_brings_its_concept_and_takes_it_away_again():
    quick, usual = (find(presets_folder(), f"built-in/{name}") for name in ("quick-try-leco", "leco-8gb"))
    chosen = applied(quick, {"output_name": "mine"})

    assert chosen["prompts_file"]["prompts"] == [{"action": "erase", "target": "circle"}]
    assert applied(usual, chosen)["prompts_file"] == SHARED
    assert applied(usual, {"prompts_file": ERASED})["prompts_file"] == ERASED
    assert applied(quick, {"prompts_file": "/my.toml"})["prompts_file"] == "/my.toml"
    assert changes("train_leco", {"prompts_file": ERASED}, {"prompts_file": SHARED}) == []


def presets_folder():
    from tanren.paths import asset

    return asset("nowhere")


def test_presets_that_name_a_file_keep_nothing_of_it(tmp_path):
    saved = save(tmp_path, "mine", "train_leco", {"prompts_file": "/my.toml", "network_dim": 8})

    assert saved.options == {"network_dim": 8}
    assert [preset.id for preset in presets(tmp_path, "train_leco")][-1] == "user/mine"


def test_memory_grows_with_the_size_and_the_number_of_pictures(form, erasing):
    def peak(**answers):
        options = form.options({**erasing, **answers}, Problems())
        return check("train_leco", options).memory.need.peak

    small, large, many = peak(), peak(concept_size="512"), peak(concept_size="512", concept_batch="16")

    assert small < large < many


@pytest.mark.parametrize(
    ("name", "most"), [("leco-8gb", 6), ("leco-sdxl-8gb", 8), ("leco-sdxl-12gb", 12), ("leco-sdxl-16gb", 16)]
)
def test_presets_fit_the_cards_that_they_name(name, most):
    preset = find(presets_folder(), f"built-in/{name}")
    concept_of_mine = {**preset.options["prompts_file"], "prompts": [{"target": "x"}]}

    need = check(preset.command, {**preset.options, "prompts_file": concept_of_mine}).memory.need

    assert f"{most} " in preset.requires
    assert most * 2**29 < need.upper <= most * 2**30
