"""Options of SDXL: what it refuses, and the learning rates of its two text encoders."""

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.options.checks import check_settings
from tanren.options.dataset_checks import check_plans
from tanren.options.dataset_file import dataset_plans
from tanren.options.optimizer_checks import check_optimizer
from tanren.options.parse import parse
from tanren.options.rates import leaves_text_encoders_out, text_encoder_rates

SDXL = COMMANDS["sdxl_train_network"]
NEEDED = ("--pretrained_model_name_or_path=m.safetensors", "--output_dir=out")


def settings(*argv):
    return parse("sdxl_train_network", SDXL.groups, (*NEEDED, *argv)).settings


def found(*argv):
    problems = Problems()
    check_settings(settings(*argv), problems)
    check_optimizer(settings(*argv), problems)
    return [str(problem) for problem in problems.errors], problems.warnings


def test_a_plain_run_has_nothing_to_complain_about():
    assert found() == ([], [])


def test_v2_is_an_error():
    errors, _ = found("--v2")

    assert errors == [
        "--v2: It does not fit: it is for Stable Diffusion 2, and this command trains SDXL.\n  Leave --v2 out."
    ]


def test_clip_skip_is_a_warning():
    assert found("--clip_skip=2") == (
        [],
        ["--clip_skip: It has no effect: SDXL always takes the layer before the last."],
    )


@pytest.mark.parametrize("flag", ["--cache_text_encoder_outputs", "--cache_text_encoder_outputs_to_disk"])
def test_a_text_cache_needs_the_unet_alone_and_the_message_names_the_flag(flag):
    errors, _ = found(flag)

    assert len(errors) == 1
    assert "Add --network_train_unet_only, or leave" in errors[0]
    assert found(flag, "--network_train_unet_only")[0] == []


@pytest.mark.parametrize(
    "varied",
    [
        "--shuffle_caption",
        "--caption_dropout_rate=0.1",
        "--caption_dropout_every_n_epochs=2",
        "--caption_tag_dropout_rate=0.1",
        "--token_warmup_step=10",
        "--enable_wildcard",
    ],
)
def test_a_text_cache_refuses_captions_that_vary(tmp_path, varied):
    (tmp_path / "1_a").mkdir()
    problems = Problems()
    run = settings(
        f"--train_data_dir={tmp_path}",
        "--resolution=1024",
        "--cache_text_encoder_outputs",
        "--network_train_unet_only",
        varied,
    )

    check_plans(run, dataset_plans(run, problems), SDXL.bucket_step, problems)

    (error,) = [str(problem) for problem in problems.errors]
    assert f"--cache_text_encoder_outputs needs captions that stay the same, and {varied[2:].split('=')[0]}" in error


@pytest.mark.parametrize(("step", "complaints"), [(32, 0), (64, 0), (96, 0), (48, 1), (16, 1)])
def test_bucket_steps_are_multiples_of_32(tmp_path, step, complaints):
    (tmp_path / "1_a").mkdir()
    problems = Problems()
    run = settings(
        f"--train_data_dir={tmp_path}", "--resolution=1024", "--enable_bucket", f"--bucket_reso_steps={step}"
    )

    check_plans(run, dataset_plans(run, problems), SDXL.bucket_step, problems)

    assert [problem.where for problem in problems.errors] == ["bucket_reso_steps"] * complaints


@pytest.mark.parametrize(
    ("argv", "rates"),
    [
        ([], ()),
        (["--text_encoder_lr=1e-5"], (1e-5,)),
        (["--text_encoder_lr", "1e-5", "2e-5"], (1e-5, 2e-5)),
        (["--text_encoder_lr1=3e-5", "--text_encoder_lr2=4e-5"], (3e-5, 4e-5)),
        (["--text_encoder_lr1=3e-5"], (3e-5, 1e-3)),
        (["--text_encoder_lr2=0"], (1e-3, 0.0)),
        (["--text_encoder_lr=1e-5", "--text_encoder_lr2=4e-5"], (1e-5, 4e-5)),
        (["--text_encoder_lr", "1e-5", "2e-5", "--text_encoder_lr1=3e-5"], (3e-5, 2e-5)),
    ],
)
def test_each_text_encoder_s_rate_falls_back_to_its_place_then_the_first_then_the_default(argv, rates):
    assert text_encoder_rates(settings("--learning_rate=1e-3", *argv)) == rates


@pytest.mark.parametrize(
    ("argv", "left_out"),
    [
        ([], False),
        (["--text_encoder_lr1=0"], False),
        (["--text_encoder_lr1=0", "--text_encoder_lr2=0"], True),
        (["--text_encoder_lr=0"], True),
        (["--text_encoder_lr=0", "--text_encoder_lr2=1e-5"], False),
        (["--learning_rate=0"], True),
    ],
)
def test_text_encoders_are_left_out_when_every_rate_is_zero(argv, left_out):
    assert leaves_text_encoders_out(settings(*argv)) is left_out


def test_zero_for_both_and_nothing_else_trains_nothing():
    errors, _ = found("--text_encoder_lr1=0", "--text_encoder_lr2=0", "--network_train_text_encoder_only")

    assert errors[0].startswith("--text_encoder_lr: Nothing would be trained")


def test_prodigy_is_told_that_only_the_first_of_several_rates_counts():
    _, warnings = found("--optimizer_type=Prodigy", "--learning_rate=1", "--text_encoder_lr2=0.5")

    assert "of [1.0, 0.5, 1.0] only the first counts" in warnings[0]


def test_the_rates_belong_to_sdxl_alone():
    problems = Problems()

    parse("train_network", COMMANDS["train_network"].groups, [*NEEDED, "--text_encoder_lr1=1"], problems)

    assert "It belongs to the training of SDXL." in str(problems.errors[0])
