"""One draw of one picture: decoded, resized, cropped, mirrored, coloured, with its mask and its control picture."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..formats.picture_header import PictureLimits
from ..options.dataset_plan import DatasetPlan, SubsetPlan
from .augment import face_crop, face_in_name, random_crop, vary_color
from .buckets import Placement, Size, centre_crop, cover, crop_top_left_of_record
from .images import LoadedImage, Pixels, load_image
from .listing import stem_of
from .records import ImageRecord
from .resize import area_average, resize

Mask = NDArray[np.float32]


class PreparedPicture(NamedTuple):
    """Pixels of the bucket's size.

    Args:
        pixels: (H, W, 3) 8-bit.
        mask: (H / downscale, W / downscale) in 0..1, or None when the picture has none.
        control: (H, W, 3) 8-bit, or None when the picture has none.
        digest: SHA-256 of the picture file, and of the mask file behind it when there is one.
        notes: what was odd about the file.
    """

    pixels: Pixels
    mask: Mask | None
    control: Pixels | None
    digest: bytes
    notes: tuple[str, ...]


class Variation(NamedTuple):
    """The random choices of one draw of a picture.

    Args:
        flipped: mirrored left to right.
        rng: crop and colours are drawn from it; None: the middle, as it is.
    """

    flipped: bool
    rng: random.Random | None


def variation_of(subset: SubsetPlan, rng: random.Random) -> Variation:
    """Draw whether the picture is mirrored; what follows comes from the same generator."""
    flipped = subset.flip_aug and rng.random() < 0.5
    varies = subset.random_crop or subset.color_aug or subset.face_crop_aug_range is not None
    return Variation(flipped, rng if varies else None)


def prepare_picture(
    record: ImageRecord, plan: DatasetPlan, variation: Variation, limits: PictureLimits, downscale: int
) -> PreparedPicture:
    """Read and fit one picture.

    Args:
        record: the picture; `plan` is its dataset.
        variation: random choices.
        limits: sizes refused before decoding.
        downscale: pixels a latent cell.

    Raises:
        DataError: the picture cannot be used.
        OSError: the file cannot be read.
    """
    subset = plan.subsets[record.subset]
    loaded = load_image(record.path, limits)
    size = (loaded.pixels.shape[1], loaded.pixels.shape[0])
    placement = _placement(record, size, subset, variation)
    interpolation = subset.resize_interpolation or plan.resize_interpolation
    pixels = _crop(resize(loaded.pixels, placement.resized_wh, interpolation), placement, record.bucket_wh)
    if subset.color_aug and variation.rng is not None:
        pixels = vary_color(pixels, variation.rng)
    mask_pixels, mask_digest = _mask_pixels(record, subset, loaded, limits)
    mask = None if mask_pixels is None else _fitted_mask(mask_pixels, placement, record.bucket_wh, downscale)
    if variation.flipped:
        pixels = pixels[:, ::-1]
        mask = None if mask is None else mask[:, ::-1]
    return PreparedPicture(
        np.ascontiguousarray(pixels),
        None if mask is None else np.ascontiguousarray(mask),
        _fitted_control(record, placement, interpolation, limits, flipped=variation.flipped),
        loaded.digest + mask_digest,
        loaded.notes,
    )


def prepare_control(record: ImageRecord, plan: DatasetPlan, limits: PictureLimits, *, flipped: bool) -> Pixels | None:
    """(H, W, 3) 8-bit: the control picture of a picture that is not read itself, because its latents are cached.

    Raises:
        DataError: the control picture cannot be used.
        OSError: the file cannot be read.
    """
    subset = plan.subsets[record.subset]
    placement = _placement(record, record.size_wh, subset, Variation(flipped, None))
    interpolation = subset.resize_interpolation or plan.resize_interpolation
    return _fitted_control(record, placement, interpolation, limits, flipped=flipped)


def recorded_crop(record: ImageRecord, plan: DatasetPlan, *, flipped: bool, is_cached: bool) -> tuple[int, int]:
    """(top, left) of size conditioning.

    Source: sd-scripts; (0, 0) without buckets unless latents are cached, mirrored with the picture.
    """
    if not plan.enable_bucket and not is_cached:
        return 0, 0
    top, left = crop_top_left_of_record(record.size_wh, record.bucket_wh)
    if flipped:
        width, height = record.bucket_wh
        inside = min(width, height * record.size_wh[0] / record.size_wh[1])
        left = int(width - (left + inside))
    return top, left


def _placement(record: ImageRecord, size_wh: Size, subset: SubsetPlan, variation: Variation) -> Placement:
    bucket, rng = record.bucket_wh, variation.rng
    if rng is not None and subset.face_crop_aug_range is not None:
        face = face_in_name(stem_of(record.name))
        if face is not None:
            moves = subset.random_crop
            return face_crop(size_wh, bucket, face, subset.face_crop_aug_range, moves=moves, rng=rng)
    # The file may have changed since it was scanned; a picture of another size is fitted as well as can be.
    resized = record.resized_wh if size_wh == record.size_wh else cover(size_wh, bucket)
    if rng is not None and subset.random_crop:
        return random_crop(resized, bucket, rng)
    if subset.face_crop_aug_range is not None:
        resized = cover(size_wh, bucket)
    return centre_crop(resized, bucket)


def _crop(pixels: Pixels, placement: Placement, bucket_wh: Size) -> Pixels:
    (left, top), (width, height) = placement.left_top, bucket_wh
    return pixels[top : top + height, left : left + width]


def _mask_pixels(
    record: ImageRecord, subset: SubsetPlan, loaded: LoadedImage, limits: PictureLimits
) -> tuple[Pixels | None, bytes]:
    """(H, W) 0..255, and the digest of the mask file; a mask picture wins over the alpha channel."""
    if record.mask_path is not None:
        mask = load_image(record.mask_path, limits)
        return mask.pixels[:, :, 0], mask.digest
    return (loaded.alpha if subset.alpha_mask else None), b""


def _fitted_control(
    record: ImageRecord, placement: Placement, interpolation: str | None, limits: PictureLimits, *, flipped: bool
) -> Pixels | None:
    """The same resize, crop and mirroring as the photo; its colours stay."""
    if record.control_path is None:
        return None
    pixels = load_image(record.control_path, limits).pixels
    pixels = _crop(resize(pixels, placement.resized_wh, interpolation), placement, record.bucket_wh)
    return np.ascontiguousarray(pixels[:, ::-1] if flipped else pixels)


def _fitted_mask(mask: Pixels, placement: Placement, bucket_wh: Size, downscale: int) -> Mask:
    """The same resize and crop as the photo, then the mean over each latent cell."""
    pixels = _crop(resize(mask, placement.resized_wh), placement, bucket_wh)
    cells = (bucket_wh[0] // downscale, bucket_wh[1] // downscale)
    return area_average(pixels, cells) / np.float32(255)
