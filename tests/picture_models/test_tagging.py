import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from onnx_models import ANSWERS, LABELS, write_detector, write_first_colour, write_tagger
from PIL import Image
from tanren.picture_models.onnx_file import OnnxModel
from tanren.picture_models.tagger import prepared
from tanren.preparation.journal import Journal
from tool_runs import of_kind, pictures, problem, run, tree

TRAINER = Path(__file__).parents[2] / "trainer"
NAMES = ("blue.png", "green.png", "red.png")


@pytest.fixture
def tagger(tmp_path):
    return write_tagger(tmp_path / "tagger")


@pytest.fixture
def folder(tmp_path):
    return pictures(tmp_path / "10_写真 [1]", *NAMES)


def captions(folder):
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.txt"))}


def test_pictures_are_padded_to_a_white_square_resized_and_their_blue_comes_first():
    wide = np.zeros((2, 4, 3), np.uint8)
    wide[:, :, 0] = 200
    square = prepared(wide, 4)
    assert square.dtype == np.float32
    assert square[:, 0].tolist() == [[255, 255, 255], [0, 0, 200], [0, 0, 200], [255, 255, 255]]
    assert prepared(wide, 448).shape == (448, 448, 3)
    expected = Image.fromarray(prepared(wide, 4).astype(np.uint8)).resize((7, 7), Image.Resampling.BICUBIC)
    assert np.array_equal(prepared(wide, 7), np.asarray(expected, np.float32))


def test_captions_hold_what_the_model_sees(tagger, folder, capsys):
    code, events = run(capsys, "tag", folder, "--model", tagger)
    assert code == 0
    assert captions(folder) == {
        "blue.txt": "blue sky, >_<\n",
        "green.txt": "green eyes, lum (urusei yatsura), >_<\n",
        "red.txt": "red hair, >_<\n",
    }
    assert of_kind(events, "picture")[0]["tags"] == [["blue sky", 1.0], [">_<", 0.4]]
    assert of_kind(events, "phase")[-1] | {"time": 0} == {
        "kind": "phase",
        "time": 0,
        "name": "tag",
        "done": 3,
        "total": 3,
    }
    assert of_kind(events, "result")[0]["written"] == 3


def test_thresholds_order_rating_and_opening_tags_reach_the_caption(tagger, folder, capsys):
    words = [
        "--general-threshold",
        "0.5",
        "--character_threshold=0.9",
        "--rating=last",
        "--first=sks",
        "--batch-size=2",
    ]
    run(capsys, "tag", folder, "--model", tagger, *words)
    assert captions(folder)["green.txt"] == "sks, green eyes, general\n"
    run(capsys, "tag", folder, "--model", tagger, "--mode=replace", "--threshold=0.9", "--keep-underscores")
    assert captions(folder)["green.txt"] == "green_eyes\n"
    words = ["--exclude=green eyes", "--escape-brackets", "--separator=; ", "--order=alphabet", "--characters-first"]
    run(capsys, "tag", folder, "--model", tagger, "--mode=replace", *words)
    assert captions(folder)["green.txt"] == "lum \\(urusei yatsura\\); >_<\n"


def test_captions_that_are_there_stay_unless_it_is_asked_for(tagger, folder, capsys):
    (folder / "blue.txt").write_text("a sky", "utf-8")
    (folder / "green.txt").write_text(" \n", "utf-8")
    code, events = run(capsys, "tag", folder, "--model", tagger)
    assert (code, captions(folder)["blue.txt"]) == (0, "a sky")
    assert captions(folder)["green.txt"] == "green eyes, lum (urusei yatsura), >_<\n"
    assert of_kind(events, "result")[0] | {"time": 0} == {
        "kind": "result",
        "time": 0,
        "written": 2,
        "unchanged": 1,
        "failed": 0,
    }
    run(capsys, "tag", folder, "--model", tagger, "--mode", "append")
    assert captions(folder)["blue.txt"] == "a sky, blue sky, >_<\n"


def test_a_rehearsal_shows_captions_and_writes_nothing(tagger, folder, capsys):
    before = tree(folder)
    _, events = run(capsys, "tag", folder, "--model", tagger, "--dry-run")
    assert [event["text"] for event in of_kind(events, "picture")][2] == "red hair, >_<"
    assert tree(folder) == before


def test_undoing_brings_the_captions_back_byte_by_byte(tagger, folder, data_folder, capsys):
    (folder / "blue.txt").write_bytes(b"\xef\xbb\xbfa sky\r\n")
    before = tree(folder)
    run(capsys, "tag", folder, "--model", tagger, "--mode", "append")
    assert captions(folder)["blue.txt"] == "a sky, blue sky, >_<\n"
    Journal(data_folder).undo()
    assert tree(folder) == before


def test_folders_below_are_looked_at_when_asked_for_and_other_extensions_can_be_named(tagger, tmp_path, capsys):
    folder = pictures(tmp_path / "all", "a/blue.png", "b/red.png")
    assert problem(capsys, "tag", folder, "--model", tagger) == f"{folder}: No pictures were found there."
    run(capsys, "tag", folder, "--model", tagger, "--recursive", "--caption-extension", ".caption")
    assert (folder / "a" / "blue.caption").read_text() == "blue sky, >_<\n"
    assert (folder / "b" / "red.caption").read_text() == "red hair, >_<\n"


def test_a_picture_that_cannot_be_read_costs_only_itself(tagger, folder, capsys):
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    code, events = run(capsys, "tag", folder, "--model", tagger)
    assert code == 3
    assert len(captions(folder)) == 3
    assert of_kind(events, "problem")[0]["where"].endswith("damaged.png")
    assert events[-1]["reason"] == "1 picture was left out; the messages above say which and why."


def test_a_caption_in_another_encoding_is_left_alone_and_named(tagger, folder, capsys):
    (folder / "blue.txt").write_bytes("青い空".encode("cp932"))
    code, events = run(capsys, "tag", folder, "--model", tagger, "--mode", "append")
    assert code == 3
    found = of_kind(events, "problem")[0]
    assert found["what"] == "The caption is not in UTF-8, so it was left alone."
    assert found["why"] == "It looks like cp932."
    assert (folder / "blue.txt").read_bytes() == "青い空".encode("cp932")


def test_transparent_parts_are_white_for_the_tagger(tagger, tmp_path, capsys):
    (tmp_path / "clear").mkdir()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear" / "a.png")
    _, events = run(capsys, "tag", tmp_path / "clear", "--model", tagger, "--dry-run")
    tags = dict(of_kind(events, "picture")[0]["tags"])
    assert (tags["blue sky"], tags["green eyes"], tags["red hair"]) == (1.0, 1.0, 1.0)


def test_models_of_one_picture_at_a_time_and_of_fixed_batches_give_the_same(tmp_path, folder, capsys):
    written = []
    for batch in ("N", 1, 2, 5):
        tagger = write_tagger(tmp_path / f"batch-{batch}", batch=batch)
        run(capsys, "tag", folder, "--model", tagger / "model.onnx", "--mode", "replace", "--batch-size", 3)
        written.append(captions(folder))
    assert written[1:] == written[:1] * 3


def test_a_request_to_stop_is_heard_between_batches(tagger, folder, tmp_path, capsys):
    (tmp_path / "stop").touch()
    words = ["--stop-file", tmp_path / "stop"]
    code, events = run(capsys, "tag", folder, "--model", tagger, *words)
    assert code == 20
    assert events[-1]["reason"] == "Stopped on request after 0 of 3; what was written so far stays."
    assert events[-1]["state"] == "stopped"


def process(folder, tagger, data_folder, *words, **pipes):
    variables = {**os.environ, "PYTHONPATH": str(TRAINER), "TANREN_DATA": str(data_folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tanren.data_command", "tag", str(folder), "--model", str(tagger), *words]
    return subprocess.Popen(command, env=variables, text=True, **pipes)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")
def test_a_process_that_is_told_to_end_writes_what_it_has_found(tmp_path, tagger, data_folder):
    folder = pictures(tmp_path / "many", *(f"blue-{number:04d}.png" for number in range(3000)))
    with process(folder, tagger, data_folder, "--events", "--batch-size=1", stdout=subprocess.PIPE) as tool:
        watchdog = threading.Timer(120, tool.kill)
        watchdog.start()
        for line in tool.stdout:
            if '"picture"' in line:
                tool.send_signal(signal.SIGTERM)
                break
        last = tool.stdout.read().splitlines()[-1]
        watchdog.cancel()
    assert (tool.returncode, '"state": "stopped"' in last) == (20, True)
    assert 0 < len(captions(folder)) < 3000
    assert set(captions(folder).values()) == {"blue sky, >_<\n"}


def test_a_process_whose_listener_is_gone_stops_after_writing_what_it_has_found(tmp_path, tagger, data_folder):
    folder = pictures(tmp_path / "many", *(f"blue-{number:04d}.png" for number in range(3000)))
    with process(folder, tagger, data_folder, "--events", "--batch-size=1", stdout=subprocess.PIPE) as tool:
        watchdog = threading.Timer(120, tool.kill)
        watchdog.start()
        while '"picture"' not in tool.stdout.readline():
            pass
        tool.stdout.close()
        tool.wait()
        watchdog.cancel()
    assert tool.returncode == 20
    assert 0 < len(captions(folder)) < 3000


def test_people_see_counts_and_captions_of_a_rehearsal(folder, tagger, data_folder):
    done = process(folder, tagger, data_folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, told = done.communicate(timeout=120)
    assert (done.returncode, out) == (0, "")
    assert told.splitlines()[-3:] == ["tag: 0 of 3", "tag: 3 of 3", "3 written, 0 left as they are."]
    done = process(folder, tagger, data_folder, "--mode=append", "--first=sks", "--dry-run", stderr=subprocess.PIPE)
    told = done.communicate(timeout=120)[1]
    assert f"{folder / 'blue.png'}: sks, blue sky, >_<" in told.splitlines()


def test_captions_that_are_written_while_the_model_works_are_not_lost(folder, tagger, capsys, monkeypatch):
    def write_meanwhile(model, batch):
        (folder / "blue.txt").write_text("mine", "utf-8")
        return answer(model, batch)

    answer = OnnxModel.run
    monkeypatch.setattr(OnnxModel, "run", write_meanwhile)
    _, events = run(capsys, "tag", folder, "--model", tagger)
    assert captions(folder)["blue.txt"] == "mine"
    assert of_kind(events, "result")[0]["unchanged"] == 1


def test_without_onnxruntime_the_package_and_the_command_are_named(tagger, folder, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    code, events = run(capsys, "tag", folder, "--model", tagger)
    assert code == 10
    found = of_kind(events, "problem")[0]
    assert found["what"] == "The package onnxruntime is missing, which runs ONNX models."
    assert found["fix"].startswith(
        "`python launch.py setup --with tagging` installs it into the trainer's environment;"
    )


def test_a_gpu_that_onnxruntime_cannot_use_is_said(tagger, folder, capsys):
    code, events = run(capsys, "tag", folder, "--model", tagger, "--device", "cuda")
    assert code == 10
    assert of_kind(events, "problem")[0]["what"] == "onnxruntime cannot use the GPU."


def damaged(folder):
    (folder / "model.onnx").write_bytes(b"not a model")


def without_list(folder):
    (folder / "selected_tags.csv").unlink()


def with_a_shorter_list(folder):
    path = folder / "selected_tags.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def a_segmentation(folder):
    write_first_colour(folder / "model.onnx")


def a_detector(folder):
    write_detector(folder / "model.onnx", [(1, 1, 1, 1, 0.5)])


def of_logits(folder):
    write_tagger(folder, answers=[(0, 0, 0, 0)] * len(ANSWERS))
    import onnx
    from onnx import helper

    model = onnx.load(folder / "model.onnx")
    model.graph.node[-1].CopyFrom(helper.make_node("Add", ["raised", "three"], ["out"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(3).reshape(()), "three"))
    onnx.save(model, folder / "model.onnx")


def several(folder):
    (folder / "model.onnx").rename(folder / "a.onnx")
    (folder / "b.onnx").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged, "The file cannot be opened as an ONNX model."),
        (without_list, "The list of tags is missing: selected_tags.csv has to lie beside the model."),
        (with_a_shorter_list, f"The model has {len(LABELS)} outputs, selected_tags.csv has {len(LABELS) - 1} tags."),
        (a_segmentation, "This is no tagger of the WD14 kind: its input has the shape 1×3×16×16."),
        (a_detector, "This is no tagger of the WD14 kind: its input has the shape 1×3×64×64."),
        (of_logits, "The model's outputs are no probabilities."),
        (several, "The folder holds several ONNX models: a.onnx, b.onnx."),
    ],
)
def test_what_is_no_tagger_is_refused(tagger, folder, capsys, damage, message):
    damage(tagger)
    before = tree(folder)
    assert problem(capsys, "tag", folder, "--model", tagger).endswith(message)
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nowhere.onnx"], "--model: There is no file or folder nowhere.onnx."),
        (["--model", "owner/name"], "--model: The hub model owner/name is not on this machine."),
        (["--model", ".", "--batch-size", "0"], "--batch-size: 0 is not within 1 to 256."),
        (["--model", ".", "--caption-extension", "txt"], "--caption-extension: 'txt' is no extension."),
        (["--model", ".", "--threshold", "7"], "--general-threshold: 7 is no share between 0 and 1."),
    ],
)
def test_words_that_make_no_sense_are_refused(folder, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert problem(capsys, "tag", folder, *words) == message
