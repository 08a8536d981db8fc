"""A line of the table for files in the naming of the trainers people use: family, type, rank, trainer."""

from __future__ import annotations

import dataclasses

import pytest
from network_files import CLIP, FLUX_LORA, SD1_LORA, SD_ATTENTION, SDXL_ATTENTION, SDXL_LORA, lora, peft, write_network
from tanren.formats.network_kind import network_kind
from tanren.library import rows
from tanren.library.rows import KindMemory, Row, from_json, row_of, to_json

UNET = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
FLUX, FLUX_SINGLE = "transformer_blocks.3.attn.to_q", "single_transformer_blocks.9.attn.to_q"
LOKR = f"lycoris_{SDXL_ATTENTION}"
LLLITE = "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
KOHYA = {"ss_sd_scripts_commit_hash": "abc", "ss_network_module": "networks.lora"}
FILES = {
    "kohya SD1": (SD1_LORA, {**KOHYA, "ss_v2": "False"}, ("sd1", "lora", "4–8", "kohya sd-scripts")),
    "kohya SDXL": (SDXL_LORA, KOHYA, ("sdxl", "lora", "8", "kohya sd-scripts")),
    "kohya FLUX": (FLUX_LORA, KOHYA, ("flux", "lora", "8–16", "kohya sd-scripts")),
    "kohya, stripped": (SDXL_LORA, {}, ("sdxl", "lora", "8", "a trainer with kohya's names")),
    "LyCORIS LoHa": (
        {
            **{f"lora_unet_{SD_ATTENTION}.hada_w{n}_a": (640, 6) for n in (1, 2)},
            **{f"lora_unet_{SD_ATTENTION}.hada_w{n}_b": (6, 768) for n in (1, 2)},
            f"lora_unet_{SD_ATTENTION}.alpha": (),
        },
        {"ss_network_module": "lycoris.kohya"},
        ("sd1", "loha", "6", "kohya sd-scripts with LyCORIS"),
    ),
    "LyCORIS LoKr": (
        {f"{LOKR}.lokr_w1": (16, 16), f"{LOKR}.lokr_w2_a": (40, 5), f"{LOKR}.lokr_w2_b": (5, 128), f"{LOKR}.alpha": ()},
        {},
        ("sdxl", "lokr", "5", "LyCORIS"),
    ),
    "diffusers with PEFT": (
        peft(f"unet.{UNET}", 768, 640, 12),
        {},
        ("sd1", "lora", "12", "diffusers, PEFT"),
    ),
    "OneTrainer FLUX": (
        lora("lora_transformer_single_transformer_blocks_30_attn_to_q", 3072, 3072, 16),
        {"ot_config": "{}"},
        ("flux", "lora", "16", "OneTrainer"),
    ),
    "ai-toolkit FLUX": (
        {
            **peft(f"transformer.{FLUX}", 3072, 3072, 16),
            **peft(f"transformer.{FLUX_SINGLE}", 3072, 3072, 16),
        },
        {"software": '{"name": "ai-toolkit", "repo": "https://github.com/ostris/ai-toolkit"}'},
        ("flux", "lora", "16", "ai-toolkit"),
    ),
    "DoRA": (
        {**SD1_LORA, f"lora_unet_{SD_ATTENTION}.dora_scale": (640, 1)},
        KOHYA,
        ("sd1", "dora", "4–8", "kohya sd-scripts"),
    ),
    "LLLite": (
        {
            f"{LLLITE}.conditioning1.0.weight": (16, 3, 4, 4),
            f"{LLLITE}.down.0.weight": (64, 640),
            f"{LLLITE}.mid.0.weight": (64, 96),
            f"{LLLITE}.up.0.weight": (640, 64),
        },
        {},
        ("sdxl", "lllite", "64", "kohya sd-scripts"),
    ),
    "text encoder only": (lora(f"lora_te_{CLIP}", 768, 768, 4), KOHYA, ("sd1", "lora", "4", "kohya sd-scripts")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_line_tells_family_type_rank_and_trainer(tmp_path, name):
    shapes, metadata, expected = FILES[name]
    row = row_of(write_network(tmp_path / "x.safetensors", shapes, metadata), "state", 1, 2.0)

    assert (row.family, row.type, row.ranks, row.trainer[: len(expected[3])]) == expected
    assert (row.problem, row.has_metadata) == ("", bool(metadata))


def test_a_line_says_where_a_host_is_mistaken(tmp_path):
    row = row_of(write_network(tmp_path / "x.safetensors", FLUX_LORA, KOHYA), "", 0, 0)

    assert row.doubt == "AUTOMATIC1111 files it under SD1, but it is FLUX.1."


def test_a_pytorch_file_is_a_line_that_says_it_is_not_opened(tmp_path):
    (tmp_path / "old.pt").write_bytes(b"PK\3\4")

    assert row_of(tmp_path / "old.pt", "", 0, 0).problem.startswith("A PyTorch file")


def test_a_line_comes_back_from_json(tmp_path):
    row = row_of(write_network(tmp_path / "x.safetensors", SDXL_LORA, KOHYA), "state", 1, 2.0)

    assert from_json(to_json(row)) == row
    assert dataclasses.replace(row, path="/a/b.safetensors").name == "b.safetensors"
    with pytest.raises(TypeError):
        from_json([3] * len(rows.FIELDS))


def test_kinds_are_remembered_for_the_tables_seen_last():
    memory = KindMemory()
    tables = [lora(f"lora_unet_{SD_ATTENTION}", 768, 640, rank) for rank in range(1, 40)]

    first = memory(tables[0])

    assert first == network_kind(tables[0])
    assert memory(dict(tables[0])) is first
    for table in tables:
        assert memory(table) == network_kind(table)
    assert memory(tables[0]) is not first
    assert memory(tables[-1]).layers[0].rank == 39


def test_names_that_are_no_text_can_be_kept():
    assert from_json(to_json(Row("/a\udc80.safetensors", "x"))).path == "/a\udc80.safetensors"
