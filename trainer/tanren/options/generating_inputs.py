"""Pictures from prompts: pictures to begin with, networks, control pictures, two stages."""

from __future__ import annotations

from dataclasses import dataclass

from .spec import Conflicts, Requires, option


@dataclass(frozen=True, kw_only=True)
class FromPictureOptions:
    """Drawing from pictures (img2img), whole or in part."""

    image_path: str | None = option(
        None,
        "Picture, or folder of pictures, to begin with. With --W and --H they are resized first. Without prompts, "
        "those stored in the pictures are taken.",
        path="file or folder",
    )
    mask_path: str | None = option(
        None,
        "Mask, or folder of masks, in the order of the pictures: white is drawn anew, black stays.",
        path="file or folder",
    )
    strength: float | None = option(
        None,
        "How much of the picture is drawn anew, and of the second stage of --highres_fix_scale. Not given: 0.8.",
        minimum=0,
        maximum=1,
    )

    rules = (Requires("mask_path", "image_path", because="the mask belongs to a picture"),)


@dataclass(frozen=True, kw_only=True)
class DrawingNetworkOptions:
    """LoRAs and other networks."""

    network_module: tuple[str, ...] = option(
        (),
        "Kind of each network: networks.lora, or a module of another package such as lycoris.kohya. The last one "
        "serves the rest; not given: networks.lora.",
    )
    network_weights: tuple[str, ...] = option((), "Files of the networks.", path="file")
    network_mul: tuple[float, ...] = option((), "Strength of each of them; missing ones are 1.")
    network_args: tuple[str, ...] = option((), "Arguments of each network for its module, as 'key=value;key=value'.")
    network_merge: bool = option(
        False, "Merge the networks into the model before drawing: faster, and --am in prompts no longer changes them."
    )
    network_merge_n_models: int | None = option(None, "Merge the first N networks only.", minimum=1)
    network_pre_calc: bool = option(
        False,
        "Put the networks into the model's weights, anew whenever a prompt changes their strengths: faster where few "
        "prompts do. Takes memory for the weights they change. For networks.lora.",
    )
    network_show_meta: bool = option(False, "Show the metadata of the network files.")

    rules = (
        *(
            Requires(name, "network_weights", because="it is about networks")
            for name in (
                *("network_module", "network_mul", "network_args", "network_merge", "network_merge_n_models"),
                *("network_pre_calc", "network_show_meta"),
            )
        ),
        Conflicts("network_pre_calc", "network_merge", because="merged networks are in the weights already"),
    )


@dataclass(frozen=True, kw_only=True)
class HighresOptions:
    """Drawing small first, then large (highres fix)."""

    highres_fix_scale: float | None = option(
        None, "Size of the first stage as a part of the picture's, such as 0.5.", minimum=0.05, maximum=1
    )
    highres_fix_steps: int = option(28, "Steps of the first stage.", minimum=1, maximum=1000)
    highres_fix_strength: float | None = option(
        None, "Strength of the first stage, when it begins with a picture. Not given: --strength.", minimum=0, maximum=1
    )
    highres_fix_save_1st: bool = option(False, "Keep the pictures of the first stage too.")
    highres_fix_latents_upscaling: bool = option(
        False, "Enlarge the latents and not the picture; softer, no detour through the VAE."
    )

    rules = tuple(
        Requires(name, "highres_fix_scale", because="only with it are there two stages")
        for name in ("highres_fix_strength", "highres_fix_save_1st", "highres_fix_latents_upscaling")
    )


@dataclass(frozen=True, kw_only=True)
class ControlOptions:
    """Control networks (ControlNet-LLLite, for SDXL)."""

    control_net_lllite_models: tuple[str, ...] = option((), "Files of the control networks.", path="file")
    guide_image_path: tuple[str, ...] = option(
        (),
        "Control pictures, or folders of them: with K networks, K at a time belong to a picture. They are used in "
        "turn and resized to the picture; outlines and the like are made before.",
        path="file or folder",
    )
    control_net_multipliers: tuple[float, ...] = option((), "Strength of each network; missing ones are 1.")
    control_net_ratios: tuple[float, ...] = option(
        (), "Part of the steps, from the first, in which each network acts; missing ones are 1."
    )
    highres_fix_disable_control_net: bool = option(
        False, "Without control networks in the second stage of --highres_fix_scale."
    )

    rules = (
        Requires("control_net_lllite_models", "guide_image_path", because="a control network needs pictures"),
        *(
            Requires(name, "control_net_lllite_models", because="it is about control networks")
            for name in ("guide_image_path", "control_net_multipliers", "control_net_ratios")
        ),
        Requires("highres_fix_disable_control_net", "highres_fix_scale", because="only with it are there two stages"),
    )
