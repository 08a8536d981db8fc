"""One model file as the page shows it: plain data, every sentence in the language of the page."""

from __future__ import annotations

from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any

from ..library.facts import TITLES, Fact, grouped_facts
from ..library.filing import fit, is_hidden
from ..library.look import Look
from ..library.pictures_table import picture_tables
from ..library.tag_table import TagTable
from .words import Words

# What a page can show and search without becoming slow; the raw data have the rest.
MOST_TAGS, MOST_ROWS = 3000, 1000
# Fields of the WebUI's own file beside a model file.
HOST_TITLES = {
    "description": "Description",
    "sd version": "Base model version",
    "activation text": "Trigger words",
    "preferred weight": "Preferred weight",
    "negative text": "Negative prompt text",
    "notes": "Own notes",
}
CIVITAI_TEXTS = ("name", "baseModel", "description")


def file_told(look: Look, words: Words, *, checkpoint: str | None) -> dict[str, Any]:
    """Everything about one file but its raw metadata and pictures.

    Args:
        look: the file, looked at.
        words: of the page.
        checkpoint: family of the checkpoint that is loaded; None where there is none.
    """
    tables = picture_tables(look.metadata)
    warnings = [*look.warnings, *tables.problems, *([look.tags.problem] if look.tags.problem else [])]
    return {
        "path": str(look.path),
        "name": look.path.name,
        "stem": look.path.stem,
        "size": look.stamp.size,
        "alias": look.alias,
        "has_metadata": bool(look.metadata),
        **_kind(look, words),
        "filed": [
            {**asdict(one), "is_hidden": checkpoint is not None and is_hidden(one, checkpoint)}
            for one in (look.filed if look.kind.layers else ())
        ],
        "fits": _fits(look, checkpoint, words),
        "warnings": [words.finished(sentence) for sentence in warnings],
        "triggers": [{**asdict(one), "source": words.finished(one.source)} for one in look.triggers],
        "tags": tags_told(look.tags),
        "facts": [
            {
                "group": named("facts", group, group, words),
                "rows": [
                    {"key": one.key, "title": title_of(one.key, words), "text": _fact_text(one, words)} for one in rows
                ],
            }
            for group, rows in grouped_facts(look.metadata).items()
        ],
        "folders": [asdict(row) for row in tables.folders[:MOST_ROWS]],
        "buckets": [asdict(row) for row in tables.buckets[:MOST_ROWS]],
        "cover": any(look.metadata.get(key) for key in ("modelspec.thumbnail", "ssmd_cover_images")),
        "preview": look.beside.preview.name if look.beside.preview else None,
        "beside": _beside_told(look, words),
        "civitai": civitai_told(look.beside.civitai),
    }


def _fact_text(fact: Fact, words: Words) -> str:
    if fact.raw in ("True", "False"):
        return named("value", fact.text, fact.text, words)
    return fact.text if fact.text == fact.raw else words.finished(fact.text)


def title_of(key: str, words: Words) -> str:
    """What people call a value of the metadata; the key itself where they have no other word."""
    return named("fact", key, TITLES.get(key, key), words)


def named(kind: str, key: str, english: str, words: Words) -> str:
    """A short word in the language of the page.

    It stands in the translations under a longer text, because the WebUI puts its own labels of one word into a
    language by the same table.
    """
    known = f"{kind} {key}"
    translated = words(known)
    return english if translated == known else translated


def _kind(look: Look, words: Words) -> dict[str, Any]:
    ranks = look.kind.by_part()
    blocks = look.kind.by_block()
    return {
        "family": look.family_title,
        "family_source": look.family_source,
        "type": words.finished(look.kind.type_title),
        "naming": look.kind.naming,
        "trainer": look.trainer,
        "date": look.date,
        "layers": len(look.kind.layers),
        "tensors": len(look.header.tensors),
        "parts": [{"part": part, "text": one.text, "layers": one.layers} for part, one in ranks.items()],
        "blocks": [{"part": part, "block": block, "text": one.text} for (part, block), one in blocks.items()],
    }


def _fits(look: Look, checkpoint: str | None, words: Words) -> dict[str, Any] | None:
    if checkpoint is None:
        return None
    found = fit(look.family, checkpoint)
    return {"answer": found.answer, "sentence": words.finished(found.sentence)}


def tags_told(table: TagTable) -> list[dict[str, Any]]:
    """Tags by folder, the most frequent first; `count` is how many there are, of which the first are told."""
    return [
        {
            "folder": folder,
            "pictures": table.pictures.get(folder),
            "count": len(tags),
            "tags": list(tags.items())[:MOST_TAGS],
        }
        for folder, tags in table.folders.items()
    ]


def civitai_told(content: dict[str, Any]) -> dict[str, Any] | None:
    """What `.civitai.info` says, as texts; None when there is nothing."""
    if not content:
        return None
    model = content.get("model")
    told: dict[str, Any] = {name: _plain(content.get(name)) for name in CIVITAI_TEXTS}
    told["model"] = _plain(model.get("name")) if isinstance(model, dict) else ""
    trained = content.get("trainedWords")
    told["words"] = [word for word in trained if isinstance(word, str)][:100] if isinstance(trained, list) else []
    for name in ("id", "modelId"):
        value = content.get(name)
        told[name] = value if isinstance(value, int) and 0 < value < 2**53 else None
    return told


def _beside_told(look: Look, words: Words) -> dict[str, Any]:
    host = _shown_object(look.beside.host)
    shown = [{"name": name, "title": host_title(name, words), "text": str(value)} for name, value in host.items()]
    return {"host": host, "shown": shown, "description": look.beside.description}


def host_title(name: str, words: Words) -> str:
    """What people call a field of the WebUI's own file."""
    return named("field", name, HOST_TITLES.get(name, name), words)


def _shown_object(content: dict[str, Any]) -> dict[str, Any]:
    """Fields of the WebUI's own file that are texts and numbers."""
    return {name: value for name, value in content.items() if isinstance(value, (str, int, float, bool))}


def _plain(value: Any) -> str:
    """A text without the HTML that the site puts into it."""
    if not isinstance(value, str):
        return ""
    reader = _Texts()
    reader.feed(value[:100_000])
    reader.close()
    return "".join(reader.found).strip()


class _Texts(HTMLParser):
    """Collects the words of a piece of HTML, a line for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "div", "li", "br", "h1", "h2", "h3"):
            self.found.append("\n")
