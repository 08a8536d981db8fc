import pytest
import torch
from captioner_models import write_blip, write_blip2, write_florence, write_git, write_llava
from PIL import Image
from small_datasets import noise_picture
from tanren.picture_models.captioner import open_captioner
from tanren.picture_models.describing import joined
from tool_runs import of_kind, problem, run, tree
from transformers import BlipForConditionalGeneration, BlipProcessor

pytestmark = pytest.mark.filterwarnings("ignore")
SHORT = ["--min-tokens=3", "--max-tokens=6", "--beams=1"]


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    return write_blip(tmp_path_factory.mktemp("models") / "blip", seed=3)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        noise_picture(tmp_path / "pictures" / name, (20, 30))
    return tmp_path / "pictures"


def captions(folder):
    return {path.name: path.read_text("utf-8").rstrip("\n") for path in sorted(folder.glob("*.txt"))}


def by_transformers(model_folder, picture, prompt=None, **options):
    processor = BlipProcessor.from_pretrained(model_folder)
    model = BlipForConditionalGeneration.from_pretrained(model_folder).eval()
    inputs = processor(Image.open(picture).convert("RGB"), prompt, return_tensors="pt")
    written = model.generate(**inputs, do_sample=False, **options)
    return processor.decode(written[0], skip_special_tokens=True)


def test_captions_are_those_of_transformers_own_classes(blip, folder, capsys):
    run(capsys, "describe", folder, "--model", blip, "--min-tokens=3", "--max-tokens=9", "--beams=2")
    lengths = {"min_new_tokens": 3, "max_new_tokens": 9, "num_beams": 2}
    assert captions(folder) == {
        f"{name}.txt": by_transformers(blip, folder / f"{name}.png", **lengths) for name in "abc"
    }
    run(capsys, "describe", folder, "--model", blip, *SHORT, "--prompt=a photo of", "--mode=replace")
    expected = by_transformers(blip, folder / "b.png", "a photo of", min_new_tokens=3, max_new_tokens=6, num_beams=1)
    assert captions(folder)["b.txt"] == expected
    assert expected.startswith("a photo of ")


@pytest.mark.parametrize("write", [write_blip, write_git, write_blip2, write_florence, write_llava])
def test_a_batch_gives_the_captions_of_single_pictures(write, folder, tmp_path, capsys):
    model = write(tmp_path / "model", seed=1)
    code, events = run(capsys, "describe", folder, "--model", model, *SHORT, "--batch-size=1")
    one_by_one = [event["sentence"] for event in of_kind(events, "picture")]
    assert code == 0
    assert any(one_by_one)
    _, events = run(capsys, "describe", folder, "--model", model, *SHORT, "--batch-size=2", "--mode=replace")
    assert [event["sentence"] for event in of_kind(events, "picture")] == one_by_one


def test_models_that_go_on_writing_keep_the_prompt_and_those_that_answer_do_not(folder, tmp_path, capsys):
    for write, begins in ((write_git, True), (write_llava, False)):
        model = write(tmp_path / write.__name__, seed=1)
        words = [*SHORT, "--prompt", "photo of", "--dry-run"]
        _, events = run(capsys, "describe", folder, "--model", model, *words)
        sentences = [event["sentence"] for event in of_kind(events, "picture")]
        assert [sentence.startswith("photo of") for sentence in sentences] == [begins] * 3


def test_lengths_and_the_penalty_for_repetition_reach_the_model(blip, folder, capsys):
    def written(*words):
        _, events = run(capsys, "describe", folder, "--model", blip, "--beams=1", "--dry-run", *words)
        return [event["sentence"].split() for event in of_kind(events, "picture")]

    assert max(len(words) for words in written("--min-tokens=2", "--max-tokens=2")) <= 2
    long = written("--min-tokens=12", "--max-tokens=12")
    varied = written("--min-tokens=12", "--max-tokens=12", "--repetition-penalty=5")
    assert sum(len(set(words)) for words in varied) > sum(len(set(words)) for words in long)


def test_a_lower_precision_is_taken_when_it_is_asked_for(blip):
    assert next(open_captioner(blip, "cpu", "bf16").model.parameters()).dtype is torch.bfloat16
    assert next(open_captioner(blip, "cpu", "auto").model.parameters()).dtype is torch.float32


def test_captions_that_are_there_stay_and_a_prefix_opens_the_new_ones(blip, folder, capsys):
    (folder / "a.txt").write_text("mine", "utf-8")
    run(capsys, "describe", folder, "--model", blip, *SHORT, "--prefix", "sks girl")
    assert captions(folder)["a.txt"] == "mine"
    assert captions(folder)["b.txt"].startswith("sks girl, ")


@pytest.mark.parametrize(
    ("before", "mode", "after"),
    [
        ("", "fill", "sks, a cat"),
        ("mine", "fill", None),
        ("mine", "append", "sks, mine, a cat"),
        ("sks, a cat", "append", None),
        ("mine", "replace", "sks, a cat"),
    ],
)
def test_how_a_sentence_joins_a_caption(before, mode, after):
    assert joined(before, "a cat", "sks", mode) == after


def test_a_model_that_says_nothing_leaves_the_caption_alone():
    assert joined("mine", "", "sks", "replace") is None


def damaged(folder):
    (folder / "model.safetensors").write_bytes(b"\x10")


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def of_another_kind(folder):
    (folder / "config.json").write_text('{"model_type": "bert"}')


def without_config(folder):
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged, "The captioner cannot be loaded."),
        (without_weights, "The captioner cannot be loaded."),
        (of_another_kind, "The captioner cannot be loaded."),
        (without_config, "This is no captioner's folder: config.json is missing."),
    ],
)
def test_what_is_no_captioner_is_refused(folder, tmp_path, capsys, damage, message):
    model = write_blip(tmp_path / "blip")
    damage(model)
    before = tree(folder)
    assert problem(capsys, "describe", folder, "--model", model) == f"{model}: {message}"
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-tokens=0"], "--max-tokens: 0 is not within 1 to 2048."),
        (["--min-tokens=80"], "--min-tokens: 80 is not within 0 to 75."),
        (["--beams=0"], "--beams: 0 is not within 1 to 64."),
        (["--repetition-penalty=0"], "--repetition-penalty: It has to be above 0."),
    ],
)
def test_rules_that_make_no_sense_are_refused(folder, capsys, words, message):
    assert problem(capsys, "describe", folder, "--model", "x", *words) == message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said(blip, folder, capsys):
    words = ["describe", folder, "--model", blip, "--device", "cuda"]
    assert problem(capsys, *words) == "--device cuda: torch sees no CUDA GPU."
