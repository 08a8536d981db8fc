import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from small_datasets import dataset, noise_picture, plan, subset
from tanren.data.batch import TextStates
from tanren.data.cache_pass import Crew
from tanren.errors import DataError, NumericError, SeveralProblems


class Encoder:
    """A stand-in for a VAE that counts; each output depends on its own picture and noise alone."""

    def __init__(self):
        self.pictures = 0

    def __call__(self, pixels, noise):
        self.pictures += len(pixels)
        mean = torch.nn.functional.avg_pool2d(pixels, 8).mean(dim=1, keepdim=True)
        return mean.expand(-1, 4, -1, -1) * 2.0 + 0.1 * noise


def folder(path, count=4, **keys):
    for number in range(count):
        noise_picture(path / f"{number}.png", text=f"caption {number}", **keys)
    return path


def batches(data, epoch=0):
    return sorted(
        (batch for batch in data.loader(epoch, prepare=lambda batch, number: batch)), key=lambda batch: batch.paths
    )


def cached(data_folder, cache, fingerprint="vae", events=None, encoder=None, caching=None, data=None, **keys):
    encoder = encoder or Encoder()
    built = dataset(plan(subset(data_folder, **keys)), events=events, caching=caching, data=data)
    built.cache_latents(encoder, fingerprint, cache)
    return built, encoder.pictures


@pytest.mark.parametrize("on_disk", [True, False])
def test_cached_training_sees_the_latents_of_uncached_training(tmp_path, on_disk):
    pics = folder(tmp_path / "pics", alpha=True)
    keys = {"flip_aug": True, "alpha_mask": True, "num_repeats": 4}
    with_cache, _ = cached(pics, tmp_path / "cache" if on_disk else None, **keys)
    without = dataset(plan(subset(pics, **keys)))

    for ours, theirs in zip(batches(with_cache), batches(without), strict=True):
        assert ours.pixels is None and ours.posterior_noise is None
        assert torch.equal(ours.latents, Encoder()(theirs.pixels, theirs.posterior_noise))
        assert torch.equal(ours.mask, theirs.mask)
        assert ours.captions == theirs.captions


def test_the_next_run_encodes_nothing(tmp_path):
    pics = folder(tmp_path / "pics")
    first, encoded = cached(pics, tmp_path / "cache")
    events = []

    second, encoded_again = cached(pics, tmp_path / "cache", events=events)

    assert (encoded, encoded_again) == (4, 0)
    assert [event["text"] for event in events if event["kind"] == "note"] == [
        "Latent cache: 4 of 4 pictures were there, 0 were encoded."
    ]
    for ours, theirs in zip(batches(first), batches(second), strict=True):
        assert torch.equal(ours.latents, theirs.latents)


def test_a_moved_folder_is_found_again_by_content(tmp_path):
    cached(folder(tmp_path / "pics"), tmp_path / "cache")
    shutil.copytree(tmp_path / "pics", tmp_path / "moved")

    assert cached(tmp_path / "moved", tmp_path / "cache")[1] == 0


@pytest.mark.option("vae_batch_size")
def test_vae_batch_size_puts_pictures_of_one_bucket_together(tmp_path):
    sizes = []

    def encode(pixels, noise):
        sizes.append(len(pixels))
        return noise

    folder(tmp_path / "pics", 5)
    cached(tmp_path / "pics", None, encoder=None, caching={"vae_batch_size": 2})
    built = dataset(plan(subset(tmp_path / "pics")), caching={"vae_batch_size": 2})
    built.cache_latents(encode, "vae", None)

    assert sizes == [2, 2, 1]


@pytest.mark.rule("flt-15")
@pytest.mark.parametrize("change", ["vae", "picture", "bucket", "interpolation", "flip", "alpha"])
def test_what_changes_latents_makes_new_ones(tmp_path, change):
    pics = folder(tmp_path / "pics", alpha=True)
    cached(pics, tmp_path / "cache")
    keys, fingerprint = {}, "vae"
    if change == "vae":
        fingerprint = "another vae"
    if change == "picture":
        noise_picture(pics / "other.png").replace(pics / "0.png")
    if change == "interpolation":
        keys = {"resize_interpolation": "cubic"}
    if change == "flip":
        keys = {"flip_aug": True}
    if change == "alpha":
        keys = {"alpha_mask": True}
    encoder = Encoder()
    built = dataset(plan(subset(pics, **keys), resolution_wh=(128, 128) if change == "bucket" else (64, 64)))

    built.cache_latents(encoder, fingerprint, tmp_path / "cache")

    # Mirrored latents are made beside the plain ones, which stay; a mask needs no encoding at all.
    assert encoder.pictures == {"picture": 1, "alpha": 0}.get(change, 4)
    assert all((batch.mask is not None) == (change == "alpha") for batch in batches(built))


@pytest.mark.rule("flt-15")
@pytest.mark.parametrize("damage", ["flipped bit", "half file", "no file", "no index"])
def test_damaged_caches_are_rebuilt_with_one_line(tmp_path, damage):
    pics = folder(tmp_path / "pics")
    cached(pics, tmp_path / "cache")
    (pack,) = (tmp_path / "cache").glob("*.pack")
    content = bytearray(pack.read_bytes())
    if damage == "flipped bit":
        content[100] ^= 1
        pack.write_bytes(content)
    if damage == "half file":
        pack.write_bytes(content[: len(content) // 2 + 8])
    if damage == "no file":
        pack.unlink()
    if damage == "no index":
        (tmp_path / "cache" / "index.sqlite3").write_bytes(b"garbage " * 1000)
    events = []

    built, encoded = cached(pics, tmp_path / "cache", events=events)

    assert encoded == {"flipped bit": 1, "half file": 2, "no file": 4, "no index": 4}[damage]
    assert len([event for event in events if event["kind"] in ("note", "warning")]) == (damage != "no index")
    for ours, theirs in zip(batches(built), batches(dataset(plan(subset(pics)))), strict=True):
        assert torch.equal(ours.latents, Encoder()(theirs.pixels, theirs.posterior_noise))


@pytest.mark.option("skip_cache_check")
@pytest.mark.parametrize(("trusting", "encoded_again"), [(False, 2), (True, 0)])
def test_a_trusted_cache_is_taken_by_the_names_of_the_pictures(tmp_path, trusting, encoded_again):
    pics = folder(tmp_path / "pics")
    before, _ = cached(pics, tmp_path / "cache")
    (pack,) = (tmp_path / "cache").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[100] ^= 1
    pack.write_bytes(content)
    noise_picture(pics / "other.png").replace(pics / "3.png")

    built, encoded = cached(pics, tmp_path / "cache", caching={"skip_cache_check": trusting})

    assert encoded == encoded_again
    old, new = ({tuple(batch.paths): batch.latents for batch in batches(data)} for data in (before, built))
    edited = next(paths for paths in old if "3.png" in paths[0])
    assert torch.equal(old[edited], new[edited]) == trusting


@pytest.mark.parametrize("loss", ["half file", "no file"])
def test_a_trusted_cache_still_makes_what_is_not_there(tmp_path, loss):
    pics = folder(tmp_path / "pics")
    cached(pics, tmp_path / "cache")
    (pack,) = (tmp_path / "cache").glob("*.pack")
    content = pack.read_bytes()
    pack.write_bytes(content[: len(content) // 2 + 8] if loss == "half file" else b"")

    built, encoded = cached(pics, tmp_path / "cache", caching={"skip_cache_check": True})

    assert encoded == {"half file": 2, "no file": 4}[loss]
    for ours, theirs in zip(batches(built), batches(dataset(plan(subset(pics)))), strict=True):
        assert torch.equal(ours.latents, Encoder()(theirs.pixels, theirs.posterior_noise))


@pytest.mark.rule("flt-05")
def test_latents_that_are_not_finite_are_refused_with_the_picture(tmp_path):
    pics = folder(tmp_path / "pics")
    Image.new("RGB", (64, 64)).save(pics / "2.png")

    def encode(pixels, noise):
        return torch.where((pixels == -1).all(dim=(1, 2, 3), keepdim=True), torch.nan, noise)

    with pytest.raises(DataError) as refused:
        cached(pics, tmp_path / "cache", encoder=None or _Wrapped(encode))
    assert refused.value.where == str(pics / "2.png")
    assert refused.value.what == "The VAE made NaN or infinity of this picture."


class _Wrapped(Encoder):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def __call__(self, pixels, noise):
        return self.function(pixels, noise)


@pytest.mark.rule("img-01")
def test_all_unreadable_pictures_are_told_at_once(tmp_path):
    pics = folder(tmp_path / "pics")
    built = dataset(plan(subset(pics)))
    for name in ("1.png", "3.png"):
        (pics / name).write_bytes((pics / name).read_bytes()[:90])

    with pytest.raises(SeveralProblems) as refused:
        built.cache_latents(Encoder(), "vae", None)
    assert sorted(problem.where for problem in refused.value.problems) == [str(pics / "1.png"), str(pics / "3.png")]


@pytest.mark.rule("img-01")
def test_with_skip_a_neighbour_stands_in_for_a_picture_without_latents(tmp_path):
    pics = folder(tmp_path / "pics", 21)
    built = dataset(plan(subset(pics)), data={"on_bad_image": "skip"})
    (pics / "5.png").write_bytes((pics / "5.png").read_bytes()[:90])

    built.cache_latents(Encoder(), "vae", tmp_path / "cache")

    paths = [batch.paths[0] for batch in batches(built)]
    assert len(paths) == 21
    assert str(pics / "5.png") not in paths


@pytest.mark.rule("flt-08")
def test_processes_share_the_work(tmp_path):
    pics = folder(tmp_path / "pics", 5)
    encoders = [Encoder(), Encoder()]
    waits = []

    def wait_of(index):
        def wait():
            waits.append(index)
            # At the first wait of process 0, process 1 does its whole share; a barrier would let it run beside.
            if index == 0 and len(waits) == 1:
                other = dataset(plan(subset(pics)))
                with pytest.raises(DataError, match="have no latents"):
                    other.cache_latents(encoders[1], "vae", tmp_path / "cache", Crew(1, 2, wait_of(1)))

        return wait

    built = dataset(plan(subset(pics)))
    built.cache_latents(encoders[0], "vae", tmp_path / "cache", Crew(0, 2, wait_of(0)))

    assert [encoder.pictures for encoder in encoders] == [3, 2]
    assert len(batches(built)) == 5


class TextEncoder:
    def __init__(self, pooled=True):
        self.captions = []
        self.pooled = pooled

    def __call__(self, captions):
        self.captions += captions
        hidden = torch.stack([torch.full((3, 2), float(len(one)), dtype=torch.bfloat16) for one in captions])
        return TextStates(hidden, hidden[:, 0] if self.pooled else None)


@pytest.mark.parametrize("on_disk", [True, False])
def test_captions_are_encoded_once_with_prefix_and_secondary_separator(tmp_path, on_disk):
    pics = folder(tmp_path / "pics", 3)
    keys = {"caption_prefix": "my;;;own", "secondary_separator": ";;;", "num_repeats": 2}
    data, encoder = dataset(plan(subset(pics, **keys))), TextEncoder()

    data.cache_text(encoder, "clip", tmp_path / "cache" if on_disk else None)

    assert encoder.captions == [f"my,own caption {number}" for number in range(3)]
    for batch in batches(data):
        length = float(len(batch.captions[0]))
        assert batch.text.hidden.dtype == torch.bfloat16
        assert batch.text.hidden.tolist() == [[[length] * 2] * 3]
        assert batch.text.pooled.tolist() == [[length] * 2]


def test_text_states_are_found_by_caption_and_encoder(tmp_path):
    pics = folder(tmp_path / "pics", 3)

    def encoded(fingerprint):
        data, encoder = dataset(plan(subset(pics))), TextEncoder(pooled=False)
        data.cache_text(encoder, fingerprint, tmp_path / "cache")
        assert batches(data)[0].text.pooled is None
        return encoder.captions

    assert len(encoded("clip")) == 3
    assert encoded("clip") == []
    (pics / "1.txt").write_text("edited")
    assert encoded("clip") == ["edited"]
    assert len(encoded("clip, clip_skip 2")) == 3


@pytest.mark.rule("flt-05")
def test_text_states_that_are_not_finite_are_refused_with_the_caption(tmp_path):
    data = dataset(plan(subset(folder(tmp_path, 1))))

    with pytest.raises(NumericError) as refused:
        data.cache_text(lambda captions: TextStates(torch.full((1, 2, 2), np.inf)), "clip", None)
    assert refused.value.where == "caption 0"


def test_a_spawned_worker_reads_the_same_from_the_disk(tmp_path):
    pics = folder(tmp_path / "pics", 2)
    data = dataset(plan(subset(pics)))
    data.cache_latents(Encoder(), "vae", tmp_path / "cache")
    data.cache_text(TextEncoder(), "clip", tmp_path / "cache")
    order = data.epoch_batches(0)[0]

    sent = pickle.loads(pickle.dumps(data.samples))

    ours, theirs = data.samples.load(order, 0)[0], sent.load(order, 0)[0]
    assert torch.equal(ours.latents, theirs.latents)
    assert torch.equal(ours.text.hidden, theirs.text.hidden)
