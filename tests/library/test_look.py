"""Looking at a file: what a page or a terminal shows, for files of every kind and for damaged values."""

from __future__ import annotations

import base64
import io
import json

import pytest
from network_files import SD1_LORA, SDXL_LORA, write_network
from PIL import Image
from tanren.errors import DataError, ModelFileError
from tanren.library.cover import cover_of, cover_values, picture_bytes
from tanren.library.facts import grouped_facts
from tanren.library.filing import Filed, filed_by_hosts, fit, is_hidden
from tanren.library.look import look_at
from tanren.library.origin import trainer_of
from tanren.library.pictures_table import BucketRow, FolderRow, picture_tables
from tanren.library.tag_table import Trigger, tag_table, triggers

KOHYA = {
    "ss_output_name": "cat v1",
    "ss_network_module": "networks.lora",
    "ss_sd_scripts_commit_hash": "abc",
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_v2": "False",
    "ss_training_finished_at": "1700000000.5",
    "ss_clip_skip": "None",
    "ss_tag_frequency": json.dumps({"10_sks cat": {"sks cat": 20, "solo": 19, "grass": 3}}),
    "ss_dataset_dirs": json.dumps({"10_sks cat": {"n_repeats": 10, "img_count": 20}}),
}
BROKEN = {
    "ss_tag_frequency": "[1,2",
    "ss_datasets": "{}",
    "ss_bucket_info": '{"buckets": 3}',
    "ssmd_rating": "five",
    "ssmd_cover_images": '["not base64!"]',
    "ss_training_started_at": "yesterday",
    "modelspec.thumbnail": "data:image/png;base64,AAAA",
}


def png(width=4, height=4) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(target, "PNG")
    return target.getvalue()


def test_a_file_of_kohya_in_one_line(tmp_path):
    look = look_at(write_network(tmp_path / "cat.safetensors", SDXL_LORA, KOHYA))

    assert look.summary == "cat v1 · SDXL · LoRA · rank 8, alpha 4 · kohya sd-scripts · 2023-11-14 22:13 · 110 kB"
    assert (look.family, look.family_source, look.warnings) == ("sdxl", "derived", ())
    assert look.filed == (Filed("AUTOMATIC1111", "SDXL", True), Filed("Forge", "SDXL", True))
    assert look.triggers == (Trigger("sks cat", "guess: in 100% of the captions of 10_sks cat", is_guess=True),)


def test_a_file_without_metadata_is_known_by_its_tensors(tmp_path):
    look = look_at(write_network(tmp_path / "old.safetensors", SD1_LORA))

    assert look.summary.startswith("old · Stable Diffusion 1 · LoRA · unet rank 8, alpha 4 · te rank 4, alpha 4 · a tr")
    assert look.family_source == "derived"
    assert [one.version for one in look.filed] == ["Unknown", "Unknown"]
    assert grouped_facts(look.metadata) == {}


def test_metadata_that_contradict_the_tensors_are_said(tmp_path):
    look = look_at(write_network(tmp_path / "x.safetensors", SDXL_LORA, {"ss_v2": "False"}))

    assert look.family == "sdxl"
    assert look.warnings == ("The metadata say Stable Diffusion 1, but the tensors are those of SDXL.",)
    assert look.filed[0] == Filed("AUTOMATIC1111", "SD1", False)


def test_where_tensors_tell_no_family_the_metadata_do(tmp_path):
    only_text = {name: shape for name, shape in SDXL_LORA.items() if name.startswith("lora_te1_")}
    look = look_at(write_network(tmp_path / "x.safetensors", only_text, KOHYA))

    assert (look.family, look.family_source) == ("sdxl", "metadata")


def test_looking_reads_the_header_and_alphas_not_the_tensors(tmp_path):
    path = write_network(tmp_path / "large.safetensors", {"lora_unet_x.lora_down.weight": (1,)})
    data = path.read_bytes().replace(
        b'"shape":[1],"data_offsets":[0,2]}}', b'"shape":[2147483648],"data_offsets":[0,4294967296]}}'
    )
    length = len(data) - 8 - 2
    path.write_bytes(length.to_bytes(8, "little") + data[8:-2])
    with path.open("r+b") as file:
        file.truncate(8 + length + 2**32)

    assert look_at(path).summary.endswith("4.29 GB")


@pytest.mark.rule("mdl-04")
def test_broken_values_are_shown_as_unreadable_and_the_rest_is_shown(tmp_path):
    look = look_at(write_network(tmp_path / "x.safetensors", SD1_LORA, {**BROKEN, "ss_output_name": "fine"}))
    tables, cover = picture_tables(look.metadata), cover_of(look.metadata)
    texts = {fact.key: fact.text for facts in grouped_facts(look.metadata).values() for fact in facts}

    assert look.alias == "fine"
    assert look.tags.folders == {}
    assert look.tags.problem == "ss_tag_frequency is unreadable: Expecting ',' delimiter."
    assert tables.problems == ("ss_datasets is unreadable: it is not a list.",)
    assert (tables.folders, tables.buckets) == ((), ())
    assert texts["ssmd_rating"] == "unreadable: five"
    assert texts["ss_training_started_at"] == "unreadable: yesterday"
    assert cover.png == b""
    assert cover.problem.startswith("modelspec.thumbnail is unreadable: it is no picture")


@pytest.mark.rule("mdl-04")
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 5000,
        "9" * 20_000,
        "NaN",
        '"x"',
        '{"a":{"b":1e999}}',
        '{"a":{"b":-3}}',
        '{"a":[]}',
        "\0",
    ],
    ids=["deep lists", "deep objects", "long number", "NaN", "text", "infinite", "negative", "list inside", "NUL"],
)
def test_no_value_makes_the_tables_raise(text):
    metadata = dict.fromkeys(
        ("ss_tag_frequency", "ss_dataset_dirs", "ss_reg_dataset_dirs", "ss_bucket_info", "ss_datasets", "ssmd_rating"),
        text,
    ) | {"modelspec.thumbnail": text, "ssmd_cover_images": text, "ss_training_started_at": text}

    table = tag_table(metadata)
    assert table.total == {}
    assert triggers(metadata, table, {"trainedWords": 3}) == ()
    assert picture_tables(metadata).buckets == ()
    assert cover_of(metadata).png == b""
    assert grouped_facts(metadata)


def test_tags_are_summed_over_folders_and_odd_counts_are_said():
    table = tag_table({"ss_tag_frequency": json.dumps({"a": {"x": 3, "y": "2", "z": None}, "b": {"x": 1}, "c": 5})})

    assert table.folders == {"a": {"x": 3, "y": 2}, "b": {"x": 1}}
    assert table.total == {"x": 4, "y": 2}
    assert table.problem == "ss_tag_frequency: 2 entries are unreadable and not shown."


def test_a_trigger_is_frequent_in_one_folder_and_rare_in_the_others():
    tags = {"5_cat": {"mycat": 10, "1girl": 10, "indoors": 9}, "5_dog": {"mydog": 10, "1girl": 10, "indoors": 9}}

    found = triggers({}, tag_table({"ss_tag_frequency": json.dumps(tags)}), {})

    assert {one.words for one in found} == {"mycat", "mydog"}
    assert all(one.is_guess for one in found)


def test_words_that_somebody_wrote_down_win_over_guesses():
    metadata = {**KOHYA, "modelspec.trigger_phrase": "sks"}

    found = triggers(metadata, tag_table(metadata), {"activation text": "sks cat,", "trainedWords": ["a", 3, "SKS,"]})

    assert [one.words for one in found] == ["sks", "sks cat,", "a"]


def test_data_sets_and_buckets_come_from_both_places():
    buckets = {"buckets": {"0": {"resolution": [512, 768], "count": 3}, "1": {"resolution": [64], "count": 1}}}
    datasets = [
        {
            "resolution": [512, 512],
            "bucket_info": buckets,
            "subsets": [
                {"image_dir": "cats", "img_count": 20, "num_repeats": 2, "class_tokens": "cat", "is_reg": False}
            ],
        }
    ]

    new = picture_tables({"ss_datasets": json.dumps(datasets)})
    old = picture_tables({"ss_dataset_dirs": KOHYA["ss_dataset_dirs"], "ss_bucket_info": json.dumps(buckets)})

    assert new.folders == (FolderRow("cats", 20, 2, "512 × 512", "cat"),)
    assert old.folders == (FolderRow("10_sks cat", 20, 10),)
    assert new.buckets == old.buckets == (BucketRow(512, 768, 3),)


def test_facts_come_in_groups_with_the_names_people_know():
    facts = grouped_facts({**KOHYA, "ss_something_new": "1", "ss_flip_aug": "True"})

    assert list(facts) == ["Training", "Data set", "Machine", "About", "Further"]
    assert [(fact.title, fact.text) for fact in facts["Data set"]] == [("Mirror pictures", "yes")]
    assert [fact.key for fact in facts["Further"]] == ["ss_something_new"]


@pytest.mark.parametrize(
    ("metadata", "naming", "trainer"),
    [
        ({"modelspec.implementation_version": "tanren/1.0", "ss_network_module": "networks.lora"}, "kohya", "Tanren"),
        ({"ss_network_module": "networks.lora"}, "kohya", "kohya sd-scripts"),
        ({"ss_network_module": "lycoris.kohya"}, "kohya", "kohya sd-scripts with LyCORIS"),
        ({"modelspec.implementation_version": "sd-scripts/abc"}, "", "kohya sd-scripts"),
        ({"ot_branch": "master"}, "kohya", "OneTrainer"),
        ({"software": '{"name": "ai-toolkit"}'}, "PEFT (diffusers)", "ai-toolkit"),
        ({"lora_adapter_metadata": "{}"}, "PEFT (diffusers)", "diffusers"),
        ({}, "OneTrainer", "OneTrainer"),
        ({}, "PEFT (diffusers)", "diffusers, PEFT or ai-toolkit"),
        ({}, "", ""),
    ],
)
def test_the_program_that_trained_it(metadata, naming, trainer):
    assert trainer_of(metadata, naming) == trainer


@pytest.mark.parametrize(
    ("metadata", "beside", "a1111", "forge"),
    [
        ({}, {}, "Unknown", "Unknown"),
        ({"anything": "1"}, {}, "SD1", "Unknown"),
        ({"ss_v2": "True"}, {}, "SD2", "SD2"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, {}, "SDXL", "SDXL"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, {}, "SD1", "SDXL"),
        ({"modelspec.architecture": "flux-1-dev/lora"}, {}, "SD1", "Flux"),
        ({"ss_v2": "True"}, {"sd version": "SDXL"}, "SDXL", "SDXL"),
        ({"ss_v2": "True"}, {"sd version": "nonsense"}, "SD2", "SD2"),
    ],
)
def test_hosts_file_by_their_own_rules(metadata, beside, a1111, forge):
    assert [one.version for one in filed_by_hosts(metadata, beside, "unknown")] == [a1111, forge]


def test_a_card_is_hidden_when_another_base_is_loaded():
    assert is_hidden(Filed("Forge", "SD1", True), "sdxl")
    assert not is_hidden(Filed("Forge", "Unknown", True), "sdxl")


def test_whether_a_network_fits_a_checkpoint():
    assert fit("sdxl", "sdxl").answer is True
    assert fit("sd1", "sdxl").sentence == (
        "Made for Stable Diffusion 1: it cannot work with an SDXL model, whose layers have other sizes."
    )
    assert fit("unknown", "sdxl").answer is None


def test_what_lies_beside_is_read_and_damage_is_said(tmp_path):
    path = write_network(tmp_path / "cat.safetensors")
    (tmp_path / "cat.json").write_text('{"activation text": "sks"}', "utf-8")
    (tmp_path / "cat.civitai.info").write_text("{", "utf-8")
    (tmp_path / "cat.preview.png").write_bytes(png())
    (tmp_path / "cat.txt").write_text("about cats", "utf-8")

    look = look_at(path)

    assert look.beside.host == {"activation text": "sks"}
    assert look.beside.preview == tmp_path / "cat.preview.png"
    assert look.beside.description == "about cats"
    assert look.warnings == ("cat.civitai.info is unreadable.",)


def test_a_cover_is_found_decoded_and_made_anew(tmp_path):
    picture = tmp_path / "cover.png"
    picture.write_bytes(png(600, 300))
    values = cover_values(picture)

    cover = cover_of({"ssmd_cover_images": values["ssmd_cover_images"]})

    assert cover.source == "ssmd_cover_images"
    assert Image.open(io.BytesIO(cover.png)).size == (512, 256)
    assert cover_of(values).source == "modelspec.thumbnail"


def test_bombs_and_other_things_are_no_covers():
    flat = png(5000, 5000)
    with pytest.raises(DataError, match="5000 × 5000 pixels"):
        picture_bytes(flat, 64)
    with pytest.raises(DataError, match="no picture"):
        picture_bytes(b"<svg onload=alert(1)>", 64)
    huge = cover_of({"modelspec.thumbnail": base64.b64encode(bytes(4 * 2**20)).decode()})
    assert (
        huge.problem == "modelspec.thumbnail is unreadable: 5592408 characters of base64; at most 4194304 are decoded."
    )


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(ModelFileError, match="web page"):
        look_at(path)
