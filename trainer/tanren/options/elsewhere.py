"""Options that sd-scripts users know and that a command does not have: why, in one sentence each.

On the command line they are an error; in --config_file, where old keys are carried along, a warning.
"""

from __future__ import annotations

from collections.abc import Iterable

ABSENT = "It is known from sd-scripts, but not in this version."

_NOT_IN_THIS_VERSION = """
    blocks_to_swap split_mode
"""

_NEVER = {
    "dataset_class": "It names a class built on sd-scripts' own modules, which are not here. A dataset file "
    "(--dataset_config) or a list of pictures with captions (--in_json) says the same without code.",
}
_NOT_DRAWN = {
    "Deep Shrink is not here; --highres_fix_scale draws in two stages.": """ds_depth_1 ds_timesteps_1 ds_depth_2
        ds_timesteps_2 ds_ratio""",
    "Gradual Latent is not here; --highres_fix_scale draws in two stages.": """gradual_latent_timesteps
        gradual_latent_ratio gradual_latent_ratio_step gradual_latent_every_n_steps gradual_latent_s_noise
        gradual_latent_unsharp_params""",
    "It tried other noise to begin a picture with, which models are not trained for.": """pyramid_noise_prob
        pyramid_noise_discount_range noise_offset_prob noise_offset_range""",
    "It runs a module built for sd-scripts; let it write prompts to a file, and name that with --from_file.": """
        from_module prompter_module_args""",
    "It runs a module built for sd-scripts; pictures are enlarged with Lanczos, or latents with "
    "--highres_fix_latents_upscaling.": "highres_fix_upscaler highres_fix_upscaler_args",
    "Of control networks ControlNet-LLLite is here; the WebUI uses others.": """control_net_models control_net_preps
        control_net_weights""",
    "Networks act on the whole picture.": "network_regional_mask_max_color_codes",
    "Textual inversion embeddings are used in the WebUI.": "textual_inversion_embeddings",
    "Pictures are begun with through the VAE only.": "clip_vision_strength",
    "Pictures are decoded whole; --vae_batch_size 1 takes the least memory.": "vae_slices",
}
_OF_OTHER_COMMANDS = {
    "SDXL": "text_encoder_lr1 text_encoder_lr2",
    "FLUX.1": """clip_l t5xxl ae model_type text_encoder_batch_size t5xxl_max_token_length apply_t5_attn_mask
        guidance_scale timestep_sampling sigmoid_scale model_prediction_type discrete_flow_shift weighting_scheme
        logit_mean logit_std mode_scale controlnet_model_name_or_path""",
    "LECO": "prompts_file max_denoising_steps leco_denoise_guidance_scale",
    "ControlNet-LLLite": "cond_emb_dim",
    "DreamBooth (full model)": "learning_rate_te stop_text_encoder_training no_token_padding use_safetensors",
}

ELSEWHERE = {**dict.fromkeys(_NOT_IN_THIS_VERSION.split(), ABSENT), **_NEVER} | {
    name: f"It belongs to the training of {kind}."
    for kind, names in _OF_OTHER_COMMANDS.items()
    for name in names.split()
}
ELSEWHERE |= {name: why for why, names in _NOT_DRAWN.items() for name in names.split()}


def known_elsewhere(name: str, own: Iterable[str]) -> str | None:
    """Why a command that has the options `own` lacks this one, or None when nobody knows the name."""
    return None if name in own else ELSEWHERE.get(name)
