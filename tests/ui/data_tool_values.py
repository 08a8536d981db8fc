"""Folders as Hypothesis makes them, and answers to the questions of any tool of the tab of pictures and captions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tanren.ui.data_tool import CHOICE, COLOUR, FLAG, NUMBER, SLIDER, Field, Tool

TEXTS = st.text("ab _,^()\\\n猫", max_size=12)
TAGS = st.lists(st.sampled_from(["a", "b_c", "B c", "猫", "(x)", "^_^"]), min_size=1, max_size=3).map(", ".join)
SIZES = ("16", "24,16", "0")
# Names of new folders and files, which lie beside the folder of pictures, and of a folder that is there.
NEW = {"out": "made (1)", "file": "新しい"}
MASKS = "masks"
THERE = {"others": MASKS, "masks": MASKS}
# By tool, below the folder of models.
PLANE = "plane.onnx"
MODELS = {"tag": "tagger", "describe": "captioner", "cut_out": PLANE, "depth": PLANE, "faces": "faces.onnx"}
# How these want their pictures; their names do not tell.
KINDS = {"cut_out": "isnet", "depth": "midas"}


@dataclass(frozen=True)
class Picture:
    """A picture to be made: its mode and size, its caption's bytes and suffix (None: no caption), its stored prompt."""

    mode: str
    size: tuple[int, int]
    caption: bytes | None
    suffix: str
    prompt: str


def _bytes(text: str, encoding: str) -> bytes:
    return text.encode(encoding, "replace")


# On these every tool finds something to do.
USUAL = [
    Picture("RGBA", (24, 16), "猫, long_hair, red hat, a, a, ^_^,  (x), \\(a\\)\na".encode(), ".txt", "a cat, 猫"),
    Picture("RGB", (16, 24), None, ".txt", "a cat, 猫"),
    Picture("RGB", (16, 16), "猫".encode("cp932"), ".txt", ""),
]
PICTURES = st.lists(
    st.builds(
        Picture,
        st.sampled_from(["RGB", "RGBA", "L"]),
        st.tuples(st.integers(8, 40), st.integers(8, 40)),
        st.one_of(st.none(), st.builds(_bytes, TEXTS, st.sampled_from(["utf-8", "utf-8-sig", "cp932", "utf-16"]))),
        st.sampled_from([".txt", ".txt", ".caption"]),
        st.sampled_from(["", "a cat, 猫"]),
    ),
    max_size=3,
).map(lambda others: [*others, *USUAL])
FOLDER_NAMES = st.sampled_from(["pictures", "2_sks girl"])


def make_folder(parent: Path, name: str, pictures: list[Picture]) -> Path:
    """The folder with its pictures; transparent ones have a hole with soft rims."""
    folder = parent / name
    folder.mkdir(parents=True)
    for number, one in enumerate(pictures):
        image = Image.effect_noise(one.size, 90).convert(one.mode)
        if one.mode == "RGBA":
            image.putalpha(Image.linear_gradient("L").resize(one.size))
        info = PngInfo()
        if one.prompt:
            info.add_itxt("parameters", one.prompt)
        image.save(folder / f"{number} 絵_x.png", pnginfo=info)
        if one.caption is not None:
            (folder / f"{number} 絵_x{one.suffix}").write_bytes(one.caption)
    return folder


def answers(tool: Tool) -> st.SearchStrategy[dict[str, Any]]:
    """Answers to all questions of a tool, mostly sensible ones."""
    return st.fixed_dictionaries({field.name: _answer(tool, field) for field in tool.fields})


def _answer(tool: Tool, field: Field) -> st.SearchStrategy[Any]:
    if (tool.name, field.name) in SPECIAL:
        return SPECIAL[tool.name, field.name]
    if field.name in NEW:
        return st.just(NEW[field.name])
    if field.name in THERE:
        return st.sampled_from([THERE[field.name]] if field.is_required else [THERE[field.name], ""])
    if field.kind == FLAG:
        return st.booleans()
    if field.kind == CHOICE:
        return st.sampled_from([key for key, _ in field.choices])
    if field.kind in (NUMBER, SLIDER):
        return _number(field)
    if field.kind == COLOUR:
        return st.just("#8090a0")
    # A new question needs answers below, so that its tool is really tried.
    assert field.name in TEXT_ANSWERS, f"{tool.name}: which answers has {field.name!r}?"
    return TEXT_ANSWERS[field.name]


def placed(values: dict[str, Any], parent: Path, models: Path) -> dict[str, Any]:
    """The answers with the full paths of what is there."""
    found = dict(values)
    for name in THERE:
        if found.get(name):
            found[name] = str(parent / found[name])
    if "model" in found:
        found["model"] = str(models / found["model"])
    return found


def make_masks(parent: Path, folder: Path) -> None:
    """Mask pictures for all but one of the pictures of a folder."""
    (parent / MASKS).mkdir()
    for picture in sorted(folder.glob("*.png"))[1:]:
        with Image.open(picture) as image:
            Image.linear_gradient("L").resize(image.size).save(parent / MASKS / picture.name)


def _number(field: Field) -> st.SearchStrategy[Any]:
    low, high = field.minimum or 0, field.maximum if field.maximum is not None else 100
    return st.sampled_from(sorted({low, field.value, min(high, low + 3)}))


TEXT_ANSWERS = {
    "tags": TAGS,
    "old": st.sampled_from(["a", "猫", "b c", "("]),
    "new": st.sampled_from(["", "d", "猫, a", r"\1"]),
    "trigger": st.sampled_from(["sks", "猫 girl"]),
    "text": TEXTS.filter(str.strip),
    "size": st.sampled_from(SIZES),
    "name": st.sampled_from(["sks girl", "猫"]),
    "exclude": st.sampled_from(["", "blue sky"]),
    "first": st.sampled_from(["", "sks"]),
    "prompt": st.just(""),
    "prefix": st.sampled_from(["", "sks, "]),
    "negative": st.just(""),
    "class": st.just("1girl"),
    "box": st.sampled_from(["", "1,1,7,6", "0,0,99,99"]),
    "boxes": st.just(""),
    "table": st.just('{"0 絵_x.png": {"caption": "from JSON"}, "1 絵_x": {"tags": "a, b"}}'),
    "separator": st.sampled_from([", ", " "]),
    "vae": st.just(""),
}
SPECIAL: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    **{(tool, "model"): st.just(model) for tool, model in MODELS.items()},
    **{(tool, "download"): st.just(False) for tool in MODELS},
    **{(tool, "device"): st.just("auto") for tool in (*MODELS, "class")},
    **{(tool, "only_tells"): st.just(False) for tool in (*MODELS, "class")},
    **{(tool, "kind"): st.just(kind) for tool, kind in KINDS.items()},
    ("describe", "longest"): st.just(8),
    ("describe", "beams"): st.just(1),
    ("describe", "precision"): st.just("auto"),
    ("faces", "smallest"): st.just(1),
    ("class", "precision"): st.just("auto"),
    ("class", "base"): st.just(""),
    ("class", "transparent"): st.just(True),
    ("class", "count"): st.integers(1, 2),
    ("class", "size"): st.just("64"),
}
