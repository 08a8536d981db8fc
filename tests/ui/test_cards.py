"""The outcome of a check as HTML: what the page script reads, what people read, and that data stays text."""

from dataclasses import fields, replace
from html.parser import HTMLParser

import pytest
from model_files import write_model
from PIL import Image
from tanren.data.records import PairFacts
from tanren.errors import DataError, Problems, UsageError
from tanren.formats.captions import read_caption
from tanren.paths import ANYWHERE
from tanren.room import Room
from tanren.ui import cards
from tanren.ui.caption_card import CaptionCard, FolderFacts
from tanren.ui.checking import Checked, check
from tanren.ui.concept_card import about_concept
from tanren.ui.control_card import about_controls
from tanren.ui.estimates import MemoryEstimate
from tanren.ui.picture_card import picture_card
from tanren.ui.places import FoundProblem, Notice, Remedy
from tanren.ui.scan_memory import ScanMemory
from tanren.ui.words import Text, Words
from tanren.vram import GIB, MemoryNeed

ENGLISH = Words("en")
PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</ul></div><iframe src=javascript:alert(1)>",
    "{sentence}{parts}",
    "a\u202egnp.exe\x00",
]


class Seen(HTMLParser):
    """Elements, the text as a person reads it, and everything that attributes hold."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self.attributes = [], "", []
        self.feed(str(page))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(name, value) for name, value in attrs]

    def handle_data(self, data):
        self.text += data + "\n"

    def values(self, name):
        return [value for found, value in self.attributes if found == name]


def card(**changes):
    given = {
        "folders": (FolderFacts("/data/10_cat", 12, 10, False, "cat", 2),),
        "pictures": 12,
        "captioned": 11,
        "by_extension": {".txt": 10, ".caption": 1},
        "read": 10,
        "missing": ("x.png", "y.png"),
        "unread": 1,
        "unusable": ("broken.jpg",),
        "num_unusable": 1,
        "buckets": ((512, 512, 100), (640, 384, 20)),
        "held_out": 0,
        "notes": ("/data/10_cat: a note.",),
    }
    return CaptionCard(**{**given, **changes})


def everything(text):
    """An outcome that holds this text wherever text of users and files can come."""
    problem = FoundProblem(text, text, text, text, text, text, 2, Remedy(text, text))
    pictures = card(
        folders=(FolderFacts(text, 12, 10, False, text, 12), FolderFacts(text, 1, 1, True, text, 1)),
        by_extension={text: 3},
        missing=(text,),
        unusable=(text,),
        notes=(text,),
    )
    need = MemoryNeed(1, 1, 1, 2 * GIB, 3 * GIB, GIB)
    return Checked(
        sentence=Text("{a}", {"a": text}),
        caption_card=pictures,
        changes=(Text("{a}", {"a": text}),),
        pairs=(PairFacts(text, text, 1, (text,), (text,), (text,)),),
        trained=(Text("{a}", {"a": text}),),
        base_model=text,
        memory=MemoryEstimate(need, True, GIB, 8 * GIB),
        savers=(text,),
        room=Room(text, 1, text, 1, 1, 1, 1, 1),
        problems=(problem,),
        warnings=(Notice(text, text),),
        facts={"x": text},
    )


def concept(text, words):
    """The card of a concept whose prompts hold this text."""
    content = {"resolution": 512, "prompts": [{"target": text}]}
    return about_concept({}, {"prompts_file": content}, everything(text).changes, words)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prompts_file", "The plan appears when the concept is named."),
        ("train_data_dir", "The plan appears when pictures are chosen."),
        ("resolution", "The plan appears when what is wrong is put right."),
    ],
)
def test_without_a_plan_the_card_says_what_it_waits_for(name, said):
    wrong = FoundProblem(name, "", "", "It is wrong.", "", "", 2)
    assert said in Seen(cards.plan(Checked(problems=(wrong,)), ENGLISH)).text


@pytest.mark.parametrize("payload", PAYLOADS)
def test_names_of_pictures_and_folders_stay_text_in_the_card_of_pairs(payload, tmp_path):
    def seen(text):
        options = {"train_data_dir": str(tmp_path), "conditioning_data_dir": text}
        return Seen(about_controls(options, everything(text).pairs, ENGLISH, ANYWHERE, may_write=True))

    assert seen(payload).elements == seen("x").elements
    assert [name for name, _ in seen(payload).attributes] == [name for name, _ in seen("x").attributes]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("language", ["en", "ja_JP", "zh_CN"])
def test_text_of_users_and_files_stays_text_wherever_it_comes(payload, language):
    words = Words(language)
    harmless, page = (
        cards.plan(everything(text), words, changed=[text], field_of=lambda name: name, subject=concept(text, words))
        for text in ("x", payload)
    )

    seen, usual = Seen(page), Seen(harmless)

    assert seen.elements == usual.elements
    assert [name for name, _ in seen.attributes] == [name for name, _ in usual.attributes]
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert "\u202e" not in page
    assert "\x00" not in page


def test_every_part_of_an_outcome_was_tried_with_payloads():
    tried = everything("x")

    for part in fields(Checked):
        assert getattr(tried, part.name), part.name


def test_long_lists_are_cut_and_say_so():
    problem = FoundProblem("seed", "Seed", "--seed", "wrong {n}", "", "", 2)
    many = Checked(
        problems=tuple(replace(problem, what=f"wrong {n}") for n in range(300)),
        warnings=tuple(Notice(None, f"note {n}") for n in range(300)),
        caption_card=card(missing=tuple(f"{n}.png" for n in range(200)), pictures=10_000, read=0, notes=("n",) * 400),
    )

    seen = Seen(cards.plan(many, ENGLISH))

    assert len(seen.values("data-field")) == 100
    assert "and 250 more" in seen.text
    assert "and 9950 more" in seen.text
    assert "and 380 more" in seen.text


def test_page_script_is_told_what_is_wrong_where_and_whether_start_is_possible():
    problem = FoundProblem("train_data_dir", "Pictures", "--train_data_dir", "Wrong.", "Why.", "Fix.", 3)
    checked = Checked(problems=(problem,), warnings=(Notice("seed", "Careful."),))

    seen = Seen(cards.plan(checked, ENGLISH, changed=["seed", "resolution"], field_of=lambda name: f"my_{name}"))

    assert seen.values("data-can-start") == ["false"]
    assert seen.values("data-changed") == ["seed resolution"]
    assert seen.values("data-field") == ["my_train_data_dir", "my_seed"]
    assert seen.values("data-text") == ["Wrong. Why. Fix.", "Careful."]
    assert Seen(cards.plan(Checked(), ENGLISH)).values("data-can-start") == ["true"]


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "“Network rank (dim)” cannot be so. Add “Trigger word” or “Training seed” = 7."),
        ("ja_JP", "「ネットワークのランク（dim）」 cannot be so. Add 「トリガーワード」 or 「学習のシード」 = 7."),
    ],
)
def test_flags_in_sentences_become_the_labels_of_fields(language, told):
    problem = FoundProblem("seed", "Seed", "--seed", "--network_dim cannot be so.", "", "Add --trigger or --seed=7.", 2)
    checked = Checked(problems=(problem,), warnings=(Notice(None, "--no_such_flag=x stays."),))

    shown = Seen(cards.plan(checked, Words(language))).values("data-text")

    assert shown == [told, "--no_such_flag=x stays."]


@pytest.mark.parametrize("name", ["train_data_dir", "dataset_config", "pictures"])
def test_problem_of_a_single_picture_is_told_by_its_file(name):
    problem = FoundProblem(name, "Dataset file", "/data/10_cat/猫.png", "It is broken.", "", "Replace it.", 3)

    seen = Seen(cards.plan(Checked(problems=(problem,)), ENGLISH, field_of=lambda name: "pictures"))

    assert seen.values("data-text") == ["猫.png: It is broken. Replace it."]
    assert "/data/10_cat/猫.png" in seen.text
    assert "Dataset file" not in seen.text


def test_problem_of_a_model_file_keeps_the_label_of_its_field():
    name = "pretrained_model_name_or_path"
    problem = FoundProblem(name, "Base model", "/models/base.ckpt", "It is cut off.", "", "", 4)

    seen = Seen(cards.plan(Checked(problems=(problem,)), ENGLISH))

    assert "Base model" in seen.text
    assert seen.values("data-text") == ["base.ckpt: It is cut off."]


def test_captions_in_another_encoding_are_one_press_from_being_converted(tmp_path):
    (tmp_path / "a.txt").write_bytes("猫がいる".encode("cp932"))
    with pytest.raises(DataError) as caught:
        read_caption(str(tmp_path / "a.txt"))
    told = (caught.value.where, caught.value.what, caught.value.why, caught.value.fix)

    seen = Seen(cards.plan(Checked(problems=(FoundProblem("train_data_dir", "Pictures", *told, 3),)), ENGLISH))
    assert (seen.values("data-look"), seen.values("data-flag")) == ([str(tmp_path)], ["encoding"])
    assert "Convert the captions to UTF-8" in seen.text


def test_remedy_is_a_button_that_fills_the_field():
    problem = FoundProblem(
        "train_data_dir", "Pictures", "--train_data_dir", "w", "", "", 3, Remedy("train_data_dir", "/data/猫 (1)")
    )

    seen = Seen(cards.plan(Checked(problems=(problem,)), ENGLISH, field_of=lambda name: "pictures"))

    assert seen.values("data-use-level") == ["/data/猫 (1)"]
    assert seen.values("data-level-field") == ["pictures"]
    assert "Use /data/猫 (1)" in seen.text


def test_caption_card_says_found_missing_and_unread():
    text = Seen(picture_card(card(), ENGLISH)).text

    assert "12 pictures, captions found: 11 of 12 (.txt 10, .caption 1)" in text
    assert "1 caption file is not read, because its suffix is not the one that is set." in text
    assert "2 pictures without a caption" in text
    assert "x.png" in text
    assert "1 picture cannot be used" in text
    assert "broken.jpg" in text
    assert "640×384" in text


def test_missing_captions_of_a_folder_are_one_press_away():
    folders = (
        FolderFacts("/data/10_猫", 12, 10, False, "", 2),
        FolderFacts("/data/5_all", 3, 5, False, "", 0),
        FolderFacts("/data/1_girl", 3, 1, True, "girl", 3),
        FolderFacts("/data/in.json", 3, 1, False, "", 1),
    )

    seen = Seen(picture_card(card(folders=folders), ENGLISH))
    assert (seen.values("data-look"), seen.values("data-flag")) == (["/data/10_猫"], ["no_caption"])
    assert "Write the missing captions of 10_猫" in seen.text


def test_folder_that_trains_its_name_says_so_plainly():
    folder = FolderFacts("/data/10_sks girl", 12, 10, False, "sks girl", 12)
    bare = card(folders=(folder,), captioned=0, read=0, unread=0, by_extension={})

    text = Seen(picture_card(bare, ENGLISH)).text

    assert "12 pictures, no captions found" in text
    assert "10_sks girl has no captions: every picture is trained with the text “sks girl”." in text
    empty = Seen(picture_card(replace(bare, folders=(replace(folder, caption_instead=""),)), ENGLISH)).text
    assert "every picture is trained with an empty caption." in empty


@pytest.mark.parametrize(
    ("free", "level", "sentence"),
    [(4 * GIB, "fits", "It fits."), (2 * GIB, "tight", "It may be too little."), (GIB, "over", "That is too little.")],
)
def test_memory_says_in_words_and_colour_whether_it_fits(free, level, sentence):
    need = MemoryNeed(1, 1, 1, 2 * GIB, 3 * GIB, 2 * GIB)
    checked = Checked(memory=MemoryEstimate(need, True, free, 8 * GIB), savers=("--cache_latents",))

    seen = Seen(cards.plan(checked, ENGLISH))

    assert "About 2.0 GiB, perhaps up to 3.0 GiB (estimated)" in seen.text
    assert sentence in seen.text
    assert ("What would help: --cache_latents." in seen.text) is (level != "fits")
    assert f"tanren-meter tanren-{level}" in seen.values("class")


def test_unknown_memory_shows_no_bar():
    need = MemoryNeed(1, 1, 1, 2 * GIB, 3 * GIB, 0)

    seen = Seen(cards.plan(Checked(memory=MemoryEstimate(need, True, None)), ENGLISH))

    assert "meter" not in seen.elements
    assert "About 2.0 GiB" in seen.text


def test_outcome_in_japanese(tmp_path):
    folder = tmp_path / "10_猫"
    folder.mkdir()
    for number in range(11):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a cat")
    write_model(tmp_path / "model.safetensors")
    options = {
        "pretrained_model_name_or_path": str(tmp_path / "model.safetensors"),
        "train_data_dir": str(tmp_path),
        "network_module": "networks.lora",
        "resolution": "64",
        "caption_extension": ".txt",
        "train_batch_size": 2,
        "max_train_epochs": 5,
    }
    before = Problems()
    before.add(UsageError(where="--output_name", what="'a' is not there."))

    text = Seen(cards.plan(check("train_network", options, problems=before, memory=ScanMemory()), Words("ja"))).text

    assert "画像 11 枚 × 10 回 × 5 エポック ÷ バッチ 2 = 275 ステップ" in text
    assert "画像 11 枚、キャプションあり: 11 枚中 11 枚 (.txt 11)" in text
    assert "'a' が見つかりません。" in text
