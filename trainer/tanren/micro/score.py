"""How many pictures show what was asked for: the figures of the model card, the demo and the learning tests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .drawing import Pixels
from .judge import Verdict, judge
from .world import Words


@dataclass(frozen=True)
class Shares:
    """Shares of judged pictures, 0 to 1; None where no picture was asked for that part.

    Attributes:
        complete: everything that was asked for is right.
        small_radius, big_radius: mean radius where that size was asked for, as a share of the shorter side.
    """

    count: int
    shape: float | None
    color: float | None
    background: float | None
    size: float | None
    complete: float
    small_radius: float | None
    big_radius: float | None

    def __str__(self) -> str:
        parts = {"shape": self.shape, "colour": self.color, "background": self.background, "size": self.size}
        figures = [f"{name} {share:.3f}" for name, share in parts.items() if share is not None]
        return f"{self.count} pictures: " + ", ".join([*figures, f"all {self.complete:.3f}"])


def score(pictures: Sequence[Pixels], asked: Sequence[Words]) -> Shares:
    """Judges each picture against its words.

    Args:
        pictures: (height, width, 3) of bytes each, in the order of `asked`.

    Raises:
        ValueError: the two lists differ in length, or are empty.
    """
    if len(pictures) != len(asked) or not pictures:
        raise ValueError(f"{len(pictures)} pictures cannot be held against {len(asked)} requests.")
    pairs = [(judge(picture), words) for picture, words in zip(pictures, asked, strict=True)]
    return Shares(
        count=len(pairs),
        shape=_share(pairs, lambda words: words.shape, lambda verdict: verdict.shape),
        color=_share(pairs, lambda words: words.color, lambda verdict: verdict.color),
        background=_share(pairs, lambda words: words.background, lambda verdict: verdict.background),
        size=_share(pairs, lambda words: words.size, lambda verdict: verdict.size),
        complete=sum(is_as_asked(verdict, words) for verdict, words in pairs) / len(pairs),
        small_radius=_mean([verdict.radius for verdict, words in pairs if words.size == "small"]),
        big_radius=_mean([verdict.radius for verdict, words in pairs if words.size == "big"]),
    )


def is_as_asked(verdict: Verdict, words: Words) -> bool:
    """Whether every part that the words name is right."""
    parts = (
        (words.shape, verdict.shape),
        (words.color, verdict.color),
        (words.background, verdict.background),
        (words.size, verdict.size),
    )
    return all(seen == wanted for wanted, seen in parts if wanted)


def _share(
    pairs: Sequence[tuple[Verdict, Words]],
    wanted: Callable[[Words], str],
    seen: Callable[[Verdict], str | None],
) -> float | None:
    asked = [(wanted(words), seen(verdict)) for verdict, words in pairs if wanted(words)]
    return _mean([float(word == found) for word, found in asked])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
