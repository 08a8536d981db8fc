"""What is special about LECO."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Refuses, option


@dataclass(frozen=True, kw_only=True)
class LecoOptions:
    """The prompts that are learned, and how pictures are begun for them."""

    prompts_file: str | None = option(
        None,
        "TOML file with what to erase, to strengthen or to slide.",
        label="Prompt file",
        level="basic",
        path="file",
    )
    max_denoising_steps: int = option(
        40,
        "A picture is begun in up to this many steps less one before predictions are compared.",
        label="Denoising steps",
        minimum=2,
        maximum=1000,
    )
    leco_denoise_guidance_scale: float = option(
        3.0,
        "Guidance of that beginning; how far a concept is moved is the prompt file's guidance_scale.",
        label="Denoising guidance",
        minimum=0,
    )

    rules = (
        Refuses("network_train_text_encoder_only", because="LECO changes the U-Net only"),
        Refuses("max_train_epochs", because="LECO has no epochs; its length is --max_train_steps"),
        Refuses("save_every_n_epochs", because="LECO has no epochs; use --save_every_n_steps"),
        Refuses("save_n_epoch_ratio", because="LECO has no epochs; use --save_every_n_steps"),
        *(
            Refuses(name, because="LECO compares predictions in its own way", warns=True)
            for name in (
                *("min_timestep", "max_timestep", "multires_noise_iterations", "ip_noise_gamma"),
                *("debiased_estimation_loss", "scale_v_pred_loss_like_noise_pred", "v_pred_like_loss"),
            )
        ),
    )
