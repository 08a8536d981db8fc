"""What options of caching, saving, counting and validation do to a real training, as its files and events tell."""

import json

import pytest
import torch
from recipes.training import metadata, same_tensors, tensors, train
from small_datasets import noise_picture
from tiny_models import tiny_sd

QUICK = {
    "network_train_unet_only": True,
    "network_dim": 1,
    "train_batch_size": 2,
    "enable_bucket": None,
    "shuffle_caption": None,
    "flip_aug": None,
    "max_train_epochs": None,
    "max_train_steps": 1,
    "max_data_loader_n_workers": 0,
}
MINIMUM = [
    *("ss_base_model_version", "ss_network_alpha", "ss_network_dim", "ss_network_module", "ss_v2"),
    *("sshs_legacy_hash", "sshs_model_hash"),
]


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A `--train_data_dir` of four pictures: two steps an epoch."""
    folder = tmp_path_factory.mktemp("four")
    for number in range(4):
        noise_picture(folder / "1_cat" / f"{number}.png", text=f"cat number {number}")
    return folder


@pytest.fixture
def run(model, four, tmp_path):
    """Trains into a folder of that name and returns the folder and what the run told."""

    def trained(name, **options):
        train(
            options.pop("base", model),
            four,
            tmp_path / name,
            **{**QUICK, "job_dir": tmp_path / "jobs" / name, **options},
        )
        lines = (tmp_path / "jobs" / name / "events.jsonl").read_text("utf-8").splitlines()
        return tmp_path / name, [json.loads(line) for line in lines]

    return trained


def of_kind(events, kind):
    return [event for event in events if event["kind"] == kind]


def phases(events):
    """Name to units of every phase."""
    return {event["name"]: event["total"] for event in of_kind(events, "phase")}


def notes(events):
    return [event["text"] for event in of_kind(events, "note")]


DESCRIPTIONS = {
    "metadata_title": "Waves",
    "metadata_author": "Somebody",
    "metadata_description": "From the sea",
    "metadata_license": "CC-BY",
    "metadata_tags": "sea, waves",
    "metadata_usage_hint": "0.8",
    "metadata_thumbnail": "data:image/png;base64,AAAA",
    "metadata_merged_from": "nothing",
    "metadata_trigger_phrase": "sks",
    "metadata_preprocessor": "none",
    "metadata_is_negative_embedding": "false",
}


@pytest.mark.option(*DESCRIPTIONS)
@pytest.mark.option("output_dir", "output_name", "save_precision", "training_comment", "pretrained_model_name_or_path")
def test_the_file_lies_where_it_was_asked_for_and_says_what_it_was_told(run):
    out, _ = run("told", output_name="sea", save_precision="fp16", training_comment="first try", **DESCRIPTIONS)
    plain, _ = run("plain")

    told, usual = metadata(out / "sea.safetensors"), metadata(plain / "waves.safetensors")
    keys = {name.replace("metadata_", "modelspec."): text for name, text in DESCRIPTIONS.items()}
    assert {key: told[key] for key in keys} == keys
    assert usual.keys() & keys.keys() == {"modelspec.title"}
    assert (told["ss_training_comment"], usual["ss_training_comment"]) == ("first try", "None")
    assert (told["ss_output_name"], told["ss_sd_model_name"]) == ("sea", "tiny-sd1.safetensors")
    assert {tensor.dtype for tensor in tensors(out / "sea.safetensors").values()} == {torch.float16}
    assert {tensor.dtype for tensor in tensors(plain / "waves.safetensors").values()} == {torch.float32}


@pytest.mark.option("no_metadata")
def test_little_metadata_is_what_other_programs_need(run):
    out, _ = run("little", no_metadata=True)

    found = metadata(out / "waves.safetensors")
    assert sorted(name for name in found if not name.startswith("modelspec.")) == MINIMUM
    assert found["modelspec.architecture"] == "stable-diffusion-v1/lora"


@pytest.mark.option("save_model_as")
@pytest.mark.parametrize(
    ("form", "file"),
    [
        ("ckpt", "waves.ckpt"),
        ("pt", "waves.pt"),
        ("diffusers", "waves/pytorch_lora_weights.bin"),
        ("diffusers_safetensors", "waves/pytorch_lora_weights.safetensors"),
    ],
)
def test_the_file_has_the_format_that_was_asked_for(run, form, file):
    out, events = run("out", save_model_as=form)

    path = out / file
    found = tensors(path) if file.endswith(".safetensors") else torch.load(path, weights_only=True)
    assert len(found) == (384 if form.startswith("diffusers") else 576)
    assert [event["file"] for event in of_kind(events, "saved")] == [str(path)]
    assert list(out.rglob("*.safetensors")) == ([path] if file.endswith(".safetensors") else [])


@pytest.mark.option("pretrained_model_name_or_path")
def test_another_base_model_gives_another_lora(run, tmp_path):
    one, _ = run("one")
    other, _ = run("other", base=tiny_sd(tmp_path / "other.safetensors", seed=3))

    assert not same_tensors(one / "waves.safetensors", other / "waves.safetensors")


CACHES = ("cache_latents", "cache_text_encoder_outputs")


@pytest.mark.option(*CACHES)
def test_caches_in_memory_encode_everything_before_the_first_step(run, tmp_path):
    _, plain = run("plain")
    _, cached = run("cached", **dict.fromkeys(CACHES, True), data_dir=tmp_path / "kept")

    assert {"cache latents", "cache text"}.isdisjoint(phases(plain))
    assert (phases(cached)["cache latents"], phases(cached)["cache text"]) == (4, 4)
    assert list((tmp_path / "kept").rglob("*.pack")) == []


@pytest.mark.option("cache_latents_to_disk", "cache_text_encoder_outputs_to_disk", "data_dir")
def test_caches_on_disk_serve_the_next_run(run, tmp_path):
    kept = {"cache_latents_to_disk": True, "cache_text_encoder_outputs_to_disk": True, "data_dir": tmp_path / "kept"}

    run("first", **kept)
    _, again = run("again", **kept)

    packs = sorted(path.name.split("-")[0] for path in (tmp_path / "kept" / "cache").glob("*.pack"))
    assert packs == ["latents", "text"]
    assert "Latent cache: 4 of 4 pictures were there, 0 were encoded." in notes(again)
    assert "Text cache: 4 of 4 captions were there, 0 were encoded (0 damaged values)." in notes(again)


COUNTING = [
    pytest.param({}, [(1, 2), (2, 4), (3, 6)]),
    pytest.param({"initial_epoch": 3}, [(3, 2)], marks=pytest.mark.option("initial_epoch")),
    pytest.param({"initial_step": 4}, [(3, 2)], marks=pytest.mark.option("initial_step")),
    pytest.param(
        {"initial_step": 4, "skip_until_initial_step": True},
        [(3, 6)],
        marks=pytest.mark.option("initial_step", "skip_until_initial_step"),
    ),
]


@pytest.mark.parametrize(("options", "ends"), COUNTING)
def test_epochs_and_steps_are_counted_from_where_they_should(run, options, ends):
    _, events = run("out", max_train_epochs=3, **options)

    assert [(event["epoch"], event["step"]) for event in of_kind(events, "epoch")] == ends


VALIDATION = [
    pytest.param({}, [("epoch", 2), ("epoch", 4)], 2, marks=pytest.mark.option("validation_split")),
    pytest.param(
        {"validate_every_n_epochs": 2, "max_validation_steps": 1},
        [("epoch", 4)],
        1,
        marks=pytest.mark.option("validate_every_n_epochs", "max_validation_steps"),
    ),
    pytest.param({"validate_every_n_steps": 3}, [("step", 3)], 2, marks=pytest.mark.option("validate_every_n_steps")),
]


@pytest.mark.parametrize(("options", "told", "batches"), VALIDATION)
def test_the_loss_on_held_out_pictures_is_measured_when_asked(run, options, told, batches):
    _, events = run(
        "out", max_train_epochs=2, validation_split=0.5, train_batch_size=1, max_train_steps=None, **options
    )

    assert [(event["every"], event["step"]) for event in of_kind(events, "validation")] == told
    assert phases(events)["validate"] == batches


@pytest.mark.option("scale_weight_norms")
def test_no_layer_of_the_file_is_larger_than_its_norm_may_be(run):
    steep = {"optimizer_type": "SGD", "learning_rate": "10", "max_grad_norm": 0}
    free, _ = run("free", **steep)
    kept, _ = run("kept", scale_weight_norms=0.05, **steep)

    assert max(norms(free / "waves.safetensors")) > 0.1
    assert max(norms(kept / "waves.safetensors")) == pytest.approx(0.05, rel=1e-4)


def norms(path):
    """Of what each layer adds to the model; rank and alpha are 1."""
    found = tensors(path)
    for name in found:
        if name.endswith("lora_up.weight"):
            down = found[name.replace("lora_up", "lora_down")]
            yield (found[name].flatten(1) @ down.flatten(1)).norm().item()
