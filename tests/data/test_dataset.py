import pytest
import torch
from PIL import Image
from small_datasets import GEOMETRY, dataset, noise_picture, plan, subset
from tanren.data.dataset import BucketDataset
from tanren.errors import DataError
from tanren.events import Report


def keep(batch, number):
    return number, batch


class Stepper:
    """A prepare function that can be sent to workers."""

    def __call__(self, batch, number):
        return number, batch.captions, batch.paths, batch.latents if batch.pixels is None else batch.pixels


def folder(tmp_path, count=6, **keys):
    for number in range(count):
        noise_picture(tmp_path / f"{number}.png", text=f"a, b{number}, c, d", **keys)
    return tmp_path


def encode(pixels, noise):
    """A stand-in for a VAE: the mean over cells, and the noise."""
    mean = torch.nn.functional.avg_pool2d(pixels, 8).mean(dim=1, keepdim=True)
    return mean.expand(-1, 4, -1, -1) + 0.1 * noise


def batches(data, epoch=0, **keys):
    return [batch for _, batch in data.loader(epoch, prepare=keep, **keys)]


def test_a_batch_without_cache_brings_pixels_noise_captions_and_sizes(tmp_path):
    noise_picture(tmp_path / "a.png", (128, 64), text="a cat")
    data = dataset(plan(subset(tmp_path), enable_bucket=True, min_bucket_reso=64))

    (batch,) = batches(data)

    assert batch.pixels.shape == (1, 3, 64, 64)
    assert batch.pixels.min() >= -1 and batch.pixels.max() <= 1
    assert batch.posterior_noise.shape == (1, 4, 8, 8)
    assert (batch.latents, batch.text, batch.mask) == (None, None, None)
    assert (batch.captions, batch.paths) == (["a cat"], [str(tmp_path / "a.png")])
    assert batch.original_hw.tolist() == [[64, 128]]
    assert batch.target_hw.tolist() == [[64, 64]]
    assert batch.crop_top_left.tolist() == [[16, 0]]
    assert batch.keys == [(0, 0, 0, 0)]


def test_pixels_run_from_minus_one_to_one(tmp_path):
    Image.new("RGB", (64, 64), (0, 255, 127)).save(tmp_path / "a.png")

    (batch,) = batches(dataset(plan(subset(tmp_path, class_tokens="x"))))

    assert batch.pixels[0, :, 0, 0].tolist() == pytest.approx([-1.0, 1.0, 127 / 127.5 - 1], abs=1e-6)


def test_regularization_pictures_have_the_prior_weight_and_their_own_captions(tmp_path):
    noise_picture(tmp_path / "train" / "a.png", text="sks cat")
    noise_picture(tmp_path / "reg" / "b.png", text="cat")
    data = dataset(
        plan(subset(tmp_path / "train"), subset(tmp_path / "reg", is_reg=True), batch_size=2),
        data={"prior_loss_weight": 0.25},
    )

    (batch,) = batches(data)

    assert dict(zip(batch.captions, batch.loss_weights.tolist(), strict=True)) == {"sks cat": 1.0, "cat": 0.25}


def test_output_preservation_is_marked_by_sample(tmp_path):
    noise_picture(tmp_path / "a" / "a.png", text="a")
    noise_picture(tmp_path / "b" / "b.png", text="b")
    keeps = {"custom_attributes": {"diff_output_preservation": True}}

    (batch,) = batches(dataset(plan(subset(tmp_path / "a"), subset(tmp_path / "b", **keeps), batch_size=2)))

    assert dict(zip(batch.captions, batch.preserve_output.tolist(), strict=True)) == {"a": False, "b": True}


def test_samples_without_mask_get_ones_beside_samples_with_one(tmp_path):
    noise_picture(tmp_path / "a.png", text="a")
    transparent = Image.new("RGBA", (65, 64), (1, 2, 3, 51))
    transparent.save(tmp_path / "b.png")
    (tmp_path / "b.txt").write_text("b")

    (batch,) = batches(dataset(plan(subset(tmp_path, alpha_mask=True), batch_size=2)))

    masks = dict(zip(batch.captions, batch.mask, strict=True))
    assert batch.mask.shape == (2, 1, 8, 8)
    assert (masks["a"] == 1).all()
    assert masks["b"].unique().tolist() == pytest.approx([0.2])


def test_repeats_are_independent_draws(tmp_path):
    noise_picture(tmp_path / "a.png", text="a, b, c, d, e, f")
    data = dataset(plan(subset(tmp_path, num_repeats=20, shuffle_caption=True, flip_aug=True)))

    drawn = batches(data)

    assert len({batch.captions[0] for batch in drawn}) > 15
    assert len({tuple(batch.pixels[0, 0, 0, :4].tolist()) for batch in drawn}) == 2


def test_captions_are_dropped_in_every_second_epoch_counting_from_one(tmp_path):
    data = dataset(plan(subset(folder(tmp_path, 1), caption_dropout_every_n_epochs=2)))

    assert [batches(data, epoch)[0].captions[0] for epoch in range(4)] == ["a, b0, c, d", "", "a, b0, c, d", ""]


def test_tag_warm_up_follows_the_optimizer_steps(tmp_path):
    data = dataset(
        plan(subset(folder(tmp_path, 4), token_warmup_step=4)), gradient_accumulation_steps=2, max_train_epochs=9
    )

    counts = [[len(batch.captions[0].split(",")) for batch in batches(data, epoch)] for epoch in range(3)]

    # Two steps an epoch; floor(step * 3 / 4) + 1 tags.
    assert counts == [[1, 1, 1, 1], [2, 2, 3, 3], [4, 4, 4, 4]]


def test_a_tag_warm_up_that_is_a_fraction_counts_the_steps_that_several_processes_make(tmp_path):
    alone = dataset(plan(subset(folder(tmp_path, 4), token_warmup_step=0.5)), max_train_epochs=4)
    of_two = BucketDataset(alone.scan, alone.settings, GEOMETRY, 0, Report(), max_train_steps=8)

    # Two processes make two steps an epoch, eight in all: the warm-up is over after four, the second epoch.
    items = of_two.loader(2, process_index=1, num_processes=2, prepare=keep)

    assert [len(batch.captions[0].split(",")) for _, batch in items] == [4, 4]


def test_the_rest_of_an_epoch_is_what_the_whole_would_have_brought(tmp_path):
    data = dataset(plan(subset(folder(tmp_path), shuffle_caption=True, flip_aug=True), batch_size=2), seed=3)

    whole = list(data.loader(2, prepare=keep))
    rest = list(dataset(data.scan.datasets[0].plan, seed=3).loader(2, 1, prepare=keep))

    assert [number for number, _ in rest] == [1, 2]
    for (_, ours), (_, theirs) in zip(whole[1:], rest, strict=True):
        assert ours.captions == theirs.captions
        assert torch.equal(ours.pixels, theirs.pixels)


def test_processes_share_an_epoch_and_the_short_one_starts_again(tmp_path):
    data = dataset(plan(subset(folder(tmp_path, 5))))
    order = [plan.samples for plan in data.epoch_batches(0)]

    def places(process):
        found = data.loader(0, process_index=process, num_processes=2, prepare=keep)
        return [((batch.keys[0].image, batch.keys[0].repeat),) for _, batch in found]

    assert places(0) == [order[0], order[2], order[4]]
    assert places(1) == [order[1], order[3], order[0]]


def loaded(tmp_path, workers, cached=False, persistent=False, epochs=2):
    data = dataset(
        plan(subset(folder(tmp_path), shuffle_caption=True, flip_aug=True, num_repeats=2), batch_size=3),
        max_data_loader_n_workers=workers,
        persistent_data_loader_workers=persistent,
    )
    if cached:
        data.cache_latents(encode, "vae", None)
    found = [one for epoch in range(epochs) for one in data.loader(epoch, prepare=Stepper())]
    data.close()
    return found


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_the_number_of_workers_changes_nothing(tmp_path, cached, persistent):
    alone = loaded(tmp_path, 0, cached)
    helped = loaded(tmp_path, 2, cached, persistent)

    assert len(alone) == 8
    for ours, theirs in zip(alone, helped, strict=True):
        assert ours[:3] == theirs[:3]
        assert torch.equal(ours[3], theirs[3])


def test_validation_pictures_come_whole_and_always_the_same(tmp_path):
    data = dataset(
        plan(
            subset(folder(tmp_path), flip_aug=True, num_repeats=5, caption_dropout_rate=1.0),
            validation_split=0.5,
            batch_size=2,
        )
    )
    plans = data.validation_batches()

    first = [data.load(plan, 0) for plan in plans]
    later = [data.load(plan, 500) for plan in plans]

    assert [len(batch) for batch in first] == [2, 1]
    assert all("a, b" in caption for batch in first for caption in batch.captions)
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, later, strict=True))
    assert data.batches_per_epoch() == 8


def spoil(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.rule("img-01")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_decoded_stops_the_run_by_name(tmp_path, workers):
    data = dataset(plan(subset(folder(tmp_path, 2))), max_data_loader_n_workers=workers)
    spoil(tmp_path / "1.png")

    with pytest.raises(DataError) as stopped:
        list(data.loader(0, prepare=Stepper()))
    assert stopped.value.where == str(tmp_path / "1.png")
    assert "--on_bad_image=skip" in stopped.value.fix


@pytest.mark.rule("img-13")
@pytest.mark.parametrize("workers", [0, 2])
def test_with_skip_a_vanished_picture_is_replaced_and_told_once(tmp_path, workers):
    events = []
    data = dataset(
        plan(subset(folder(tmp_path, 21))),
        events=events,
        data={"on_bad_image": "skip"},
        max_data_loader_n_workers=workers,
    )
    (tmp_path / "7.png").unlink()

    found = [one for epoch in range(2) for one in data.loader(epoch, prepare=Stepper())]

    warnings = [event["text"] for event in events if event["kind"] == "warning"]
    assert len(found) == 42
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{tmp_path / '7.png'}: left out, another picture stands in.")
    assert not any(str(tmp_path / "7.png") in one[2] for one in found)


@pytest.mark.rule("img-01")
def test_more_than_five_percent_bad_pictures_end_the_run(tmp_path):
    data = dataset(plan(subset(folder(tmp_path, 6))), data={"on_bad_image": "skip"})
    spoil(tmp_path / "1.png")

    with pytest.raises(DataError, match="more than 5%"):
        batches(data)


@pytest.mark.rule("img-13")
def test_a_picture_that_comes_back_is_read_at_the_second_try(tmp_path, monkeypatch):
    import tanren.data.samples as samples

    data = dataset(plan(subset(folder(tmp_path, 1))))
    hidden = (tmp_path / "0.png").rename(tmp_path / "hidden")
    monkeypatch.setattr(samples.time, "sleep", lambda seconds: hidden.rename(tmp_path / "0.png"))

    assert batches(data)[0].paths == [str(tmp_path / "0.png")]


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        # Fitted inside 1344x768 the picture is 1344x756: 6 pixels are missing above. Inside 896x1152 it is 864 wide.
        ((1920, 1080), [1080, 1920, 6, 0, 768, 1344]),
        ((1200, 1600), [1600, 1200, 0, 16, 1152, 896]),
        ((1024, 1024), [1024, 1024, 0, 0, 1024, 1024]),
    ],
)
def test_size_conditioning_is_height_before_width_original_crop_target(tmp_path, size, sizes):
    noise_picture(tmp_path / "a.jpg", size, text="a cat")
    buckets = plan(subset(tmp_path), resolution_wh=(1024, 1024), enable_bucket=True, max_bucket_reso=2048)

    (batch,) = batches(dataset(buckets))

    assert batch.sizes.tolist() == [sizes]
