import json

import numpy as np
import pytest
from onnx_models import write_detector, write_first_colour, write_tagger
from PIL import Image
from tanren.picture_models.faces import Box, apart, crop_box, overlap
from tanren.preparation.journal import Journal
from tool_runs import of_kind, pictures, problem, run, tree

# The model gives the red channel back, so the left half is what is kept.
SIDE = 16


@pytest.fixture
def folder(tmp_path):
    return half_red(tmp_path / "10_写真 [1]" / "a.png").parent


@pytest.fixture
def model(tmp_path):
    return write_first_colour(tmp_path / "u2net.onnx")


def half_red(path, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(mode, (SIDE, SIDE), (0, 0, 255, 255)[: len(mode)])
    image.paste((255, 0, 0, 255)[: len(mode)], (0, 0, SIDE // 2, SIDE))
    image.save(path)
    return path


def opened(path):
    return np.asarray(Image.open(path))


def test_a_cut_out_has_the_mask_as_its_transparency_and_the_picture_stays(folder, model, tmp_path, capsys):
    (folder / "a.txt").write_text("a caption", "utf-8")
    before = tree(folder)
    code, events = run(capsys, "mask", folder, tmp_path / "out", "--model", model)
    result = opened(tmp_path / "out" / "a.png")
    assert code == 0
    assert result.shape == (SIDE, SIDE, 4)
    assert result[0, :, 3].tolist() == [255] * 8 + [0] * 8
    assert result[0, 0, :3].tolist() == [255, 0, 0]
    assert (tmp_path / "out" / "a.txt").read_text("utf-8") == "a caption"
    assert tree(folder) == before
    assert of_kind(events, "picture")[0]["made"] == str(tmp_path / "out" / "a.png")


def test_flat_copies_have_the_colour_behind_them(folder, model, tmp_path, capsys):
    for name, color in (("white", (255, 255, 255)), ("00ff00", (0, 255, 0))):
        run(capsys, "mask", folder, tmp_path / name, "--model", model, "--result=flat", f"--background={name}")
        result = opened(tmp_path / name / "a.png")
        assert tuple(result[0, 15]) == color
        assert tuple(result[0, 0]) == (255, 0, 0)


def test_masks_lie_where_training_finds_them(folder, model, tmp_path, capsys):
    run(capsys, "mask", folder, folder, "--model", model, "--result", "mask")
    assert opened(folder / "a-masklabel.png")[0].tolist() == [255] * 8 + [0] * 8
    run(capsys, "mask", folder, tmp_path / "out", "--model", model, "--result", "mask")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_what_was_transparent_before_stays_transparent(tmp_path, model, capsys):
    path = half_red(tmp_path / "in" / "a.png", "RGBA")
    image = Image.open(path)
    image.putpixel((0, 0), (255, 0, 0, 0))
    image.save(path)
    run(capsys, "mask", path.parent, tmp_path / "out", "--model", model)
    alpha = opened(tmp_path / "out" / "a.png")[:, :, 3]
    assert (alpha[0, 0], alpha[1, 1], alpha[0, 15]) == (0, 255, 0)


@pytest.mark.parametrize(
    ("name", "kind", "mean", "std"),
    [
        ("u2netp.onnx", "auto", 0.485, 0.229),
        ("silueta.onnx", "auto", 0.485, 0.229),
        ("isnet-general-use.onnx", "auto", 0.5, 1.0),
        ("isnet-anime.onnx", "auto", 0.485, 1.0),
        ("BiRefNet-general.onnx", "auto", 0.485, 0.229),
        ("mine.onnx", "isnet", 0.5, 1.0),
        ("mine.onnx", "auto", 0.485, 0.229),
    ],
)
def test_each_kind_normalises_its_input_in_its_own_way(tmp_path, name, kind, mean, std):
    from tanren.events import Report
    from tanren.picture_models.masks import SEGMENTATION
    from tanren.picture_models.picture_input import open_picture_model

    events = []
    path = write_first_colour(tmp_path / name)
    model = open_picture_model(path, SEGMENTATION, kind, "cpu", Report([events.append]))
    grey = np.full((SIDE, SIDE, 3), 0.8, np.float32)
    assert np.allclose(model.normalised(grey)[0, 0], (0.8 - mean) / std, atol=1e-6)
    assert [event["text"] for event in events] == (
        ["The name mine.onnx does not tell the kind of the model; it is used as u2net (see --kind)."]
        if (name, kind) == ("mine.onnx", "auto")
        else []
    )


def test_pictures_are_squeezed_into_the_models_square_and_masks_stretched_back(tmp_path, model, capsys):
    image = Image.new("RGB", (200, 50), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 100, 50))
    (tmp_path / "in").mkdir()
    image.save(tmp_path / "in" / "wide.png")
    run(capsys, "mask", tmp_path / "in", tmp_path / "out", "--model", model)
    alpha = opened(tmp_path / "out" / "wide.png")[:, :, 3]
    assert alpha.shape == (50, 200)
    assert alpha[:, :90].min() > 220
    assert alpha[:, 110:].max() < 35


def test_a_depth_picture_is_stretched_to_the_whole_range(tmp_path, capsys):
    ramp = np.repeat(np.linspace(50, 200, SIDE, dtype=np.uint8)[None, :, None], SIDE, axis=0).repeat(3, axis=2)
    (tmp_path / "in").mkdir()
    Image.fromarray(ramp).save(tmp_path / "in" / "a.png")
    for keepdims in (True, False):
        model = write_first_colour(tmp_path / "depth_anything_v2_vits.onnx", keepdims=keepdims)
        out = tmp_path / f"near-{keepdims}"
        run(capsys, "condition", tmp_path / "in", out, "--model", model)
        row = opened(out / "a.png")[3]
        assert (row[0], row[-1]) == (0, 255)
        assert np.allclose(row, (ramp[3, :, 0] - 50.0) / 150 * 255, atol=1)
    run(capsys, "condition", tmp_path / "in", tmp_path / "far", "--model", model, "--far-is-bright")
    assert np.array_equal(opened(tmp_path / "far" / "a.png")[3], 255 - row)


def test_copies_that_are_there_stay_and_a_run_that_was_stopped_goes_on(tmp_path, model, capsys):
    folder = pictures(tmp_path / "in", "red.png", "blue.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "red.png").write_bytes(b"mine")
    _, events = run(capsys, "mask", folder, tmp_path / "out", "--model", model)
    assert (tmp_path / "out" / "red.png").read_bytes() == b"mine"
    assert of_kind(events, "result")[0]["unchanged"] == 1
    assert of_kind(events, "result")[0]["written"] == 1


def test_pictures_of_one_name_are_told(tmp_path, model, capsys):
    folder = pictures(tmp_path / "in", "red.png", "red.jpg")
    code, events = run(capsys, "mask", folder, tmp_path / "out", "--model", model)
    assert code == 0
    assert of_kind(events, "warning")[0]["text"] == (
        "red.jpg and red.png have the same name but for the suffix: only the first gets a copy."
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["red.png"]
    assert of_kind(events, "result")[0]["written"] == 1


def test_copies_inside_of_the_folder_are_not_copied_again(tmp_path, model, capsys):
    folder = pictures(tmp_path / "in", "a/red.png")
    for _ in range(2):
        run(capsys, "mask", folder, folder / "out", "--model", model, "--recursive")
    assert sorted(tree(folder)) == ["a/red.png", "out/a/red.png"]


def test_a_rehearsal_makes_nothing_and_undo_takes_copies_and_their_folder_away(
    folder, model, tmp_path, data_folder, capsys
):
    run(capsys, "mask", folder, tmp_path / "out" / "deep", "--model", model, "--dry-run")
    assert not (tmp_path / "out").exists()
    run(capsys, "mask", folder, tmp_path / "out" / "deep", "--model", model)
    assert (tmp_path / "out" / "deep" / "a.png").is_file()
    Journal(data_folder).undo()
    assert not (tmp_path / "out").exists()


@pytest.fixture
def people(tmp_path):
    # 128×64 is shown to the detector at half its size, 16 pixels below the upper edge of the square.
    rng = np.random.default_rng(0)
    (tmp_path / "people").mkdir()
    Image.fromarray(rng.integers(0, 256, (64, 128, 3), dtype=np.uint8)).save(tmp_path / "people" / "a.png")
    (tmp_path / "people" / "a.txt").write_text("two people", "utf-8")
    return tmp_path / "people"


def test_crops_lie_around_the_faces_of_a_detector_in_pixels_of_the_picture(people, tmp_path, capsys):
    model = write_detector(tmp_path / "face.onnx", [(32, 32, 16, 16, 0.9), (33, 33, 16, 16, 0.6), (10, 40, 8, 8, 0.3)])
    words = ["--margin", "1.5", "--smallest", "1"]
    _, events = run(capsys, "faces", people, tmp_path / "out", "--model", model, *words)
    # Centre 32,32 of the square is 64,32 of the picture; 16 pixels are 32 there, 48 with the margin.
    assert [event["box"] for event in of_kind(events, "picture")] == [[40, 8, 88, 56]]
    expected = Image.open(people / "a.png").crop((40, 8, 88, 56))
    assert np.array_equal(opened(tmp_path / "out" / "a-face1.png"), np.asarray(expected))
    assert (tmp_path / "out" / "a-face1.txt").read_text("utf-8") == "two people"
    words = ["--margin=1", "--smallest=1", "--threshold=0.2", "--no-captions"]
    run(capsys, "faces", people, tmp_path / "both", "--model", model, *words)
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["a-face1.png", "a-face2.png"]
    assert opened(tmp_path / "both" / "a-face2.png").shape == (16, 16, 3)


def test_small_faces_and_pictures_without_any_are_told(people, tmp_path, capsys):
    model = write_detector(tmp_path / "face.onnx", [(32, 32, 16, 16, 0.9)])
    _, events = run(capsys, "faces", people, tmp_path / "out", "--model", model, "--smallest", "100")
    assert of_kind(events, "picture")[0]["text"] == "crops of less than 100 pixels"
    _, events = run(capsys, "faces", people, tmp_path / "out", "--model", model, "--threshold", "0.95")
    assert of_kind(events, "picture")[0]["text"] == "no face"
    assert not (tmp_path / "out").exists()


def test_boxes_come_from_a_file_too_and_squares_stay_inside(people, tmp_path, capsys):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.png": [[0, 0, 20, 40], [100, 30, 20, 20]], "b.png": []}))
    words = ["--boxes", boxes, "--margin=1", "--smallest=8", "--square"]
    _, events = run(capsys, "faces", people, tmp_path / "out", *words)
    assert [event["box"] for event in of_kind(events, "picture")] == [[0, 0, 40, 40], [100, 30, 120, 50]]


@pytest.mark.parametrize(
    ("box", "size_wh", "margin", "square", "crop"),
    [
        (Box(40, 40, 20, 20), (100, 100), 2.0, False, (30, 30, 70, 70)),
        (Box(0, 0, 20, 20), (100, 100), 2.0, False, (0, 0, 40, 40)),
        (Box(90, 90, 20, 20), (100, 100), 2.0, False, (60, 60, 100, 100)),
        (Box(10, 10, 80, 20), (100, 50), 2.0, True, (25, 0, 75, 50)),
        (Box(0.2, 0.4, 3.3, 3.3), (3, 3), 1.0, False, (0, 0, 3, 3)),
    ],
)
def test_the_crop_around_a_face(box, size_wh, margin, square, crop):
    assert crop_box(box, size_wh, margin, square=square) == crop


def test_boxes_of_the_same_face_are_one():
    boxes = [Box(0, 0, 10, 10, 0.5), Box(1, 1, 10, 10, 0.9), Box(20, 20, 10, 10, 0.4)]
    assert overlap(boxes[0], boxes[1]) == pytest.approx(81 / 119)
    assert apart(boxes) == [boxes[1], boxes[2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "The file is not JSON."),
        ("[]", "These are no boxes: it is no object with a list per picture."),
        ('{"a.png": 3}', "These are no boxes: a.png has no list."),
        ('{"a.png": [[1, 2, 3]]}', "These are no boxes: a.png has [1, 2, 3]."),
        ('{"a.png": [[1, 2, 3, true]]}', "These are no boxes: a.png has [1, 2, 3, true]."),
        (
            '{"a.png": [[1, 2, NaN, 4]]}',
            "These are no boxes: a.png has [1, 2, NaN, 4], which lies outside of any picture.",
        ),
    ],
)
def test_a_file_of_something_else_is_refused(people, tmp_path, capsys, text, message):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(text)
    assert problem(capsys, "faces", people, tmp_path / "out", "--boxes", boxes) == f"{boxes}: {message}"


def test_models_of_another_purpose_are_refused(people, folder, tmp_path, capsys):
    tagger = write_tagger(tmp_path / "tagger") / "model.onnx"
    plane = write_first_colour(tmp_path / "u2net.onnx")
    detector = write_detector(tmp_path / "face.onnx", [(32, 16, 16, 16, 0.9)] * 4)
    out = tmp_path / "out"
    assert problem(capsys, "mask", folder, out, "--model", tagger).endswith("its input has the shape ?×8×8×3.")
    assert problem(capsys, "faces", people, out, "--model", tagger).endswith(
        "This is no face detector in the layout that YOLOv8 exports."
    )
    assert problem(capsys, "faces", people, out, "--model", plane).endswith(
        "The detector's output has the shape 1×1×16×16; YOLOv8's is 1×(4 + classes)×boxes."
    )
    assert problem(capsys, "mask", folder, out, "--model", detector, "--kind=u2net").endswith(
        "The model's first output has the shape 1×5×4, which is no mask."
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mask", "IN", "IN", "--model", "x"], "OUT: It is the folder of the pictures themselves."),
        (["mask", "IN", "OUT", "--model", "MODEL", "--kind", "yolo"], "--kind: 'yolo' is not known."),
        (["mask", "IN", "OUT", "--model", "MODEL", "--background", "reddish"], "--background: 'reddish' is no colour."),
        (["condition", "IN", "IN", "--model", "x"], "OUT: It is the folder of the pictures themselves."),
        (["condition", "IN", "OUT", "--model", "MODEL", "--kind", "u2net"], "--kind: 'u2net' is not known."),
        (["faces", "IN", "OUT"], "faces: It needs a detector or a file of boxes."),
        (["faces", "IN", "OUT", "--model", "x", "--margin", "0"], "--margin: It has to be from 1 to 10."),
        (
            ["faces", "IN", "OUT", "--model", "x", "--threshold", "0"],
            "--threshold: It has to be above 0 and at most 1.",
        ),
        (["faces", "IN", "OUT", "--model", "x", "--smallest", "0"], "--smallest: 0 is not within 1 to 4096."),
    ],
)
def test_words_that_make_no_sense_are_refused(folder, model, tmp_path, capsys, words, message):
    places = {"IN": folder, "OUT": tmp_path / "out", "MODEL": model}
    assert problem(capsys, *(places.get(word, word) for word in words)) == message
    assert not (tmp_path / "out").exists()
