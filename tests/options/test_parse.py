"""Command lines and config files to settings."""

import subprocess
import sys
from pathlib import Path

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems, SeveralProblems, UserError
from tanren.options.caching import CachingOptions
from tanren.options.dataset import DatasetOptions
from tanren.options.model import ModelOptions
from tanren.options.network import NetworkOptions
from tanren.options.optimizer import OptimizerOptions, SchedulerOptions
from tanren.options.parse import effective_config, parse, parse_spec
from tanren.options.saving import SavingOptions
from tanren.options.training import TrainingOptions

GROUPS = COMMANDS["train_network"].groups
TRAINER = Path(__file__).parents[2] / "trainer"


def parsed(*argv):
    return parse("train_network", GROUPS, argv)


def settings(*argv):
    return parsed(*argv).settings


def problem_of(*argv) -> UserError:
    with pytest.raises(UserError) as caught:
        parsed(*argv)
    return caught.value


def config(tmp_path, text, name="config.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_nothing_given_means_kohyas_defaults():
    found = settings()

    assert found[OptimizerOptions].learning_rate == 2e-6
    assert found[TrainingOptions].max_train_steps == 1600
    assert found[DatasetOptions].caption_extension == ".caption"
    assert found[NetworkOptions].network_alpha == 1
    assert found[TrainingOptions].max_data_loader_n_workers == 8
    assert found.given == frozenset()


def test_value_may_follow_a_space_or_an_equals_sign():
    found = settings("--network_dim", "16", "--network_alpha=8")

    assert (found[NetworkOptions].network_dim, found[NetworkOptions].network_alpha) == (16, 8.0)


def test_list_takes_all_words_up_to_the_next_option():
    found = settings("--optimizer_args", "weight_decay=0.01", "betas=0.9,0.999", "--seed", "3")

    assert found[OptimizerOptions].optimizer_args == ("weight_decay=0.01", "betas=0.9,0.999")
    assert found[TrainingOptions].seed == 3


def test_list_of_numbers_becomes_numbers():
    assert settings("--text_encoder_lr", "1e-4", "5e-5")[OptimizerOptions].text_encoder_lr == (1e-4, 5e-5)


def test_short_form_works_as_long_as_it_is_unambiguous():
    assert settings("--max_train_ep", "3")[TrainingOptions].max_train_epochs == 3


def test_exact_name_wins_over_longer_names():
    assert settings("--cache_latents")[CachingOptions] == CachingOptions(cache_latents=True)


def test_negative_number_is_a_value_and_not_an_option():
    assert problem_of("--learning_rate", "-1").what == "-1.0 is out of range: it must be at least 0."


def test_value_with_a_space_may_begin_with_a_dash():
    assert settings("--caption_prefix", "- a b")[DatasetOptions].caption_prefix == "- a b"


@pytest.mark.parametrize(("text", "size"), [("512", (512, 512)), ("832,1216", (832, 1216)), ("832, 1216", (832, 1216))])
def test_resolution_is_a_number_or_width_and_height(text, size):
    assert settings(f"--resolution={text}")[DatasetOptions].resolution == size


@pytest.mark.parametrize(("text", "value"), [("100", 100), ("0.1", 0.1), ("10%", 0.1), ("0", 0)])
def test_warmup_is_a_count_a_ratio_or_a_percentage(text, value):
    assert settings(f"--lr_warmup_steps={text}")[SchedulerOptions].lr_warmup_steps == value


@pytest.mark.parametrize("text", ["1.0", "500.0", "abc", "100%", "-0.5"])
def test_other_warmups_are_refused(text):
    assert "neither a whole number of steps, nor a ratio below 1" in problem_of(f"--lr_warmup_steps={text}").what


def test_empty_text_means_not_given_where_the_default_is_none():
    assert settings("--vae=")[ModelOptions].vae is None


def test_75_tokens_are_accepted_as_the_default_length():
    assert settings("--max_token_length=75")[ModelOptions].max_token_length == 75


def test_caption_extension_gets_its_dot():
    assert settings("--caption_extension=txt")[DatasetOptions].caption_extension == ".txt"


def test_home_folder_may_be_written_with_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")

    assert settings("--output_dir=~/out")[SavingOptions].output_dir == str(Path("/home/me/out"))


def test_data_dir_may_be_written_with_a_dash():
    assert settings("--data-dir=x").flat()["data_dir"] == "x"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--network_dmi", "4"], "--network_dmi: There is no such option.\n  Did you mean --network_dim?"),
        (["--save_last", "3"], "--save_last: The short form is ambiguous"),
        (["--seed"], "--seed: A value is missing after it."),
        (["--seed", "--xformers"], "--seed: A value is missing after it."),
        (["--seed=1.5"], "--seed: '1.5' is not a whole number."),
        (["--learning_rate=nan"], "--learning_rate: nan is not a finite number."),
        (["--learning_rate=fast"], "--learning_rate: 'fast' is not a number.\n  The default is 2e-06."),
        (["--network_dim=0"], "--network_dim: 0 is out of range: it must be at least 1."),
        (["--caption_dropout_rate=1.5"], "1.5 is out of range: it must be between 0 and 1."),
        (["--mixed_precision=fp61"], "'fp61' is not one of no, fp16, bf16.\n  Did you mean fp16?"),
        (["--max_token_length=100"], "100 is not one of 75, 150, 225."),
        (["--resolution=big"], "'big' is neither one number nor WIDTH,HEIGHT. Write 1024 or 832,1216."),
        (["--face_crop_aug_range=4,2"], "the first must not be the larger one"),
        (["--xformers=1"], "--xformers: It is a flag and takes no value ('1')."),
        (["--output_name", "my", "lora"], "lora: This word belongs to no option.\n  If it belongs to --output_name"),
        (["--split_mode"], "It is known from sd-scripts, but not in this version."),
        (["--blocks_to_swap=3"], "It is known from sd-scripts, but not in this version."),
        (["--dataset_class=my.Data"], "It names a class built on sd-scripts' own modules, which are not here."),
        (["--clip_l=x"], "It belongs to the training of FLUX.1."),
        (["--text_encoder_lr1=1"], "It belongs to the training of SDXL."),
    ],
)
@pytest.mark.rule("cfg-01")
def test_what_cannot_be_understood_on_the_command_line_is_named(argv, message):
    problem = problem_of(*argv)

    assert message in str(problem)
    assert problem.code == 2


@pytest.mark.rule("cfg-03")
def test_all_mistakes_come_in_one_report():
    problem = problem_of("--network_dmi", "4", "--seed=x", "--resolution=y")

    assert isinstance(problem, SeveralProblems)
    assert [part.where for part in problem.problems] == ["--network_dmi", "--seed", "--resolution"]


@pytest.mark.rule("cfg-02")
def test_control_characters_in_a_path_are_refused_with_a_hint():
    problem = problem_of("--train_data_dir=C:\new\train")

    assert problem.what == r"The path 'C:\new\train' has control characters in it."
    assert problem.fix == "Use 'single quotes' or / in paths."


@pytest.mark.option("config_file")
def test_config_file_sections_carry_no_meaning_and_the_command_line_wins(tmp_path):
    path = config(
        tmp_path, 'seed = 1\n[a]\nnetwork_dim = 8\nlearning_rate = 1e-3\n[b]\nnetwork_args = ["conv_dim=4"]\n'
    )

    found = settings("--config_file", path, "--learning_rate=2e-6")

    assert found[NetworkOptions].network_dim == 8
    assert found[NetworkOptions].network_args == ("conv_dim=4",)
    assert found[OptimizerOptions].learning_rate == 2e-6
    assert {"seed", "network_dim", "network_args", "learning_rate"} <= found.given


def test_later_section_overwrites_an_earlier_one(tmp_path):
    path = config(tmp_path, "[a]\nseed = 1\n[b]\nseed = 2\n")

    assert settings("--config_file", path)[TrainingOptions].seed == 2


def test_config_file_suffix_is_added(tmp_path):
    path = config(tmp_path, "seed = 4\n")

    assert settings("--config_file", path.removesuffix(".toml"))[TrainingOptions].seed == 4


@pytest.mark.parametrize("written", ['"512,768"', "[512, 768]"])
def test_config_file_takes_both_spellings_of_a_size(tmp_path, written):
    path = config(tmp_path, f"resolution = {written}\n")

    assert settings("--config_file", path)[DatasetOptions].resolution == (512, 768)


def test_config_file_numbers_may_be_text_and_lists_may_be_single(tmp_path):
    path = config(tmp_path, 'learning_rate = "1e-4"\ntext_encoder_lr = 5e-5\nlr_warmup_steps = 0.1\nresolution = 512\n')

    found = settings("--config_file", path)

    assert found[OptimizerOptions].learning_rate == 1e-4
    assert found[OptimizerOptions].text_encoder_lr == (5e-5,)
    assert found[SchedulerOptions].lr_warmup_steps == 0.1
    assert found[DatasetOptions].resolution == (512, 512)


@pytest.mark.rule("cfg-01")
def test_unknown_config_keys_are_one_warning_with_the_nearest_names(tmp_path):
    path = config(tmp_path, "netwrok_dim = 4\nsplit_mode = true\nzzz = 1\n")

    assert parsed("--config_file", path).warnings == (
        f"{path}: keys without effect: netwrok_dim (did you mean network_dim?); "
        "split_mode (it is known from sd-scripts, but not in this version); zzz.",
    )


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("seed = 1\nnetwork_dim = 2.5\n", ":2 (network_dim)", "2.5 is not a whole number."),
        ("[a]\n\nxformers = 'yes'\n", ":3 (xformers)", "'yes' is not true or false."),
        ("output_name = 12\n", ":1 (output_name)", "12 is not text."),
        ("save_precision = 'fp32'\n", ":1 (save_precision)", "'fp32' is not one of float, fp16, bf16."),
        ("seed = true\n", ":1 (seed)", "True is not a whole number."),
        ("network_args = [1]\n", ":1 (network_args)", "1 is not text."),
        ("resolution = [512]\nlr_warmup_steps = true\n", ":2 (lr_warmup_steps)", "True is neither"),
        ('output_dir = "C:\\new\\train"\n', ":1 (output_dir)", "has control characters in it."),
        ("learning_rate = nan\n", "", "learning_rate is nan; a finite number is needed."),
        ("seed = 1\nseed = 2\n", "", "This is not valid TOML"),
        ("seed = \n", ":1", "This is not valid TOML"),
    ],
)
@pytest.mark.rule("cfg-01")
def test_config_values_follow_the_rules_of_the_command_line(tmp_path, text, where, message):
    path = config(tmp_path, text)

    problem = problem_of("--config_file", path)

    assert f"{path}{where}" in problem.where
    assert message in problem.what
    assert problem.code == 2


@pytest.mark.rule("cfg-01")
def test_config_file_that_is_missing_ends_the_run_as_a_usage_problem(tmp_path):
    problem = problem_of("--config_file", str(tmp_path / "no"))

    assert problem.where == f"--config_file {tmp_path / 'no.toml'}"
    assert problem.what == "There is no such file."
    assert problem.code == 2


@pytest.mark.rule("cfg-01")
def test_config_file_of_5_mib_is_refused(tmp_path):
    path = config(tmp_path, "#" * (5 << 20))

    assert "settings files end at 4194304" in problem_of("--config_file", path).what


@pytest.mark.rule("cfg-01")
@pytest.mark.parametrize("depth", [40, 5000])
def test_config_file_without_end_to_its_lists_is_refused(tmp_path, depth):
    path = config(tmp_path, f"a = {'[' * depth}{']' * depth}\n")

    assert problem_of("--config_file", path).what == "Tables and lists are nested deeper than 32 levels."


@pytest.mark.rule("txt-01")
def test_byte_order_mark_of_a_config_file_is_not_part_of_the_first_key(tmp_path):
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 5\n")

    assert settings("--config_file", str(path))[TrainingOptions].seed == 5


@pytest.mark.rule("txt-02")
def test_config_file_that_is_not_utf8_is_refused_with_its_line(tmp_path):
    path = tmp_path / "sjis.toml"
    path.write_bytes(b"seed = 1\noutput_name = '" + "猫".encode("cp932") + b"'\n")

    problem = problem_of("--config_file", str(path))

    assert problem.where.endswith("sjis.toml:2")
    assert problem.what == "The file is not UTF-8 (byte 24)."


def test_settings_that_follow_from_others_are_made_with_a_line_each():
    run = parsed("--cache_latents_to_disk", "--sample_every_n_steps=0", "--caption_extention=txt", "--cache_info")

    assert run.settings[CachingOptions].cache_latents
    assert run.settings.flat()["sample_every_n_steps"] is None
    assert run.settings[DatasetOptions].caption_extension == ".txt"
    assert sorted(run.warnings) == [
        "--cache_info has no effect here. "
        "Reading headers is fast enough, and a stored copy would hide edited captions.",
        "--cache_latents_to_disk: --cache_latents is switched on with it.",
        "--caption_extention: .txt is used as --caption_extension.",
        "--sample_every_n_steps 0: switched off; it has to be 1 or more.",
    ]


def test_effective_config_leaves_out_secrets_and_can_be_read_back(tmp_path):
    argv = ["--resolution=512,768", "--network_args", 'a="ü"', "--wandb_api_key=k", "--xformers", "--vae=a\\b"]
    found = settings(*argv, "--text_encoder_lr", "1e-5", "--save_precision=fp16", "--lr_warmup_steps=5%")

    text = effective_config(found, GROUPS)

    assert text == (
        'vae = "a\\\\b"\nresolution = "512,768"\nnetwork_args = ["a=\\"ü\\""]\ntext_encoder_lr = [1e-05]\n'
        'lr_warmup_steps = 0.05\nxformers = true\nsave_precision = "fp16"\n'
    )
    again = settings("--config_file", config(tmp_path, text))
    assert again[DatasetOptions] == found[DatasetOptions]
    assert again[NetworkOptions] == found[NetworkOptions]
    assert again[SavingOptions] == found[SavingOptions]


@pytest.mark.rule("cfg-01")
def test_unknown_options_and_secrets_in_a_spec_are_refused():
    problems = Problems()

    parse_spec("train_network", GROUPS, {"netwrok_dim": 4, "seed": "x", "wandb_api_key": "k"}, "spec.json", problems)

    assert [str(problem) for problem in problems.errors] == [
        "spec.json (netwrok_dim): There is no such option.\n  Did you mean network_dim?",
        "spec.json (seed): 'x' is not a whole number.",
        "spec.json (wandb_api_key): A secret has no place in a spec.\n  Remove it.",
    ]


def test_options_import_the_standard_library_only():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'PIL', 'numpy', 'toml'])); "
        "import tanren.commands, tanren.options.parse, tanren.options.dataset_file"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TRAINER)
