"""How many tokens a text has for CLIP's text encoders: its byte-pair merges, with the standard library alone.

Asset: `assets/clip/merges.txt.gz`, 48894 lines "left right", the byte-pair merges in the order of their rank. The text
is composed (NFC), its white space becomes single spaces, each letter its small one. Words are runs of letters, single
digits, runs of other characters, and the English endings 's 't 're 've 'm 'll 'd.
Source: Radford et al. 2021, the tokenizer published with CLIP.
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

MERGES_PATH = Path(__file__).resolve().parent.parent / "assets" / "clip" / "merges.txt.gz"
WORD_END = "</w>"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
# Tokens of a caption that fit into one, two and three passes of the text encoder, beside the two that mark its ends.
WINDOWS = (75, 150, 225)
# Unicode's white space; Python's own list has four control characters more.
SPACE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SPACES = re.compile(f"[{SPACE}]+")
MARKS = re.compile(f"{re.escape(BOS)}|{re.escape(EOS)}")
ENDINGS = r"'s|'t|'re|'ve|'m|'ll|'d"
# Marks that were spelt in capitals are ordinary text by now, but nothing behind them is joined to their end.
WHOLE = re.compile(f"{MARKS.pattern}|{ENDINGS}")
ASCII_WORDS = re.compile(rf"{WHOLE.pattern}|[a-z]+|[0-9]|[^ a-z0-9]+")
LETTER, NUMBER, OTHER, BLANK = "letter", "number", "other", "blank"


def byte_symbols() -> list[str]:
    """One printable character per byte value, in the order CLIP numbers them.

    Printable bytes stand for themselves and come first; the 68 others follow, ascending, as U+0100 and up.
    """
    return list(symbol_of_byte().values())


@lru_cache(maxsize=1)
def symbol_of_byte() -> dict[int, str]:
    """Byte value to its character, in CLIP's order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unprintable = sorted(set(range(256)) - set(printable))
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + n) for n, byte in enumerate(unprintable)}


def read_merges() -> list[tuple[str, str]]:
    """The merges, best rank first."""
    lines = gzip.decompress(MERGES_PATH.read_bytes()).decode("utf-8").splitlines()
    return [(left, right) for left, right in (line.split(" ") for line in lines)]


def count_tokens(text: str) -> int:
    """How many tokens a caption has, without the two that mark its ends."""
    return len(MARKS.findall(text)) + sum(
        len(word_tokens(word)) for part in MARKS.split(text) for word in words(normalized(part))
    )


def normalized(text: str) -> str:
    """The text as the merges see it."""
    text = SPACES.sub(" ", unicodedata.normalize("NFC", text))
    # Letter by letter: Python alone writes a sigma at the end of a word in another way.
    return text.lower() if text.isascii() else "".join(character.lower() for character in text)


def words(text: str) -> Iterator[str]:
    """The words of a normalized text, each of which is merged by itself."""
    for word in ASCII_WORDS.findall(text) if text.isascii() else _scanned(text):
        if word in (BOS, EOS):
            yield from (word[:2], word[2:-2], word[-2:])
        else:
            yield word


@lru_cache(maxsize=100_000)
def word_tokens(word: str) -> tuple[str, ...]:
    """A word's tokens, as printable characters for its bytes; the last ends with the mark of the word's end."""
    symbols = [symbol_of_byte()[byte] for byte in word.encode("utf-8", "replace")]
    parts = [*symbols[:-1], symbols[-1] + WORD_END]
    ranks = _ranks()
    while len(parts) > 1:
        pairs = list(pairwise(parts))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        parts = _merged(parts, best)
    return tuple(parts)


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            # The joined text is never the pair's left half again, so overlapping pairs are taken from the left.
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _scanned(text: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        whole = WHOLE.match(text, place)
        if whole:
            yield whole[0]
            place = whole.end()
            continue
        kind = _kind(text[place])
        end = place + 1
        while kind in (LETTER, OTHER) and end < len(text) and _kind(text[end]) == kind:
            end += 1
        if kind != BLANK:
            yield text[place:end]
        place = end


@lru_cache(maxsize=20_000)
def _kind(character: str) -> str:
    if character == " ":
        return BLANK
    return {"L": LETTER, "N": NUMBER}.get(unicodedata.category(character)[0], OTHER)


@lru_cache(maxsize=1)
def _ranks() -> dict[tuple[str, str], int]:
    return {pair: rank for rank, pair in enumerate(read_merges())}
