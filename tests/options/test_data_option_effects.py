"""What the options of the data do, from the words of a command line to the samples that a step sees."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from small_datasets import GEOMETRY, noise_picture
from tanren.commands import COMMANDS
from tanren.data.dataset import BucketDataset
from tanren.data.scan import scan
from tanren.errors import Problems, UsageError
from tanren.events import Report
from tanren.options.dataset import DatasetOptions
from tanren.options.dataset_file import dataset_plans
from tanren.options.parse import parse

TAGS = "one, two, three, four, five, six"
BASE = ("--resolution=64", "--caption_extension=.txt", "--max_data_loader_n_workers=0", "--max_train_steps=100")


class Seen:
    """What a command line makes of its pictures.

    Args:
        words: of the command line, behind those of BASE, which they replace.
    """

    def __init__(self, *words) -> None:
        problems = Problems()
        groups = COMMANDS["train_network"].groups
        settings = parse("train_network", groups, [*BASE, *map(str, words)], problems).settings
        plans = dataset_plans(settings, problems)
        self.scan = scan(plans, settings[DatasetOptions], None, problems, seed=1)
        problems.raise_if_any()
        self.warnings = problems.warnings
        self._data = BucketDataset(self.scan, settings, GEOMETRY, 1, Report([]))

    def batches(self, epoch=0, step=0):
        return [self._data.load(plan, step) for plan in self._data.epoch_batches(epoch)]

    def captions(self, epoch=0, step=0):
        return [caption for batch in self.batches(epoch, step) for caption in batch.captions]

    def pixels(self):
        return [pixels for batch in self.batches() for pixels in batch.pixels]

    def buckets(self):
        return {image.bucket_wh for dataset in self.scan.datasets for image in dataset.images}

    def held_out(self):
        return [image.name for dataset in self.scan.datasets for image in dataset.validation]


def folder_with(tmp_path, text=TAGS, size=(64, 64), repeats=1, name="a.png", **keys):
    """A `--train_data_dir` with one picture."""
    noise_picture(tmp_path / "data" / f"{repeats}_cat" / name, size, text, **keys)
    return f"--train_data_dir={tmp_path / 'data'}"


CAPTIONS = [
    ("caption_prefix", TAGS, ["--caption_prefix=sks"], f"sks {TAGS}"),
    ("caption_suffix", TAGS, ["--caption_suffix=end"], f"{TAGS} end"),
    ("caption_separator", "a. b", ["--caption_separator=.", "--shuffle_caption", "--keep_tokens=2"], "a, b"),
    ("secondary_separator", "a;b, c", ["--secondary_separator=;"], "a,b, c"),
    ("caption_dropout_rate", TAGS, ["--caption_dropout_rate=1"], ""),
    ("caption_tag_dropout_rate", TAGS, ["--caption_tag_dropout_rate=1"], ""),
    ("keep_tokens", TAGS, ["--keep_tokens=2", "--caption_tag_dropout_rate=1"], "one, two"),
    ("keep_tokens_separator", "a, b | c", ["--keep_tokens_separator=|", "--caption_tag_dropout_rate=1"], "a, b"),
    ("enable_wildcard", "a {cat|cat}", ["--enable_wildcard"], "a cat"),
    ("token_warmup_min", TAGS, ["--token_warmup_min=3", "--token_warmup_step=10"], "one, two, three"),
    ("token_warmup_step", TAGS, ["--token_warmup_step=0.5"], "one"),
]


@pytest.mark.option(*CAPTIONS)
@pytest.mark.parametrize(("option", "text", "words", "expected"), CAPTIONS, ids=[row[0] for row in CAPTIONS])
def test_an_option_of_captions_changes_what_is_trained(tmp_path, option, text, words, expected):
    folder = folder_with(tmp_path, text)

    assert Seen(folder).captions() == [text]
    assert Seen(folder, *words).captions() == [expected]


@pytest.mark.option("shuffle_caption")
def test_shuffling_gives_each_use_an_order_of_its_own(tmp_path):
    captions = Seen(folder_with(tmp_path, repeats=6), "--shuffle_caption").captions()

    assert len(set(captions)) > 3
    assert {tuple(sorted(caption.split(", "))) for caption in captions} == {tuple(sorted(TAGS.split(", ")))}


@pytest.mark.option("caption_dropout_every_n_epochs")
def test_every_second_epoch_goes_without_captions(tmp_path):
    seen = Seen(folder_with(tmp_path), "--caption_dropout_every_n_epochs=2")

    assert [seen.captions(epoch) for epoch in range(4)] == [[TAGS], [""], [TAGS], [""]]


@pytest.mark.option("token_warmup_step")
def test_tags_come_in_one_after_the_other(tmp_path):
    seen = Seen(folder_with(tmp_path), "--token_warmup_step=10")

    assert [len(seen.captions(step=step)[0].split(", ")) for step in (0, 4, 8, 10)] == [1, 3, 5, 6]


@pytest.mark.option("caption_extension", "caption_extention", "caption_encoding")
@pytest.mark.parametrize(
    ("words", "caption"),
    [
        (["--caption_extension=.txt"], "text"),
        (["--caption_extension=tags"], "tags"),
        (["--caption_extention=tags"], "tags"),
        (["--caption_extension=sjis", "--caption_encoding=cp932"], "猫"),
    ],
)
def test_captions_are_read_from_the_files_with_the_suffix_in_the_encoding(tmp_path, words, caption):
    folder = folder_with(tmp_path, "text")
    (tmp_path / "data" / "1_cat" / "a.tags").write_text("tags", "utf-8")
    (tmp_path / "data" / "1_cat" / "a.sjis").write_bytes("猫".encode("cp932"))

    assert Seen(folder, *words).captions() == [caption]


@pytest.mark.option("resolution")
def test_resolution_is_width_then_height(tmp_path):
    folder = folder_with(tmp_path)

    assert [pixels.shape for pixels in Seen(folder).pixels()] == [(3, 64, 64)]
    assert [pixels.shape for pixels in Seen(folder, "--resolution=128,64").pixels()] == [(3, 64, 128)]


@pytest.mark.option("train_batch_size")
def test_batches_hold_as_many_pictures_as_asked_for(tmp_path):
    folder = folder_with(tmp_path, repeats=5)

    assert [len(batch) for batch in Seen(folder).batches()] == [1, 1, 1, 1, 1]
    assert sorted(len(batch) for batch in Seen(folder, "--train_batch_size=2").batches()) == [1, 2, 2]


BUCKETS = ["--resolution=128", "--enable_bucket", "--min_bucket_reso=64", "--max_bucket_reso=256"]


@pytest.mark.option(
    "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale", "resolution"
)
@pytest.mark.parametrize(
    ("size", "words", "bucket"),
    [
        ((400, 100), ["--resolution=128"], (128, 128)),
        ((400, 100), BUCKETS, (256, 64)),
        ((400, 100), [*BUCKETS, "--max_bucket_reso=192"], (192, 64)),
        ((400, 100), [*BUCKETS, "--min_bucket_reso=128"], (128, 128)),
        ((400, 100), [*BUCKETS, "--bucket_reso_steps=128", "--min_side=1"], (128, 128)),
        ((400, 100), [*BUCKETS, "--resolution=256,256", "--max_bucket_reso=512"], (512, 128)),
        ((70, 70), BUCKETS, (128, 128)),
        ((70, 70), [*BUCKETS, "--bucket_no_upscale"], (64, 64)),
    ],
)
def test_options_of_buckets_decide_the_size_that_is_trained(tmp_path, size, words, bucket):
    seen = Seen(folder_with(tmp_path, size=size), *words)

    assert seen.buckets() == {bucket}
    assert [pixels.shape for pixels in seen.pixels()] == [(3, bucket[1], bucket[0])]


@pytest.mark.option("resize_interpolation")
def test_nearest_keeps_the_colours_that_averaging_mixes(tmp_path):
    folder = folder_with(tmp_path)
    stripes = Image.new("L", (130, 130))
    stripes.putdata([255 * (x % 2) for _ in range(130) for x in range(130)])
    stripes.convert("RGB").save(tmp_path / "data" / "1_cat" / "a.png")

    (averaged,) = Seen(folder).pixels()
    (nearest,) = Seen(folder, "--resize_interpolation=nearest").pixels()

    assert averaged.abs().max() < 0.1
    assert nearest.unique().tolist() == [-1.0, 1.0]


@pytest.mark.option("flip_aug")
def test_half_of_the_draws_are_mirrored(tmp_path):
    folder = folder_with(tmp_path, repeats=12)
    plain = Seen(folder).pixels()
    drawn = Seen(folder, "--flip_aug").pixels()

    mirrored = [torch.equal(pixels, plain[0].flip(2)) for pixels in drawn]
    assert all(torch.equal(pixels, plain[0]) for pixels in plain)
    assert 2 < sum(mirrored) < 10
    assert all(torch.equal(pixels, plain[0]) for pixels, is_other in zip(drawn, mirrored, strict=True) if not is_other)


@pytest.mark.option("color_aug")
def test_colours_vary_from_draw_to_draw(tmp_path):
    folder = folder_with(tmp_path, repeats=12)

    assert len({pixels.sum().item() for pixels in Seen(folder).pixels()}) == 1
    assert len({pixels.sum().item() for pixels in Seen(folder, "--color_aug").pixels()}) > 2


@pytest.mark.option("random_crop")
def test_crops_vary_from_draw_to_draw(tmp_path):
    folder = folder_with(tmp_path, size=(200, 64), repeats=6)

    assert len({pixels.sum().item() for pixels in Seen(folder).pixels()}) == 1
    assert len({pixels.sum().item() for pixels in Seen(folder, "--random_crop").pixels()}) > 3


@pytest.mark.option("face_crop_aug_range")
def test_the_face_named_in_the_file_fills_its_share_of_the_crop(tmp_path):
    folder = folder_with(tmp_path, name="a_300_200_80_80.png")
    picture = Image.new("RGB", (400, 400))
    picture.paste((255, 255, 255), (260, 160, 340, 240))
    picture.save(tmp_path / "data" / "1_cat" / "a_300_200_80_80.png")

    def bright(*words):
        (pixels,) = Seen(folder, *words).pixels()
        return (pixels[0] > 0).float().mean().item()

    # The face is a fifth of the picture's side; with the option it is half of the crop's.
    assert bright() == pytest.approx(0.04, abs=0.005)
    assert bright("--face_crop_aug_range=2,2") == pytest.approx(0.25, abs=0.03)


@pytest.mark.option("alpha_mask")
def test_alpha_becomes_the_mask_of_the_loss(tmp_path):
    folder = folder_with(tmp_path)
    half = Image.new("RGBA", (64, 64), (9, 9, 9, 255))
    half.paste((9, 9, 9, 0), (0, 0, 32, 64))
    half.save(tmp_path / "data" / "1_cat" / "a.png")

    assert [batch.mask for batch in Seen(folder).batches()] == [None]
    (batch,) = Seen(folder, "--alpha_mask").batches()
    assert batch.mask[0, 0, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.option("train_data_dir", "reg_data_dir", "prior_loss_weight")
def test_regularization_pictures_come_in_between_with_their_weight(tmp_path):
    folder = folder_with(tmp_path, repeats=2)
    noise_picture(tmp_path / "reg" / "1_animal" / "r.png", text="an animal")
    reg = f"--reg_data_dir={tmp_path / 'reg'}"

    def weights(*words):
        batches = Seen(folder, *words).batches()
        return sorted((batch.captions[0], batch.loss_weights.item()) for batch in batches)

    assert weights() == [(TAGS, 1.0)] * 2
    assert weights(reg) == [("an animal", 1.0)] * 2 + [(TAGS, 1.0)] * 2
    assert weights(reg, "--prior_loss_weight=0.25") == [("an animal", 0.25)] * 2 + [(TAGS, 1.0)] * 2


@pytest.mark.option("in_json", "dataset_repeats")
def test_captions_and_tags_come_from_the_metadata_file_as_often_as_asked_for(tmp_path):
    folder = folder_with(tmp_path)
    facts = tmp_path / "facts.json"
    facts.write_text(json.dumps({"1_cat/a": {"caption": "a cat", "tags": "sofa"}}))

    assert Seen(folder).captions() == [TAGS]
    assert Seen(folder, f"--in_json={facts}").captions() == ["a cat,sofa"]
    assert Seen(folder, f"--in_json={facts}", "--dataset_repeats=3").captions() == ["a cat,sofa"] * 3


@pytest.mark.option("dataset_config", "masked_loss")
def test_a_dataset_file_replaces_the_folders_and_names_masks(tmp_path):
    folder = folder_with(tmp_path)
    noise_picture(tmp_path / "others" / "b.png", text="another")
    (tmp_path / "masks").mkdir()
    Image.new("L", (64, 64), 255).save(tmp_path / "masks" / "b.png")
    config = tmp_path / "data.toml"
    config.write_text(
        f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{tmp_path / 'others'}'\n"
        f"conditioning_data_dir = '{tmp_path / 'masks'}'\nnum_repeats = 2\n"
    )

    seen = Seen(folder, f"--dataset_config={config}", "--masked_loss")

    assert seen.captions() == ["another", "another"]
    assert [batch.mask.min().item() for batch in seen.batches()] == [1.0, 1.0]
    with pytest.raises(UsageError, match="Mask pictures are named, but masks are not used"):
        Seen(folder, f"--dataset_config={config}")


@pytest.mark.option("validation_split", "validation_seed")
def test_a_share_of_the_pictures_is_held_out_by_a_seed(tmp_path):
    for number in range(10):
        folder = folder_with(tmp_path, f"caption {number}", name=f"{number}.png")

    assert Seen(folder).held_out() == []
    held_out = Seen(folder, "--validation_split=0.3").held_out()
    assert len(held_out) == 3
    assert {f"caption {name[0]}" for name in held_out}.isdisjoint(Seen(folder, "--validation_split=0.3").captions())
    by_seed = [tuple(Seen(folder, "--validation_split=0.3", f"--validation_seed={seed}").held_out()) for seed in (1, 2)]
    assert by_seed[0] != by_seed[1]


@pytest.mark.option("max_pixels", "min_side", "on_bad_image")
def test_limits_of_pictures_and_what_one_beyond_them_does(tmp_path):
    for number in range(20):
        folder = folder_with(tmp_path, name=f"{number}.png", size=(80 + number, 80))
    noise_picture(tmp_path / "data" / "1_cat" / "large.png", (300, 300), TAGS)
    noise_picture(tmp_path / "data" / "1_cat" / "narrow.png", (70, 200), TAGS)

    def problems(*words):
        try:
            return len(Seen(folder, *words).captions())
        except Exception as told:  # noqa: BLE001 - one problem or several
            return str(told)

    assert problems() == 22
    assert "large.png: The picture is too large: 300x300 pixels." in problems("--max_pixels=80000")
    assert "narrow.png: The picture is too small: 70x200 pixels." in problems("--min_side=75")
    assert problems("--max_pixels=80000", "--on_bad_image=skip") == 21


WITHOUT_EFFECT = {
    "cache_info": "--cache_info",
    "conditioning_data_dir": "--conditioning_data_dir=masks",
    "tokenizer_cache_dir": "--tokenizer_cache_dir=tokenizers",
}


@pytest.mark.option(*WITHOUT_EFFECT)
@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_options_of_another_way_of_working_say_that_they_have_no_effect(tmp_path, name):
    folder = folder_with(tmp_path)
    seen = Seen(folder, WITHOUT_EFFECT[name])

    assert [line.startswith(f"--{name} has no effect here. ") for line in seen.warnings] == [True]
    assert seen.captions() == Seen(folder).captions()
    assert [batch.mask for batch in seen.batches()] == [None]
