"""Base models from files, folders and hub ids."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tanren.errors import ModelFileError, UsageError
from tanren.events import Report
from tanren.formats.safetensors_header import TensorEntry, header_bytes
from tanren.models.build import build_text_encoder, build_unet, build_vae
from tanren.models.configs import header_entry
from tanren.models.load import open_base, open_vae
from tanren.models.save_folder import write_folder
from tiny_models import TINY, TINY_VAE, tiny_parts, tiny_sd

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sd1(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("model") / "sd1.safetensors")


def build_all(source, dtype=torch.float32, report=None):
    report = report or Report()
    return (
        build_unet(source.unet, CPU, dtype, report),
        build_vae(source.vae, CPU, dtype, report),
        build_text_encoder(source.text_encoders[0], CPU, dtype, report),
    )


def assert_same_weights(built, parts):
    for model, original in zip(built, (parts.unet, parts.vae, parts.text_encoders[0]), strict=True):
        wanted, found = original.state_dict(), model.state_dict()
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[name], found[name]) for name in wanted)


def changed(path, tmp_path, change, metadata=True):
    """A copy of a file whose tensors went through `change`."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        texts = file.metadata()
    target = tmp_path / "changed.safetensors"
    save_file(change(load_file(path)), target, texts if metadata else None)
    return target


@pytest.mark.parametrize("family", ["sd1", "sd2"])
@pytest.mark.parametrize("map_file", [True, False])
def test_a_single_file_gives_back_every_weight(tmp_path, family, map_file):
    path = tiny_sd(tmp_path / "model.safetensors", family)

    source = open_base(str(path), map_file=map_file)

    assert source.kind.family == family
    assert_same_weights(build_all(source), tiny_parts(family))


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_a_diffusers_folder_gives_back_every_weight(tmp_path, family):
    folder = write_folder(tmp_path / "model", tiny_parts(family), dtype=torch.float32)

    source = open_base(str(folder))

    assert source.kind.family == family
    assert_same_weights(build_all(source), tiny_parts(family))


def test_a_built_model_is_frozen_in_eval_mode_and_whole(sd1):
    for model in build_all(open_base(str(sd1))):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
        assert all(tensor.device.type == "cpu" for tensor in (*model.parameters(), *model.buffers()))


def test_position_ids_count_from_zero(sd1):
    text = build_text_encoder(open_base(str(sd1)).text_encoders[0], CPU, torch.float32, Report())

    assert text.get_buffer("embeddings.position_ids").tolist() == [list(range(77))]


def test_weights_come_in_the_asked_dtype(sd1):
    unet, _, _ = build_all(open_base(str(sd1)), dtype=torch.bfloat16)

    assert {parameter.dtype for parameter in unet.parameters()} == {torch.bfloat16}


def test_changing_the_model_never_reaches_the_file(sd1):
    before = sd1.read_bytes()
    unet, _, _ = build_all(open_base(str(sd1)))

    with torch.no_grad():
        unet.conv_in.weight.zero_()

    assert not unet.conv_in.weight.any()
    assert sd1.read_bytes() == before


def test_text_encoder_names_without_text_model_are_read(sd1, tmp_path):
    path = changed(sd1, tmp_path, lambda tensors: {n.replace(".text_model.", "."): t for n, t in tensors.items()})

    assert_same_weights(build_all(open_base(str(path))), tiny_parts())


def test_extras_that_every_old_file_has_are_no_news(sd1, tmp_path):
    extras = {
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "model_ema.decay": torch.tensor(0.9),
        "alphas_cumprod": torch.zeros(1000),
        "first_stage_model.loss.logvar": torch.zeros(()),
    }
    events = []

    built = build_all(open_base(str(changed(sd1, tmp_path, lambda t: {**t, **extras}))), report=Report([events.append]))

    assert_same_weights(built, tiny_parts())
    assert events == []


def test_tensors_without_a_place_are_named(sd1, tmp_path):
    path = changed(sd1, tmp_path, lambda t: {**t, "model.diffusion_model.input_blocks.77.0.weight": torch.zeros(1)})
    events = []

    build_all(open_base(str(path)), report=Report([events.append]))

    assert [event["text"] for event in events] == [
        "changed.safetensors: 1 tensors of the U-Net are not used: model.diffusion_model.input_blocks.77.0.weight."
    ]


def test_missing_tensors_are_named(sd1, tmp_path):
    path = changed(sd1, tmp_path, lambda t: {n: v for n, v in t.items() if "time_embed.0" not in n})

    with pytest.raises(ModelFileError) as caught:
        build_all(open_base(str(path)))

    assert caught.value.what == "The U-Net in changed.safetensors does not fit its configuration."
    assert caught.value.why == "2 tensors are missing: time_embedding.linear_1.weight, time_embedding.linear_1.bias."


def test_tensors_of_another_shape_are_named(sd1, tmp_path):
    name = "model.diffusion_model.out.2.bias"
    path = changed(sd1, tmp_path, lambda t: {**t, name: torch.zeros(5)})

    with pytest.raises(ModelFileError, match="does not fit") as caught:
        build_all(open_base(str(path)))

    assert caught.value.why == "1 have another shape or type: conv_out.bias is [5] instead of [4]."


def test_whole_numbers_are_no_weights(sd1, tmp_path):
    name = "model.diffusion_model.out.2.bias"
    path = changed(sd1, tmp_path, lambda t: {**t, name: torch.zeros(4, dtype=torch.int8)})

    with pytest.raises(ModelFileError) as caught:
        build_all(open_base(str(path)))

    assert caught.value.why == "1 have another shape or type: conv_out.bias holds int8."


def test_numbers_that_torch_has_not_are_refused(tmp_path):
    layout = {"a": TensorEntry("F6_E2M3", (4,), 0, 3)}
    (tmp_path / "a.safetensors").write_bytes(header_bytes({}, layout) + bytes(3))

    with pytest.raises(ModelFileError, match="holds numbers of the type F6_E2M3, which torch does not have"):
        open_base(str(tmp_path / "a.safetensors"))


def test_a_file_of_another_size_without_its_configs_does_not_fit(sd1, tmp_path):
    path = changed(sd1, tmp_path, dict, metadata=False)

    with pytest.raises(ModelFileError, match="does not fit its configuration"):
        build_all(open_base(str(path)))


def test_sd2_projections_may_be_convolutions_in_the_file(tmp_path):
    def widen(tensors):
        return {n: t[:, :, None, None] if ".proj_in.weight" in n else t for n, t in tensors.items()}

    path = changed(tiny_sd(tmp_path / "sd2.safetensors", "sd2"), tmp_path, widen)

    assert_same_weights(build_all(open_base(str(path))), tiny_parts("sd2"))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{", "it is not JSON"),
        ("[]", "it must be an object with unet, vae, text_encoder"),
        ('{"family": "sd1", "unet": {}, "vae": {}}', "it must be an object with unet, vae, text_encoder"),
        ('{"family": "sd9", "unet": {}, "vae": {}, "text_encoder": {}}', "family 'sd9' is none of sd1, sd2"),
        ('{"family": "sd1", "unet": {}, "vae": {}, "text_encoder": {}}', "unet.block_out_channels is None"),
    ],
)
def test_a_broken_config_entry_is_refused(sd1, tmp_path, entry, reason):
    path = tmp_path / "broken.safetensors"
    save_file(load_file(sd1), path, {"tanren.config": entry})

    with pytest.raises(ModelFileError) as caught:
        open_base(str(path))

    assert reason in caught.value.why


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"norm_num_groups": 10**9}, "norm_num_groups is 1000000000"),
        ({"layers_per_block": 10**5}, "layers_per_block is 100000"),
        ({"block_out_channels": [8] * 40}, "block_out_channels has 40 entries"),
        ({"norm_num_groups": 7}, "num_channels"),
    ],
)
def test_a_config_that_no_model_can_have_is_refused(sd1, change, reason):
    source = open_base(str(sd1))
    odd = replace(source.unet, config={**source.unet.config, **change})

    with pytest.raises(ModelFileError) as caught:
        build_unet(odd, CPU, torch.float32, Report())

    assert reason in caught.value.why


def test_a_config_of_another_family_than_the_weights_is_refused(sd1, tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file(load_file(sd1), path, {"tanren.config": header_entry(TINY["sd2"])})

    with pytest.raises(ModelFileError, match="says in its header that it is sd2"):
        open_base(str(path))


def test_no_base_model_is_a_usage_error():
    with pytest.raises(UsageError, match="No base model is given"):
        open_base(None)


def test_a_path_that_is_not_there_is_said():
    with pytest.raises(ModelFileError, match=r"There is no file or folder models/none\.safetensors\."):
        open_base("models/none.safetensors")


@pytest.mark.rule("mdl-06")
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.safetensors", b"", "a.safetensors is an empty file, not a model."),
        ("a.safetensors", b"\x89PNG\r\n\x1a\n" + bytes(100), "a.safetensors is a PNG picture, not a model."),
        ("a.ckpt", b"\x89PNG\r\n\x1a\n" + bytes(100), "a.ckpt is a PNG picture, not a model."),
        ("a.ckpt", b"<!DOCTYPE html><html></html>", "a.ckpt is a web page"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "a.safetensors is a Git LFS pointer"),
        ("a.safetensors", b"PK\x03\x04" + bytes(100), "pickle) under another name"),
        ("a.bmp", b"\x01\x02\x03" * 40, "a.bmp is of an unknown kind, not a model."),
    ],
)
def test_other_files_under_the_name_of_a_model_are_recognised(tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ModelFileError) as caught:
        open_base(str(path))

    assert sentence in caught.value.what


@pytest.mark.rule("mdl-02")
def test_a_cut_off_file_is_refused(sd1, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(sd1.read_bytes()[:-100])

    with pytest.raises(ModelFileError, match="cut off"):
        open_base(str(path))


@pytest.mark.rule("mdl-07")
def test_a_file_that_changes_while_it_is_read_is_refused(sd1, tmp_path):
    path = tmp_path / "moving.safetensors"
    path.write_bytes(sd1.read_bytes())
    source = open_base(str(path))
    os.utime(path, ns=(1, 1))

    with pytest.raises(ModelFileError, match=r"moving\.safetensors was changed by another program"):
        build_all(source)


def test_a_folder_that_is_no_diffusers_folder_is_said(tmp_path):
    with pytest.raises(ModelFileError, match=r"there is no unet/config\.json in it"):
        open_base(str(tmp_path))


def test_a_folder_without_weights_is_said(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float32)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()

    with pytest.raises(ModelFileError, match="The folder unet has no weights for the U-Net"):
        open_base(str(folder))


def test_a_damaged_config_in_a_folder_is_said(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float32)
    (folder / "vae" / "config.json").write_text("{")

    with pytest.raises(ModelFileError, match=r"config\.json cannot be read"):
        open_base(str(folder))


def test_fp16_variants_shards_and_bin_files_are_found(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float32)
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    shard(unet)
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    vae.rename(vae.with_name("diffusion_pytorch_model.fp16.safetensors"))
    text = folder / "text_encoder" / "model.safetensors"
    torch.save(load_file(text), text.with_name("pytorch_model.bin"))
    text.unlink()

    assert_same_weights(build_all(open_base(str(folder))), tiny_parts())


def shard(path: Path) -> None:
    tensors = load_file(path)
    names = sorted(tensors)
    halves = {"one.safetensors": names[:300], "two.safetensors": names[300:]}
    for name, half in halves.items():
        save_file({key: tensors[key] for key in half}, path.with_name(name))
    weight_map = {key: name for name, half in halves.items() for key in half}
    path.with_name(f"{path.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    path.unlink()


def test_shards_outside_the_folder_are_refused(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float32)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.unlink()
    path.with_name(f"{path.name}.index.json").write_text('{"weight_map": {"a": "../../other.safetensors"}}')

    with pytest.raises(ModelFileError, match="does not list the files"):
        open_base(str(folder))


def test_the_attention_names_of_old_vae_folders_are_read(tmp_path):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float32)
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def as_before(name):
        for new, other in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{other}.")
        return name

    save_file({as_before(name): tensor for name, tensor in load_file(path).items()}, path)

    assert_same_weights(build_all(open_base(str(folder))), tiny_parts())


def vae_forms(tmp_path):
    """The same other autoencoder in every form `--vae` takes."""
    whole = tiny_sd(tmp_path / "other.safetensors", seed=7)
    folder = write_folder(tmp_path / "folder", tiny_parts(seed=7), dtype=torch.float32)
    ldm = {n: t for n, t in load_file(whole).items() if n.startswith("first_stage_model.")}
    bare = {n.removeprefix("first_stage_model."): t for n, t in ldm.items()}
    for name, tensors in {
        "prefixed": ldm,
        "bare": bare,
        "vae-prefix": {f"vae.{n}": t for n, t in bare.items()},
        "diffusers-names": load_file(folder / "vae" / "diffusion_pytorch_model.safetensors"),
    }.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        yield tmp_path / f"{name}.safetensors"
    torch.save({"state_dict": {**bare, "loss.logvar": torch.zeros(1)}}, tmp_path / "old.vae.pt")
    yield from (whole, folder, folder / "vae", tmp_path / "old.vae.pt")


def test_vae_takes_files_of_any_naming_and_folders(tmp_path):
    wanted = tiny_parts(seed=7).vae.state_dict()

    for path in vae_forms(tmp_path):
        part = open_vae(str(path), TINY_VAE)
        found = build_vae(part, CPU, torch.float32, Report()).state_dict()
        assert all(torch.equal(wanted[name], found[name]) for name in wanted), path.name


def test_a_vae_of_another_family_is_refused(tmp_path):
    save_file({"decoder.conv_in.weight": torch.zeros(4, 16, 3, 3)}, tmp_path / "ae.safetensors")

    with pytest.raises(ModelFileError, match=r"ae\.safetensors is a VAE with 16 latent channels; this model needs 4"):
        open_vae(str(tmp_path / "ae.safetensors"), TINY_VAE)


def test_a_file_without_a_vae_is_refused_as_one(tmp_path):
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(4, 16)}, tmp_path / "lora.safetensors")

    with pytest.raises(ModelFileError, match=r"lora\.safetensors holds no VAE"):
        open_vae(str(tmp_path / "lora.safetensors"), TINY_VAE)


@pytest.fixture
def offline_hub(monkeypatch, tmp_path):
    """A hub cache of our own, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_a_hub_model_in_the_local_cache_needs_no_network(offline_hub, variant):
    model = offline_hub / "models--someone--tiny-sd"
    snapshot = write_folder(model / "snapshots" / ("a" * 40), tiny_parts(), dtype=torch.float32)
    for path in snapshot.glob("*/*.safetensors"):
        path.rename(path.with_name(f"{path.stem}{variant}.safetensors"))
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("a" * 40)

    source = open_base("someone/tiny-sd")

    assert source.kind.family == "sd1"
    assert_same_weights(build_all(source), tiny_parts())


@pytest.mark.usefixtures("offline_hub")
def test_a_hub_id_without_a_network_is_explained():
    with pytest.raises(ModelFileError) as caught:
        open_base("nobody/nothing-at-all")

    assert caught.value.what == (
        "There is no file or folder nobody/nothing-at-all, and the hub model of that name cannot be had."
    )
    assert "on this machine: no network is needed then" in caught.value.fix


def test_sd2_files_of_the_later_layout_are_read(tmp_path):
    """SD 2 turbo keeps its text encoder below `conditioner.embedders.0.`."""

    def renamed(tensors):
        return {n.replace("cond_stage_model.model.", "conditioner.embedders.0.model."): t for n, t in tensors.items()}

    path = changed(tiny_sd(tmp_path / "sd2.safetensors", "sd2"), tmp_path, renamed)

    assert_same_weights(build_all(open_base(str(path))), tiny_parts("sd2"))


def test_local_models_need_no_network(sd1, tmp_path, monkeypatch):
    folder = write_folder(tmp_path / "model", tiny_parts(), dtype=torch.float32)
    asked = []
    monkeypatch.setattr("socket.socket.connect", lambda self, address: asked.append(address))
    monkeypatch.setattr("socket.getaddrinfo", lambda *address, **_: asked.append(address))

    for path in (sd1, folder):
        assert_same_weights(build_all(open_base(str(path))), tiny_parts())

    assert asked == []
