"""The keys of kohya_ss' GUI: which are its own words, and what their values mean when nobody touched them."""

from __future__ import annotations

# Keys that a LoRA configuration of any version has.
MARKS = ("LoRA_type", "network_dim")
FAMILIES = {
    "sdxl": "SDXL",
    "flux1_checkbox": "FLUX.1",
    "sd3_checkbox": "Stable Diffusion 3",
    "hunyuan_image_checkbox": "HunyuanImage",
    "anima_checkbox": "Anima",
    "lumina_checkbox": "Lumina",
}
# The commands of those that are trained here, and the GUI's names for options of theirs.
FAMILY_COMMANDS = {"sdxl": "sdxl_train_network"}
OWN_NAMES = {
    "sdxl": {"sdxl_cache_text_encoder_outputs": "cache_text_encoder_outputs", "sdxl_no_half_vae": "no_half_vae"}
}
FAMILY_PREFIXES = ("sdxl_", "flux1_", "flux_", "sd3_", "hunyuan_", "anima_", "lumina_", "clip_g", "t5xxl")
_OF_FAMILIES = """
    ae clip_l t5xxl discrete_flow_shift model_prediction_type timestep_sampling split_mode train_blocks
    enable_all_linear guidance_scale mem_eff_save apply_t5_attn_mask split_qkv train_t5xxl cpu_offload_checkpointing
    blocks_to_swap single_blocks_to_swap double_blocks_to_swap show_timesteps show_timesteps_resolution img_attn_dim
    img_mlp_dim img_mod_dim single_dim txt_attn_dim txt_mlp_dim txt_mod_dim single_mod_dim in_dims model_type
    train_double_block_indices train_single_block_indices logit_mean logit_std mode_scale pos_emb_random_crop_rate
    save_clip save_t5xxl weighting_scheme train_lora_ggpo ggpo_sigma ggpo_beta fp8_base_unet
    disable_mmap_load_safetensors fused_backward_pass blockwise_fused_optimizers fused_optimizer_groups
    learning_rate_te learning_rate_te1 learning_rate_te2
"""
FAMILY_KEYS = frozenset(_OF_FAMILIES.split())
# What the GUI keeps for itself, and starts accelerate with; the values are those of its untouched form.
ITS_OWN = {
    "save_as_bool": False,
    "file_path": "",
    "model_list": "",
    "lowvram": False,
    "no_token_padding": False,
}
LAUNCH = {
    "num_cpu_threads_per_process": 2,
    "num_processes": 1,
    "num_machines": 1,
    "multi_gpu": False,
    "gpu_ids": "",
    "main_process_port": 0,
    "dynamo_backend": "no",
    "dynamo_mode": "default",
    "dynamo_use_fullgraph": False,
    "dynamo_use_dynamic": False,
    "extra_accelerate_launch_args": "",
}
_OFF_AT_ZERO = """
    clip_skip ip_noise_gamma max_timestep max_train_epochs max_train_steps min_snr_gamma min_timestep
    sample_every_n_epochs sample_every_n_steps save_every_n_epochs save_every_n_steps save_last_n_epochs
    save_last_n_epochs_state save_last_n_steps save_last_n_steps_state scale_weight_norms network_dropout seed
    v_pred_like_loss vae_batch_size lr_warmup_steps
"""
ZERO_IS_OFF = frozenset(_OFF_AT_ZERO.split())
RENAMED = {"max_resolution": "resolution", "optimizer": "optimizer_type", "lora_network_weights": "network_weights"}
NOISE = {
    "Original": ("noise_offset", "noise_offset_random_strength", "adaptive_noise_scale"),
    "Multires": ("multires_noise_iterations", "multires_noise_discount"),
}
CYCLING = ("cosine_with_restarts", "cosine_with_min_lr")
