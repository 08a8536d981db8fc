"""The blocks of a U-Net as lists of ranks and learning rates count them: from its input to its output."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BlockLayout:
    """How many blocks a U-Net has on its way down, in the middle and up.

    Args:
        first: blocks before those that take learning rate factors; they always have factor 1, as have `last`.
    """

    down: int
    mid: int
    up: int
    first: int = 0
    last: int = 0

    @property
    def count(self) -> int:
        """Numbers in a list of ranks."""
        return self.first + self.down + self.mid + self.up + self.last


# SD 1 and SD 2: twelve layers down (the first is the input convolution), the middle, twelve up.
SD_BLOCKS = BlockLayout(12, 1, 12)
# SDXL: the embeddings of time and size, nine layers down, three in the middle, nine up, the output.
SDXL_BLOCKS = BlockLayout(9, 3, 9, first=1, last=1)
