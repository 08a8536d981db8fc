import hashlib

from tanren.formats.lora_metadata import minimum_of, new_model_hash, old_model_hash, sshs_hashes, training_part


def test_the_model_hash_is_that_of_everything_after_the_header():
    hashes = sshs_hashes(b"header", [b"pay", b"load"])

    assert hashes["sshs_model_hash"] == hashlib.sha256(b"payload").hexdigest()


def test_a_file_under_a_mebibyte_has_the_legacy_hash_of_nothing():
    assert sshs_hashes(b"header", [b"payload"])["sshs_legacy_hash"] == "e3b0c442"


def test_the_legacy_hash_is_over_64_kib_at_1_mib_of_header_and_payload_however_it_is_cut():
    header, payload = b"h" * 1000, bytes(range(256)) * 5000
    expected = hashlib.sha256((header + payload)[0x100000:0x110000]).hexdigest()[:8]

    for size in (999, 2**16, 2**22):
        blocks = [payload[start : start + size] for start in range(0, len(payload), size)]
        assert sshs_hashes(header, blocks)["sshs_legacy_hash"] == expected
    assert (
        sshs_hashes(header * 1100, [payload])["sshs_legacy_hash"]
        == (hashlib.sha256((header * 1100 + payload)[0x100000:0x110000]).hexdigest()[:8])
    )


def test_hashes_of_model_files(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"x" * 0x100000 + b"y" * 0x20000)

    assert old_model_hash(path) == hashlib.sha256(b"y" * 0x10000).hexdigest()[:8]
    assert new_model_hash(path) == hashlib.sha256(b"x" * 0x100000 + b"y" * 0x20000).hexdigest()
    assert old_model_hash(tmp_path / "none") == "NOFILE"
    assert old_model_hash(tmp_path) == "IsADirectory"
    assert new_model_hash(tmp_path) is None


def test_no_metadata_leaves_the_six_keys_readers_need_and_modelspec():
    metadata = {"ss_v2": "False", "ss_seed": "1", "modelspec.title": "x", "ss_network_dim": "4", "other": "y"}

    assert minimum_of(metadata) == {"ss_v2": "False", "modelspec.title": "x", "ss_network_dim": "4"}


def test_only_ss_keys_take_part_in_the_hashes():
    assert training_part({"ss_a": "1", "sshs_b": "2", "ssmd_c": "3", "modelspec.d": "4"}) == {"ss_a": "1"}
