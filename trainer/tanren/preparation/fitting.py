"""What training will make of each picture's size: its bucket, how it is resized, and which part of it is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..data.buckets import Size, centre_crop
from ..data.scan import fitter
from ..errors import Problems
from ..options.dataset_plan import DREAMBOOTH, DatasetPlan, SubsetPlan

ANY_SUBSET = SubsetPlan(kind=DREAMBOOTH, image_dir=None, where="")


@dataclass(frozen=True)
class Crop:
    """How one picture reaches its bucket.

    Args:
        size_wh: the picture, upright.
        bucket_wh: what is trained.
        resized_wh: what the picture is resized to first.
        left_top: where the bucket lies in the resized picture; with random crops the middle of what is possible.
    """

    size_wh: Size
    bucket_wh: Size
    resized_wh: Size
    left_top: tuple[int, int]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what is seen, in pixels of the picture itself."""
        across, down = self.size_wh[0] / self.resized_wh[0], self.size_wh[1] / self.resized_wh[1]
        left, top = self.left_top
        right, bottom = left + self.bucket_wh[0], top + self.bucket_wh[1]
        return left * across, top * down, right * across, bottom * down

    @property
    def is_enlarged(self) -> bool:
        """True when the picture has fewer pixels than are trained."""
        return self.resized_wh[0] > self.size_wh[0]

    @property
    def share_lost(self) -> float:
        """The part of the picture that is cut off, 0..1."""
        return 1 - self.bucket_wh[0] * self.bucket_wh[1] / (self.resized_wh[0] * self.resized_wh[1])


def cropper(plan: DatasetPlan, subset: SubsetPlan = ANY_SUBSET) -> Callable[[Size], Crop]:
    """The function from a picture's size to its crop, as training will do it.

    Args:
        plan: resolution and buckets; its subsets do not matter here.
        subset: says whether crops are random.

    Raises:
        UsageError: the limits of the buckets do not enclose the resolution.
    """
    problems = Problems()
    fit = fitter(plan, subset, problems)
    problems.raise_if_any()
    assert fit is not None

    def crop(size_wh: Size) -> Crop:
        bucket, resized = fit(size_wh)
        return Crop(size_wh, bucket, resized, centre_crop(resized, bucket).left_top)

    return crop
