"""LoRA files of somebody who wants a page to run his script: a payload in every place that a page may show."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from network_files import CLIP, SD1_LORA, lora, write_network
from tanren.library.facts import TITLES

PROBE = "window.hit=1"
# No slash in it, so that it fits into names of files and folders, too.
NAME = f"\"'><img src=x onerror={PROBE}>"
EVIL = (
    f"{NAME}<svg onload={PROBE}></svg><details open ontoggle={PROBE}>x</details></script></textarea></title>"
    f"<script>{PROBE}</script><iframe srcdoc='<script>parent.{PROBE}</script>'></iframe>`${{{PROBE}}}`{{{{{PROBE}}}}}"
)
LINK = f"javascript:{PROBE}"
SVG = f"<svg xmlns='http://www.w3.org/2000/svg' onload='{PROBE}'><script>{PROBE}</script></svg>".encode()
MORE_KEYS = (
    *("ssmd_display_name", "ssmd_description", "ssmd_author", "ssmd_keywords", "ssmd_tags", "ssmd_rating"),
    *("modelspec.title", "modelspec.author", "modelspec.description", "modelspec.trigger_phrase", "modelspec.license"),
    *("modelspec.date", "modelspec.tags", "software", "format_version", "ss_network_module", "ss_sd_model_name"),
)


def metadata() -> dict[str, str]:
    """Every known key, keys nobody knows, and JSON inside of values."""
    names = {EVIL: {EVIL: 5, "solo": 1}}
    bucket = {"buckets": {EVIL: {"resolution": [EVIL, 512], "count": EVIL}}, "mean_img_ar_error": EVIL}
    subset = {"image_dir": EVIL, "class_tokens": EVIL, "num_repeats": 1, "img_count": 2, "caption_prefix": EVIL}
    folders = {EVIL: {"n_repeats": 3, "img_count": 5}}
    data = {"is_dreambooth": True, "resolution": [512, 512], "tag_frequency": names, "bucket_info": bucket}
    return {
        **dict.fromkeys([*TITLES, *MORE_KEYS], EVIL),
        EVIL: EVIL,
        "ss_tag_frequency": json.dumps(names),
        "ss_dataset_dirs": json.dumps(folders),
        "ss_reg_dataset_dirs": json.dumps(folders),
        "ss_bucket_info": json.dumps(bucket),
        "ss_datasets": json.dumps([{**data, "subsets": [subset]}]),
        "ss_network_args": json.dumps({EVIL: EVIL}),
        "ssmd_source": LINK,
        "modelspec.thumbnail": "data:image/svg+xml;base64," + base64.b64encode(SVG).decode(),
        "ssmd_cover_images": json.dumps([base64.b64encode(SVG).decode(), LINK]),
        "ss_output_name": EVIL,
    }


def write_library(folder: Path) -> tuple[Path, Path]:
    """A folder of such files, and beside them whatever a page reads; the two that can be opened."""
    inside = folder / NAME
    inside.mkdir(parents=True)
    layer = NAME.replace(".", "")
    shapes = {**SD1_LORA, **lora(f"lora_te_{CLIP}{layer}", 768, 768), f"{layer}.lora_down.weight": (4, 4)}
    first = write_network(inside / f"{NAME}.safetensors", shapes, metadata())
    second = write_network(folder / f"{NAME} 2.safetensors", shapes, {**metadata(), "ss_learning_rate": f"9{EVIL}"})
    for path in (first, second):
        beside(path)
    damaged = first.read_bytes().replace(b'"F16"', f'"{layer[:5].replace(chr(34), "")}"'.encode(), 1)
    (folder / f"{NAME} broken.safetensors").write_bytes(damaged)
    return first, second


def beside(path: Path) -> None:
    """What the WebUI and others keep beside a file."""
    words = ("description", "sd version", "activation text", "preferred weight", "negative text", "notes", EVIL)
    path.with_suffix(".json").write_text(json.dumps(dict.fromkeys(words, EVIL)), "utf-8")
    civitai = {"id": 5, "modelId": LINK, "name": EVIL, "baseModel": EVIL, "description": EVIL, "trainedWords": [EVIL]}
    civitai |= {"model": {"name": EVIL}, "images": [{"url": LINK}], "downloadUrl": LINK}
    path.with_suffix(".civitai.info").write_text(json.dumps(civitai), "utf-8")
    path.with_suffix(".txt").write_text(EVIL, "utf-8")
    path.with_suffix(".preview.png").write_bytes(SVG)
