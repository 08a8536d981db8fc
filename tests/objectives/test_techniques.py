"""Every noise and loss technique through the real training step, against a float64 computation of its formula.

The U-Net, latents, text, noise and timesteps are fixed. The reference has its own U-Net in float64, as diffusers made
it, with the LoRA merged into its weights; it knows nothing of our layers, tables and objectives.
"""

import dataclasses

import pytest
import torch
from objectives.float64_reference import Draws, reference_loss
from objectives.small_unets import small, small_batch
from tanren.engine.precision import Precision
from tanren.engine.processes import Processes
from tanren.engine.step import TrainingStep
from tanren.objectives.denoising import Denoising
from tanren.options.loss import LossOptions
from torch.func import functional_call

CPU = torch.device("cpu")
SEED, STEP = 77, 4
# Almost clean, in the middle, almost noise; the last one is pure noise with --zero_terminal_snr.
TIMESTEPS = torch.tensor([0, 463, 999])
KINDS = [("sd1", "epsilon"), ("sd2", "v"), ("sdxl", "epsilon"), ("sdxl", "v")]
IDS = ["SD 1", "SD 2 v", "SDXL", "SDXL v"]

ANY_MODEL = [
    {},
    {"noise_offset": 0.1},
    {"noise_offset": 0.0357, "noise_offset_random_strength": True},
    {"noise_offset": 0.05, "adaptive_noise_scale": 0.2},
    {"noise_offset": 0.05, "adaptive_noise_scale": -0.2},
    {"multires_noise_iterations": 1},
    {"multires_noise_iterations": 6},
    {"multires_noise_iterations": 10, "multires_noise_discount": 0.8},
    {"ip_noise_gamma": 0.1},
    {"ip_noise_gamma": 0.5, "ip_noise_gamma_random_strength": True},
    {"min_snr_gamma": 5.0},
    {"min_snr_gamma": 1.0},
    {"debiased_estimation_loss": True},
    {"loss_type": "l1"},
    {"loss_type": "l2"},
    {"loss_type": "huber"},
    {"loss_type": "smooth_l1"},
    *(
        {"loss_type": loss, "huber_schedule": schedule, "huber_c": 0.25, "huber_scale": 1.5}
        for loss in ("huber", "smooth_l1")
        for schedule in ("constant", "exponential", "snr")
    ),
    # What people put together.
    {"noise_offset": 0.0357, "min_snr_gamma": 5.0, "multires_noise_iterations": 6, "multires_noise_discount": 0.3},
    {"ip_noise_gamma": 0.1, "loss_type": "huber", "huber_schedule": "exponential", "min_snr_gamma": 5.0},
    {"min_snr_gamma": 5.0, "debiased_estimation_loss": True, "noise_offset": 0.1, "noise_offset_random_strength": True},
    {"loss_type": "smooth_l1", "multires_noise_iterations": 8, "ip_noise_gamma": 0.05, "noise_offset": 0.1},
]
NOISE_MODELS_ONLY = [
    {"v_pred_like_loss": 0.5},
    {"v_pred_like_loss": 0.1, "min_snr_gamma": 5.0, "debiased_estimation_loss": True},
]
VELOCITY_MODELS_ONLY = [
    {"scale_v_pred_loss_like_noise_pred": True},
    {"scale_v_pred_loss_like_noise_pred": True, "min_snr_gamma": 5.0, "debiased_estimation_loss": True},
]
TECHNIQUES = (
    "noise_offset",
    "noise_offset_random_strength",
    "adaptive_noise_scale",
    "multires_noise_iterations",
    "multires_noise_discount",
    "ip_noise_gamma",
    "ip_noise_gamma_random_strength",
    "min_snr_gamma",
    "debiased_estimation_loss",
    "loss_type",
    "huber_schedule",
    "huber_c",
    "huber_scale",
)


def in_words(options):
    return " ".join(f"{name}={value}" for name, value in options.items()) or "nothing"


@pytest.fixture(scope="module")
def built():
    """Models by kind, made once."""
    made = {}

    def get(kind, prediction_type, *, zero_terminal_snr=False):
        key = kind, prediction_type, zero_terminal_snr
        if key not in made:
            made[key] = small(kind, prediction_type, zero_terminal_snr=zero_terminal_snr)
        made[key].network.load_tensors(made[key].start)
        return made[key]

    return get


class NoSchedule:
    def step(self):
        pass


def real_step(made, batch, options, *, timesteps, lr=0.0, scale_weight_norms=None):
    """One update as a training does it; returns what it reports and the timesteps it used."""
    objective = Denoising(made.model, made.network, LossOptions(**options), seed=SEED)
    inputs = objective.inputs(batch, STEP)
    if timesteps is not None:
        inputs = dataclasses.replace(inputs, timesteps=timesteps)
    precision = Precision("no", torch.float32, torch.float32, CPU)
    parameters = [parameter for parameter in made.network.parameters() if parameter.requires_grad]
    step = TrainingStep(
        objective,
        made.network,
        torch.optim.SGD(parameters, lr=lr),
        NoSchedule(),
        precision.make_scaler(),
        precision,
        Processes(CPU),
        seed=SEED,
        max_grad_norm=0,
        scale_weight_norms=scale_weight_norms,
    )
    return step([inputs], STEP), inputs.timesteps


class Reference:
    """The same U-Net and LoRA in float64, put together by the definition of a LoRA: W + alpha / rank · up · down."""

    def __init__(self, made, batch):
        self.made, self.batch = made, batch
        self.factors = {
            name: tensor.double().requires_grad_(not name.endswith("alpha")) for name, tensor in made.start.items()
        }

    def delta(self, layer, factors):
        down, up = factors[f"{layer}.lora_down.weight"], factors[f"{layer}.lora_up.weight"]
        return factors[f"{layer}.alpha"] / len(down) * (up.flatten(1) @ down.flatten(1))

    def predict(self, timesteps):
        weights = dict(self.made.plain.named_parameters())
        for layer, path in self.made.paths.items():
            name = f"{path}.weight"
            weights[name] = weights[name] + self.delta(layer, self.factors).reshape(weights[name].shape)
        text = self.batch.text
        more = {}
        if "text_time" in str(self.made.plain.config.get("addition_embed_type")):
            more = {"added_cond_kwargs": {"text_embeds": text.pooled.double(), "time_ids": self.batch.sizes}}
        return lambda noisy: (
            functional_call(self.made.plain, weights, (noisy, timesteps, text.hidden.double()), more).sample
        )

    def loss(self, options, timesteps, *, predicts_v, zero_terminal_snr=False):
        return reference_loss(
            options,
            Draws(SEED, STEP, self.batch),
            timesteps,
            self.predict(timesteps),
            predicts_v=predicts_v,
            zero_terminal_snr=zero_terminal_snr,
        )

    def gradients(self, loss):
        learning = {name: tensor for name, tensor in self.factors.items() if tensor.requires_grad}
        return dict(zip(learning, torch.autograd.grad(loss, list(learning.values())), strict=True))


def check(built, kind, prediction_type, options, *, timesteps=TIMESTEPS, zero_terminal_snr=False, **of_the_batch):
    """Loss and gradient of one update against the reference."""
    made = built(kind, prediction_type, zero_terminal_snr=zero_terminal_snr)
    batch = small_batch(**of_the_batch)
    reported, used = real_step(made, batch, options, timesteps=timesteps)
    reference = Reference(made, batch)
    loss = reference.loss(options, used, predicts_v=prediction_type == "v", zero_terminal_snr=zero_terminal_snr)
    norm = torch.stack([gradient.square().sum() for gradient in reference.gradients(loss).values()]).sum().sqrt()

    torch.testing.assert_close(reported.loss.double(), loss.detach(), rtol=1e-5, atol=0)
    torch.testing.assert_close(reported.grad_norm.double(), norm, rtol=1e-4, atol=0)
    return loss.item(), used


@pytest.mark.option(*TECHNIQUES)
@pytest.mark.parametrize(("kind", "prediction_type"), KINDS, ids=IDS)
@pytest.mark.parametrize("options", ANY_MODEL, ids=in_words)
def test_loss_and_gradient_equal_those_of_the_formula(built, kind, prediction_type, options):
    check(built, kind, prediction_type, options)


@pytest.mark.option("v_pred_like_loss")
@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
@pytest.mark.parametrize("options", NOISE_MODELS_ONLY, ids=in_words)
def test_what_only_noise_models_know_equals_its_formula(built, kind, options):
    check(built, kind, "epsilon", options)


@pytest.mark.option("scale_v_pred_loss_like_noise_pred")
@pytest.mark.parametrize("kind", ["sd2", "sdxl"])
@pytest.mark.parametrize("options", VELOCITY_MODELS_ONLY, ids=in_words)
def test_what_only_velocity_models_know_equals_its_formula(built, kind, options):
    check(built, kind, "v", options)


@pytest.mark.parametrize(("kind", "prediction_type"), KINDS, ids=IDS)
@pytest.mark.parametrize(
    "options", [{}, {"min_snr_gamma": 5.0, "noise_offset": 0.0357}, {"loss_type": "huber"}], ids=in_words
)
def test_a_schedule_that_ends_in_pure_noise(built, kind, prediction_type, options):
    check(built, kind, prediction_type, options, zero_terminal_snr=True)


@pytest.mark.option("masked_loss", "prior_loss_weight")
@pytest.mark.parametrize(("kind", "prediction_type"), KINDS, ids=IDS)
@pytest.mark.parametrize("options", [{}, {"loss_type": "smooth_l1", "min_snr_gamma": 5.0}], ids=in_words)
def test_masks_and_weights_of_samples(built, kind, prediction_type, options):
    masked, _ = check(built, kind, prediction_type, options, mask=True)
    weighted, _ = check(built, kind, prediction_type, options, loss_weights=(1.0, 0.25, 0.0))
    check(built, kind, prediction_type, options, mask=True, loss_weights=(1.0, 0.25, 2.0))
    plain, _ = check(built, kind, prediction_type, options)

    assert masked < plain and weighted < plain


@pytest.mark.option("min_timestep", "max_timestep")
@pytest.mark.parametrize(("kind", "prediction_type"), KINDS, ids=IDS)
def test_timesteps_of_the_range_and_no_others(built, kind, prediction_type):
    options = {"min_timestep": 700, "max_timestep": 703}
    _, used = check(built, kind, prediction_type, options, timesteps=None)
    _, one = check(built, kind, prediction_type, {"min_timestep": 5, "max_timestep": 5}, timesteps=None)

    assert set(used.tolist()) <= {700, 701, 702}
    assert one.tolist() == [5, 5, 5]


@pytest.mark.option("scale_weight_norms")
@pytest.mark.parametrize(("kind", "prediction_type"), KINDS, ids=IDS)
def test_weights_after_an_update_whose_norms_are_kept(built, kind, prediction_type):
    # Above the norm of some layers, below that of others, and twice as large as a few.
    limit, lr = 1.0, 0.05
    made, batch = built(kind, prediction_type), small_batch()
    reported, _ = real_step(made, batch, {}, timesteps=TIMESTEPS, lr=lr, scale_weight_norms=limit)
    reference = Reference(made, batch)
    gradients = reference.gradients(reference.loss({}, TIMESTEPS, predicts_v=prediction_type == "v"))

    expected = {name: tensor.detach() - lr * gradients.get(name, 0) for name, tensor in reference.factors.items()}
    norms = []
    for layer in made.paths:
        norm = float(reference.delta(layer, expected).norm())
        size = max(norm, limit / 2)
        ratio = min(size, limit) / size
        for part in ("down", "up"):
            expected[f"{layer}.lora_{part}.weight"] *= ratio**0.5
        norms.append((ratio < 1, norm * ratio))
    scaled = sum(was_scaled for was_scaled, _ in norms)

    assert 0 < scaled < len(norms)
    assert min(norm for _, norm in norms) < limit / 2
    assert int(reported.max_norm.scaled) == scaled
    assert float(reported.max_norm.mean) == pytest.approx(sum(norm for _, norm in norms) / len(norms), rel=1e-5)
    assert float(reported.max_norm.maximum) == pytest.approx(limit, rel=1e-5)
    after = made.network.tensors()
    for name, tensor in expected.items():
        torch.testing.assert_close(after[name].double(), tensor, rtol=1e-4, atol=1e-6)
