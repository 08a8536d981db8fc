from pathlib import Path

import pytest
from tanren.checkpoint.names import (
    PlannedFile,
    epochs_between_saves,
    most_at_once,
    outdated_epoch,
    outdated_step,
    planned_files,
    saves_after_epoch,
    saves_after_step,
    saves_state_at_end,
    state_name,
    weights_file,
    weights_name,
)
from tanren.options.saving import SavingOptions, result_of


def test_names_are_kohyas():
    options = SavingOptions(output_name="cat")

    assert weights_name(options) == "cat.safetensors"
    assert weights_name(options, epoch=3) == "cat-000003.safetensors"
    assert weights_name(options, step=120) == "cat-step00000120.safetensors"
    assert state_name(options) == "cat-state"
    assert state_name(options, epoch=3) == "cat-000003-state"
    assert state_name(options, step=120) == "cat-step00000120-state"


def test_names_without_an_output_name_use_kohyas_words():
    options = SavingOptions(save_model_as="ckpt")

    assert weights_name(options) == "last.ckpt"
    assert weights_name(options, epoch=1) == "epoch-000001.ckpt"
    assert weights_name(options, step=100) == "at-step00000100.ckpt"


@pytest.mark.parametrize(("form", "ending"), [("diffusers", "bin"), ("diffusers_safetensors", "safetensors")])
def test_diffusers_layouts_are_folders_with_the_file_that_diffusers_looks_for(form, ending):
    options = SavingOptions(output_name="cat", save_model_as=form)

    assert weights_name(options, epoch=3) == "cat-000003"
    assert weights_file(options, epoch=3) == f"cat-000003/pytorch_lora_weights.{ending}"
    assert weights_file(options) == f"cat/pytorch_lora_weights.{ending}"
    assert weights_file(SavingOptions(output_name="cat")) == "cat.safetensors"


def test_a_result_is_the_folder_around_the_file_in_diffusers_layouts():
    assert result_of(Path("out/cat/pytorch_lora_weights.bin")) == Path("out/cat")
    assert result_of(Path("out/cat.safetensors")) == Path("out/cat.safetensors")


def test_the_last_epoch_is_only_written_under_the_plain_name():
    options = SavingOptions(save_every_n_epochs=2)

    assert [epoch for epoch in range(1, 9) if saves_after_epoch(options, epoch, 8)] == [2, 4, 6]


def test_steps_are_saved_at_every_multiple_the_last_one_included():
    options = SavingOptions(save_every_n_steps=10)

    assert [step for step in range(1, 31) if saves_after_step(options, step)] == [10, 20, 30]


@pytest.mark.parametrize(("ratio", "epochs", "every"), [(4, 10, 2), (3, 10, 3), (20, 10, 1), (None, 10, 5)])
def test_save_n_epoch_ratio_wins_over_every_n_epochs(ratio, epochs, every):
    assert epochs_between_saves(SavingOptions(save_every_n_epochs=5, save_n_epoch_ratio=ratio), epochs) == every


def test_the_newest_m_epoch_files_are_kept():
    options = SavingOptions(save_every_n_epochs=2, save_last_n_epochs=3)

    assert [outdated_epoch(options, epoch, 20) for epoch in (2, 4, 6, 8, 10)] == [None, None, None, 2, 4]


def test_the_step_rule_is_a_window_in_steps_and_not_a_number_of_files():
    options = SavingOptions(save_every_n_steps=10, save_last_n_steps=30)

    assert [outdated_step(options, step) for step in (10, 30, 40, 50, 60)] == [None, None, None, 10, 20]


def test_states_follow_their_own_rules_and_else_those_of_the_weights():
    own = SavingOptions(
        save_every_n_steps=10, save_last_n_steps=30, save_last_n_steps_state=10,
        save_every_n_epochs=1, save_last_n_epochs=5, save_last_n_epochs_state=1,
    )  # fmt: skip

    assert outdated_step(own, 50, state=True) == 30
    assert outdated_epoch(own, 5, 9, state=True) == 4
    assert outdated_step(SavingOptions(save_every_n_steps=10, save_last_n_steps=30), 50, state=True) == 10


def test_the_final_state_comes_with_either_switch():
    assert not saves_state_at_end(SavingOptions())
    assert saves_state_at_end(SavingOptions(save_state=True))
    assert saves_state_at_end(SavingOptions(save_state_on_train_end=True))


def test_the_plan_lists_every_file_and_when_it_goes():
    options = SavingOptions(
        output_name="cat", save_every_n_epochs=1, save_last_n_epochs=1, save_state_on_train_end=True
    )

    assert planned_files(options, total_steps=30, steps_per_epoch=10) == [
        PlannedFile("cat-000001.safetensors", 10, removed_after_step=20),
        PlannedFile("cat-000002.safetensors", 20),
        PlannedFile("cat.safetensors", 30),
        PlannedFile("cat-state", 30, is_state=True),
    ]


def test_disk_need_counts_the_moment_when_old_and_new_exist_together():
    options = SavingOptions(output_name="cat", save_every_n_steps=10, save_last_n_steps=5, save_state=True)
    files = planned_files(options, total_steps=45, steps_per_epoch=45)

    assert most_at_once(files, state=False) == 2
    assert most_at_once(files, state=True) == 2
