"""The tokenizer of every CLIP text encoder, built from the merges list in the package: no network, no file beside it.

The vocabulary follows from the merges (formats/clip_tokens.py): 256 byte symbols, the same with the word end "</w>",
every merge joined, and the two special tokens; 49408 entries, equal to the vocab.json that comes with SD1.x, SD2.x,
SDXL and FLUX.1.
"""

from typing import Any

from transformers import CLIPTokenizer

from ..formats.clip_tokens import BOS, EOS, WORD_END, byte_symbols, read_merges

EOS_TOKEN_ID = 49407
MODEL_MAX_LENGTH = 77


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
