"""Files as our trainer and LyCORIS really write them are known for what they are."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from networks.tiny import tiny_model
from tanren.checkpoint.weights import save_weights
from tanren.library.look import look_at
from tanren.networks.modules import attach_network
from tanren.options.network import NetworkOptions

needs_lycoris = pytest.mark.skipif(find_spec("lycoris") is None, reason="lycoris-lora is not installed")
META = {"ss_v2": "False", "ss_base_model_version": "sd_v1"}


def never_read(path: Path):
    raise AssertionError(path)


def written(tmp_path, **values):
    options = NetworkOptions(**{"network_dim": 4, "network_alpha": 2.0, **values})
    path = tmp_path / "net.safetensors"
    attach_network(tiny_model(), options, 1, never_read).save(path, None, META, save_weights)
    return look_at(path)


@pytest.mark.parametrize(
    ("arguments", "kind", "ranks"),
    [((), "lora", "rank 4, alpha 2"), (("conv_dim=2", "conv_alpha=1"), "locon", "rank 2 to 4, alpha 1 to 2")],
)
def test_networks_of_our_own(tmp_path, arguments, kind, ranks):
    look = written(tmp_path, network_module="networks.lora", network_args=arguments)

    assert (look.family, look.family_source, look.kind.type) == ("sd1", "derived", kind)
    assert (look.kind.by_part()["unet"].text, look.kind.by_part()["te"].text) == (ranks, "rank 4, alpha 2")
    assert (look.warnings, look.kind.unknown, look.kind.misfits) == ((), 0, ())


@needs_lycoris
@pytest.mark.parametrize(
    ("algo", "title", "rank"),
    [
        ("locon", "LoCon (LoRA with convolutions)", {4}),
        ("loha", "LoHa", {4}),
        ("lokr", "LoKr", None),
        ("full", "full difference", set()),
        ("diag-oft", "OFT", set()),
        ("glora", "GLoRA", {4}),
        ("ia3", "IA3", set()),
    ],
)
def test_networks_of_lycoris(tmp_path, algo, title, rank):
    look = written(tmp_path, network_module="lycoris.kohya", network_args=(f"algo={algo}",))

    assert (look.family, look.kind.type_title) == ("sd1", title)
    assert rank is None or set(look.kind.by_part()["unet"].ranks) == rank
    assert look.kind.misfits == ()


@needs_lycoris
def test_a_dora_of_lycoris(tmp_path):
    look = written(tmp_path, network_module="lycoris.kohya", network_args=("algo=loha", "dora_wd=True"))

    assert look.kind.type_title == "DoRA on LoHa"
