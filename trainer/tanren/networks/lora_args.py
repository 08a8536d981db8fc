"""`--network_args` of `networks.lora`: ranks, learning rates and dropout, also per block.

Blocks are numbered from the input of the U-Net to its output. Lists of ranks and alphas have one number per block;
lists of learning rate factors come in three parts, for the way down, the middle and the way up.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import Problems, UsageError
from ..options.blocks import SD_BLOCKS, BlockLayout

WHERE = "--network_args"
DEFAULT_RANK = 4
Number = TypeVar("Number", int, float)
KEYS = (
    *("conv_dim", "conv_alpha", "rank_dropout", "module_dropout", "dropout"),
    *("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas"),
    *("down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold"),
    *("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio"),
)
LYCORIS_KEYS = ("algo", "preset", "factor", "use_tucker", "use_cp", "dora_wd", "train_norm", "constraint", "block_size")


@dataclass(frozen=True)
class LoraArgs:
    """What `--network_dim`, `--network_alpha`, `--network_dropout` and `--network_args` say together.

    Args:
        rank, alpha: of text encoders, and of every block without numbers of its own; alpha 0 means alpha = rank.
        conv_rank, conv_alpha: of 3×3 convolutions; rank 0 leaves them alone.
        dropout, rank_dropout, module_dropout: probabilities.
        block_ranks, block_alphas, conv_block_ranks, conv_block_alphas: per block of the U-Net, or None.
        block_factors: learning rate factor per block of the U-Net, or None.
        plus_unet, plus_text_encoder: LoRA+ ratios, or None.
    """

    rank: int = DEFAULT_RANK
    alpha: float = 1.0
    conv_rank: int = 0
    conv_alpha: float = 1.0
    dropout: float = 0.0
    rank_dropout: float = 0.0
    module_dropout: float = 0.0
    block_ranks: tuple[int, ...] | None = None
    block_alphas: tuple[float, ...] | None = None
    conv_block_ranks: tuple[int, ...] | None = None
    conv_block_alphas: tuple[float, ...] | None = None
    block_factors: tuple[float, ...] | None = None
    plus_unet: float | None = None
    plus_text_encoder: float | None = None

    @property
    def adapts_convolutions(self) -> bool:
        """True when resnets, downsamplers and upsamplers get layers too."""
        return self.conv_rank > 0 or any(self.conv_block_ranks or ())

    def rank_and_alpha(self, block: int | None, *, is_wide_conv: bool) -> tuple[int, float]:
        """Rank and alpha of a layer; rank 0 means no layer.

        Args:
            block: its block in the U-Net, None in text encoders.
            is_wide_conv: a convolution larger than 1×1.
        """
        if block is not None and self.factor(block) == 0:
            return 0, 0.0
        ranks = self.conv_block_ranks if is_wide_conv else self.block_ranks
        alphas = self.conv_block_alphas if is_wide_conv else self.block_alphas
        rank, alpha = (self.conv_rank, self.conv_alpha) if is_wide_conv else (self.rank, self.alpha)
        if block is not None:
            rank = ranks[block] if ranks else rank
            alpha = alphas[block] if alphas else alpha
        return rank, alpha or float(rank)

    def factor(self, block: int | None) -> float:
        """Learning rate factor of a block."""
        return 1.0 if block is None or self.block_factors is None else self.block_factors[block]


def split_args(network_args: Sequence[str], problems: Problems) -> dict[str, str]:
    """`key=value` words as a dict, split at the first `=`; later words win."""
    found: dict[str, str] = {}
    for word in network_args:
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            problems.add(UsageError(where=WHERE, what=f"{word!r} is not key=value.", fix='Write it like "conv_dim=4".'))
            continue
        if key.strip() in found:
            problems.warn(f"{WHERE}: {key.strip()} is given twice; the last one counts.")
        found[key.strip()] = value.strip()
    return found


def parse_lora_args(
    network_args: Sequence[str],
    problems: Problems,
    *,
    rank: int | None = None,
    alpha: float | None = 1.0,
    dropout: float | None = None,
    blocks: BlockLayout = SD_BLOCKS,
) -> LoraArgs:
    """Read the arguments of a LoRA; whatever is wrong goes to `problems`.

    Args:
        network_args: words as typed.
        rank, alpha, dropout: `--network_dim`, `--network_alpha`, `--network_dropout`.
        blocks: of the U-Net that will be trained.
    """
    words = split_args(network_args, problems)
    _refuse_unknown(words, problems)
    read = _Reader(words, problems)
    base_rank, base_alpha = rank or DEFAULT_RANK, alpha or 0.0
    conv_rank, conv_alpha = read.count("conv_dim") or 0, read.number("conv_alpha", 1.0)
    block_ranks, block_alphas = read.counts("block_dims", blocks.count), read.numbers("block_alphas", blocks.count)
    conv_ranks = read.counts("conv_block_dims", blocks.count)
    conv_alphas = read.numbers("conv_block_alphas", blocks.count)
    common = read.ratio("loraplus_lr_ratio")
    return LoraArgs(
        rank=base_rank,
        alpha=base_alpha,
        conv_rank=conv_rank,
        conv_alpha=conv_alpha,
        dropout=dropout or 0.0,
        rank_dropout=read.probability("rank_dropout"),
        module_dropout=read.probability("module_dropout"),
        block_ranks=block_ranks,
        block_alphas=block_alphas,
        conv_block_ranks=conv_ranks,
        conv_block_alphas=conv_alphas,
        block_factors=_block_factors(read, blocks),
        plus_unet=read.ratio("loraplus_unet_lr_ratio") or common,
        plus_text_encoder=read.ratio("loraplus_text_encoder_lr_ratio") or common,
    )


def _refuse_unknown(words: Mapping[str, str], problems: Problems) -> None:
    for key in words:
        if key == "dropout":
            problems.warn(f"{WHERE}: dropout has no effect on networks.lora; use --network_dropout.")
        elif key in LYCORIS_KEYS:
            fix = "Choose --network_module=lycoris.kohya, or leave it out."
            problems.add(UsageError(where=WHERE, what=f"{key} does not belong to networks.lora.", fix=fix))
        elif key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            fix = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(KEYS)}."
            problems.add(UsageError(where=WHERE, what=f"{key} is not known to networks.lora.", fix=fix))


class _Reader:
    """Takes values out of the words and says what is wrong with them."""

    def __init__(self, words: Mapping[str, str], problems: Problems) -> None:
        self.words, self.problems = words, problems

    def complain(self, key: str, expected: str) -> None:
        what = f"{key}={self.words[key]} is not {expected}."
        self.problems.add(UsageError(where=WHERE, what=what))

    def count(self, key: str) -> int | None:
        return self._one(key, int, None, "a whole number of 0 or more", lambda value: value >= 0)

    def number(self, key: str, default: float) -> float:
        return self._one(key, float, default, "a number of 0 or more", lambda value: value >= 0) or 0.0

    def probability(self, key: str) -> float:
        return self._one(key, float, 0.0, "a probability from 0 up to, but not including, 1", lambda p: 0 <= p < 1) or 0

    def ratio(self, key: str) -> float | None:
        return self._one(key, float, None, "a number above 0", lambda value: value > 0)

    def counts(self, key: str, length: int) -> tuple[int, ...] | None:
        return self._several(key, int, length, "whole numbers of 0 or more")

    def numbers(self, key: str, length: int) -> tuple[float, ...] | None:
        return self._several(key, float, length, "numbers of 0 or more")

    def _one(
        self,
        key: str,
        kind: Callable[[str], Number],
        default: Number | None,
        expected: str,
        fits: Callable[[Number], bool],
    ) -> Number | None:
        if key not in self.words:
            return default
        value = _converted(self.words[key], kind)
        if value is None or not fits(value):
            self.complain(key, expected)
            return default
        return value

    def _several(
        self, key: str, kind: Callable[[str], Number], length: int, expected: str
    ) -> tuple[Number, ...] | None:
        if key not in self.words:
            return None
        values = [_converted(word, kind) for word in self.words[key].split(",")]
        good = tuple(value for value in values if value is not None and value >= 0)
        if len(good) != len(values):
            self.complain(key, f"a list of {expected}, separated by commas")
        elif len(good) != length:
            what = f"{key} has {len(good)} numbers; this model has {length} blocks."
            self.problems.add(UsageError(where=WHERE, what=what, fix=f"Give {length} numbers, separated by commas."))
        else:
            return good
        return None


def _converted(word: str, kind: Callable[[str], Number]) -> Number | None:
    try:
        value = kind(word.strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _block_factors(read: _Reader, blocks: BlockLayout) -> tuple[float, ...] | None:
    parts = {"down_lr_weight": blocks.down, "mid_lr_weight": blocks.mid, "up_lr_weight": blocks.up}
    threshold = read.number("block_lr_zero_threshold", 0.0)
    if not any(key in read.words for key in parts):
        return None
    factors = [1.0] * blocks.first
    for key, count in parts.items():
        factors += _factors(read, key, count)
    factors += [1.0] * blocks.last
    return tuple(factor if factor > threshold else 0.0 for factor in factors)


def _factors(read: _Reader, key: str, count: int) -> list[float]:
    """Factors of one part: a list (short ones are filled with 1, long ones cut), or a curve such as `cosine+.25`."""
    text = read.words.get(key)
    if text is None:
        return [1.0] * count
    curve = _curve(text, count)
    if curve is not None:
        return curve
    values = [_converted(word, float) for word in text.split(",")]
    factors = [value for value in values if value is not None and value >= 0]
    if len(factors) != len(values):
        read.complain(key, f"a list of numbers or one of {', '.join(CURVES)}, with +number if wanted")
    elif len(factors) != count:
        change = "the missing ones are 1" if len(factors) < count else "the surplus is ignored"
        read.problems.warn(f"{WHERE}: {key} has {len(factors)} numbers instead of {count}; {change}.")
    return (factors + [1.0] * count)[:count]


CURVES: dict[str, Callable[[float], float]] = {
    "sine": lambda position: math.sin(math.pi / 2 * position),
    "cosine": lambda position: math.sin(math.pi / 2 * (1 - position)),
    "linear": lambda position: position,
    "reverse_linear": lambda position: 1 - position,
    "zeros": lambda position: 0.0,
}


def _curve(text: str, count: int) -> list[float] | None:
    """Values of a named curve at `count` equal steps from 0 to 1, plus what follows the `+`."""
    name, plus, base_text = text.partition("+")
    curve = CURVES.get(name.strip())
    base = _converted(base_text, float) if plus else 0.0
    if curve is None or base is None:
        return None
    return [curve(step / max(count - 1, 1)) + base for step in range(count)]
