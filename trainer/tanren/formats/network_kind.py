"""What a small network is, told from the names and shapes in its header: family, type, ranks and alphas.

Everything here is derived: it holds for files without metadata, and for files whose metadata is wrong. Only alphas are
numbers inside of the payload; they are a few bytes each and read one by one.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .checkpoint_kind import TITLES as CHECKPOINT_TITLES
from .checkpoint_kind import kind_of
from .network_family import family_of_layers
from .network_names import DENOISER, block_of, part_of, split_name
from .safetensors_header import Header, TensorEntry

Shape = Sequence[int]
TYPES = {
    "lora": "LoRA",
    "locon": "LoCon (LoRA with convolutions)",
    "loha": "LoHa",
    "lokr": "LoKr",
    "glora": "GLoRA",
    "oft": "OFT",
    "boft": "BOFT",
    "ia3": "IA3",
    "full": "full difference",
    "norm": "norms only",
    "tlora": "T-LoRA",
    "lllite": "ControlNet-LLLite",
    "checkpoint": "full checkpoint",
    "controlnet": "ControlNet",
    "embedding": "textual inversion embedding",
    "vae": "VAE",
    "text_encoder": "text encoder",
    "unknown": "unknown",
}
# Those that decide first: a file with LoKr layers and some plain norms is a LoKr.
_DECIDING = ("lllite", "lokr", "loha", "glora", "oft", "tlora", "lora", "ia3", "full", "norm")
# A layer with nothing else is none.
_LONELY = frozenset({"alpha", "scale"})
_FORMATS = {"F16": "<e", "F32": "<f", "F64": "<d"}
_ALPHA_BYTES = 8
# Beginning of a tensor's name -> whose spelling it is; the first that fits counts.
_SPELLINGS = {
    "lllite_": "kohya (LLLite)",
    "lycoris_": "LyCORIS",
    "oft_unet_": "kohya (OFT)",
    "lora_transformer_": "OneTrainer",
    "lora_": "kohya",
    "diffusion_model.": "generic (ComfyUI)",
    "text_encoders.": "generic (ComfyUI)",
    "transformer.": "PEFT (diffusers)",
    "unet.": "diffusers",
    "text_encoder": "diffusers",
    "base_model.model.": "PEFT",
}
_SPELLING = re.compile("|".join(map(re.escape, _SPELLINGS)))


class LayerKind(NamedTuple):
    """One layer of the base model that the network changes.

    Args:
        name: as in the file, without the suffix.
        part: "unet", "te1" …
        rank: None where the algorithm has none (OFT, full matrices of LoKr, differences).
        alpha: as stored; None when there is none (then it equals the rank) or it was not read.
    """

    name: str
    part: str
    rank: int | None
    alpha: float | None = None

    @property
    def block(self) -> str:
        """Where in the part it lies: "in 4", "mid" …"""
        return block_of(self.name)


@dataclass(frozen=True)
class Ranks:
    """Ranks and alphas of a part or a block, with how many layers have each."""

    layers: int
    ranks: dict[int, int] = field(default_factory=dict)
    alphas: dict[float, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """ "rank 32, alpha 16", or the span where layers differ."""
        words = [f"rank {_span(self.ranks)}"] if self.ranks else []
        words += [f"alpha {_span(self.alphas)}"] if self.alphas else []
        return ", ".join(words) or "no rank"


@dataclass(frozen=True)
class NetworkKind:
    """What a model file is.

    Args:
        family: "sd1", "sd2", "sdxl", "flux", "sd3" …, or "unknown"; from names and shapes alone.
        type: key of `TYPES`.
        has_dora: magnitudes are stored beside the update.
        naming: whose spelling the names follow.
        layers: the layers it changes; empty for full models.
        unknown: how many tensors belong to no known scheme.
        misfits: layers whose two halves do not fit together, or of which one is missing.
    """

    family: str
    type: str
    has_dora: bool = False
    naming: str = ""
    layers: tuple[LayerKind, ...] = ()
    unknown: int = 0
    misfits: tuple[str, ...] = ()

    @property
    def type_title(self) -> str:
        """For people: "LoRA", "DoRA on LoKr", "full checkpoint"."""
        title = TYPES[self.type]
        if not self.has_dora:
            return title
        return "DoRA" if self.type == "lora" else f"DoRA on {title}"

    def by_part(self) -> dict[str, Ranks]:
        """Ranks and alphas per part, the denoiser first."""
        parts = sorted({layer.part for layer in self.layers}, key=lambda part: (part != DENOISER, part))
        return {part: _ranks(layer for layer in self.layers if layer.part == part) for part in parts}

    def by_block(self) -> dict[tuple[str, str], Ranks]:
        """Ranks and alphas per (part, block), in the order of the model."""
        found: dict[tuple[str, str], list[LayerKind]] = {}
        for layer in self.layers:
            found.setdefault((layer.part, layer.block), []).append(layer)
        return {key: _ranks(found[key]) for key in sorted(found, key=_block_order)}


def network_kind(shapes: Mapping[str, Shape], alphas: Mapping[str, float] | None = None) -> NetworkKind:
    """The kind of a file with these tensors.

    Args:
        shapes: tensor name -> shape.
        alphas: layer -> stored alpha, from `read_alphas`.
    """
    layers, algorithms, unknown = _layers(shapes)
    # A checkpoint may hold a few tensors that end like those of a network (`….scale`, `….up.0.weight`).
    if not layers or ("lllite" in algorithms and not any(name.startswith("lllite_") for name in layers)):
        return _whole_model(shapes, unknown)
    if unknown > len(shapes) / 2:
        return _whole_model(shapes, unknown)
    stored = alphas or {}
    kinds = tuple(LayerKind(name, part_of(name), _rank(roles), stored.get(name)) for name, roles in layers.items())
    family = "sdxl" if "lllite" in algorithms else family_of_layers(layers)
    misfits = tuple(name for name, roles in layers.items() if _is_misfit(roles))
    kind = _type(algorithms, layers)
    return NetworkKind(family, kind, "dora" in algorithms, naming_of(shapes), kinds, unknown, misfits)


def _layers(shapes: Mapping[str, Shape]) -> tuple[dict[str, dict[str, Shape]], Counter[str], int]:
    """Layer -> role -> shape, how many tensors each algorithm has, and how many belong to none."""
    layers: dict[str, dict[str, Shape]] = {}
    scheme: dict[str, list[str]] = {}
    unknown = 0
    for name, shape in shapes.items():
        split = split_name(name)
        if split is None:
            unknown += 1
            continue
        layer, algorithm, role = split
        layers.setdefault(layer, {})[role] = shape
        scheme.setdefault(layer, []).append(algorithm)
    lonely = [name for name, roles in layers.items() if roles.keys() <= _LONELY]
    for name in lonely:
        del layers[name], scheme[name]
    return layers, Counter(algorithm for found in scheme.values() for algorithm in found), unknown


def read_alphas(path: Path, header: Header) -> dict[str, float]:
    """The stored alpha of each layer: a few bytes per layer, nothing else of the payload is read."""
    wanted = [(split_name(name), entry) for name, entry in header.tensors.items() if name.rpartition(".")[2] == "alpha"]
    found: dict[str, float] = {}
    with path.open("rb", buffering=0) as file:
        for split, entry in sorted(wanted, key=lambda one: one[1].begin):
            if split is None or not 0 < entry.end - entry.begin <= _ALPHA_BYTES:
                continue
            file.seek(header.payload_offset + entry.begin)
            value = _number(entry, file.read(entry.end - entry.begin))
            if value is not None:
                found[split.layer] = value
    return found


def naming_of(names: Mapping[str, Shape]) -> str:
    """Whose spelling the names follow: kohya, LyCORIS, PEFT and diffusers, OneTrainer …; empty when none is known."""
    found = Counter(match[0] for match in map(_SPELLING.match, names) if match is not None)
    counts: Counter[str] = Counter()
    for beginning, count in found.items():
        counts[_SPELLINGS[beginning]] += count
    if counts["diffusers"] and any(".lora_A." in name for name in names):
        return "PEFT (diffusers)"
    return counts.most_common(1)[0][0] if any(counts.values()) else ""


def _whole_model(shapes: Mapping[str, Shape], unknown: int) -> NetworkKind:
    family = kind_of(shapes).family
    if family in ("controlnet", "embedding", "vae", "text_encoder"):
        return NetworkKind("unknown", family, unknown=unknown)
    if family in ("unknown", "lora", "lllite"):
        return NetworkKind("unknown", "unknown", unknown=unknown)
    assert family in CHECKPOINT_TITLES
    return NetworkKind("unknown" if family == "unet" else family, "checkpoint")


def _type(algorithms: Counter[str], layers: Mapping[str, Mapping[str, Shape]]) -> str:
    kind = next((name for name in _DECIDING if algorithms[name]), "unknown")
    if kind == "oft" and any(len(roles["blocks"]) == 4 for roles in layers.values() if "blocks" in roles):
        return "boft"
    if kind == "lora" and any(_is_wide_convolution(roles) for roles in layers.values()):
        return "locon"
    return kind


def _is_misfit(roles: Mapping[str, Shape]) -> bool:
    """True when up and down differ in rank, or only one of them is there."""
    if "conditioning" in roles or not {"down", "up"} & roles.keys():
        return False
    down, up = roles.get("down", ()), roles.get("up", ())
    return len(down) < 2 or len(up) < 2 or down[0] != up[1]


def _is_wide_convolution(roles: Mapping[str, Shape]) -> bool:
    if "mid" in roles:
        return True
    down = roles.get("down", ())
    return len(down) == 4 and max(down[2:]) > 1


def _rank(roles: Mapping[str, Shape]) -> int | None:
    """The inner width of the update of one layer."""
    for role in ("down", "hada_w1_b", "w1_b", "w2_b"):
        shape = roles.get(role)
        if shape:
            return shape[0]
    if roles.get("t2"):
        return roles["t2"][0]
    if "a1" in roles and len(roles["a1"]) >= 2:
        return min(roles["a1"][:2])
    return None


def _number(entry: TensorEntry, data: bytes) -> float | None:
    """One stored number; bfloat16 is the upper half of a float32."""
    if entry.dtype == "BF16" and len(data) == 2:
        return float(struct.unpack("<f", b"\0\0" + data)[0])
    form = _FORMATS.get(entry.dtype)
    if form is not None and len(data) == struct.calcsize(form):
        return float(struct.unpack(form, data)[0])
    return float(int.from_bytes(data, "little", signed=True)) if entry.dtype in ("I64", "I32", "I16") else None


def _ranks(layers: Iterable[LayerKind]) -> Ranks:
    listed = list(layers)
    ranks = Counter(layer.rank for layer in listed if layer.rank is not None)
    alphas = Counter(layer.alpha for layer in listed if layer.alpha is not None)
    return Ranks(len(listed), dict(sorted(ranks.items())), dict(sorted(alphas.items())))


def _span(counts: Mapping[int, int] | Mapping[float, int]) -> str:
    values = sorted(counts)
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"


def _block_order(key: tuple[str, str]) -> tuple[object, ...]:
    part, block = key
    word, _, number = block.partition(" ")
    order = ("in", "down", "mid", "out", "up", "double", "joint", "single", "block", "layer", "other")
    place = order.index(word) if word in order else len(order)
    return (part != DENOISER, part, place, int(number) if number.isdecimal() else 0)
