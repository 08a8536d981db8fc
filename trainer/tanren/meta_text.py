"""What `meta` prints: looks, edits, comparisons and hashes as lines for a terminal or as JSON for programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from .library.change import Planned
from .library.compare import Comparison
from .library.edit import Edited
from .library.facts import grouped_facts
from .library.filing import Fit
from .library.hashes import Hashes
from .library.look import Look
from .library.pictures_table import picture_tables
from .library.plain_text import one_line, plain

VALUE_WIDTH = 100
BAR_WIDTH = 20


def safe(text: str) -> str:
    """A text of a stranger for the terminal."""
    return plain(text)


def pair(before: str, after: str) -> str:
    """A word and what it becomes."""
    return f"{_shown(before)} → {_shown(after)}"


def look_as_text(look: Look, fits: Fit | None = None, *, tags: int, blocks: bool) -> str:
    """One file for people."""
    lines = [one_line(look.summary), f"  file: {safe(str(look.path))}"]
    source = {"derived": "derived from the tensors", "metadata": "from the metadata", "": "nothing tells"}
    lines.append(f"  family: {look.family_title} ({source[look.family_source]})")
    naming = f", names as {look.kind.naming} writes them" if look.kind.naming else ""
    lines.append(f"  type: {look.kind.type_title}, {len(look.kind.layers)} layers (derived){naming}")
    lines += [f"    {part}: {ranks.text}, {ranks.layers} layers" for part, ranks in look.kind.by_part().items()]
    if blocks:
        lines += [f"    {part} {block}: {ranks.text}" for (part, block), ranks in look.kind.by_block().items()]
    for one in look.filed if look.kind.layers else ():
        lines.append(f"  {one.host} files it as {one.version}{'' if one.is_right else ', which is wrong'}")
    lines += [f"  fits: {fits.sentence}"] if fits is not None else []
    lines += [f"  note: {one_line(warning)}" for warning in look.warnings]
    lines += [f"  trigger: {one_line(one.words)} ({one_line(one.source)})" for one in look.triggers]
    for group, facts in grouped_facts(look.metadata).items():
        lines.append(f"  {group}")
        lines += [f"    {one_line(fact.title)}: {one_line(fact.text, VALUE_WIDTH)}" for fact in facts]
    return "\n".join([*lines, *_tables_as_lines(look), *_tags_as_lines(look, tags)])


def look_as_json(look: Look) -> dict[str, Any]:
    """One file for programs; metadata as in the file."""
    tables = picture_tables(look.metadata)
    return {
        "path": str(look.path),
        "size": look.stamp.size,
        "summary": look.summary,
        "alias": look.alias,
        "family": look.family,
        "family_source": look.family_source,
        "type": look.kind.type,
        "dora": look.kind.has_dora,
        "naming": look.kind.naming,
        "trainer": look.trainer,
        "date": look.date,
        "layers": len(look.kind.layers),
        "tensors": len(look.header.tensors),
        "parts": {part: dataclasses.asdict(ranks) for part, ranks in look.kind.by_part().items()},
        "blocks": [
            {"part": part, "block": block, **dataclasses.asdict(ranks)}
            for (part, block), ranks in look.kind.by_block().items()
        ],
        "filed": {one.host: one.version for one in look.filed},
        "triggers": [dataclasses.asdict(one) for one in look.triggers],
        "tags": look.tags.folders,
        "folders": [dataclasses.asdict(row) for row in tables.folders],
        "buckets": [dataclasses.asdict(row) for row in tables.buckets],
        "beside": {"host": look.beside.host, "civitai": look.beside.civitai, "preview": _text(look.beside.preview)},
        "warnings": [*look.warnings, *tables.problems, *([look.tags.problem] if look.tags.problem else [])],
        "metadata": look.metadata,
    }


def edit_as_text(edited: Edited, *, is_done: bool) -> str:
    """What an edit changed, or would change."""
    head = safe(edited.path.name)
    if not edited.differences:
        return f"{head}: nothing to change."
    verb = "changed" if is_done else "would change"
    lines = [f"{head}: {len(edited.differences)} values {verb}"]
    for one in edited.differences:
        before, after = (_shown(text) for text in (one.before, one.after))
        lines.append(f"  {one_line(one.key)}: {before} → {after}")
    return "\n".join(lines)


def plan_as_text(plan: Planned, *, is_done: bool) -> str:
    """What an edit changed, or would change, in a file and beside it."""
    lines = [edit_as_text(Edited(plan.path, plan.inside), is_done=is_done)] if plan.inside or plan.is_empty else []
    if plan.beside:
        verb = "written" if is_done else "would be written"
        lines.append(f"  {verb}: {safe(plan.path.with_suffix('.json').name)}")
        lines += [f"    {one_line(one.key)}: {_shown(one.before)} → {_shown(one.after)}" for one in plan.beside]
    if plan.preview is not None:
        lines.append(f"  {'written' if is_done else 'would be written'}: {safe(plan.preview.name)}")
    return "\n".join(lines)


def comparison_as_text(found: Comparison, first: str, second: str) -> str:
    """Two files for people."""
    same = {True: "the same tensors", False: "other tensors", None: "tensors of the same shapes"}[found.same_tensors]
    lines = [f"{one_line(first)} | {one_line(second)}: {same}"]
    lines += [f"  {what}: {one} | {other}" for what, one, other in found.kinds]
    lines += [f"  rank of {part} {block}: {one} | {other}" for part, block, one, other in found.ranks[:40]]
    lines += [f"  {one_line(one.key)}: {_shown(one.before)} | {_shown(one.after)}" for one in found.settings]
    lines += [f"  tag {one_line(tag)}: {one} | {other}" for tag, one, other in found.tags[:40]]
    return "\n".join(lines)


def comparison_as_json(found: Comparison) -> dict[str, Any]:
    """Two files for programs."""
    return {
        "same_tensors": found.same_tensors,
        "kinds": [{"what": what, "first": one, "second": other} for what, one, other in found.kinds],
        "settings": [{"key": one.key, "first": one.before, "second": one.after} for one in found.settings],
        "tags": [{"tag": tag, "first": one, "second": other} for tag, one, other in found.tags],
        "ranks": [
            {"part": part, "block": block, "first": one, "second": other} for part, block, one, other in found.ranks
        ],
    }


def hashes_as_text(path: Path, hashes: Hashes) -> str:
    """The hashes of a file for people."""
    return "\n".join(
        [
            f"{safe(path.name)}: the structure is whole",
            f"  SHA-256 {hashes.sha256} (AutoV2 {hashes.auto_v2})",
            f"  tensors {hashes.tensors} (AutoV3 {hashes.auto_v3})",
        ]
    )


def hashes_as_json(path: Path, hashes: Hashes, problems: list[str]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "path": str(path),
        "sha256": hashes.sha256,
        "auto_v2": hashes.auto_v2,
        "tensors": hashes.tensors,
        "auto_v3": hashes.auto_v3,
        "legacy": hashes.legacy,
        "problems": problems,
    }


def _tables_as_lines(look: Look) -> list[str]:
    tables = picture_tables(look.metadata)
    lines = ["  Folders"] if tables.folders else []
    for row in tables.folders:
        kind = " (regularization)" if row.is_regularization else ""
        lines.append(f"    {one_line(row.name)}: {row.pictures} pictures × {row.repeats}{kind}")
    if tables.buckets:
        words = [f"{row.width}×{row.height}: {row.pictures}" for row in tables.buckets]
        lines.append(f"  Buckets: {one_line(', '.join(words), 1000)}")
    return [*lines, *(f"  note: {one_line(problem)}" for problem in tables.problems)]


def _tags_as_lines(look: Look, count: int) -> list[str]:
    table = look.tags
    lines = [f"  note: {one_line(table.problem)}"] if table.problem else []
    rows = list(table.total.items())
    if not rows or count <= 0:
        return lines
    lines.append(f"  Tags ({len(rows)})")
    for tag, number in rows[:count]:
        bar = "█" * max(1, round(BAR_WIDTH * number / rows[0][1]))
        lines.append(f"    {bar:<{BAR_WIDTH}} {number} {one_line(tag, VALUE_WIDTH)}")
    return lines


def _shown(text: str | None) -> str:
    return "(not there)" if text is None else repr(one_line(text, VALUE_WIDTH))


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
