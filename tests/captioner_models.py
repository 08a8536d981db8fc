"""Small random captioners in transformers' own layouts."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
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


def write_blip2(folder: Path, seed: int = 0) -> Path:
    """A model that is asked in plain text."""
    tokenizer = _words(("</s>",), "Question:", "Answer:", begins_with="</s>")
    config = Blip2Config(
        vision_config=EYES,
        qformer_config={**SMALL, "encoder_hidden_size": 16, "vocab_size": 10},
        text_config=OPTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            ffn_dim=32,
            num_attention_heads=2,
            vocab_size=len(tokenizer),
            word_embed_proj_dim=16,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        ),
        num_query_tokens=3,
        image_token_index=tokenizer.image_token_id,
    )
    processor = Blip2Processor(BlipImageProcessor(size=SIZE), tokenizer, num_query_tokens=3)
    return _save(folder, Blip2ForConditionalGeneration, config, processor, seed)


def write_florence(folder: Path, seed: int = 0) -> Path:
    """A model that knows tasks by name."""
    tokenizer = _words(("<s>", "</s>"), "Describe", "paragraph")
    config = Florence2Config(
        text_config=BartConfig(
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.eos_token_id,
            forced_eos_token_id=None,
        ),
        vision_config={
            "depths": (1, 1),
            "patch_size": (7, 3),
            "patch_stride": (4, 2),
            "patch_padding": (3, 1),
            "patch_prenorm": (False, True),
            "embed_dim": (8, 16),
            "num_heads": (2, 2),
            "num_groups": (2, 2),
            "window_size": 2,
            "projection_dim": 16,
        },
        image_token_id=tokenizer.image_token_id,
    )
    pictures = CLIPImageProcessor(size=SIZE, crop_size=SIZE)
    pictures.image_seq_length = 5
    return _save(folder, Florence2ForConditionalGeneration, config, Florence2Processor(pictures, tokenizer), seed)


def write_llava(folder: Path, seed: int = 0) -> Path:
    """A model that is asked in a conversation."""
    tokenizer = _words(("<s>", "</s>"), "USER:", "ASSISTANT:", "Describe", "this")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**EYES),
        text_config=LlamaConfig(
            **SMALL,
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            head_dim=8,
        ),
        image_token_index=tokenizer.image_token_id,
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    template = (
        "{% for message in messages %}USER: {% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size=SIZE, crop_size=SIZE),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=template,
        num_additional_image_tokens=1,
    )
    return _save(folder, LlavaForConditionalGeneration, config, processor, seed)


def _words(marks: tuple[str, ...], *more: str, begins_with: str | None = None) -> PreTrainedTokenizerFast:
    """A tokenizer that knows a few whole words; the last mark ends texts, the first begins them."""
    vocabulary = {word: index for index, word in enumerate(("<pad>", "<unk>", "<image>", *marks, *WORDS, *more))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if begins_with:
        mark = (begins_with, vocabulary[begins_with])
        raw.post_processor = processors.TemplateProcessing(single=f"{begins_with} $A", special_tokens=[mark])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token=marks[0],
        eos_token=marks[-1],
        extra_special_tokens={"image_token": "<image>"},
    )


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
