import pytest
from tanren.errors import Problems, SeveralProblems, UsageError
from tanren.networks.lora_args import LoraArgs, parse_lora_args, split_args
from tanren.options.blocks import SDXL_BLOCKS


def parsed(*words: str, **options) -> LoraArgs:
    problems = Problems()
    args = parse_lora_args(words, problems, **options)
    problems.raise_if_any()
    return args


def complaint(*words: str) -> str:
    with pytest.raises(UsageError) as caught:
        parsed(*words)
    return str(caught.value)


def warnings(*words: str) -> list[str]:
    problems = Problems()
    parse_lora_args(words, problems)
    problems.raise_if_any()
    return problems.warnings


def test_without_arguments_rank_is_4_alpha_1_and_convolutions_are_left_alone():
    args = parsed()

    assert args.rank_and_alpha(3, is_wide_conv=False) == (4, 1.0)
    assert args.rank_and_alpha(3, is_wide_conv=True)[0] == 0
    assert not args.adapts_convolutions


@pytest.mark.parametrize("alpha", [0, None])
def test_alpha_zero_or_none_means_alpha_equals_rank(alpha):
    assert parsed(rank=8, alpha=alpha).rank_and_alpha(None, is_wide_conv=False) == (8, 8.0)


def test_conv_dim_alone_brings_conv_alpha_1():
    args = parsed("conv_dim=16")

    assert args.adapts_convolutions
    assert args.rank_and_alpha(5, is_wide_conv=True) == (16, 1.0)


def test_block_dims_serve_the_unet_and_leave_text_encoders_at_network_dim():
    args = parsed("block_dims=" + ",".join(map(str, range(25))), rank=6, alpha=3)

    assert args.rank_and_alpha(12, is_wide_conv=False) == (12, 3.0)
    assert args.rank_and_alpha(0, is_wide_conv=False)[0] == 0
    assert args.rank_and_alpha(None, is_wide_conv=False) == (6, 3.0)


def test_block_alphas_alone_use_network_dim():
    args = parsed("block_alphas=" + ",".join(["2"] * 24 + ["0"]), rank=6)

    assert args.rank_and_alpha(1, is_wide_conv=False) == (6, 2.0)
    assert args.rank_and_alpha(24, is_wide_conv=False) == (6, 6.0)


def test_conv_block_dims_switch_convolutions_on_with_alpha_1():
    args = parsed("conv_block_dims=" + ",".join(["3"] * 25))

    assert args.adapts_convolutions
    assert args.rank_and_alpha(7, is_wide_conv=True) == (3, 1.0)


@pytest.mark.rule("V46")
def test_a_list_of_the_wrong_length_is_refused_with_both_numbers():
    assert "block_dims has 3 numbers; this model has 25 blocks." in complaint("block_dims=1,2,3")


def test_sdxl_has_23_blocks():
    args = parsed("block_dims=" + ",".join(["2"] * 23), blocks=SDXL_BLOCKS)

    assert args.block_ranks == (2,) * 23


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linear", [0, 1 / 11, 2 / 11]),
        ("reverse_linear", [1, 10 / 11, 9 / 11]),
        ("sine", [0, 0.142314838, 0.281732557]),
        ("cosine", [1, 0.989821442, 0.959492974]),
        ("cosine+.25", [1.25, 1.239821442, 1.209492974]),
        ("zeros+0.5", [0.5, 0.5, 0.5]),
    ],
)
def test_curves_of_learning_rate_factors(text, expected):
    args = parsed(f"down_lr_weight={text}")

    assert args.block_factors is not None
    assert args.block_factors[:3] == pytest.approx(expected, abs=1e-8)
    assert args.block_factors[12:] == (1.0,) * 13


def test_curves_span_the_nine_blocks_of_sdxl_each_way():
    args = parsed("down_lr_weight=linear", "up_lr_weight=reverse_linear+1", blocks=SDXL_BLOCKS)

    assert args.block_factors is not None
    assert args.block_factors[1:10] == pytest.approx([0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8, 1])
    assert args.block_factors[10:13] == (1.0, 1.0, 1.0)
    assert args.block_factors[13:22] == pytest.approx([2 - place / 8 for place in range(9)])


def test_a_block_with_factor_0_gets_no_layers():
    args = parsed("down_lr_weight=0,0,0,0,0,0,1,1,1,1,1,1", "mid_lr_weight=0.5")

    assert args.rank_and_alpha(3, is_wide_conv=False)[0] == 0
    assert args.rank_and_alpha(6, is_wide_conv=False)[0] == 4
    assert args.factor(12) == 0.5


def test_factors_at_or_below_the_threshold_become_0():
    args = parsed("up_lr_weight=linear", "block_lr_zero_threshold=0.1")

    assert args.block_factors is not None
    assert args.block_factors[13:16] == pytest.approx((0, 0, 2 / 11))


def test_sdxl_keeps_factor_1_before_and_after_the_blocks():
    args = parsed("down_lr_weight=zeros", "mid_lr_weight=.1,.2,.3", "up_lr_weight=zeros", blocks=SDXL_BLOCKS)

    assert args.block_factors == (1.0, *[0.0] * 9, 0.1, 0.2, 0.3, *[0.0] * 9, 1.0)


def test_short_lists_of_factors_are_filled_with_1_and_long_ones_cut_both_with_a_warning():
    assert warnings("down_lr_weight=0.5,0.5") == [
        "--network_args: down_lr_weight has 2 numbers instead of 12; the missing ones are 1."
    ]
    assert parsed("down_lr_weight=0.5,0.5").factor(3) == 1.0
    assert warnings("mid_lr_weight=1,2") == [
        "--network_args: mid_lr_weight has 2 numbers instead of 1; the surplus is ignored."
    ]


def test_specific_lora_plus_ratios_win_over_the_common_one():
    args = parsed("loraplus_lr_ratio=16", "loraplus_unet_lr_ratio=4")

    assert (args.plus_unet, args.plus_text_encoder) == (4.0, 16.0)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("conv_dim=four", "conv_dim=four is not a whole number of 0 or more."),
        ("conv_dim=-1", "conv_dim=-1 is not a whole number of 0 or more."),
        ("conv_alpha=nan", "conv_alpha=nan is not a number of 0 or more."),
        ("rank_dropout=1", "rank_dropout=1 is not a probability from 0 up to, but not including, 1."),
        ("module_dropout=x", "module_dropout=x is not a probability"),
        ("loraplus_lr_ratio=0", "loraplus_lr_ratio=0 is not a number above 0."),
        ("block_dims=1,two", "block_dims=1,two is not a list of whole numbers of 0 or more, separated by commas."),
        ("down_lr_weight=cosin", "down_lr_weight=cosin is not a list of numbers or one of sine, cosine"),
        ("down_lr_weight=cosine+a", "down_lr_weight=cosine+a is not a list of numbers"),
        ("conv_dimm=4", "Did you mean conv_dim?"),
        ("zzz=4", "zzz is not known to networks.lora."),
        ("algo=loha", "algo does not belong to networks.lora."),
    ],
)
def test_bad_values_are_named_with_what_was_expected(word, expected):
    assert expected in complaint(word)


@pytest.mark.rule("V50")
@pytest.mark.parametrize("word", ["conv_dim", "=4", ""])
def test_words_without_key_or_equals_sign_are_refused(word):
    assert f"{word!r} is not key=value." in complaint(word)


def test_all_problems_come_in_one_report():
    with pytest.raises(SeveralProblems) as caught:
        parsed("conv_dim=x", "rank_dropout=2", "nonsense")

    assert len(caught.value.problems) == 3


def test_words_are_split_at_the_first_equals_sign_and_the_last_one_wins():
    problems = Problems()

    assert split_args(("a=1", "b=x=y", "a=2"), problems) == {"a": "2", "b": "x=y"}
    assert problems.warnings == ["--network_args: a is given twice; the last one counts."]


def test_dropout_among_the_arguments_is_pointed_to_its_option():
    assert warnings("dropout=0.1") == ["--network_args: dropout has no effect on networks.lora; use --network_dropout."]
