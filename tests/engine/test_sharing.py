"""A U-Net that two real processes share out: what accelerate and --deepspeed ask for, and the result."""

import json
import sys

import pytest
import torch
from diffusers import UNet2DConditionModel
from recipes.training import arguments, base_model, data_folder, tensors
from several import run_several
from tanren.engine.processes import Sharing
from tanren.engine.sharing import asked_sharing, share_out
from tanren.engine.together import joined
from tanren.entry import main
from tanren.errors import UsageError
from tanren.events import Report
from tanren.options.distributed import ORDINARY, DistributedOptions

needs_gloo = pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
OLD_FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}
SHARED = "The frozen U-Net is shared out among 2 processes."
DEEPSPEED = {"ACCELERATE_USE_DEEPSPEED": "true"}


def shared_by(monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))


def asked(monkeypatch, environment, options=ORDINARY, count=2):
    shared_by(monkeypatch, environment)
    told = []
    return asked_sharing(options, count, Report([told.append])), [event["text"] for event in told]


@pytest.mark.parametrize(
    ("environment", "sharing"),
    [
        pytest.param({}, None, id="plain"),
        pytest.param({**FSDP, "FSDP_RESHARD_AFTER_FORWARD": "true"}, Sharing(), id="FSDP 2"),
        pytest.param({**FSDP, "FSDP_RESHARD_AFTER_FORWARD": "false"}, Sharing(lets_go=False), id="FSDP 2, kept"),
        pytest.param({**OLD_FSDP, "FSDP_SHARDING_STRATEGY": "FULL_SHARD"}, Sharing(), id="FSDP 1"),
        pytest.param(
            {**OLD_FSDP, "FSDP_SHARDING_STRATEGY": "SHARD_GRAD_OP"}, Sharing(lets_go=False), id="FSDP 1, kept"
        ),
        pytest.param({**OLD_FSDP, "FSDP_SHARDING_STRATEGY": "NO_SHARD"}, None, id="FSDP 1, not at all"),
        pytest.param({**OLD_FSDP, "FSDP_OFFLOAD_PARAMS": "true"}, Sharing(True, True), id="FSDP 1, main memory"),
        pytest.param({**DEEPSPEED, "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, Sharing(), id="ZeRO 3"),
    ],
)
def test_accelerates_configuration_says_whether_and_how_the_model_is_shared(monkeypatch, environment, sharing):
    assert asked(monkeypatch, environment) == (sharing, [SHARED] if sharing else [])


def test_a_configuration_file_of_deepspeed_is_read(monkeypatch, tmp_path):
    content = {"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}}
    path = tmp_path / "zero.json"
    path.write_text(json.dumps(content))

    found, _ = asked(monkeypatch, {**DEEPSPEED, "ACCELERATE_DEEPSPEED_CONFIG_FILE": path})

    assert found == Sharing(rests_in_main_memory=True)


def test_a_configuration_file_of_deepspeed_that_cannot_be_read_is_named(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="cannot be read") as caught:
        asked(monkeypatch, {**DEEPSPEED, "ACCELERATE_DEEPSPEED_CONFIG_FILE": tmp_path / "none.json"})
    assert caught.value.where == str(tmp_path / "none.json")


def test_sharing_within_machines_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="HYBRID_SHARD, which is not supported"):
        asked(monkeypatch, {**OLD_FSDP, "FSDP_SHARDING_STRATEGY": "HYBRID_SHARD"})


@pytest.mark.option("deepspeed", "zero_stage")
def test_the_options_of_sd_scripts_for_deepspeed_share_the_model_at_stage_3(monkeypatch):
    assert asked(monkeypatch, {}, DistributedOptions(deepspeed=True, zero_stage=3)) == (Sharing(), [SHARED])
    found, said = asked(monkeypatch, {}, DistributedOptions(deepspeed=True, zero_stage=2))
    assert found is None
    assert said == [
        "DeepSpeed's ZeRO stage 2 shares out gradients and the optimizer's state, of which a LoRA has little: every "
        "process keeps its own, and the result is the same. --zero_stage=3 shares out the frozen U-Net."
    ]
    assert asked(monkeypatch, {}, DistributedOptions(zero_stage=3)) == (None, [])


@pytest.mark.option("offload_param_device")
def test_shared_weights_rest_in_main_memory_when_asked(monkeypatch):
    options = DistributedOptions(deepspeed=True, zero_stage=3, offload_param_device="cpu")
    assert asked(monkeypatch, {}, options) == (Sharing(rests_in_main_memory=True), [SHARED])


def test_a_single_process_says_that_it_keeps_the_model(monkeypatch):
    assert asked(monkeypatch, FSDP, count=1) == (
        None,
        ["The model is not shared out. There is one process, which keeps the whole model."],
    )


@needs_gloo
def test_each_process_keeps_its_part_and_the_output_is_that_of_the_whole():
    def work(index):
        torch.manual_seed(1)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=8,
            norm_num_groups=8,
            layers_per_block=1,
        ).requires_grad_(False)
        given = torch.randn(1, 4, 8, 8), torch.tensor([5]), torch.randn(1, 7, 16)
        with joined(ORDINARY, Report(), give_up=print):
            whole, size = unet(*given).sample, sum(p.numel() for p in unet.parameters())
            share_out(unet, Sharing(), torch.device("cpu"))
            torch.testing.assert_close(unet(*given).sample, whole)
            return sum(p.to_local().numel() for p in unet.parameters()) / size

    assert run_several(work) == pytest.approx([0.5, 0.5], abs=0.01)


@needs_gloo
def test_a_run_with_a_shared_model_learns_what_it_learns_without(tmp_path, monkeypatch, capfd):
    """With sample pictures, of which the processes draw all together, validation, and activations computed twice."""
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    model, data, prompts = base_model(tmp_path), data_folder(tmp_path / "pictures"), tmp_path / "prompts.txt"
    prompts.write_text("waves --w 64 --h 64 --s 2\n" * 3)
    options = {
        "optimizer_type": "SGD",
        "learning_rate": "0.1",
        "max_train_steps": 3,
        "max_train_epochs": None,
        "gradient_checkpointing": True,
        "sample_prompts": prompts,
        "sample_every_n_steps": 2,
        "validation_split": 0.5,
        "validate_every_n_steps": 2,
        "max_data_loader_n_workers": 0,
    }

    def train(out):
        words = arguments(model, data, tmp_path / out, **options)
        assert run_several(lambda index: main("train_network", words)) == [0, 0]
        return tensors(tmp_path / out / "waves.safetensors")

    plain = train("plain")
    shared_by(monkeypatch, FSDP)
    assert SHARED not in capfd.readouterr().err
    shared = train("shared")
    assert capfd.readouterr().err.count(SHARED) == 1

    assert max(float(tensor.abs().max()) for name, tensor in plain.items() if "lora_up" in name) > 1e-4
    for name, tensor in plain.items():
        torch.testing.assert_close(shared[name], tensor, rtol=1e-3, atol=1e-6)
    assert [len(list((tmp_path / out / "sample").iterdir())) for out in ("plain", "shared")] == [3, 3]


@needs_gloo
def test_eight_bit_weights_cannot_be_shared(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))
    shared_by(monkeypatch, FSDP)
    model, data = base_model(tmp_path), data_folder(tmp_path / "pictures")
    words = arguments(model, data, tmp_path / "out", fp8_base=True, mixed_precision="bf16")

    assert run_several(lambda index: main("train_network", words)) == [UsageError.code, UsageError.code]

    assert "--fp8_base: It does not go together with a U-Net that is shared out" in capfd.readouterr().err
