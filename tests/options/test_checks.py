"""Settings that contradict each other."""

import pytest
from tanren.commands import COMMANDS
from tanren.errors import Problems
from tanren.options.checks import check_settings
from tanren.options.dataset_checks import check_plans
from tanren.options.dataset_file import dataset_plans
from tanren.options.optimizer_checks import check_optimizer
from tanren.options.parse import parse

GROUPS = COMMANDS["train_network"].groups
NEEDED = ("--pretrained_model_name_or_path=m.safetensors", "--output_dir=out")


def found(*argv):
    """Messages and warnings of all checks of settings."""
    problems = Problems()
    run = parse("train_network", GROUPS, (*NEEDED, *argv))
    check_settings(run.settings, problems)
    check_optimizer(run.settings, problems)
    return [str(problem) for problem in problems.errors], problems.warnings


def found_in_data(tmp_path, *argv):
    folder = tmp_path / "1_a"
    folder.mkdir(exist_ok=True)
    problems = Problems()
    run = parse("train_network", GROUPS, (f"--train_data_dir={tmp_path}", *argv))
    check_plans(run.settings, dataset_plans(run.settings, problems), 64, problems)
    return [str(problem) for problem in problems.errors], problems.warnings


def test_plain_run_has_nothing_to_complain_about():
    assert found() == ([], [])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--adaptive_noise_scale=0.1"], "--adaptive_noise_scale: It needs --noise_offset"),
        (["--scale_v_pred_loss_like_noise_pred"], "It needs --v_parameterization"),
        (["--v_pred_like_loss=0.5", "--v_parameterization"], "It cannot go together with --v_parameterization"),
        (["--cache_text_encoder_outputs"], "It needs --network_train_unet_only: cached outputs carry no gradient"),
        (["--dim_from_weights"], "--dim_from_weights: It needs --network_weights"),
        (["--base_weights_multiplier", "0.5"], "It needs --base_weights"),
        (["--network_train_unet_only", "--network_train_text_encoder_only"], "nothing would be trained"),
        (["--unet_lr=0", "--network_train_unet_only"], "--unet_lr: Nothing would be trained"),
        (["--text_encoder_lr=0", "--network_train_text_encoder_only"], "--text_encoder_lr: Nothing would be trained"),
        (["--learning_rate=0"], "--learning_rate: Nothing would be trained"),
        (["--learning_rate=0", "--network_train_unet_only"], "--learning_rate: Nothing would be trained"),
        (["--full_fp16"], "--full_fp16: It needs --mixed_precision fp16, which is no."),
        (["--fp8_base"], "--fp8_base: Weights in 8 bits are cast to half precision to compute, and --mixed_precision"),
        (["--fp8_base_unet"], "--fp8_base_unet: Weights in 8 bits are cast to half precision to compute, and --mixed"),
        (["--full_bf16", "--mixed_precision=fp16"], "--full_bf16: It needs --mixed_precision bf16, which is fp16."),
        (
            ["--use_8bit_adam", "--optimizer_type=Lion8bit"],
            "--use_8bit_adam: It cannot go together with --optimizer_type",
        ),
        (["--use_8bit_adam", "--use_lion_optimizer"], "each of them names an optimizer"),
        (["--min_timestep=500", "--max_timestep=500"], "No timestep is left: 500 is not below --max_timestep 500."),
        (["--caption_encoding=utf9"], "'utf9' is not the name of an encoding."),
        (["--output_name=a/b"], "--output_name: 'a/b' cannot be the name of a file: it contains /."),
        (["--output_name=con"], "'con' cannot be the name of a file: Windows keeps this name for a device."),
        (["--output_name=" + "猫" * 70], "bytes, more than 200"),
        (["--initial_step=1600"], "1600 is not below the length of the run, 1600 steps."),
        (["--log_with=all"], "--log_with: all needs a folder for its logs."),
        (
            ["--resume=x", "--allow_changes", "learning_rat"],
            "'learning_rat' is not an option.\n  Did you mean learning_rate?",
        ),
        (["--fused_backward_pass"], "It works with Adafactor only, not with AdamW."),
        (
            ["--fused_backward_pass", "--optimizer_type=adafactor", "--mixed_precision=fp16"],
            "It cannot go together with --mixed_precision fp16, which scales all gradients at once.",
        ),
        (
            ["--fused_backward_pass", "--optimizer_type=adafactor", "--gradient_accumulation_steps=2"],
            "--fused_backward_pass: It cannot go together with --gradient_accumulation_steps 2.",
        ),
        (["--lr_warmup_steps=10"], "--lr_warmup_steps: The schedule constant takes no warm-up, and 10 is set."),
        (["--lr_warmup_steps=10", "--optimizer_type=adafactor"], "Adafactor with relative_step=True takes no warm-up"),
        (
            ["--lr_warmup_steps=10", "--lr_scheduler_type=CosineAnnealingLR"],
            "--lr_scheduler_type CosineAnnealingLR takes no",
        ),
        (["--lr_scheduler=adafactor"], "adafactor is the schedule of Adafactor with relative_step=True only."),
        (["--optimizer_args", "weight_decay"], "--optimizer_args: 'weight_decay' is not key=value."),
        (["--optimizer_type=nosuch.Optimizer"], "needs the package nosuch, which is not installed.\n  Install it"),
    ],
)
@pytest.mark.rule("cfg-03")
def test_contradiction_is_refused_with_what_to_change(argv, message):
    errors, _ = found(*argv)

    assert len(errors) == 1, errors
    assert message in errors[0]


@pytest.mark.parametrize(
    ("argv", "warning"),
    [
        (["--zero_terminal_snr"], "--zero_terminal_snr: It needs --v_parameterization"),
        (["--v2", "--clip_skip=2"], "--clip_skip is unusual for --v2"),
        (["--noise_offset_random_strength"], "It needs --noise_offset"),
        (["--save_last_n_epochs=2"], "--save_last_n_epochs has no effect without --save_every_n_epochs."),
        (["--save_last_n_steps_state=2"], "--save_last_n_steps_state has no effect without --save_every_n_steps."),
        (["--sample_every_n_epochs=1"], "--sample_prompts is missing"),
        (["--sample_prompts=p.txt"], "No sample pictures will be drawn: add"),
        (["--persistent_data_loader_workers", "--max_data_loader_n_workers=0"], "--max_data_loader_n_workers is 0"),
        (["--skip_until_initial_step"], "--skip_until_initial_step has no effect"),
        (["--allow_changes", "seed"], "--allow_changes has no effect without --resume."),
        (
            ["--optimizer_type=Prodigy", "--learning_rate=1e-4"],
            "the learning rate is a factor near 1, and 0.0001 is set.",
        ),
        (["--optimizer_type=Prodigy", "--unet_lr=1", "--text_encoder_lr=0.5"], "of [0.5, 1.0] only the first counts."),
        (
            ["--optimizer_type=adafactor", "--optimizer_args", "relative_step=False"],
            "usually run with --max_grad_norm=0, --lr_scheduler=constant_with_warmup.",
        ),
    ],
)
def test_what_is_only_odd_is_a_warning(argv, warning):
    errors, warnings = found(*argv)

    assert [error for error in errors if "package" not in error] == []
    assert any(warning in line for line in warnings), warnings


def test_missing_model_and_output_are_told_together():
    problems = Problems()

    check_settings(parse("train_network", GROUPS, ()).settings, problems)

    assert [problem.where for problem in problems.errors] == ["--pretrained_model_name_or_path", "--output_dir"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--resolution=500"],
            "500x500 cannot be trained without buckets: both sides must be multiples of 8.\n  Use 496,496",
        ),
        (["--resolution=512", "--enable_bucket", "--bucket_reso_steps=32"], "32 is not a multiple of 64"),
        (["--resolution=512", "--enable_bucket", "--min_bucket_reso=576"], "576 is larger than the shorter side"),
        (["--resolution=2048", "--enable_bucket"], "1024 is smaller than the longer side of the resolution 2048x2048."),
        (["--resolution=64", "--cache_latents", "--color_aug"], "--cache_latents cannot go together with color_aug"),
        (
            ["--resolution=64", "--cache_latents", "--random_crop"],
            "--cache_latents cannot go together with random_crop",
        ),
        (
            ["--resolution=64", "--cache_text_encoder_outputs", "--shuffle_caption", "--enable_wildcard"],
            "captions that stay the same, and shuffle_caption, enable_wildcard varies them.",
        ),
    ],
)
@pytest.mark.rule("cfg-03")
def test_impossible_sizes_and_variations_of_the_data_are_refused(tmp_path, argv, message):
    errors, _ = found_in_data(tmp_path, *argv)

    assert len(errors) == 1, errors
    assert message in errors[0]


def test_bucket_limits_do_not_count_without_enlarging(tmp_path):
    assert found_in_data(tmp_path, "--resolution=2048", "--enable_bucket", "--bucket_no_upscale") == ([], [])


def test_odd_settings_of_the_data_are_warnings(tmp_path):
    _, warnings = found_in_data(tmp_path, "--resolution=512", "--enable_bucket", "--face_crop_aug_range=2,4")

    assert "face_crop_aug_range has no effect with buckets." in warnings[0]


def test_random_crop_and_mask_pictures_exclude_each_other(tmp_path):
    for name in ("pictures", "masks"):
        (tmp_path / name).mkdir()
    file = tmp_path / "d.toml"
    file.write_text(
        f"[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = '{tmp_path}/pictures'\n"
        f"conditioning_data_dir = '{tmp_path}/masks'\nrandom_crop = true\n"
    )
    problems = Problems()
    settings = parse("train_network", GROUPS, [f"--dataset_config={file}", "--masked_loss"]).settings

    check_plans(settings, dataset_plans(settings, problems), 64, problems)

    assert [problem.what for problem in problems.errors] == ["random_crop cannot go together with mask pictures."]


@pytest.mark.rule("cfg-01")
def test_class_of_an_unknown_package_is_taken_from_the_shell_only():
    settings = parse("train_network", GROUPS, ("--optimizer_type=json.JSONDecoder",)).settings
    typed, elsewhere = Problems(), Problems()

    check_optimizer(settings, typed)
    check_optimizer(settings, elsewhere, typed_at_shell=False)

    assert typed.errors == []
    assert elsewhere.errors[0].what == "'json.JSONDecoder' is not one of the classes that may be chosen here."
