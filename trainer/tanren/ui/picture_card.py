"""The card of the pictures: how folders were understood, captions found and missing, pictures that cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from .caption_card import CaptionCard, FolderFacts
from .html import Html, join, render
from .words import Text, Words, counted, text

LOOK = '<button type="button" class="tanren-remedy" data-look="{folder}" data-flag="{flag}">{label}</button> '
METADATA, LINKS_SHOWN = (".json", ".jsonl"), 3
NAMES_SHOWN, NOTES_SHOWN, BUCKETS_SHOWN, FOLDERS_SHOWN = 50, 20, 40, 20
CARD = '<section class="tanren-section tanren-pictures"><h4>{title}</h4>{parts}</section>'


def picture_card(card: CaptionCard, words: Words) -> Html:
    """The card as HTML."""
    sentences = [words(_found(card))]
    if card.held_out:
        sentences.append(
            words(
                counted(
                    card.held_out,
                    "{count} picture is held out to measure the loss.",
                    "{count} pictures are held out to measure the loss.",
                )
            )
        )
    parts = [
        _paragraphs(sentences),
        _paragraphs([words(_no_captions(folder)) for folder in _captionless(card)], "tanren-important"),
        _to_captions(card, words),
        _unread(card, words),
        _list(card.unusable, card.num_unusable, _unusable_title(card), words, "tanren-wrong"),
        _list(card.missing, card.pictures - card.read, _missing_title(card), words)
        if not _captionless(card)
        else Html(""),
        _folders(card.folders, words),
        _sizes(card, words),
        _notes(card.notes, words),
    ]
    return render(CARD, title=words("Pictures and captions"), parts=parts)


def _found(card: CaptionCard) -> Text:
    pictures = counted(card.pictures, "{count} picture", "{count} pictures")
    if not card.captioned:
        return text("{pictures}, no captions found", pictures=pictures)
    kinds = ", ".join(f"{suffix} {count}" for suffix, count in card.by_extension.items())
    if not kinds:
        return text(
            "{pictures}, captions found: {found} of {all}", pictures=pictures, found=card.captioned, all=card.pictures
        )
    return text(
        "{pictures}, captions found: {found} of {all} ({kinds})",
        pictures=pictures,
        found=card.captioned,
        all=card.pictures,
        kinds=kinds,
    )


def _captionless(card: CaptionCard) -> list[FolderFacts]:
    return [folder for folder in card.folders if folder.has_no_captions and not folder.is_regularization]


def _no_captions(folder: FolderFacts) -> Text:
    name = PurePath(folder.folder).name
    if folder.caption_instead:
        return text(
            "{folder} has no captions: every picture is trained with the text “{caption}”.",
            folder=name,
            caption=folder.caption_instead,
        )
    return text("{folder} has no captions: every picture is trained with an empty caption.", folder=name)


def _to_captions(card: CaptionCard, words: Words) -> Html:
    """Ways to the tab of captions, one for each folder that lacks some."""
    folders = [folder for folder in card.folders if folder.without_caption and not folder.is_regularization]
    return join(
        render(
            LOOK,
            folder=folder.folder,
            flag="no_caption",
            label=words("Write the missing captions of {folder}", folder=PurePath(folder.folder).name),
        )
        for folder in folders[:LINKS_SHOWN]
        if not folder.folder.endswith(METADATA)
    )


def _unread(card: CaptionCard, words: Words) -> Html:
    if not card.unread:
        return Html("")
    sentence = counted(
        card.unread,
        "{count} caption file is not read, because its suffix is not the one that is set.",
        "{count} caption files are not read, because their suffix is not the one that is set.",
    )
    return _paragraphs([words(sentence)], "tanren-warning")


def _unusable_title(card: CaptionCard) -> Text:
    return counted(card.num_unusable, "{count} picture cannot be used", "{count} pictures cannot be used")


def _missing_title(card: CaptionCard) -> Text:
    return counted(card.pictures - card.read, "{count} picture without a caption", "{count} pictures without a caption")


def _list(names: Sequence[str], total: int, title: Text, words: Words, kind: str = "tanren-names") -> Html:
    if not total:
        return Html("")
    more = total - len(names[:NAMES_SHOWN])
    shown = [*names[:NAMES_SHOWN], *([words("and {count} more", count=more)] if more > 0 else [])]
    return render(
        '<details class="{kind}"><summary>{title}</summary><ul>{names}</ul></details>',
        kind=kind,
        title=words(title),
        names=[render("<li>{name}</li>", name=name) for name in shown],
    )


def _folders(folders: Sequence[FolderFacts], words: Words) -> Html:
    shown = [_folder(folder, words) for folder in folders[:FOLDERS_SHOWN]]
    if len(folders) > FOLDERS_SHOWN:
        shown.append(render("<li>{text}</li>", text=words("and {count} more", count=len(folders) - FOLDERS_SHOWN)))
    return render('<ul class="tanren-folders">{shown}</ul>', shown=shown) if shown else Html("")


def _folder(folder: FolderFacts, words: Words) -> Html:
    pictures = counted(folder.pictures, "{count} picture", "{count} pictures")
    repeats = counted(folder.repeats, "{count} repeat", "{count} repeats")
    count = words(text("{pictures} × {repeats}", pictures=pictures, repeats=repeats))
    kind = words("regularization pictures") if folder.is_regularization else ""
    caption = words("words: {caption}", caption=folder.caption_instead) if folder.caption_instead else ""
    return render(
        '<li title="{path}"><strong>{name}</strong> {facts}</li>',
        path=folder.folder,
        name=PurePath(folder.folder).name or folder.folder,
        facts=" · ".join(one for one in (count, kind, caption) if one),
    )


def _sizes(card: CaptionCard, words: Words) -> Html:
    if not card.buckets:
        return Html("")
    largest = max(count for _, _, count in card.buckets)
    rows = [
        render(
            '<li><span>{size}</span> <meter min="0" max="{max}" value="{count}"></meter> <span>{count}</span></li>',
            size=f"{width}×{height}",
            max=largest,
            count=count,
        )
        for width, height, count in card.buckets[:BUCKETS_SHOWN]
    ]
    if len(card.buckets) > BUCKETS_SHOWN:
        rows.append(render("<li>{text}</li>", text=words("and {count} more", count=len(card.buckets) - BUCKETS_SHOWN)))
    title = words(counted(len(card.buckets), "{count} size is trained", "{count} sizes are trained"))
    return render(
        '<details class="tanren-buckets"><summary>{title}</summary><ul>{rows}</ul></details>', title=title, rows=rows
    )


def _notes(notes: Sequence[str], words: Words) -> Html:
    shown = [words.finished(note) for note in notes[:NOTES_SHOWN]]
    if len(notes) > NOTES_SHOWN:
        shown.append(words("and {count} more", count=len(notes) - NOTES_SHOWN))
    return _paragraphs(shown, "tanren-note")


def _paragraphs(sentences: Sequence[str], kind: str = "") -> Html:
    if not kind:
        return join(render("<p>{text}</p>", text=sentence) for sentence in sentences)
    return join(render('<p class="{kind}">{text}</p>', kind=kind, text=sentence) for sentence in sentences)
