"""Captioners that transformers can load: BLIP, GIT, BLIP-2, Florence-2 and chat models that look at pictures.

Only safetensors of kinds that transformers knows itself are loaded; no code comes with a model. A prompt is the
beginning of the caption for BLIP and GIT, which go on writing it, and a question for the others, which answer it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from ..data.images import Pixels
from ..errors import EnvironmentProblem, ModelFileError, OutOfMemory
from ..models.build import quiet_libraries
from .onnx_file import first_line
from .requests import WritingRules

# Models that write on where the prompt ends, so that the prompt is part of the caption.
GO_ON_WRITING = ("blip", "git")
NEEDED_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors")
QUESTION = "Describe this picture in one sentence."
# Models that know tasks by name.
USUAL_TASKS = {"florence2": "<MORE_DETAILED_CAPTION>"}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Captioner:
    """A loaded model with what prepares its pictures.

    Args:
        kind: transformers' name of the architecture, such as "blip".
    """

    def __init__(self, model: Any, processor: Any, kind: str) -> None:
        self.model, self.processor, self.kind = model, processor, kind

    @property
    def goes_on_writing(self) -> bool:
        """True when the prompt is the beginning of the caption."""
        return self.kind in GO_ON_WRITING

    @torch.no_grad()
    def captions(self, pictures: Sequence[Pixels], rules: WritingRules) -> list[str]:
        """One caption per picture.

        Raises:
            OutOfMemory: the batch is too large.
        """
        images = [Image.fromarray(picture) for picture in pictures]
        inputs = self._on_device(self._inputs(images, rules.prompt))
        try:
            written = self.model.generate(
                **inputs,
                do_sample=False,
                num_beams=rules.beams,
                min_new_tokens=rules.min_tokens,
                max_new_tokens=rules.max_tokens,
                repetition_penalty=rules.repetition_penalty,
            )
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                what=f"The GPU's memory is not enough for {len(pictures)} pictures at once.",
                why=first_line(error),
                fix="Use a smaller --batch-size, --beams 1 or --precision fp16.",
            ) from error
        if not self.goes_on_writing:
            written = _without_question(written, inputs.get("input_ids"))
        texts = self.processor.batch_decode(written, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]

    def _inputs(self, images: list[Image.Image], prompt: str) -> Any:
        if getattr(self.processor, "chat_template", None):
            return self._question(images, prompt or QUESTION)
        prompt = prompt or USUAL_TASKS.get(self.kind, "")
        if not prompt:
            return self.processor(images=images, return_tensors="pt")
        if self.kind == "git":
            return self._beginning(images, prompt)
        return self.processor(images=images, text=[prompt] * len(images), return_tensors="pt", padding=True)

    def _beginning(self, images: list[Image.Image], prompt: str) -> dict[str, Tensor]:
        """GIT writes on behind its start mark and the prompt; the end mark that tokenizers add would end it."""
        tokenizer = self.processor.tokenizer
        ids = [tokenizer.cls_token_id, *tokenizer(prompt, add_special_tokens=False).input_ids]
        pixels = self.processor(images=images, return_tensors="pt")["pixel_values"]
        return {"pixel_values": pixels, "input_ids": torch.tensor([ids] * len(images))}

    def _question(self, images: list[Image.Image], question: str) -> Any:
        messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True)
        self.processor.tokenizer.padding_side = "left"
        return self.processor(
            images=[[image] for image in images], text=[text] * len(images), return_tensors="pt", padding=True
        )

    def _on_device(self, inputs: Any) -> dict[str, Tensor]:
        first = next(self.model.parameters())
        return {
            name: value.to(first.device, first.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }


def open_captioner(place: Path, device: str, precision: str) -> Captioner:
    """Load a captioner from its folder.

    Args:
        place: a folder in transformers' layout.
        device: "auto", "cpu" or "cuda".
        precision: key of DTYPES, or "auto": fp16 on a GPU, else fp32.

    Raises:
        ModelFileError: not such a folder, damaged, or of a kind that cannot describe pictures.
        EnvironmentProblem: the device is not there, or the kind needs a package that is not.
    """
    where = chosen_device(device)
    dtype = DTYPES[precision] if precision != "auto" else DTYPES["fp16" if where.type == "cuda" else "fp32"]
    with _loading(place), quiet_libraries():
        config = AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=False)
        processor = AutoProcessor.from_pretrained(place, local_files_only=True, trust_remote_code=False)
        model = AutoModelForImageTextToText.from_pretrained(
            place,
            config=config,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    return Captioner(nn.Module.to(model, where).eval(), processor, config.model_type)


def chosen_device(name: str) -> torch.device:
    """The device of a name; "auto" is a CUDA GPU when there is one.

    Raises:
        EnvironmentProblem: there is no CUDA GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise EnvironmentProblem(
            where="--device cuda",
            what="torch sees no CUDA GPU.",
            fix="Leave --device out to use the CPU; `python launch.py doctor` tells more.",
        )
    return torch.device(name)


@contextmanager
def _loading(place: Path) -> Iterator[None]:
    """Turns what transformers raises for folders it cannot use into messages for the user."""
    if not (place / "config.json").is_file():
        raise ModelFileError(
            where=str(place),
            what="This is no captioner's folder: config.json is missing.",
            fix="Give the folder that holds config.json and model.safetensors.",
        )
    try:
        yield
    except ImportError as error:
        raise EnvironmentProblem(
            where=str(place), what="This captioner needs a package that is not installed.", why=first_line(error)
        ) from error
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        # An unknown architecture, a damaged file and a missing part are reported in all these ways.
        raise ModelFileError(
            where=str(place),
            what="The captioner cannot be loaded.",
            why=first_line(error),
            fix="Take a BLIP, GIT, BLIP-2 or chat model with model.safetensors, whose kind transformers knows itself.",
        ) from error


def _without_question(written: Tensor, question: Tensor | None) -> Tensor:
    """Models of one stream repeat the question before the answer."""
    if question is None or written.shape[1] < question.shape[1]:
        return written
    is_repeated = torch.equal(written[:, : question.shape[1]], question)
    return written[:, question.shape[1] :] if is_repeated else written
