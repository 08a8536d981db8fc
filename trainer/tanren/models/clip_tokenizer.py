"""The tokenizer of every CLIP text encoder, built from the merges list in the package: no network, no file beside it.

Asset: `assets/clip/merges.txt.gz`, 48894 lines "left right", the byte-pair merges in the order of their rank.
The vocabulary follows from them: 256 byte symbols, the same with the word end "</w>", every merge joined, and
the two special tokens; 49408 entries, equal to the vocab.json that comes with SD1.x, SD2.x, SDXL and FLUX.1.
"""

import gzip
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

MERGES_PATH = Path(__file__).resolve().parent.parent / "assets" / "clip" / "merges.txt.gz"
WORD_END = "</w>"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
EOS_TOKEN_ID = 49407
MODEL_MAX_LENGTH = 77


def byte_symbols() -> list[str]:
    """One printable character per byte value, in the order CLIP numbers them.

    Printable bytes stand for themselves and come first; the 68 others follow, ascending, as U+0100 and up.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unprintable = sorted(set(range(256)) - set(printable))
    return [chr(byte) for byte in printable] + [chr(0x100 + place) for place in range(len(unprintable))]


def read_merges() -> list[tuple[str, str]]:
    """The merges, best rank first."""
    lines = gzip.decompress(MERGES_PATH.read_bytes()).decode("utf-8").splitlines()
    return [(left, right) for left, right in (line.split(" ") for line in lines)]


def build_vocabulary(merges: list[tuple[str, str]]) -> list[str]:
    """All tokens, in the order of their ids."""
    symbols = byte_symbols()
    return [
        *symbols,
        *(symbol + WORD_END for symbol in symbols),
        *(left + right for left, right in merges),
        BOS,
        EOS,
    ]


def clip_tokenizer(pad_token_id: int = EOS_TOKEN_ID) -> CLIPTokenizer:
    """CLIP's tokenizer with 77 places.

    Args:
        pad_token_id: 49407 for CLIP-L (SD1.x, SDXL's first encoder, FLUX.1); 0 for OpenCLIP (SD2.x, SDXL's second).
    """
    merges = read_merges()
    vocabulary = {token: number for number, token in enumerate(build_vocabulary(merges))}
    # transformers' annotation says lines; what it builds on takes pairs.
    pairs: Any = merges
    tokenizer = CLIPTokenizer(
        vocab=vocabulary,
        merges=pairs,
        model_max_length=MODEL_MAX_LENGTH,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=EOS,
        pad_token=EOS,
    )
    # Set afterwards: naming "!" as the pad token would turn every "!" of a caption into padding.
    tokenizer.pad_token_id = pad_token_id
    return tokenizer
