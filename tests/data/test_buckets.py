import pytest
from tanren.data.buckets import Buckets, FreeBuckets, OneSize, bucket_list, crop_top_left_of_record

LIST_512 = [(256, 832), (256, 896), (256, 960), (256, 1024), (320, 704), (320, 768), (384, 640), (448, 576)]


def mirrored(sizes):
    return sorted({*sizes, *((h, w) for w, h in sizes)})


def test_512_has_17_buckets():
    assert bucket_list((512, 512), 256, 1024, 64) == mirrored([*LIST_512, (512, 512)])


def test_1024_with_sides_up_to_2048_has_41_buckets():
    sizes = bucket_list((1024, 1024), 256, 2048, 64)

    assert len(sizes) == 41
    for size in [
        (1024, 1024),
        (960, 1088),
        (896, 1152),
        (832, 1216),
        (768, 1280),
        (768, 1344),
        (704, 1408),
        (640, 1536),
    ]:
        assert size in sizes
    assert all(w * h <= 1024 * 1024 for w, h in sizes)


def test_1024_with_sides_up_to_1024_has_25_buckets_each_with_a_side_of_1024():
    sizes = bucket_list((1024, 1024), 256, 1024, 64)

    assert len(sizes) == 25
    assert all(1024 in size for size in sizes)


def test_limits_are_rounded_to_the_step_outwards():
    assert bucket_list((512, 512), 300, 1000, 64) == bucket_list((512, 512), 256, 1024, 64)


def test_limits_that_exclude_the_resolution_are_refused():
    with pytest.raises(ValueError, match="640 to 1024 does not bracket 512x512"):
        bucket_list((512, 512), 640, 1024, 64)


ASSIGNMENT = [
    ((1920, 1080), 512, 1024, (640, 384), (683, 384)),
    ((800, 600), 512, 1024, (576, 448), (597, 448)),
    ((300, 300), 512, 1024, (512, 512), (512, 512)),
    ((4000, 500), 512, 1024, (1024, 256), (2048, 256)),
    ((1920, 1080), 1024, 2048, (1344, 768), (1365, 768)),
    ((1200, 1600), 1024, 2048, (896, 1152), (896, 1195)),
]


@pytest.mark.parametrize(("size", "side", "largest", "bucket", "resized"), ASSIGNMENT)
def test_pictures_go_to_the_bucket_of_the_nearest_shape(size, side, largest, bucket, resized):
    assert Buckets(bucket_list((side, side), 256, largest, 64)).fit(size) == (bucket, resized)


FREE = [
    ((1920, 1080), 512, (640, 384), (683, 384)),
    ((800, 600), 512, (512, 384), (512, 384)),
    ((300, 300), 512, (256, 256), (300, 300)),
    ((800, 600), 1024, (768, 576), (800, 600)),
    ((50, 300), 512, (0, 256), (50, 300)),
]


@pytest.mark.parametrize(("size", "side", "bucket", "resized"), FREE)
def test_without_enlarging_buckets_follow_the_pictures(size, side, bucket, resized):
    assert FreeBuckets((side, side), 64).fit(size) == (bucket, resized)


def test_a_picture_of_exactly_a_bucket_size_is_not_resized():
    assert Buckets(bucket_list((512, 512), 256, 1024, 64)).fit((384, 640)) == ((384, 640), (384, 640))


def test_the_nearest_shape_equals_a_search_through_the_whole_list():
    sizes = bucket_list((1024, 1024), 256, 2048, 64)
    buckets = Buckets(sizes)
    for width in range(100, 3000, 137):
        for height in range(100, 3000, 171):
            nearest = min(sizes, key=lambda size: abs(size[0] / size[1] - width / height))
            assert buckets.fit((width, height)).bucket_wh == nearest


def test_without_buckets_a_picture_covers_the_one_size():
    assert OneSize((512, 512)).fit((1920, 1080)) == ((512, 512), (910, 512))
    assert OneSize((512, 512)).fit((100, 50)) == ((512, 512), (1024, 512))


def test_a_random_crop_without_buckets_is_taken_from_the_picture_as_it_is():
    assert OneSize((512, 512), crops_freely=True).fit((1920, 1080)) == ((512, 512), (1920, 1080))
    assert OneSize((512, 512), crops_freely=True).fit((1920, 400)) == ((512, 512), (2458, 512))


def test_recorded_crop_is_that_of_the_picture_fitted_inside_the_bucket():
    assert crop_top_left_of_record((1920, 1080), (1344, 768)) == (6, 0)
    assert crop_top_left_of_record((512, 512), (512, 512)) == (0, 0)
    assert crop_top_left_of_record((800, 600), (640, 384)) == (0, 64)
