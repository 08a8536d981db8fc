"""Groups of pictures that are the same, byte by byte or by their look, found without comparing all with all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

BITS = 128
MOST_DIFFERING = 10
# Beyond this many pictures in one drawer the picture is compared with those before it in the list only.
DRAWER = 2000


def near_groups(looks: Iterable[tuple[str, str]], most: int = MOST_DIFFERING) -> list[list[str]]:
    """Pictures that look alike, each group in the order given.

    Two looks that differ in at most N bits agree in one of N + 1 stretches of their bits, so only pictures that share a
    stretch are compared.

    Args:
        looks: name of a picture and its look (facts.py), empty ones are passed over.
        most: bits that may differ.
    """
    names_of: dict[int, list[str]] = defaultdict(list)
    for name, look in looks:
        if look:
            names_of[int(look, 16)].append(name)
    values = list(names_of)
    links = _Links(len(values))
    for first, second in _near_pairs(values, most):
        links.join(first, second)
    groups = [[name for place in places for name in names_of[values[place]]] for places in links.groups()]
    return [group for group in groups if len(group) > 1]


def _near_pairs(values: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    edges = [BITS * stretch // (most + 1) for stretch in range(most + 2)]
    for low, high in pairwise(edges):
        mask = (1 << (high - low)) - 1
        drawers: dict[int, list[int]] = defaultdict(list)
        for place, value in enumerate(values):
            drawer = drawers[value >> low & mask]
            for other in drawer[-DRAWER:]:
                if (value ^ values[other]).bit_count() <= most:
                    yield other, place
            drawer.append(place)


class _Links:
    """Which places belong together (union and find)."""

    def __init__(self, count: int) -> None:
        self._root = list(range(count))

    def join(self, first: int, second: int) -> None:
        one, other = self._find(first), self._find(second)
        self._root[max(one, other)] = min(one, other)

    def groups(self) -> list[list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for place in range(len(self._root)):
            found[self._find(place)].append(place)
        return list(found.values())

    def _find(self, place: int) -> int:
        while self._root[place] != place:
            self._root[place] = self._root[self._root[place]]
            place = self._root[place]
        return place
