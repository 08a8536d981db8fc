"""The text that AUTOMATIC1111 and Forge write into their pictures, so that "PNG info" reads ours, and we read theirs.

Under the key `parameters`: the prompt, on a line of its own `Negative prompt: …` where there is one, and last a line
of facts: `Steps: 20, Sampler: DDIM, CFG scale: 7.5, Seed: 1, Size: 512x512`. Both prompts may have several lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

PROMPT_KEY = "parameters"
NEGATIVE = "Negative prompt:"
FEWEST_FACTS = 3
FACT = re.compile(r'\s*([A-Z][\w ]*): ("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')


class InfoText(NamedTuple):
    """What such a text says."""

    prompt: str
    negative_prompt: str
    facts: dict[str, str]


def write_infotext(prompt: str, negative_prompt: str, facts: Mapping[str, object]) -> str:
    """The text; facts in the order given, values with a comma or colon in quotes."""
    negative = f"\n{NEGATIVE} {negative_prompt}" if negative_prompt else ""
    return f"{prompt}{negative}\n{', '.join(f'{name}: {_quoted(str(value))}' for name, value in facts.items())}"


def read_infotext(text: str) -> InfoText:
    """The parts of a text; one without facts is all prompt."""
    lines = text.strip().split("\n")
    last = lines.pop() if _is_facts(lines[-1]) else ""
    prompt: list[str] = []
    negative: list[str] = []
    current = prompt
    for line in lines:
        if line.startswith(NEGATIVE):
            current, line = negative, line[len(NEGATIVE) :].strip()
        current.append(line)
    facts = {name: _unquoted(value) for name, value in FACT.findall(last)}
    return InfoText("\n".join(prompt).strip(), "\n".join(negative).strip(), facts)


def _is_facts(line: str) -> bool:
    """The last line of a prompt could look like one fact or two; three are what AUTOMATIC1111 asks for."""
    return line.startswith("Steps: ") or len(FACT.findall(line)) >= FEWEST_FACTS


def _quoted(value: str) -> str:
    if not any(character in value for character in ',:\n"'):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{escaped}"'


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value.strip()
    return re.sub(r"\\(.)", r"\1", value[1:-1])
