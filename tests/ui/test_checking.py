"""What the form would do, told while it is filled in."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from model_files import write_model
from PIL import Image
from tanren.errors import Problems, UsageError
from tanren.models.micro import micro_sd_path
from tanren.paths import PathPolicy
from tanren.ui import scan_memory
from tanren.ui.checking import check
from tanren.ui.estimates import FITS, OVER, TIGHT, UNKNOWN
from tanren.ui.host import DeviceFacts
from tanren.ui.scan_memory import ScanMemory

GIB = 2**30


def picture(path, size=(64, 64), text=None, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, (len(path.name) * 9 % 255, 9, 9, 99)[: len(mode)]).save(path)
    if text is not None:
        path.with_suffix(".txt").write_text(text, "utf-8")
    return path


@pytest.fixture
def place(tmp_path):
    """Eleven captioned pictures with ten repeats, and a base model."""
    for number in range(11):
        picture(tmp_path / "学習 データ (1)" / "10_sks girl" / f"{number:02}.png", text="a girl")
    write_model(tmp_path / "model.safetensors")
    return tmp_path


def options(place, **more):
    given = {
        "pretrained_model_name_or_path": str(place / "model.safetensors"),
        "train_data_dir": str(place / "学習 データ (1)"),
        "output_name": "girl",
        "network_module": "networks.lora",
        "resolution": "64",
        "caption_extension": ".txt",
        "train_batch_size": 2,
        "max_train_epochs": 5,
        **more,
    }
    return {name: value for name, value in given.items() if value is not None}


def looked(place, memory=None, policy=None, device=None, **more):
    kinds = {"policy": policy} if policy else {}
    return check("train_network", options(place, **more), memory=memory or ScanMemory(), device=device, **kinds)


def sentence(place, **more):
    return str(looked(place, **more).sentence)


def only_problem(checked):
    (problem,) = checked.problems
    return problem


def test_plan_sentence_of_the_usual_run(place):
    checked = looked(place)

    assert str(checked.sentence) == "11 pictures × 10 repeats × 5 epochs ÷ batch 2 = 275 steps"
    assert checked.can_start
    assert checked.facts["length"]["max_train_steps"] == 275


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"train_batch_size": 1, "max_train_epochs": 1}, "11 pictures × 10 repeats × 1 epoch ÷ batch 1 = 110 steps"),
        ({"gradient_accumulation_steps": 5}, "… × 5 epochs ÷ batch 2 ÷ 5 accumulated = 55 steps"),
        ({"train_batch_size": 4}, "… ÷ batch 4 ≈ 28 steps (rounded up) × 5 epochs = 140 steps"),
        (
            {"gradient_accumulation_steps": 4},
            "… ÷ batch 2 = 55 batches ÷ 4 accumulated ≈ 14 steps (rounded up) × 5 epochs = 70 steps",
        ),
        (
            {"max_train_epochs": None, "max_train_steps": 165},
            "… ÷ batch 2 = 55 steps per epoch; 165 steps = 3 epochs",
        ),
        (
            {"max_train_epochs": None, "max_train_steps": 120},
            "… ÷ batch 2 = 55 steps per epoch; 120 steps = 2 epochs + 10 steps",
        ),
        (
            {"max_train_epochs": None, "max_train_steps": 20},
            "… ÷ batch 2 = 55 steps per epoch; 20 steps are less than one epoch",
        ),
    ],
)
def test_plan_sentence_of_other_lengths(place, more, expected):
    assert sentence(place, **more) == expected.replace("…", "11 pictures × 10 repeats")


def test_plan_sentence_adds_up_folders_and_regularization(place):
    picture(place / "学習 データ (1)" / "5_blue" / "x.png", text="blue")
    for number in range(3):
        picture(place / "reg" / "1_girl" / f"{number}.png", text="girl")

    data = "(11 pictures × 10 repeats + 1 picture × 5 repeats + 115 regularization pictures)"

    assert sentence(place, reg_data_dir=str(place / "reg")) == f"{data} × 5 epochs ÷ batch 2 = 575 steps"


def test_plan_sentence_says_that_every_size_is_rounded_up(place):
    picture(place / "学習 データ (1)" / "1_wide" / "x.png", size=(128, 64), text="wide")
    picture(place / "学習 データ (1)" / "1_wide" / "y.png", size=(64, 128), text="high")
    more = {"enable_bucket": True, "resolution": "128", "min_bucket_reso": 64, "max_bucket_reso": 192}

    assert sentence(place, **more) == (
        "(11 pictures × 10 repeats + 2 pictures × 1 repeat) ÷ batch 2 ≈ 57 steps (rounded up for each of 2 sizes) "
        "× 5 epochs = 285 steps"
    )


def test_caption_card_counts_what_was_found_read_and_missed(place):
    folder = place / "学習 データ (1)" / "10_sks girl"
    (folder / "09.txt").rename(folder / "09.caption")
    (folder / "10.txt").unlink()

    card = looked(place).caption_card

    assert (card.pictures, card.captioned, card.read, card.unread) == (11, 10, 9, 1)
    assert card.by_extension == {".txt": 9, ".caption": 1}
    assert card.missing == ("09.png", "10.png")
    assert [(one.folder, one.pictures, one.repeats, one.without_caption) for one in card.folders] == [
        (str(folder), 11, 10, 2)
    ]


def test_caption_card_names_folders_that_train_their_name(place):
    for file in (place / "学習 データ (1)" / "10_sks girl").glob("*.txt"):
        file.unlink()

    (folder,) = looked(place).caption_card.folders

    assert folder.has_no_captions
    assert folder.caption_instead == "sks girl"


def test_pictures_that_cannot_be_used_are_named_and_belong_to_the_folder(place):
    folder = place / "学習 データ (1)" / "10_sks girl"
    (folder / "broken.jpg").write_bytes(b"no picture")
    picture(folder / "tiny.png", size=(16, 16))

    checked = looked(place)

    assert checked.caption_card.unusable == ("broken.jpg", "tiny.png")
    assert [problem.name for problem in checked.problems] == ["train_data_dir"] * 2
    assert not checked.can_start


def test_transparent_and_small_pictures_are_noted(place):
    folder = place / "学習 データ (1)" / "10_sks girl"
    picture(folder / "clear.png", mode="RGBA", text="x")

    notes = " ".join(looked(place, resolution="128").caption_card.notes)

    assert "1 picture has an alpha channel; transparent parts become white: clear.png." in notes
    assert "12 pictures are smaller than their bucket and are enlarged" in notes


def test_what_learns_and_what_does_not_and_why(place):
    assert [str(part) for part in looked(place, learning_rate=1e-4).trained] == [
        "U-Net: 4 layers trained with AdamW, learning rate 0.0001",
        "Text encoder: 2 layers trained with AdamW, learning rate 0.0001",
    ]
    assert str(looked(place, text_encoder_lr=[0]).trained[1]) == (
        "Text encoder: not trained, because its learning rate is 0"
    )
    assert str(looked(place, network_train_unet_only=True).trained[1]) == "Text encoder: not trained, as chosen"


def test_wrong_folder_level_comes_with_the_right_one(place):
    folder = place / "学習 データ (1)"
    problem = only_problem(looked(place, train_data_dir=str(folder / "10_sks girl")))

    assert problem.name == "train_data_dir"
    assert (problem.remedy.name, problem.remedy.value) == ("train_data_dir", str(folder))
    deeper = only_problem(looked(place, train_data_dir=str(place)))
    assert deeper.remedy.value == str(folder)


def test_a_folder_above_the_one_with_the_pictures_comes_with_that_one(place):
    inner = place / "my photos" / "animals"
    picture(inner / "cat.png")

    problem = only_problem(looked(place, train_data_dir=str(inner.parent)))

    assert problem.name == "train_data_dir"
    assert problem.what.startswith(f"The pictures lie in {inner}, ")
    assert problem.fix == "Choose that folder."
    assert problem.remedy.value == str(inner)


def test_captions_with_another_suffix_come_with_the_right_one(place):
    problem = only_problem(looked(place, caption_extension=".caption"))

    assert problem.name == "caption_extension"
    assert (problem.remedy.name, problem.remedy.value) == ("caption_extension", ".txt")


@pytest.mark.parametrize(
    ("more", "name", "what"),
    [
        ({"resolution": "big"}, "resolution", "'big' is neither one number nor WIDTH,HEIGHT."),
        ({"resolution": None}, "resolution", "The training resolution is missing."),
        ({"learning_rate": -1}, "learning_rate", "-1.0 is out of range: it must be at least 0."),
        ({"lr_scheduler": "cosin"}, "lr_scheduler", "'cosin' is not a known schedule."),
        ({"train_data_dir": "/nowhere"}, "train_data_dir", "'/nowhere' is not there."),
        ({"network_module": "os.path"}, "network_module", "'os.path' is not one of the networks"),
        ({"optimizer_type": "os.Class"}, "optimizer_type", "os.Class"),
        ({"v2": True}, "v2", "so --v2 does not fit."),
        ({"pretrained_model_name_or_path": None}, "pretrained_model_name_or_path", "The base model was not named."),
        ({"min_bucket_reso": 512, "enable_bucket": True}, "min_bucket_reso", "512 is larger than the shorter side"),
        ({"resolution": "65"}, "resolution", "65x65 cannot be trained without buckets"),
        ({"network_args": ["conv_dim"]}, "network_args", "'conv_dim' is not key=value."),
        ({"output_name": "a/b"}, "output_name", "cannot be the name of a file"),
        ({"learning_rate": 0}, "learning_rate", "Nothing would be trained"),
        ({"sample_prompts": "/nowhere.txt"}, "sample_prompts", "'/nowhere.txt' is not there."),
        ({"wandb_api_key": "x"}, "wandb_api_key", "A secret has no place in a spec."),
        ({"no_such": 1}, "no_such", "There is no such option."),
    ],
)
def test_problem_belongs_to_its_option(place, more, name, what):
    checked = looked(place, **more)

    assert {problem.name for problem in checked.problems} == {name}
    assert what in checked.problems[0].what
    assert not checked.can_start


def test_damaged_model_and_damaged_prompts_belong_to_their_options(place):
    (place / "model.safetensors").write_bytes(b"\x10" + b"\0" * 7 + b"x" * 16)
    (place / "prompts.json").write_text("[[[")

    checked = looked(place, sample_prompts=str(place / "prompts.json"), sample_at_first=True)

    assert {problem.name for problem in checked.problems} == {"pretrained_model_name_or_path", "sample_prompts"}


def test_warnings_belong_to_their_options(place):
    checked = looked(place, save_last_n_epochs=2, lr_warmup_steps=1000, lr_scheduler="cosine")

    # All pictures of the fixture look the same.
    assert {notice.name for notice in checked.warnings} == {"save_last_n_epochs", "lr_warmup_steps", "train_data_dir"}
    assert checked.can_start


def test_problems_of_the_form_come_first_and_hide_what_follows_from_them(place):
    before = Problems()
    before.add(UsageError(where="--resolution", what="It is empty."))
    before.add(UsageError(where="--length", what="0 is out of range."))

    checked = check("train_network", options(place, resolution=None), problems=before, memory=ScanMemory())

    assert [problem.name for problem in checked.problems] == ["resolution", "length"]


def test_an_unreadable_resolution_is_one_problem_also_for_pictures_given_as_content(place):
    before = Problems()
    before.add(UsageError(where="--resolution", what="'wide' is neither one number nor WIDTH,HEIGHT."))
    content = {"datasets": [{"subsets": [{"image_dir": str(place / "学習 データ (1)")}]}]}
    given = options(place, resolution=None, train_data_dir=None, dataset_config=content)

    checked = check("train_network", given, problems=before, memory=ScanMemory())

    assert [problem.name for problem in checked.problems] == ["resolution"]


def test_packages_of_the_trainer_are_not_judged_here(place, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "trainer")])
    for name in ("bitsandbytes", "tensorboard", "wandb", "lycoris", "xformers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    more = {"optimizer_type": "AdamW8bit", "log_with": "all", "logging_dir": str(place / "logs"), "xformers": True}

    for module in ("networks.lora", "lycoris.kohya"):
        checked = looked(place, network_module=module, **more)
        assert checked.problems == ()
        assert not [notice for notice in checked.warnings if "installed" in notice.text]


def test_dataset_and_prompts_may_stand_in_the_options(place):
    folder = str(place / "学習 データ (1)" / "10_sks girl")
    dataset = {"datasets": [{"subsets": [{"image_dir": folder, "num_repeats": 3, "class_tokens": "girl"}]}]}
    memory = ScanMemory()

    checked = looked(place, memory, train_data_dir=None, dataset_config=dataset, sample_prompts=["a girl --w 64"])

    assert str(checked.sentence) == ("11 pictures × 3 repeats ÷ batch 2 ≈ 17 steps (rounded up) × 5 epochs = 85 steps")
    assert checked.can_start
    broken = {"datasets": [{"subsets": [{"image_dir": "/nowhere"}]}]}
    problem = only_problem(looked(place, memory, train_data_dir=None, dataset_config=broken))
    assert (problem.name, problem.what) == ("dataset_config", "'/nowhere' is not there.")
    assert problem.where.startswith("dataset_config")
    assert str(memory.folder) not in json.dumps(problem.as_dict())


def test_output_goes_to_the_jobs_own_folder_unless_one_is_named(place):
    assert looked(place, output_dir=None).can_start


def test_results_that_would_be_written_over_come_with_a_free_name(place):
    out = place / "out"
    out.mkdir()
    (out / "girl.safetensors").touch()
    (out / "GIRL-2.safetensors").touch()

    problem = only_problem(looked(place, output_dir=str(out)))

    assert problem.name == "output_name"
    assert "girl.safetensors is already in" in problem.what
    assert problem.remedy.value == "girl-3"
    assert looked(place, output_dir=str(place / "new" / "folder")).can_start


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_output_folder_that_cannot_be_written_is_told_at_its_field(place):
    out = place / "locked"
    out.mkdir(mode=0o500)

    assert only_problem(looked(place, output_dir=str(out / "x"))).name == "output_dir"


def test_output_folder_below_a_file_is_told_at_its_field(place):
    problem = only_problem(looked(place, output_dir=str(place / "model.safetensors" / "x")))

    assert problem.name == "output_dir"


@pytest.mark.parametrize("name", ["pretrained_model_name_or_path", "vae", "resume", "sample_prompts", "logging_dir"])
def test_paths_outside_of_the_roots_are_refused_without_a_look(place, name):
    other = place.parent / f"{place.name}-other"
    other.mkdir()
    (other / "there").write_bytes(b"secret")
    texts = set()
    for file in ("there", "gone"):
        checked = looked(place, policy=PathPolicy((place,)), **{name: str(other / file)})
        problem = only_problem(checked)
        assert problem.name == name
        assert "lies outside of the folders that may be used here." in problem.what
        texts.add(json.dumps(problem.as_dict()).replace(file, ""))
    assert len(texts) == 1


@pytest.mark.parametrize("name", ["train_data_dir", "reg_data_dir", "dataset_config", "in_json", "output_dir"])
def test_folders_outside_of_the_roots_are_refused_too(place, name):
    outside = place.parent / f"{place.name}-outside"
    picture(outside / "1_x" / "a.png", text="secret")
    given = {name: str(outside)} | ({"train_data_dir": None} if name in ("dataset_config", "in_json") else {})

    checked = looked(place, policy=PathPolicy((place,)), **given)

    assert name in {problem.name for problem in checked.problems if "lies outside" in problem.what}


def test_list_of_files_and_content_of_a_dataset_obey_the_roots(place):
    outside = picture(place.parent / f"{place.name}-far" / "a.png")
    policy = PathPolicy((place,))
    dataset = {"datasets": [{"subsets": [{"image_dir": str(outside.parent)}]}]}

    listed = looked(place, policy=policy, base_weights=[str(outside)])
    inside = looked(place, policy=policy, train_data_dir=None, dataset_config=dataset)

    assert "base_weights" in {problem.name for problem in listed.problems}
    assert ["lies outside" in problem.what for problem in inside.problems] == [True]
    assert looked(place, policy=policy, sample_prompts=["/etc/passwd"], sample_at_first=True).can_start


def test_inside_of_the_roots_everything_works(place):
    policy = PathPolicy((place,))

    assert looked(place, policy=policy, output_dir=str(place / "out")).can_start
    # The embedded model belongs to the program.
    assert looked(place, policy=policy, pretrained_model_name_or_path=str(micro_sd_path())).can_start


def test_checking_needs_no_torch_and_does_not_fail_without_anything(tmp_path):
    checked = check("train_network", {}, memory=ScanMemory())

    assert checked.sentence is None
    assert {problem.name for problem in checked.problems} == {
        *("pretrained_model_name_or_path", "train_data_dir", "network_module"),
    }


@pytest.mark.parametrize("odd", ["\0", "x" * 5000, "~nobody/x", "\\\\server\\x", "C:x", "file:///etc", "\ud800", "."])
@pytest.mark.parametrize("name", ["train_data_dir", "pretrained_model_name_or_path", "output_dir", "resume"])
def test_odd_paths_are_problems_and_never_crashes(place, name, odd):
    for policy in (PathPolicy(), PathPolicy((place,))):
        checked = looked(place, policy=policy, **{name: odd})
        if not (name == "output_dir" and odd == "."):
            assert name in {problem.name for problem in checked.problems}


class TestMemory:
    """Scans are kept while nothing they depend on changes."""

    @pytest.fixture
    def scans(self, monkeypatch):
        done = []
        real = scan_memory.scan

        def counted(*arguments, **keys):
            done.append(arguments)
            return real(*arguments, **keys)

        monkeypatch.setattr(scan_memory, "scan", counted)
        return done

    def test_settings_that_do_not_touch_pictures_do_not_scan_again(self, place, scans):
        memory = ScanMemory()
        for more in ({}, {"learning_rate": 1e-3}, {"train_batch_size": 5}, {"shuffle_caption": True}, {"seed": 3}):
            looked(place, memory, **more)

        assert len(scans) == 1
        assert str(looked(place, memory, train_batch_size=5).sentence).endswith("÷ batch 5 = 110 steps")
        assert len(scans) == 1

    @pytest.mark.parametrize(
        "more",
        [{"resolution": "128"}, {"caption_extension": ".caption"}, {"min_side": 32}, {"validation_split": 0.5}],
    )
    def test_settings_of_the_pictures_scan_again(self, place, scans, more):
        memory = ScanMemory()
        looked(place, memory)
        looked(place, memory, **more)

        assert len(scans) == 2

    def test_problems_and_warnings_are_kept_with_the_scan(self, place, scans):
        (place / "学習 データ (1)" / "10_sks girl" / "bad.png").write_bytes(b"x")
        memory = ScanMemory()
        first, second = looked(place, memory), looked(place, memory)

        assert len(scans) == 1
        assert first.problems == second.problems
        assert first.caption_card == second.caption_card

    @pytest.mark.parametrize("change", ["new", "gone", "edited", "caption"])
    def test_change_on_the_disk_is_seen(self, place, scans, change):
        folder = place / "学習 データ (1)" / "10_sks girl"
        memory = ScanMemory()
        looked(place, memory)
        if change == "new":
            picture(folder / "new.png", text="x")
        elif change == "gone":
            (folder / "00.png").unlink()
        elif change == "edited":
            picture(folder / "00.png", size=(128, 64))
        else:
            (folder / "00.txt").write_text("a much longer caption")

        looked(place, memory)

        assert len(scans) == 2

    def test_two_checks_at_the_same_time_scan_once(self, place, scans):
        memory = ScanMemory()
        threads = [threading.Thread(target=looked, args=(place, memory)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(scans) == 1

    def test_no_more_than_a_few_scans_and_pictures_are_kept(self, place, scans):
        few, small = ScanMemory(most_scans=2), ScanMemory(most_pictures=10)
        for side in ("64", "128", "192", "128", "64"):
            looked(place, few, resolution=side)
        assert len(scans) == 4
        for _ in range(3):
            looked(place, small)
        assert len(scans) == 5

    def test_second_look_at_two_thousand_pictures_costs_less_than_half(self, tmp_path):
        folder = tmp_path / "data" / "1_many"
        picture(folder / "0.png", text="x")
        content = (folder / "0.png").read_bytes()
        for number in range(1, 2000):
            (folder / f"{number}.png").write_bytes(content)
            (folder / f"{number}.txt").write_text("x")
        write_model(tmp_path / "model.safetensors")
        memory = ScanMemory()
        more = {"train_data_dir": str(tmp_path / "data")}

        def cpu_seconds(**settings):
            before = time.process_time()
            looked(tmp_path, memory, **settings, **more)
            return time.process_time() - before

        first = cpu_seconds()
        again = min(cpu_seconds(learning_rate=rate) for rate in (1e-3, 2e-3, 3e-3))

        # A fifth on a quiet machine.
        assert again < first / 2

    def test_changed_file_among_very_many_is_seen_a_little_later(self, place, scans, monkeypatch):
        monkeypatch.setattr(scan_memory, "MANY_PICTURES", 10)
        monkeypatch.setattr(scan_memory, "SECONDS_TRUSTED", 1000)
        folder = place / "学習 データ (1)" / "10_sks girl"
        memory = ScanMemory()
        looked(place, memory)
        (folder / "00.txt").write_text("another caption")
        looked(place, memory)
        assert len(scans) == 1
        picture(folder / "new.png", text="x")
        looked(place, memory)
        assert len(scans) == 2

        monkeypatch.setattr(scan_memory, "SECONDS_TRUSTED", 0)
        (folder / "00.txt").write_text("yet another caption")
        looked(place, memory)
        assert len(scans) == 3


class TestEstimates:
    """Memory set beside what there is."""

    def test_room_is_judged_by_the_likely_and_the_upper_value(self, place):
        need = looked(place).memory.need

        def level(free):
            return looked(place, device=DeviceFacts("gpu", "G", 8 * GIB, free)).memory.level

        assert looked(place).memory.level == UNKNOWN
        assert level(need.upper) == FITS
        assert level(need.peak) == TIGHT
        assert level(need.peak - 1) == OVER

    def test_what_the_webui_gives_back_counts_as_free(self, place):
        busy = looked(place, device=DeviceFacts("gpu", "G", 8 * GIB, GIB, held_by_host=4 * GIB)).memory

        assert 4 * GIB < busy.free < 5 * GIB

    def test_cpu_is_measured_by_main_memory(self, place):
        memory = looked(place, device=DeviceFacts("cpu", "C", 16 * GIB, 9 * GIB)).memory

        assert (memory.on_gpu, memory.free, memory.need.main) == (False, 9 * GIB, 0)
