"""Small random captioners in transformers' own layouts."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

WORDS = ("a", "photo", "of", "cat", "dog", "red", "blue", "sky", "girl", "with", "hair", "long")
SIZE = {"height": 16, "width": 16}
SMALL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
EYES = {**SMALL, "image_size": 16, "patch_size": 8}


def write_blip(folder: Path, seed: int = 0) -> Path:
    tokenizer = _bert(folder)
    text = {
        **SMALL,
        "vocab_size": len(tokenizer),
        "encoder_hidden_size": 16,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = BlipConfig(text_config=text, vision_config=EYES, projection_dim=16)
    return _save(
        folder, BlipForConditionalGeneration, config, BlipProcessor(BlipImageProcessor(size=SIZE), tokenizer), seed
    )


def write_git(folder: Path, seed: int = 0) -> Path:
    tokenizer = _bert(folder)
    config = GitConfig(
        vision_config=EYES,
        **SMALL,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    pictures = CLIPImageProcessor(size=SIZE, crop_size=SIZE)
    return _save(folder, GitForCausalLM, config, GitProcessor(pictures, tokenizer), seed)


def write_llava(folder: Path, seed: int = 0) -> Path:
    """A model that is asked in a conversation."""
    special = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "USER:", "ASSISTANT:")
    vocabulary = {word: index for index, word in enumerate((*special, *WORDS, "Describe", "this"))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**EYES),
        text_config=LlamaConfig(
            **SMALL, vocab_size=len(vocabulary), bos_token_id=1, eos_token_id=2, pad_token_id=0, head_dim=8
        ),
        image_token_index=vocabulary["<image>"],
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    template = (
        "{% for message in messages %}USER: {% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    pictures = CLIPImageProcessor(size=SIZE, crop_size=SIZE)
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=template,
        num_additional_image_tokens=1,
    )
    return _save(folder, LlavaForConditionalGeneration, config, processor, seed)


def _bert(folder: Path) -> BertTokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    (folder / "vocab.txt").write_text("\n".join((*special, *WORDS)), "utf-8")
    return BertTokenizer(str(folder / "vocab.txt"))


def _save(folder: Path, kind, config, processor, seed: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
                if name.endswith("predictions.bias"):
                    # Words, not marks, so that BLIP's captions are not empty.
                    parameter[:5] = -20
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
