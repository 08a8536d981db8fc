import numpy as np
import pytest
import torch
from model_files import write_model
from PIL import Image
from tanren.engine.sampling import Picture, draw_picture
from tanren.events import Report
from tanren.families import sd
from tanren.families.base import Placement
from tanren.options.dataset import DatasetOptions
from tanren.options.model import AttentionOptions, ModelOptions
from tanren.options.spec import Settings
from tanren.picture_models import regularizing
from tanren.preparation.journal import Journal
from tiny_models import tiny_sd
from tool_runs import of_kind, problem, run, tree

pytestmark = [pytest.mark.filterwarnings("ignore:__array"), pytest.mark.filterwarnings("ignore:The configuration file")]
QUICK = ["--size=64,72", "--steps=2", "--class", "1girl"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_sd(tmp_path_factory.mktemp("model") / "sd1.safetensors")


def drawn_directly(base, prompt, seed, **picture):
    groups = [ModelOptions(pretrained_model_name_or_path=str(base)), AttentionOptions(), DatasetOptions()]
    placement = Placement(torch.device("cpu"), torch.float32, torch.float32)
    model = sd.load(Settings("train_network", groups), placement, Report())
    return np.asarray(draw_picture(model, Picture(prompt, size_wh=(64, 72), seed=seed, steps=2, **picture)))


def test_pictures_are_the_models_own_with_seeds_in_their_names_and_prompts_beside_them(base, tmp_path, capsys):
    words = ["--model", base, *QUICK, "--repeats=3", "--seed=7", "--count=2", "--negative=bad", "--scale=4"]
    code, events = run(capsys, "regularize", tmp_path / "reg", *words)
    folder = tmp_path / "reg" / "3_1girl"
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "1girl_0000000007.png",
        "1girl_0000000007.txt",
        "1girl_0000000008.png",
        "1girl_0000000008.txt",
    ]
    assert (folder / "1girl_0000000008.txt").read_text() == "1girl\n"
    ours = np.asarray(Image.open(folder / "1girl_0000000008.png"))
    expected = drawn_directly(base, "1girl", 8, negative_prompt="bad", scale=4.0, sampler="euler_a")
    assert np.array_equal(ours, expected)
    facts = Image.open(folder / "1girl_0000000008.png").info["parameters"]
    assert facts == "1girl\nNegative prompt: bad\nSteps: 2, Sampler: Euler a, CFG scale: 4, Seed: 8, Size: 64x72"
    assert of_kind(events, "phase")[-1]["done"] == 2


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_files(base, tmp_path, capsys, monkeypatch):
    whole, parts, stop = tmp_path / "whole", tmp_path / "parts", tmp_path / "stop"
    words = ["--model", base, *QUICK, "--count=3", "--prompt=a cat", "--prompt=a dog"]
    run(capsys, "regularize", whole, *words)

    draw = regularizing.draw_picture

    def stop_in_the_second(model, picture, **more):
        if picture.seed == 1:
            stop.touch()
        return draw(model, picture, **more)

    monkeypatch.setattr(regularizing, "draw_picture", stop_in_the_second)
    code, events = run(capsys, "regularize", parts, *words, "--stop-file", stop)
    assert code == 20
    assert events[-1]["reason"] == "Stopped on request after 1 of 3 pictures. The same command goes on."
    assert list(tree(parts)) == ["1_1girl/1girl_0000000000.png", "1_1girl/1girl_0000000000.txt"]
    monkeypatch.undo()
    monkeypatch.setenv("TANREN_DATA", str(tmp_path / "data"))

    code, events = run(capsys, "regularize", parts, *words)
    assert code == 0
    assert tree(parts) == tree(whole)
    assert of_kind(events, "note")[0]["text"] == "1 pictures are there already; the run goes on behind them."
    assert (parts / "1_1girl" / "1girl_0000000001.txt").read_text() == "a dog\n"


def test_a_larger_count_adds_pictures_and_the_same_adds_none(tmp_path, capsys):
    words = ["--transparent", "--class=big cat", "--size=64"]
    run(capsys, "regularize", tmp_path / "reg", *words, "--count=2")
    before = tree(tmp_path / "reg")
    _, events = run(capsys, "regularize", tmp_path / "reg", *words, "--count=2")
    assert of_kind(events, "result")[0]["written"] == 0
    run(capsys, "regularize", tmp_path / "reg", *words, "--count=3")
    after = tree(tmp_path / "reg")
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == [
        "1_big cat/big_cat_0000000002.png",
        "1_big cat/big_cat_0000000002.txt",
    ]


def test_transparent_pictures_need_no_model_and_hold_nothing(tmp_path, capsys):
    words = ["--transparent", "--class=1girl", "--count=1", "--no-captions"]
    code, _ = run(capsys, "regularize", tmp_path / "reg", *words)
    (path,) = (tmp_path / "reg" / "1_1girl").iterdir()
    image = Image.open(path)
    assert (code, image.mode, image.size) == (0, "RGBA", (512, 512))
    assert image.getextrema() == ((0, 0), (0, 0), (0, 0), (0, 0))


def test_a_long_run_is_written_in_portions_that_can_be_undone_one_by_one(tmp_path, data_folder, capsys, monkeypatch):
    monkeypatch.setattr(regularizing, "PORTION_SECONDS", -1.0)
    words = ["--transparent", "--class=x", "--size=64", "--count=2"]
    run(capsys, "regularize", tmp_path / "reg", *words)
    assert [len(one.changes) for one in Journal(data_folder).history()] == [4, 2]
    Journal(data_folder).undo()
    assert list(tree(tmp_path / "reg")) == ["1_x/x_0000000000.png", "1_x/x_0000000000.txt"]
    Journal(data_folder).undo()
    assert not (tmp_path / "reg").exists()


def test_a_rehearsal_says_which_pictures_would_be_drawn(tmp_path, capsys):
    words = ["--model=x", *QUICK, "--count=2", "--dry-run", "--caption-extension=.caption"]
    code, events = run(capsys, "regularize", tmp_path / "reg", *words)
    assert code == 0
    assert [(event["seed"], event["text"]) for event in of_kind(events, "picture")] == [(0, "1girl"), (1, "1girl")]
    assert not (tmp_path / "reg").exists()


@pytest.mark.parametrize("family", ["sd2", "shallow sdxl"])
def test_other_families_are_known_by_their_file(family, tmp_path, capsys):
    base = tiny_sd(tmp_path / "base.safetensors", family)
    words = ["--model", base, *QUICK, "--count=1", "--v_parameterization", "--precision=fp32", "--sampler=ddim"]
    code, _ = run(capsys, "regularize", tmp_path / "reg", *words)
    assert code == 0
    assert Image.open(tmp_path / "reg" / "1_1girl" / "1girl_0000000000.png").size == (64, 72)


def test_clip_skip_and_prediction_reach_the_picture(base, tmp_path, capsys):
    def drawn(*more):
        out = tmp_path / "-".join(["reg", *more])
        run(capsys, "regularize", out, "--model", base, *QUICK, "--count=1", *more)
        return (out / "1_1girl" / "1girl_0000000000.png").read_bytes()

    pictures = [drawn(), drawn("--clip-skip=2"), drawn("--v-parameterization"), drawn("--sampler=ddim")]
    assert len(set(pictures)) == 4


def test_a_picture_that_is_too_large_for_the_memory_is_said(base, tmp_path, capsys, monkeypatch):
    def without_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    monkeypatch.setattr(regularizing, "draw_picture", without_memory)
    code, events = run(capsys, "regularize", tmp_path / "reg", "--model", base, *QUICK, "--count=1")
    found = of_kind(events, "problem")[0]
    assert code == 6
    assert found["what"] == "The GPU's memory is not enough to draw a picture of this size."
    assert found["fix"].startswith("Use a smaller --size")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--class=a"], "--model: The model that draws the pictures is missing."),
        (["--class=a/b", "--transparent"], "--class: 'a/b' cannot be the name of a file: it contains /."),
        (["--class=a", "--transparent", "--count=0"], "--count: 0 is not within 1 to 100000."),
        (["--class=a", "--transparent", "--size=65"], "--size: 65 is no multiple of 8."),
        (["--class=a", "--transparent", "--size=huge"], None),
        (["--class=a", "--transparent", "--seed=-1"], "--seed: -1 is not within 0 to 4294967195."),
        (["--class=a", "--transparent", "--steps=0"], "--steps: 0 is not within 1 to 1000."),
        (["--class=a", "--transparent", "--repeats=0"], "--repeats: 0 is not within 1 to 10000."),
        (["--class=a", "--model=x", "--clip-skip=0"], "--clip-skip: 0 is not within 1 to 24."),
        (["--class=a", "--model=x", "--sampler=magic"], "--sampler: 'magic' is not known."),
        (
            ["--class=a", "--model=nowhere.ckpt"],
            "--pretrained_model_name_or_path: There is no file or folder nowhere.ckpt.",
        ),
    ],
)
def test_words_that_make_no_sense_are_refused(tmp_path, capsys, words, message):
    expected = message or "--size: 'huge' is neither one number nor WIDTH,HEIGHT. Write 1024 or 832,1216."
    assert problem(capsys, "regularize", tmp_path / "reg", *words) == expected
    assert not (tmp_path / "reg").exists()


def test_a_file_that_cannot_draw_is_refused_by_name(tmp_path, capsys):
    lora = write_model(tmp_path / "small.safetensors", {"lora_unet_x.lora_down.weight": (4, 8)})
    words = ["--class=a", "--model", lora]
    found = problem(capsys, "regularize", tmp_path / "reg", *words)
    assert found == "--model: small.safetensors is a LoRA or another small network, which cannot draw here."
