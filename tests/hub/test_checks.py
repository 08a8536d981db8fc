"""What a run is told about the hub before its model is loaded."""

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.folders import durable_folder
from tanren.hub.checks import check_hub
from tanren.jobs.folder import Spec
from tanren.jobs.job import options_of_attempt
from tanren.options.checks import check_declared_rules
from tanren.options.parse import parse
from tanren.preflight import examine
from tanren.ui.presets import PERSONAL


def checked(*argv):
    """(problems, warnings)"""
    problems = Problems()
    settings = parse("train_network", COMMANDS["train_network"].groups, argv, problems).settings
    check_declared_rules(settings, problems)
    check_hub(settings, problems)
    return [str(error) for error in problems.errors], problems.warnings


@pytest.mark.rule("flt-11")
def test_a_missing_token_is_a_warning_because_the_run_does_not_need_it():
    problems, warnings = checked("--huggingface_repo_id=mika/moon")

    assert problems == []
    assert warnings == [
        "--huggingface_repo_id: Nothing will be uploaded, the results stay on this machine. No token was found. "
        "Set HF_TOKEN, or run `hf auth login` once; https://huggingface.co/settings/tokens makes one with write access."
    ]


def test_a_repository_without_a_user_is_a_problem():
    problems, _ = checked("--huggingface_repo_id=moon", "--resume=here", "--resume_from_huggingface")

    assert [problem.partition(":")[0] for problem in problems] == ["--huggingface_repo_id", "--resume"]


def test_options_of_uploads_without_a_repository_are_said_to_do_nothing():
    _, warnings = checked("--async_upload", "--save_state_to_huggingface", "--resume_from_huggingface")

    assert warnings == [
        "--save_state_to_huggingface: It needs --huggingface_repo_id: nothing is uploaded without it.",
        "--async_upload: It needs --huggingface_repo_id: nothing is uploaded without it.",
        "--resume_from_huggingface: It needs --resume: it says which state is meant.",
    ]


def test_half_meant_settings_are_told(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_x")

    _, warnings = checked(
        "--huggingface_repo_id=mika/moon", "--huggingface_repo_visibility=PUBLIC", "--save_state_to_huggingface"
    )

    assert warnings == [
        "--huggingface_repo_visibility: A new repository will be private; only 'public' makes it public.",
        "--save_state_to_huggingface: Add --save_state or --save_state_on_train_end; no states are saved.",
    ]


def test_a_token_on_the_command_line_is_a_warning_that_names_the_variable():
    _, warnings = checked("--huggingface_token=hf_x")

    assert warnings == [
        "--huggingface_token can be read by others on this machine, as all command lines can; use HF_TOKEN instead."
    ]


def test_a_state_on_the_hub_is_no_missing_folder_and_is_not_brought_for_a_mere_look(tmp_path):
    problems = Problems()
    words = ["--resume=mika/moon/moon-state", "--resume_from_huggingface", f"--output_dir={tmp_path}"]
    command = COMMANDS["train_network"]
    examine(command, parse("train_network", command.groups, words).settings, problems)

    assert [str(error) for error in problems.errors if "--resume" in error.where] == []


def test_a_job_with_states_of_its_own_goes_on_from_these(tmp_path):
    spec = Spec("train_network", {"seed": 1, "resume": "mika/moon/moon-state", "resume_from_huggingface": True})
    assert options_of_attempt(tmp_path, spec) == spec.options

    (tmp_path / "checkpoints").mkdir()
    durable_folder(tmp_path / "checkpoints" / "step-00000002", lambda part: (part / "a").write_text("b"))
    assert options_of_attempt(tmp_path, spec) == {"seed": 1}


def test_presets_keep_nobodys_repository():
    assert PERSONAL.issuperset({"huggingface_repo_id", "huggingface_path_in_repo", "resume_from_huggingface"})
