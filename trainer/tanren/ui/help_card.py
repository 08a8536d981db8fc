"""The first steps, in plain words, for people who have never trained anything."""

from __future__ import annotations

from .html import Html, join, render
from .words import Words

STEPS = (
    (
        "Collect your pictures",
        "10 to 30 pictures of the one thing to learn (a person, an object, a style), all in one folder. A text file of "
        "the same name beside a picture may say what else is to be seen in it.",
    ),
    (
        "Choose a model, a name and a trigger word",
        "Take the model that you make pictures with. The trigger word is the word that will call your LoRA up; make it "
        "one that no model knows, such as mychr1.",
    ),
    (
        "Read the plan and press Start training",
        "The plan says what will happen before anything does. Then watch it under Training jobs: sample pictures show "
        "how it learns, and one click puts the finished file among your LoRAs.",
    ),
)
STEP = '<li class="tanren-step"><strong>{title}</strong><p>{text}</p></li>'
OPEN = '<details class="tanren-help" open><summary>{title}</summary><ol class="tanren-steps">{steps}</ol></details>'
FOLDED = '<details class="tanren-help"><summary>{title}</summary><ol class="tanren-steps">{steps}</ol></details>'


def help_card(words: Words, *, is_first_time: bool) -> Html:
    """Three numbered steps; folded for people who have trained before."""
    steps = join(render(STEP, title=words(title), text=words(text)) for title, text in STEPS)
    return render(OPEN if is_first_time else FOLDED, title=words("Your first LoRA in three steps"), steps=steps)
