"""What a picture file says of how it was made: A1111's `parameters`, ComfyUI's `prompt`, NovelAI's `Description`.

PNG files hold such texts in tEXt, zTXt and iTXt chunks, JPEG and WebP files in the UserComment of their EXIF data. Only
the positive prompt is taken. Of ComfyUI's graph it is the text of the encoder that leads to the sampler's positive
input, where it stands there or in a node that only holds a text; computed prompts are not.
"""

from __future__ import annotations

import json
import re
import struct
import warnings
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

from PIL import Image

from ..formats.infotext import read_infotext
from ..formats.picture_header import MOST_CHUNKS, open_picture, readable_formats
from ..formats.prompt_weights import parse_prompt_weights

LARGEST_TEXT = 2**20
PNG_START = b"\x89PNG\r\n\x1a\n"
EXIF_FOLDER, USER_COMMENT = 0x8769, 0x9286
EXTRA_NETWORK = re.compile(r"<(?:lora|lyco|hypernet|ti):[^<>]*>", re.IGNORECASE)
DEEPEST = 20
# What Pillow raises on damaged pictures and EXIF data.
BROKEN_EXIF = (OSError, ValueError, SyntaxError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error)


def prompt_of(path: str, *, plain: bool = True) -> str:
    """The prompt a picture was made with; empty when the file tells none.

    Args:
        path: the picture.
        plain: leave out emphasis such as `(word:1.2)`, `<lora:…>` and `BREAK`, which mean nothing in a caption.

    Raises:
        DataError: it is no picture that can be read.
        OSError: it cannot be opened.
    """
    texts = texts_of(path)
    prompt = ""
    if "parameters" in texts:
        prompt = read_infotext(texts["parameters"]).prompt
    elif "prompt" in texts:
        # sd-scripts writes the prompt itself under the name that ComfyUI has for its graph.
        is_graph = texts["prompt"].lstrip().startswith("{")
        prompt = prompt_of_graph(texts["prompt"]) if is_graph else texts["prompt"]
    elif "Description" in texts:
        prompt = texts["Description"]
    prompt = " ".join(prompt.split())
    return plain_prompt(prompt) if plain else prompt


def plain_prompt(prompt: str) -> str:
    """A prompt without emphasis, extra networks and BREAK."""
    text = EXTRA_NETWORK.sub(" ", prompt)
    text = "".join(piece for piece, _ in parse_prompt_weights(text))
    words = [word for word in text.split() if word not in ("BREAK", "AND")]
    return re.sub(r"\s*,(\s*,)*\s*", ", ", " ".join(words)).strip(", ")


def prompt_of_graph(text: str) -> str:
    """The positive prompt of ComfyUI's graph; empty when it is not plain."""
    try:
        nodes = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(nodes, dict):
        return ""
    for node in nodes.values():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if isinstance(inputs, dict) and "positive" in inputs and "negative" in inputs and _samples(node):
            return _text_behind(nodes, inputs["positive"], 0)
    return ""


def texts_of(path: str) -> dict[str, str]:
    """All texts in a picture file by their names; what JPEG and WebP files hold is called `parameters`."""
    with open_picture(path) as file:
        if file.read(len(PNG_START)) == PNG_START:
            return _png_texts(file)
        file.seek(0)
        comment = _user_comment(file)
    return {"parameters": comment} if comment else {}


def _samples(node: Mapping[str, Any]) -> bool:
    kind = str(node.get("class_type", ""))
    return "sampler" in kind.lower() or "guider" in kind.lower()


def _text_behind(nodes: Mapping[str, Any], link: Any, depth: int) -> str:
    """Follow a link `[node, output]` to a text; through nodes that pass a text or a conditioning on."""
    if isinstance(link, str):
        return link.strip()
    if not isinstance(link, list) or not link or depth > DEEPEST:
        return ""
    node = nodes.get(str(link[0]))
    inputs = node.get("inputs") if isinstance(node, dict) else None
    if not isinstance(inputs, dict):
        return ""
    for name in ("text", "text_g", "string", "value", "prompt", "positive", "conditioning", "conditioning_1"):
        if name in inputs:
            found = _text_behind(nodes, inputs[name], depth + 1)
            if found:
                return found
    return ""


def _png_texts(file: BinaryIO) -> dict[str, str]:
    texts: dict[str, str] = {}
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= LARGEST_TEXT:
            data = file.read(length)
            name, _, rest = data.partition(b"\x00")
            text = _chunk_text(kind, rest)
            if text is not None:
                texts.setdefault(name.decode("latin-1"), text)
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)
    return texts


def _chunk_text(kind: bytes, rest: bytes) -> str | None:
    try:
        if kind == b"tEXt":
            # Latin-1 by the standard; some programs write UTF-8 all the same.
            return _utf8_or_latin(rest)
        if kind == b"zTXt":
            return _utf8_or_latin(_inflated(rest[1:]))
        is_compressed, rest = rest[:1] == b"\x01", rest[2:]
        _, _, rest = rest.partition(b"\x00")
        _, _, rest = rest.partition(b"\x00")
        return (_inflated(rest) if is_compressed else rest).decode("utf-8")
    except (zlib.error, ValueError):
        return None


def _inflated(data: bytes) -> bytes:
    # Never more than a caption could be: a few bytes can unfold to gigabytes.
    return zlib.decompressobj().decompress(data, LARGEST_TEXT)


def _utf8_or_latin(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _user_comment(file: BinaryIO) -> str:
    try:
        with warnings.catch_warnings():
            # Only the header is read.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=readable_formats()) as image:
                value = image.getexif().get_ifd(EXIF_FOLDER).get(USER_COMMENT, b"")
    except BROKEN_EXIF:
        # What cannot be read holds no prompt.
        return ""
    return _comment_text(value) if isinstance(value, bytes) else str(value)


def _comment_text(value: bytes) -> str:
    """EXIF's UserComment: eight bytes name the character set."""
    head, text = value[:8], value[8:]
    if head.startswith(b"UNICODE"):
        # The standard does not say which byte comes first, and programs differ: a prompt is mostly Latin letters.
        little = text[1::2].count(0) > text[::2].count(0)
        return text.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\x00").strip()
    if head in (b"ASCII\x00\x00\x00", b"\x00" * 8):
        return _utf8_or_latin(text).strip("\x00").strip()
    return ""
