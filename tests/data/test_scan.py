import json
import random
import unicodedata
from pathlib import Path

import pytest
from PIL import Image
from tanren.data.records import ImageRecord
from tanren.data.scan import fill_up, scan, split_validation
from tanren.errors import DataError, Problems, UsageError
from tanren.options.dataset import DatasetOptions
from tanren.options.dataset_plan import CONTROLLED, DREAMBOOTH, MASKED, METADATA, DatasetPlan, SubsetPlan


def picture(path, size=(64, 64), text=None, extension=".txt", color="red", **keys):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **keys)
    if text is not None:
        path.with_suffix(extension).write_text(text, "utf-8")
    return path


def subset(folder, **keys):
    return SubsetPlan(
        **{"kind": DREAMBOOTH, "image_dir": str(folder), "where": "test", "caption_extension": ".txt", **keys}
    )


def plan(*subsets, **keys):
    return DatasetPlan(subsets=subsets, **{"resolution_wh": (64, 64), **keys})


def scanned(*plans, seed=None, roots=None, **options):
    problems = Problems()
    result = scan(plans, DatasetOptions(**options), None, problems, seed=seed, roots=roots)
    return result, problems


def clean(*plans, **keys):
    result, problems = scanned(*plans, **keys)
    assert problems.errors == []
    return result


def record(name="a.png", repeats=1):
    return ImageRecord("f", name, (64, 64), "", "file", repeats, 0, True, (64, 64), (64, 64))


def test_pictures_are_found_in_the_order_of_their_names_without_sub_folders(tmp_path):
    for name in ("b.png", "a.JPG", "c.webp", "inner/d.png", ".e.png"):
        picture(tmp_path / name, text="x", color=(name.replace("/", "")[:1] == "b" and "blue") or "red")
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "notes.000").write_bytes(b"x")

    result = clean(plan(subset(tmp_path, num_repeats=3)))

    assert [image.name for image in result.datasets[0].images] == ["a.JPG", "b.png", "c.webp"]
    assert result.num_train_images == 9
    assert result.datasets[0].images[0].path == str(tmp_path / "a.JPG")


def test_buckets_are_assigned_from_headers(tmp_path):
    picture(tmp_path / "wide.png", (1920, 1080), "x")
    picture(tmp_path / "square.png", (300, 300), "x", "green" and ".txt")

    dataset = clean(plan(subset(tmp_path, num_repeats=2), resolution_wh=(512, 512), enable_bucket=True)).datasets[0]

    assert dataset.bucket_counts() == {(512, 512): 2, (640, 384): 2}
    assert dataset.batches_per_epoch() == 4
    assert dataset.bucket_info() == {
        "buckets": {"0": {"resolution": [512, 512], "count": 2}, "1": {"resolution": [640, 384], "count": 2}},
        "mean_img_ar_error": pytest.approx((1920 / 1080 - 640 / 384) / 2),
    }


def test_every_bucket_keeps_its_smaller_last_batch(tmp_path):
    for number in range(5):
        picture(tmp_path / f"a{number}.png", (300, 300 + number), "x")
    picture(tmp_path / "wide.png", (1920, 1080), "x")

    dataset = clean(plan(subset(tmp_path), resolution_wh=(512, 512), enable_bucket=True, batch_size=2)).datasets[0]

    assert dataset.batches_per_epoch() == 3 + 1


@pytest.mark.rule("img-04")
def test_a_turned_photo_is_fitted_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "a.jpg", (80, 70), "x", exif=exif)

    assert clean(plan(subset(tmp_path))).datasets[0].images[0].size_wh == (70, 80)


def test_captions_come_from_files_else_from_the_folder(tmp_path):
    picture(tmp_path / "a.png", text="a cat")
    picture(tmp_path / "b.png", (65, 64))

    result, problems = scanned(plan(subset(tmp_path, class_tokens="sks cat")))

    images = result.datasets[0].images
    assert [(image.caption, image.caption_source) for image in images] == [
        ("a cat", "file"),
        ("sks cat", "class tokens"),
    ]
    assert result.captions_by_extension == {".txt": 1}
    assert result.datasets[0].captions.missing == [str(tmp_path / "b.png")]
    assert problems.warnings == [
        f"{tmp_path}: 1 of 2 pictures have no .txt file, the text 'sks cat' is trained: b.png."
    ]


def test_a_folder_without_any_captions_uses_its_text_and_notes_it(tmp_path):
    picture(tmp_path / "a.png")

    result, problems = scanned(plan(subset(tmp_path, class_tokens="sks cat", caption_extension=".caption")))

    assert result.datasets[0].images[0].caption == "sks cat"
    assert (problems.errors, problems.warnings) == ([], [])
    assert result.notes == []
    assert result.all_notes == [f"{tmp_path}: no .caption files; every picture is trained with the text 'sks cat'."]


@pytest.mark.rule("txt-03")
def test_without_caption_and_folder_text_the_caption_is_empty_and_said(tmp_path):
    picture(tmp_path / "a.png")

    result, problems = scanned(plan(subset(tmp_path)))

    assert result.datasets[0].images[0].caption == ""
    assert problems.warnings == [f"{tmp_path}: 1 of 1 pictures have no .txt file, their caption is empty: a.png."]


@pytest.mark.rule("txt-03")
def test_captions_of_another_extension_are_not_passed_over(tmp_path):
    picture(tmp_path / "a.png", text="a cat")
    picture(tmp_path / "b.png", (65, 64), text="a dog")

    _, problems = scanned(plan(subset(tmp_path, class_tokens="cat", caption_extension=".caption")))

    (problem,) = problems.errors
    assert isinstance(problem, UsageError)
    assert problem.what == "None of the 2 pictures has a .caption file, but 2 have .txt."
    assert problem.fix == "Use --caption_extension=.txt"


@pytest.mark.rule("txt-02")
@pytest.mark.rule("txt-03")
def test_bad_captions_are_all_reported_at_once_with_code_3(tmp_path):
    picture(tmp_path / "a.png", text="")
    picture(tmp_path / "b.png", (65, 64)).with_suffix(".txt").write_bytes("猫が".encode("cp932"))
    picture(tmp_path / "c.png", (66, 64)).with_suffix(".txt").write_bytes(b"a\x00")

    _, problems = scanned(plan(subset(tmp_path)))

    assert [(problem.where, problem.code) for problem in problems.errors] == [
        (str(tmp_path / name), 3) for name in ("a.txt", "b.txt", "c.txt")
    ]


@pytest.mark.rule("txt-03")
def test_captions_of_several_lines_are_noted(tmp_path):
    picture(tmp_path / "a.png", text="one\ntwo")

    assert clean(plan(subset(tmp_path))).notes == [
        f"{tmp_path}: 1 picture has a caption of several lines, of which only the first counts: a.txt."
    ]
    assert clean(plan(subset(tmp_path, enable_wildcard=True))).datasets[0].images[0].caption == "one\ntwo"


def test_face_pictures_share_the_caption_of_their_photo(tmp_path):
    picture(tmp_path / "photo_1_30_30_20_20.png")
    (tmp_path / "photo_1.txt").write_text("a face")

    assert clean(plan(subset(tmp_path))).datasets[0].images[0].caption == "a face"


def test_composed_and_decomposed_names_belong_together(tmp_path):
    picture(tmp_path / (unicodedata.normalize("NFD", "が") + ".png"))
    (tmp_path / (unicodedata.normalize("NFC", "が") + ".txt")).write_text("ga")

    assert clean(plan(subset(tmp_path))).datasets[0].images[0].caption == "ga"


@pytest.mark.rule("img-01")
def test_unreadable_pictures_stop_the_run_with_all_their_names(tmp_path):
    picture(tmp_path / "a.png", text="x")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.jpg").write_bytes(b"<html>")

    _, problems = scanned(plan(subset(tmp_path, class_tokens="x")))

    assert [problem.where for problem in problems.errors] == [str(tmp_path / "b.png"), str(tmp_path / "c.jpg")]
    assert all(problem.code == 3 for problem in problems.errors)


@pytest.mark.rule("img-01")
def test_up_to_five_percent_may_be_skipped_and_are_named(tmp_path):
    for number in range(20):
        picture(tmp_path / f"a{number}.png", (64 + number, 64), "x")
    (tmp_path / "a0.png").write_bytes(b"")

    result, problems = scanned(plan(subset(tmp_path)), on_bad_image="skip")

    assert (len(result.datasets[0].images), problems.errors) == (19, [])
    assert problems.warnings == [f"1 picture is left out (--on_bad_image=skip): {tmp_path / 'a0.png'}."]


@pytest.mark.rule("img-01")
def test_more_than_five_percent_are_never_skipped(tmp_path):
    for number in range(19):
        picture(tmp_path / f"a{number}.png", (64 + number, 64), "x")
    (tmp_path / "a0.png").write_bytes(b"")

    _, problems = scanned(plan(subset(tmp_path)), on_bad_image="skip")

    assert problems.errors[0].what == "1 of 19 pictures cannot be used, more than 5%."


@pytest.mark.rule("img-02")
@pytest.mark.rule("img-08")
def test_misnamed_animated_and_broken_exif_pictures_are_used_and_noted(tmp_path):
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "animated.webp", save_all=True, append_images=frames[1:])
    Image.new("RGB", (70, 64)).save(tmp_path / "misnamed.jpg", format="PNG")
    Image.new("RGB", (71, 64)).save(tmp_path / "odd.jpg", exif=b"Exif\x00\x00garbage")

    result = clean(plan(subset(tmp_path, class_tokens="x")))

    assert len(result.datasets[0].images) == 3
    assert result.notes == [
        f"{tmp_path}: 1 picture is animated; its first frame is used: animated.webp.",
        f"{tmp_path}: 1 picture has the suffix of another kind; its content counts: misnamed.jpg.",
        f"{tmp_path}: 1 picture has broken EXIF data, which is ignored: odd.jpg.",
    ]
    assert result.all_notes == [
        *result.notes,
        f"{tmp_path}: no .txt files; every picture is trained with the text 'x'.",
    ]


@pytest.mark.rule("img-03")
def test_too_large_pictures_are_refused_from_their_header(tmp_path):
    picture(tmp_path / "a.png", (200, 100), "x")

    _, problems = scanned(plan(subset(tmp_path)), max_pixels=19_999)

    assert problems.errors[0].what == "The picture is too large: 200x100 pixels."


@pytest.mark.rule("img-10")
def test_pictures_smaller_than_a_bucket_step_are_refused_and_enlarged_ones_listed(tmp_path):
    picture(tmp_path / "dot.png", (1, 1), "x")
    picture(tmp_path / "small.png", (70, 70), "x")

    result, problems = scanned(plan(subset(tmp_path), resolution_wh=(128, 128)))

    assert [problem.what for problem in problems.errors] == ["The picture is too small: 1x1 pixels."]
    assert result.notes == [f"{tmp_path}: 1 picture is smaller than its bucket and is enlarged: small.png."]
    assert scanned(plan(subset(tmp_path), resolution_wh=(128, 128)), min_side=1)[1].errors == []


@pytest.mark.rule("img-10")
def test_without_enlarging_a_picture_below_one_step_has_no_bucket(tmp_path):
    picture(tmp_path / "a.png", (300, 20), "x")
    free = plan(subset(tmp_path), resolution_wh=(512, 512), enable_bucket=True, bucket_no_upscale=True)

    _, problems = scanned(free, min_side=1)

    assert problems.errors[0].where == str(tmp_path / "a.png")
    assert problems.errors[0].what == "The picture has no bucket: it would be 256x0 pixels."


@pytest.mark.rule("img-11")
def test_pictures_that_would_share_a_caption_are_refused_with_both_names(tmp_path):
    picture(tmp_path / "a.png", text="x")
    picture(tmp_path / "a.jpg", text="x")

    _, problems = scanned(plan(subset(tmp_path)))

    assert problems.errors[0].what == "a.jpg and a.png differ only in their suffix or spelling."


@pytest.mark.rule("img-11")
@pytest.mark.parametrize("twins", [("A.PNG", "a.png"), ("\u304b\u3099.png", "が.jpg")])
def test_names_that_some_systems_take_for_equal_are_refused(tmp_path, twins):
    for name in twins:
        picture(tmp_path / name)

    _, problems = scanned(plan(subset(tmp_path, class_tokens="x")))

    assert "differ only in their suffix or spelling" in problems.errors[0].what


@pytest.mark.rule("img-11")
def test_the_same_picture_twice_is_a_warning(tmp_path):
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, text="x")
    picture(tmp_path / "c.png", color="green", text="x")

    _, problems = scanned(plan(subset(tmp_path)))

    assert problems.errors == []
    assert problems.warnings == [f"{tmp_path}: 1 pictures are there twice: a.png = b.png."]


@pytest.mark.rule("img-12")
def test_links_are_followed_inside_the_roots_only_and_broken_ones_are_listed(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    picture(inside / "real.png", text="x")
    picture(outside / "far.png", (65, 64))
    (inside / "near.png").symlink_to(picture(inside / "deep" / "near.png", (66, 64)))
    (inside / "far.png").symlink_to(outside / "far.png")
    (inside / "broken.png").symlink_to(inside / "gone.png")
    (inside / "circle.png").symlink_to(inside / "circle.png")

    free, free_problems = scanned(plan(subset(inside, class_tokens="x")))
    rooted, _ = scanned(plan(subset(inside, class_tokens="x")), roots=[inside])

    assert [image.name for image in free.datasets[0].images] == ["far.png", "near.png", "real.png"]
    assert [image.name for image in rooted.datasets[0].images] == ["near.png", "real.png"]
    assert f"{inside / 'broken.png'}: left out, the link leads nowhere." in free_problems.warnings
    assert f"{inside / 'circle.png'}: left out, the link leads nowhere." in free_problems.warnings


def test_a_folder_with_the_name_of_a_picture_is_no_picture(tmp_path):
    picture(tmp_path / "a.png", text="x")
    (tmp_path / "c.png").mkdir()

    assert len(clean(plan(subset(tmp_path))).datasets[0].images) == 1


def test_kinds_that_are_not_read_are_named(tmp_path):
    picture(tmp_path / "a.png", text="x")
    Image.new("RGB", (9, 9)).save(tmp_path / "b.gif")

    _, problems = scanned(plan(subset(tmp_path)))

    assert problems.warnings == [f"{tmp_path}: files of these kinds are not read: b.gif."]


def test_no_pictures_at_all_is_a_data_error_with_the_usual_cause(tmp_path):
    _, problems = scanned(plan(subset(tmp_path)))

    (problem,) = problems.errors
    assert isinstance(problem, DataError)
    assert problem.what == "No pictures were found."
    assert "--train_data_dir is the parent of the <repeats>_<name> folders" in problem.fix


def test_a_missing_folder_is_a_data_error(tmp_path):
    _, problems = scanned(plan(subset(tmp_path / "none")))

    assert problems.errors[0].what == "The folder cannot be read: No such file or directory."


def test_limits_that_exclude_the_resolution_are_a_usage_error(tmp_path):
    picture(tmp_path / "a.png", text="x")

    _, problems = scanned(plan(subset(tmp_path), resolution_wh=(2048, 2048), enable_bucket=True))

    assert problems.errors[0].what == "256 to 1024 does not bracket 2048x2048."


def test_metadata_name_pictures_by_path_or_name_with_or_without_suffix(tmp_path):
    picture(tmp_path / "pics" / "a.png")
    picture(tmp_path / "pics" / "b.jpg", (65, 64))
    other = picture(tmp_path / "else" / "c.webp", (66, 64))
    texts = {"a": {"caption": "a cat", "tags": "x, y"}, "b.jpg": {"tags": "z"}, str(other): {"caption": "c\nd"}}
    (tmp_path / "meta.json").write_text(json.dumps(texts))

    dataset = clean(
        plan(subset(tmp_path / "pics", kind=METADATA, metadata_file=str(tmp_path / "meta.json"), num_repeats=2))
    ).datasets[0]

    assert sorted((image.name, image.caption) for image in dataset.images) == [
        ("a.png", "a cat,x, y"),
        ("b.jpg", "z"),
        ("c.webp", "c"),
    ]
    assert dataset.tag_frequency() == {"meta.json": {"x": 1, "y": 1, "z": 1}}


def test_pictures_that_metadata_name_outside_of_the_roots_count_as_not_there(tmp_path):
    inside, outside = tmp_path / "in", picture(tmp_path / "out" / "secret.png")
    picture(inside / "a.png")
    names = {str(outside): {"caption": "x"}, "a": {"caption": "y"}, "../out/secret": {"caption": "z"}}
    (inside / "meta.json").write_text(json.dumps(names))
    kind = subset(inside, kind=METADATA, metadata_file=str(inside / "meta.json"))

    found, problems = scanned(plan(kind), roots=[inside])

    assert [image.name for image in found.datasets[0].images] == ["a.png"]
    assert "2 of 3 pictures are not there" in problems.errors[0].what
    assert scanned(plan(kind))[1].errors == []


def test_captions_with_another_suffix_are_counted_as_unread(tmp_path):
    picture(tmp_path / "a.png", text="read")
    picture(tmp_path / "b.png", text="not read", extension=".caption")
    picture(tmp_path / "c.png")

    captions = clean(plan(subset(tmp_path))).datasets[0].captions

    assert [Path(path).name for path in captions.missing] == ["b.png", "c.png"]
    assert [Path(path).name for path in captions.unread] == ["b.png"]


def test_metadata_that_name_missing_pictures_are_refused(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "meta.json").write_text('{"a.png": {"caption": "x"}, "gone.png": {"caption": "x"}}')

    _, problems = scanned(plan(subset(tmp_path, kind=METADATA, metadata_file=str(tmp_path / "meta.json"))))

    assert problems.errors[0].what == "1 of 2 pictures are not there: gone.png."


def test_tag_frequency_counts_pictures_not_repeats_and_folder_texts_too(tmp_path):
    picture(tmp_path / "5_cat" / "a.png", text="Cat, on mat,, cat ")
    picture(tmp_path / "5_cat" / "b.png", (65, 64), text="cat")
    picture(tmp_path / "1_dog" / "c.png")

    dataset = clean(
        plan(subset(tmp_path / "5_cat", num_repeats=5), subset(tmp_path / "1_dog", class_tokens="dog", is_reg=True))
    ).datasets[0]

    assert dataset.tag_frequency() == {"5_cat": {"cat": 3, "on mat": 1}, "1_dog": {"dog": 1}}


@pytest.mark.parametrize(
    ("repeats", "target", "expected"),
    [
        ([1, 1, 1], 3, [1, 1, 1]),
        ([1, 1, 1], 2, [1, 1]),
        ([2, 2, 2], 3, [2, 2]),
        ([1, 1, 1], 8, [3, 3, 2]),
        ([5], 3, [5]),
        ([1, 2], 0, []),
    ],
)
def test_regularization_pictures_are_filled_up_to_the_training_pictures(repeats, target, expected):
    records = [record(f"{n}.png", count) for n, count in enumerate(repeats)]

    assert [one.repeats for one in fill_up(records, target)] == expected


def test_surplus_regularization_pictures_are_unused_and_said(tmp_path):
    picture(tmp_path / "train" / "a.png", text="x")
    for number in range(3):
        picture(tmp_path / "reg" / f"{number}.png", (64 + number, 64), text="x")

    result, problems = scanned(plan(subset(tmp_path / "train", num_repeats=2), subset(tmp_path / "reg", is_reg=True)))

    assert (result.num_train_images, result.num_reg_images) == (2, 2)
    assert problems.warnings == [
        "datasets[0]: 1 of 3 regularization pictures are not used: there are only 2 training pictures, repeats counted."
    ]


@pytest.mark.parametrize(
    ("count", "fraction", "training", "validation"),
    [
        (10, 0.1, 9, 1),
        (10, 0.25, 8, 2),
        (3, 0.5, 2, 1),
        (10, 0.7, 3, 7),
        (5, 1.0, 0, 5),
        (5, 0.0, 5, 0),
        (1, 0.4, 1, 0),
    ],
)
def test_validation_split_counts_and_no_picture_is_in_both(count, fraction, training, validation):
    records = [record(f"{n}.png", repeats=4) for n in range(count)]

    train, held_out = split_validation(records, fraction, random.Random(0))

    assert (len(train), len(held_out)) == (training, validation)
    assert len({one.name for one in train + held_out}) == training + validation
    assert all(one.repeats == 1 for one in held_out)


def test_the_split_depends_on_its_seed_alone(tmp_path):
    for number in range(12):
        picture(tmp_path / f"{number:02}.png", (64 + number, 64), text="x")

    def held_out(seed, validation_seed=None):
        result = clean(plan(subset(tmp_path), validation_split=0.25, validation_seed=validation_seed), seed=seed)
        return [image.name for image in result.datasets[0].validation]

    assert held_out(1) == held_out(1) == held_out(7, validation_seed=1)
    assert held_out(1) != held_out(2)


def test_regularization_pictures_are_never_held_out(tmp_path):
    picture(tmp_path / "train" / "a.png", text="x")
    picture(tmp_path / "reg" / "r.png", text="x")

    dataset = clean(
        plan(subset(tmp_path / "train"), subset(tmp_path / "reg", is_reg=True), validation_split=1.0)
    ).datasets[0]

    assert [image.name for image in dataset.validation] == ["a.png"]


def masked(tmp_path, **keys):
    return plan(
        subset(tmp_path / "pics", kind=MASKED, conditioning_data_dir=str(tmp_path / "masks"), class_tokens="x"), **keys
    )


def test_masks_are_paired_by_stem(tmp_path):
    picture(tmp_path / "pics" / "a.png")
    picture(tmp_path / "masks" / "a.jpg")

    result = clean(masked(tmp_path), masked_loss=True)

    assert Path(result.datasets[0].images[0].mask_path) == tmp_path / "masks" / "a.jpg"


def test_pictures_without_masks_and_masks_without_pictures_are_listed(tmp_path):
    for number in range(7):
        picture(tmp_path / "pics" / f"a{number}.png", (64 + number, 64))
    picture(tmp_path / "masks" / "a0.png")
    picture(tmp_path / "masks" / "z.png")

    _, problems = scanned(masked(tmp_path), masked_loss=True)

    assert [problem.what for problem in problems.errors] == [
        "6 pictures have no mask of the same name: a1.png, a2.png, a3.png, a4.png, a5.png and 1 more.",
        "1 mask has no picture of the same name: z.png.",
    ]


def test_with_buckets_masks_have_the_size_of_their_picture(tmp_path):
    picture(tmp_path / "pics" / "a.png", (512, 512))
    picture(tmp_path / "masks" / "a.png", (256, 512))

    _, problems = scanned(masked(tmp_path, resolution_wh=(512, 512), enable_bucket=True), masked_loss=True)
    assert problems.errors[0].what == "1 mask has another size than the picture: a.png (256x512, its picture 512x512)."
    assert scanned(masked(tmp_path), masked_loss=True)[1].errors == []


def test_masks_beside_the_pictures_are_never_trained_as_pictures(tmp_path):
    for name in ("a.png", "a-masklabel.png", "a-condlabel.png", "b-masklabel.png"):
        picture(tmp_path / name, (64 + len(name), 64))

    images = clean(plan(subset(tmp_path, class_tokens="x")), masked_loss=True).datasets[0].images

    assert [image.name for image in images] == ["a.png", "b-masklabel.png"]
    assert images[0].mask_path == str(tmp_path / "a-masklabel.png")
    assert clean(plan(subset(tmp_path, class_tokens="x"))).datasets[0].images[0].mask_path is None


def test_masked_loss_without_any_mask_is_a_warning(tmp_path):
    picture(tmp_path / "a.png", text="x")

    _, problems = scanned(plan(subset(tmp_path)), masked_loss=True)

    assert problems.warnings == [
        "--masked_loss has no effect: there is neither conditioning_data_dir nor alpha_mask anywhere."
    ]


def test_fingerprint_changes_with_captions_but_not_with_the_folder(tmp_path):
    def fingerprint(folder, text):
        picture(folder / "a.png", text=text)
        return clean(plan(subset(folder))).fingerprint()

    assert fingerprint(tmp_path / "1", "x") == fingerprint(tmp_path / "2", "x")
    assert fingerprint(tmp_path / "1", "x") != fingerprint(tmp_path / "1", "y")


def controlled(tmp_path, **keys):
    return plan(
        subset(tmp_path / "pics", kind=CONTROLLED, conditioning_data_dir=str(tmp_path / "controls"), class_tokens="x"),
        **keys,
    )


@pytest.mark.option("conditioning_data_dir")
def test_control_pictures_are_paired_by_stem_whatever_their_suffix_and_spelling(tmp_path):
    # The same name as two systems store it: one letter, and a letter with its mark behind it.
    picture(tmp_path / "pics" / "\u304c.png")
    picture(tmp_path / "controls" / "\u304b\u3099.JPG")

    (image,) = clean(controlled(tmp_path)).datasets[0].images

    assert Path(image.control_path) == tmp_path / "controls" / "\u304b\u3099.JPG"
    assert image.mask_path is None


def test_missing_and_surplus_control_pictures_are_listed(tmp_path):
    for number in range(7):
        picture(tmp_path / "pics" / f"a{number}.png", (64 + number, 64))
    picture(tmp_path / "controls" / "a0.png")
    picture(tmp_path / "controls" / "a0.webp")
    picture(tmp_path / "controls" / "z.png")

    _, problems = scanned(controlled(tmp_path))

    assert [problem.what for problem in problems.errors] == [
        "6 pictures have no control picture of the same name: a1.png, a2.png, a3.png, a4.png, a5.png and 1 more.",
        "2 control pictures have no picture of the same name: a0.webp, z.png.",
    ]
    assert problems.errors[0].where == str(tmp_path / "controls")


@pytest.mark.parametrize(
    ("enable_bucket", "size", "message"),
    [
        (
            True,
            (256, 512),
            "1 control picture has another size than the picture: a.png (256x512, its picture 512x512).",
        ),
        (
            True,
            (256, 256),
            "1 control picture has another size than the picture: a.png (256x256, its picture 512x512).",
        ),
        (True, (512, 512), None),
        (False, (256, 256), None),
        (False, (384, 383), None),
        (
            False,
            (256, 512),
            "1 control picture has another shape than the picture: a.png (256x512, its picture 512x512).",
        ),
    ],
)
def test_control_pictures_have_the_size_of_their_picture_or_without_buckets_its_shape(
    tmp_path, enable_bucket, size, message
):
    picture(tmp_path / "pics" / "a.png", (512, 512))
    picture(tmp_path / "controls" / "a.png", size)

    _, problems = scanned(controlled(tmp_path, resolution_wh=(512, 512), enable_bucket=enable_bucket))

    assert [problem.what for problem in problems.errors] == ([message] if message else [])


def test_the_same_folder_for_both_is_told(tmp_path):
    picture(tmp_path / "pics" / "a.png")
    (tmp_path / "controls").symlink_to(tmp_path / "pics")

    _, problems = scanned(controlled(tmp_path))

    assert problems.errors == []
    assert f"{tmp_path / 'controls'}: the control pictures are the pictures themselves." in problems.warnings


def test_a_control_picture_that_cannot_be_read_is_named(tmp_path):
    picture(tmp_path / "pics" / "a.png")
    (tmp_path / "controls").mkdir()
    (tmp_path / "controls" / "a.png").write_bytes(b"no picture")

    _, problems = scanned(controlled(tmp_path))

    assert [problem.where for problem in problems.errors] == [str(tmp_path / "controls" / "a.png")]
