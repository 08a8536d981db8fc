"""A training with control pictures (ControlNet-LLLite) in the form: pairs are checked, samples and presets follow."""

from __future__ import annotations

import html
import re
import shutil
import time
from dataclasses import replace

import pytest
from model_files import SD1_SHAPES, SDXL_SHAPES, write_model
from PIL import Image
from tanren.errors import Problems, UserError
from tanren.jobs.shelf import Shelf
from tanren.paths import asset
from tanren.ui.answers import Desk
from tanren.ui.checking import check
from tanren.ui.context import Context
from tanren.ui.control_answers import make_edges
from tanren.ui.data_change_answers import work_state, workbench
from tanren.ui.guard import Guard
from tanren.ui.host_standalone import Standalone
from tanren.ui.presets import find
from tanren.ui.settings_files import SHELL
from tanren.ui.simple_view import OWN, fill_form, read_form
from tanren.ui.train_form import BASE_MODEL, TrainForm
from tanren.ui.trainings import CONTROL, GOAL, LORA, all_fields, renamed, training_of
from tanren.vram import GIB, MIB

COMMAND = "sdxl_train_control_net_lllite"
QUICK, QUICK_CONTROL = "Quick try · CPU, no model needed", "Quick try of ControlNet-LLLite · CPU, no model needed"


@pytest.fixture
def around(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    write_model(models / "anime.safetensors", SD1_SHAPES)
    write_model(models / "tags.safetensors", SDXL_SHAPES)
    return Standalone(tmp_path / "data", settings={"models_dir": str(models)})


@pytest.fixture
def form(around):
    found = TrainForm(Context(around, Shelf(around.data_dir), Guard(around.access)))
    found.models = replace(found.models, proposed=found.models.embedded)
    return found


@pytest.fixture
def pairs(tmp_path):
    """Four pictures of two shapes with captions, and their control pictures."""
    for name in ("pictures", "controls"):
        (tmp_path / name).mkdir()
        for number, size in enumerate([(128, 128), (128, 128), (192, 128), (192, 128)]):
            Image.new("RGB", size, (60 * number, 90, 20)).save(tmp_path / name / f"絵 {number}.png")
    for number in range(4):
        (tmp_path / "pictures" / f"絵 {number}.txt").write_text(f"a hat, number {number}", "utf-8")
    return tmp_path


@pytest.fixture
def ready(form, pairs):
    """A form that only waits for Start."""
    raw, _ = form.fitted({**form.at_first(), GOAL: CONTROL, BASE_MODEL: "tags.safetensors"}, QUICK, "train_network")
    folders = {"pictures": str(pairs / "pictures"), "control_pictures": str(pairs / "controls")}
    sizes = {"resolution": "128", "min_bucket_reso": "64", "max_bucket_reso": "256", "bucket_no_upscale": False}
    return {**raw, **folders, **sizes, "output_name": "lines"}


def told(plan):
    return html.unescape(re.sub(r"<[^>]*>", " ", str(plan)))


def problems_in(plan):
    return dict(re.findall(r'class="tanren-problem" data-field="(\w*)" data-text="(.*?)"', html.unescape(str(plan))))


def options_of(**raw):
    problems = Problems()
    found = read_form(COMMAND, raw, problems)
    assert problems.errors == []
    return found


def test_both_folders_become_options_and_come_back_from_them():
    options = options_of(pictures=' "/a b/絵" ', control_pictures="/線")

    assert options == {"train_data_dir": "/a b/絵", "conditioning_data_dir": "/線"}
    shown = fill_form(COMMAND, options)
    assert (shown["pictures"], shown["control_pictures"]) == ("/a b/絵", "/線")


def test_folders_beside_a_dataset_file_are_a_problem():
    problems = Problems()

    read_form(COMMAND, {"pictures": "/a", "dataset_config": "/b.toml"}, problems)

    assert [(error.where, error.what) for error in problems.errors] == [
        ("--pictures", "The pictures are named twice, here and by --dataset_config.")
    ]


def test_the_goal_chooses_command_preset_and_a_base_model_that_there_is_a_training_for(form):
    raw, preset = form.fitted({**form.at_first(), GOAL: CONTROL}, QUICK, "train_network")

    assert (preset, raw[BASE_MODEL]) == ("Control · SDXL, 8 GB", "tags.safetensors")
    assert form.training(raw).command == COMMAND
    assert (raw["network_dim"], raw["cond_emb_dim"], raw["train_batch_size"]) == (64, 32, 2)
    assert "This trains a control network for Stable Diffusion XL (SDXL)" in told(form.about_model(raw))


def test_without_any_other_model_the_example_is_offered_and_goes_with_its_pictures(form, pairs, tmp_path):
    shutil.rmtree(tmp_path / "models")
    form.read_lists()
    raw, preset = form.fitted({**form.at_first(), GOAL: CONTROL}, QUICK, "train_network")

    assert preset == QUICK_CONTROL
    assert raw["pictures"] == str(asset("micro", "pairs", "pictures"))
    assert raw["control_pictures"] == str(asset("micro", "pairs", "controls"))
    plan = told(form.plan({**raw, "output_name": "x"}, preset))
    assert "96 of 96 pictures have their control picture." in plan
    assert "96 pictures × 1 repeat ÷ batch 32" in plan
    own = form.chosen_preset({**raw, "pictures": str(pairs / "pictures"), "control_pictures": ""}, preset)
    assert (own["pictures"], own["control_pictures"]) == (str(pairs / "pictures"), "")
    real = form.chosen_preset(raw, "Control · SDXL, 12 GB")
    assert (real["pictures"], real["control_pictures"]) == ("", "")


def test_a_base_model_of_another_kind_is_named_at_its_field(form):
    raw, preset = form.fitted({**form.at_first(), GOAL: CONTROL}, QUICK, "train_network")
    raw = {**raw, BASE_MODEL: "anime.safetensors"}

    assert "Control networks of this kind are for Stable Diffusion XL (SDXL), but" in told(form.about_model(raw))
    assert "is a Stable Diffusion 1 model" in problems_in(form.plan(raw, preset))[BASE_MODEL]


def test_complete_pairs_are_planned_and_nothing_is_offered_to_be_made(form, ready):
    plan = form.plan(ready, "")

    assert problems_in(plan) == {}
    assert "4 pictures × 1 repeat ÷ batch 2 = 2 batches" in told(plan)
    assert "4 of 4 pictures have their control picture." in told(plan)
    assert "Text encoder: not trained, because ControlNet-LLLite changes the U-Net only" in told(plan)
    assert "data-edges" not in plan
    assert "Other kinds: open the tools for pictures" in plan


def test_missing_and_surplus_files_are_named_at_the_control_pictures(form, ready, pairs):
    (pairs / "controls" / "絵 1.png").rename(pairs / "controls" / "other.png")

    plan = form.plan(ready, "")

    assert "絵 1.png" in problems_in(plan)["control_pictures"] or "other.png" in problems_in(plan)["control_pictures"]
    lists = re.findall(r"<summary>(.*?)</summary><ul>(.*?)</ul>", str(plan))
    assert ("1 picture without a control picture", '<li translate="no">絵 1.png</li>') in lists
    assert ("1 control picture without a picture", '<li translate="no">other.png</li>') in lists
    assert f'data-edges="{pairs / "controls"}"' in plan


def test_control_pictures_of_another_size_are_named_with_both_sizes(form, ready, pairs):
    Image.new("RGB", (32, 64)).save(pairs / "controls" / "絵 2.png")

    assert "絵 2.png (32x64, its picture 192x128)" in told(form.plan(ready, ""))


def test_without_control_pictures_they_can_be_made_beside_the_pictures(form, ready, pairs):
    plan = form.plan({**ready, "control_pictures": ""}, "")

    problem = "The folder of control pictures was not named. Choose the folder."
    assert problems_in(plan) == {"control_pictures": problem}
    assert f'data-edges="{pairs / "pictures_edges"}" data-folder="{pairs / "pictures"}"' in plan
    assert "“" not in problem


def test_a_network_without_a_name_is_called_what_it_is(form, ready):
    plan = form.plan({**ready, "output_name": ""}, "")

    wanted = "The control network has no name yet. Type one in “Name of the control network”."
    assert problems_in(plan) == {"output_name": wanted}
    assert "Name of the LoRA" not in plan


def test_samples_are_drawn_for_some_of_the_pairs_with_their_control_pictures(form, ready, pairs):
    prompts = form.options(ready, Problems())["sample_prompts"]

    assert prompts == [
        f"a hat, number 0 --w 128 --h 128 --d 1 --cn {pairs / 'controls' / '絵 0.png'}",
        f"a hat, number 1 --w 128 --h 128 --d 1 --cn {pairs / 'controls' / '絵 1.png'}",
        f"a hat, number 3 --w 128 --h 128 --d 1 --cn {pairs / 'controls' / '絵 3.png'}",
    ]
    wide = form.options({**ready, "resolution": "1024"}, Problems())["sample_prompts"]
    assert wide[2].startswith("a hat, number 3 --w 1280 --h 832 --d 1")


def test_a_pair_without_a_caption_is_drawn_as_a_picture(form, ready, pairs):
    (pairs / "pictures" / "絵 0.txt").unlink()
    (pairs / "pictures" / "絵 1.txt").write_text("smile --not an option", "utf-8")

    prompts = form.options(ready, Problems())["sample_prompts"]

    assert prompts[0].startswith("a picture --w 128 --h 128 --d 1 --cn ")
    assert prompts[1].startswith("smile - not an option --w 128")


@pytest.mark.parametrize(
    ("caption", "prompt"), [("# a hat, blue", "a hat, blue"), ("##hat #2", "hat #2"), ("# ", "a picture")]
)
def test_a_caption_that_begins_like_a_comment_is_drawn(form, ready, pairs, caption, prompt):
    (pairs / "pictures" / "絵 0.txt").write_text(caption, "utf-8")

    prompts = form.options(ready, Problems())["sample_prompts"]

    assert prompts[0].startswith(f"{prompt} --w 128 --h 128")


def test_control_pictures_that_a_prompt_cannot_name_are_not_drawn(form, ready, pairs):
    (pairs / "controls").rename(pairs / "lines --n thick")
    ready = {**ready, "control_pictures": str(pairs / "lines --n thick")}

    assert not form.options(ready, Problems()).get("sample_prompts")


def test_prompts_that_somebody_wrote_stay_and_others_follow_the_folder(form, ready, pairs, tmp_path):
    mine = form.options({**ready, "sample_prompts": "my hat --d 3"}, Problems())["sample_prompts"]
    chosen = form.chosen_preset(ready, "Control · SDXL, 12 GB")
    shutil.copytree(pairs / "controls", tmp_path / "lines")
    again = form.options({**chosen, "control_pictures": str(tmp_path / "lines")}, Problems())["sample_prompts"]

    assert mine == ["my hat --d 3"]
    assert chosen["sample_prompts"] == ""
    assert str(tmp_path / "lines" / "絵 0.png") in again[0]


def test_nothing_is_drawn_or_asked_for_where_no_samples_are_wanted(form, ready):
    quiet = {**ready, "sample_every_n_epochs": "", "sample_every_n_steps": "", "sample_at_first": False}

    assert "sample_prompts" not in form.options(quiet, Problems())


def test_fields_are_called_what_they_mean_in_each_training():
    known = {field.name: field for field in (*OWN, *all_fields())}

    said = {name: training_of(COMMAND).wording(known[name])[0] for name in renamed()}

    assert said["pictures"] == "Folder of the pictures"
    assert said["output_name"] == "Name of the control network"
    assert said["network_dim"] == "Network width (dim)"
    assert training_of("train_network").wording(known["network_dim"])[0] == "Network rank (dim)"


def test_questions_of_other_trainings_are_hidden_and_come_back(form, ready):
    hidden = training_of(COMMAND).hidden

    assert {"trigger", "repeats", "train_data_dir", "masked_loss", "network_alpha", "reg_data_dir"} <= hidden
    assert not {"pictures", "control_pictures", "cond_emb_dim", "network_dim", "dataset_config"} & hidden
    assert {"control_pictures", "cond_emb_dim"} <= training_of("train_network").hidden
    back, _ = form.fitted({**ready, GOAL: LORA}, "", COMMAND)
    assert form.training(back).command == "sdxl_train_network"
    assert back["pictures"] == ready["pictures"]


def test_the_settings_become_a_command_line_and_come_back_from_it(form, ready):
    _, text = form.exported(ready, SHELL)

    lora, _ = form.fitted({**form.at_first(), GOAL: LORA}, QUICK, "train_network")
    shown, report = form.imported(lora, text)

    assert form.training(shown).command == COMMAND
    assert {name: shown[name] for name in ("pictures", "control_pictures")} == {
        name: ready[name] for name in ("pictures", "control_pictures")
    }
    assert (shown["cond_emb_dim"], shown["network_dim"], shown["output_name"]) == (32, 64, "lines")
    assert ", 0 not taken." in told(report)


GUIDE = """
pretrained_model_name_or_path = "/m.safetensors"
max_train_epochs = 12
full_bf16 = true
optimizer_type = "adamw8bit"
learning_rate = 2e-4
xformers = true
output_name = "guide"
cache_latents = true
network_dim = 64
cond_emb_dim = 32
dataset_config = "/d.toml"
"""


def test_the_guides_config_file_chooses_the_training(form):
    shown, _ = form.imported(form.at_first(), GUIDE)

    assert shown[GOAL] == CONTROL
    assert (shown["dataset_config"], shown["length"], shown["cond_emb_dim"]) == ("/d.toml", 12, 32)
    assert form.training(shown).command == COMMAND


def test_a_dataset_file_with_control_pictures_is_taken_over_as_it_is(form, ready, pairs):
    text = (
        f'[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "{(pairs / "pictures").as_posix()}"\n'
        f'conditioning_data_dir = "{(pairs / "controls").as_posix()}"\ncaption_extension = ".txt"\n'
    )

    shown, _ = form.imported(ready, text)

    assert form.training(shown).command == COMMAND
    assert "conditioning_data_dir" in shown["dataset_config"]
    assert (shown["pictures"], shown["control_pictures"]) == ("", "")
    assert "4 of 4 pictures have their control picture." in told(form.plan(shown, ""))


def test_a_started_job_has_the_folders_and_its_prompts(form, ready, around):
    form.start(ready, "one click")

    (job,) = Shelf(around.data_dir).all()
    spec = job.spec()
    assert spec.command == COMMAND
    assert spec.options["conditioning_data_dir"] == ready["control_pictures"]
    assert (job.folder / "prompts.txt").read_text("utf-8").count(" --cn ") == 3


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Sixteen pairs of SDXL's size, and a model that counts as full-size."""
    folder = tmp_path_factory.mktemp("large")
    for name in ("pictures", "controls"):
        (folder / name).mkdir()
        for number in range(16):
            Image.new("RGB", (1024, 1024)).save(folder / name / f"{number}.png")
    (folder / "model.ckpt").write_bytes(b"PK\x03\x04" + bytes(100))
    return folder


@pytest.mark.parametrize(("gigabytes", "batch"), [(8, 2), (12, 4), (16, 8), (24, 16)])
def test_the_preset_of_a_card_fits_its_memory(large, gigabytes, batch):
    preset = find(large, f"built-in/lllite-{gigabytes}gb")
    folders = {"train_data_dir": str(large / "pictures"), "conditioning_data_dir": str(large / "controls")}
    named = {"pretrained_model_name_or_path": str(large / "model.ckpt"), "output_name": "x"}

    found = check(COMMAND, {**preset.options, **folders, **named})

    assert preset.options["train_batch_size"] == batch
    assert training_of(COMMAND).preset_for(gigabytes * GIB - 300 * MIB) == preset.id
    # What the driver and the desktop hold is not ours.
    assert found.memory.need.upper <= (gigabytes - 1) * GIB


@pytest.fixture
def desk(around):
    return Desk(around, Shelf(around.data_dir), Guard(around.access))


def finished():
    bench = workbench()
    for _ in range(6000):
        if not bench.now.is_working:
            return bench.now
        time.sleep(0.01)
    raise AssertionError("the work does not end")


def test_edges_are_made_for_those_pictures_that_have_no_control_picture(desk, pairs):
    (pairs / "controls" / "絵 1.png").unlink()
    (pairs / "controls" / "絵 2.png").rename(pairs / "controls" / "絵 2.webp")
    before = (pairs / "controls" / "絵 0.png").read_bytes()

    answer = make_edges(desk, {"folder": str(pairs / "pictures"), "out": str(pairs / "controls")})

    assert answer["out"] == str(pairs / "controls")
    assert "1 picture was made" in finished().said
    assert sorted(path.name for path in (pairs / "controls").iterdir()) == [
        *("絵 0.png", "絵 1.png", "絵 2.webp", "絵 3.png")
    ]
    assert (pairs / "controls" / "絵 0.png").read_bytes() == before


def test_edges_go_into_a_new_folder_and_complete_the_pairs(desk, form, ready, pairs):
    make_edges(desk, {"folder": str(pairs / "pictures"), "out": str(pairs / "pictures_edges")})

    assert "4 pictures were made" in finished().said
    plan = form.plan({**ready, "control_pictures": str(pairs / "pictures_edges")}, "")
    assert problems_in(plan) == {}


@pytest.mark.parametrize(
    ("language", "what"),
    [("en", "The picture cannot be read."), ("ja_JP", "画像を読み込めません。")],
)
def test_pictures_without_edges_are_named_in_one_line_in_the_language_of_the_page(around, pairs, language, what):
    around = Standalone(around.data_dir, language=language)
    desk = Desk(around, Shelf(around.data_dir), Guard(around.access))
    picture = pairs / "pictures" / "絵 2.png"
    picture.write_bytes(picture.read_bytes()[:60])

    make_edges(desk, {"folder": str(pairs / "pictures"), "out": str(pairs / "edges")})

    finished()
    (note,) = work_state(desk, {})["notes"]
    assert note.startswith(f"絵 2.png: {what}")
    assert "on_bad_image" not in note


@pytest.mark.parametrize(
    ("folder", "out", "what"),
    [
        ("pictures", "controls", "Every picture has its control picture already."),
        ("", "controls", "The pictures do not lie in this folder itself."),
        ("nowhere", "controls", "is not there"),
    ],
)
def test_edges_that_cannot_be_made_are_refused_with_the_reason(desk, pairs, folder, out, what):
    with pytest.raises(UserError) as refused:
        make_edges(desk, {"folder": str(pairs / folder), "out": str(pairs / out)})

    assert what in refused.value.what
