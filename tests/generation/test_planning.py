"""From options and prompt lines to the pictures that will be drawn; no model is loaded."""

import pytest
from generation.drawing import scene
from model_files import FULL_WIDTH, SDXL_SHAPES, write_model
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tanren.commands import GENERATORS
from tanren.errors import Problems, UserError
from tanren.generation.batches import batches
from tanren.generation.check import examine_order
from tanren.options.parse import parse


@pytest.fixture
def plan(tmp_path):
    model = write_model(tmp_path / "model.safetensors", {**SDXL_SHAPES, **FULL_WIDTH})

    def planned(*words, command="sdxl_gen_img", problems=None):
        problems = problems or Problems()
        chosen = GENERATORS[command]
        argv = [f"--ckpt={model}", *map(str, words)]
        settings = parse(command, chosen.groups, argv, problems).settings
        problems.raise_if_any()
        order = examine_order(chosen, settings, problems)
        problems.raise_if_any()
        return order.requests

    return planned


def prompts_file(folder, *lines):
    path = folder / "prompts.txt"
    path.write_text("\n".join(lines), "utf-8")
    return f"--from_file={path}"


@pytest.mark.option("prompt")
def test_one_prompt_is_one_picture_with_the_usual_numbers(plan):
    (request,) = plan("--prompt=a cat --n blurry")

    assert (request.prompt, request.negative_prompt, request.size_wh) == ("a cat", "blurry", (1024, 1024))
    assert (request.steps, request.scale, request.sampler, request.strength) == (50, 7.5, "ddim", 0.8)
    assert request.original_wh == request.negative_original_wh == (1024, 1024)
    assert request.crop_top_left == (0, 0) and request.negative_scale is None


@pytest.mark.option("from_file")
def test_a_file_is_a_prompt_a_line_without_comments(plan, tmp_path):
    words = prompts_file(tmp_path, "﻿猫 --d 1", "", "# a comment", "a dog --d 2")
    assert [(request.prompt, request.seed) for request in plan(words)] == [("猫", 1), ("a dog", 2)]


def test_a_prompt_ends_the_list_before_it_though_it_has_blanks(plan, tmp_path):
    files = [str(write_model(tmp_path / f"{name}.safetensors")) for name in ("a", "b")]
    (request,) = plan("--network_weights", *files, "--prompt=a red cat --d 1")
    assert (request.prompt, request.multipliers) == ("a red cat", (1.0, 1.0))


@pytest.mark.option("images_per_prompt")
def test_every_picture_of_a_prompt_draws_its_variants_anew(plan):
    drawn = [request.prompt for request in plan("--prompt={a|b|c|d}", "--images_per_prompt=8", "--seed=1")]
    assert len(drawn) == 8 and len(set(drawn)) > 1


def test_a_prompt_that_enumerates_is_drawn_once_for_each_combination(plan):
    words = ("--prompt={e$$a|b} {e$$c|d}", "--images_per_prompt=5")
    assert [request.prompt for request in plan(*words)] == ["a c", "a d", "b c", "b d"]


@pytest.mark.option("n_iter")
def test_rounds_repeat_the_whole_list(plan, tmp_path):
    words = prompts_file(tmp_path, "one", "two")
    assert [request.prompt for request in plan(words, "--n_iter=2")] == ["one", "two", "one", "two"]


@pytest.mark.option("shuffle_prompts")
def test_shuffled_prompts_come_in_another_order_and_all_of_them(plan, tmp_path):
    lines = [f"prompt {index}" for index in range(20)]
    shuffled = [request.prompt for request in plan(prompts_file(tmp_path, *lines), "--shuffle_prompts", "--seed=1")]
    assert shuffled != lines and sorted(shuffled) == sorted(lines)


@pytest.mark.option("seed")
def test_a_single_picture_has_the_seed_itself_and_several_have_seeds_of_it(plan):
    assert [request.seed for request in plan("--prompt=a", "--seed=123")] == [123]
    several = [request.seed for request in plan("--prompt=a", "--seed=123", "--images_per_prompt=3")]
    # As sd-scripts draws them: Python's generator, seeded with 123, asked for numbers up to 0x7fffffff.
    assert several == [224899942, 1149664691, 374463918]
    assert several == [request.seed for request in plan("--prompt=a", "--seed=123", "--images_per_prompt=3")]


def test_seeds_of_a_line_serve_its_pictures_in_turn_and_the_last_one_the_rest(plan):
    words = ("--prompt=a --d 5,6", "--images_per_prompt=4")
    assert [request.seed for request in plan(*words)] == [5, 6, 6, 6]


@pytest.mark.option("iter_same_seed")
def test_pictures_of_a_round_share_their_seed(plan, tmp_path):
    words = (prompts_file(tmp_path, "one", "two"), "--n_iter=2", "--iter_same_seed", "--seed=9")
    first, second, third, fourth = (request.seed for request in plan(*words))
    assert (first, second) == (9, 9) and third == fourth != 9


@pytest.mark.option("W", "H", "steps", "scale", "negative_scale", "sampler", "strength")
def test_options_are_what_prompts_do_not_say(plan, tmp_path):
    options = ("--W=640", "--H=512", "--steps=9", "--scale=3", "--negative_scale=2", "--sampler=euler_a")
    lines = prompts_file(tmp_path, "one", "two --w 64 --h 128 --s 4 --l 5 --nl none --t 0.2")
    one, two = plan(lines, *options, "--strength=0.5")

    assert (one.size_wh, one.steps, one.scale, one.negative_scale) == ((640, 512), 9, 3.0, 2.0)
    assert (two.size_wh, two.steps, two.scale, two.negative_scale) == ((64, 128), 4, 5.0, None)
    assert one.sampler == two.sampler == "euler_a"
    assert (one.strength, two.strength) == (0.5, 0.2)


@pytest.mark.option("original_width", "original_height", "crop_top", "crop_left")
@pytest.mark.option("original_width_negative", "original_height_negative")
def test_sizes_for_sdxl_come_from_the_line_the_options_or_the_picture(plan, tmp_path):
    lines = prompts_file(tmp_path, "one", "two --ow 300 --oh 400 --nw 500 --nh 600 --ct 7 --cl 8")
    one, two = plan(lines, "--original_width=2048", "--original_height=1536", "--crop_top=1", "--crop_left=2")
    assert (one.original_wh, one.negative_original_wh, one.crop_top_left) == ((2048, 1536), (2048, 1536), (1, 2))
    assert (two.original_wh, two.negative_original_wh, two.crop_top_left) == ((300, 400), (500, 600), (7, 8))

    (other,) = plan("--prompt=a", "--original_width_negative=10", "--original_height_negative=20")
    assert (other.original_wh, other.negative_original_wh) == ((1024, 1024), (10, 20))


@pytest.mark.option("network_mul", "network_merge_n_models")
def test_strengths_belong_to_networks_that_are_not_merged(plan, tmp_path):
    files = [str(write_model(tmp_path / f"{name}.safetensors")) for name in ("a", "b", "c")]
    lines = prompts_file(tmp_path, "one", "two --am 0.3", "three --am 0,1,2")
    words = (lines, "--network_weights", *files, "--network_mul", "0.5", "0.6")

    assert [request.multipliers for request in plan(*words)] == [(0.5, 0.6, 1.0), (0.3, 0.3, 0.3), (0.0, 1.0, 2.0)]
    merged = plan(*words, "--network_merge_n_models=1")
    assert [request.multipliers for request in merged] == [(0.6, 1.0), (0.3, 0.3), (0.0, 1.0)]


@pytest.mark.option("batch_size")
def test_neighbours_are_drawn_together_unless_their_numbers_differ(plan, tmp_path):
    lines = prompts_file(tmp_path, "a", "b --d 3 --n bad", "c --w 512", "d", "e", "f", "g --l 2")

    drawn = [[request.prompt for request in batch] for batch in batches(plan(lines), 2)]

    assert drawn == [["a", "b"], ["c"], ["d", "e"], ["f"], ["g"]]


@pytest.mark.option("image_path")
def test_pictures_to_begin_with_give_sizes_and_are_used_in_turn(plan, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    scene(folder / "a.png", (0, 0, 0), (100, 70))
    scene(folder / "b.png", (0, 0, 0), (64, 128))

    requests = plan("--prompt=a cat", f"--image_path={folder}")

    assert [(request.start.picture.name, request.size_wh) for request in requests] == [
        ("a.png", (96, 64)),
        ("b.png", (64, 128)),
    ]
    assert [request.size_wh for request in plan("--prompt=a", f"--image_path={folder}", "--W=256")] == [
        (256, 64),
        (256, 128),
    ]


def test_without_prompts_those_of_the_pictures_are_drawn(plan, tmp_path):
    texts = [
        {"prompt": "of sd-scripts", "negative-prompt": "bad,\nworse"},
        {"parameters": "of the\nWebUI\nNegative prompt: ugly\nSteps: 4, Sampler: DDIM, Seed: 2"},
        {},
    ]
    for index, stored in enumerate(texts):
        facts = PngInfo()
        for key, text in stored.items():
            facts.add_text(key, text)
        Image.new("RGB", (64, 64)).save(tmp_path / f"{index}.png", pnginfo=facts)

    requests = plan(f"--image_path={tmp_path}", "--images_per_prompt=2")

    found = [(request.prompt, request.negative_prompt, request.start.picture.name) for request in requests]
    assert found == [
        *[("of sd-scripts", "bad, worse", "0.png")] * 2,
        *[("of the WebUI", "ugly", "1.png")] * 2,
        *[("", "", "2.png")] * 2,
    ]


def test_one_prompt_is_drawn_on_every_picture_and_pictures_per_prompt_count(plan, tmp_path):
    for name in "abc":
        scene(tmp_path / f"{name}.png", (0, 0, 0))

    def drawn(*words):
        requests = plan("--prompt=a --d 5,6", f"--image_path={tmp_path}", *words)
        return [f"{request.start.picture.stem}{request.seed}" for request in requests]

    assert drawn() == ["a5", "b5", "c5"]
    assert drawn("--images_per_prompt=2") == ["a5", "b6", "c5", "a6"]
    assert drawn("--images_per_prompt=3") == ["a5", "b6", "c6"]


@pytest.mark.option("guide_image_path")
def test_control_pictures_are_used_in_turn_as_many_as_there_are_networks(plan, tmp_path):
    guides = [str(scene(tmp_path / f"{name}.png", (0, 0, 0))) for name in "abcd"]
    networks = [str(write_model(tmp_path / f"{name}.safetensors")) for name in ("one", "two")]
    words = ("--prompt=a", "--images_per_prompt=3", "--control_net_lllite_models", *networks)

    requests = plan(*words, "--guide_image_path", *guides)

    assert [[guide.stem for guide in request.guides] for request in requests] == [["a", "b"], ["c", "d"], ["a", "b"]]


def test_every_round_pairs_prompts_and_control_pictures_alike(plan, tmp_path):
    guides = [str(scene(tmp_path / f"{name}.png", (0, 0, 0))) for name in "abc"]
    network = write_model(tmp_path / "one.safetensors")
    words = (prompts_file(tmp_path, "one", "two"), "--n_iter=2", f"--control_net_lllite_models={network}")

    requests = plan(*words, "--guide_image_path", *guides)

    paired = [(request.prompt, request.guides[0].stem) for request in requests]
    assert paired == [("one", "a"), ("two", "b"), ("one", "a"), ("two", "b")]


def test_a_seed_draws_the_variants_that_sdxl_gen_img_draws(plan, tmp_path):
    words = (prompts_file(tmp_path, "{a|b|c|d} {2$$e|f|g}", "{h|i|j}"), "--n_iter=2", "--images_per_prompt=2")
    requests = plan(*words, "--seed=5")

    # Of sd-scripts' own functions, called in the order of its program.
    assert [request.prompt for request in requests] == ["b g, e", "a f, g", "i", "h", "b e, g", "b e, f", "h", "h"]
    assert [request.seed for request in requests][:3] == [1097127993, 1539898300, 124576495]


def test_a_line_with_a_seed_of_its_own_draws_the_same_variants_again(plan):
    line = "--prompt={a|b|c|d|e|f|g|h} {1-4$$p|q|r|s} --d 3"
    first = [request.prompt for request in plan(line, "--images_per_prompt=4")]
    assert first == [request.prompt for request in plan(line, "--images_per_prompt=4")]
    assert len(set(first)) > 1


def test_regions_are_read_as_words_and_that_is_said(plan, tmp_path):
    problems = Problems()
    (request,) = plan("--prompt=a cat AND a dog", problems=problems)
    assert request.prompt == "a cat AND a dog"
    assert problems.warnings == ["prompt: AND makes no regions here; it is read as a word."]


WRONG = [
    (("--prompt=a", "--interactive"), "--interactive: It cannot go together with --prompt"),
    ((), "--prompt: There is nothing to draw.\n  Add --prompt='…', --from_file=FILE.txt or --interactive."),
    (("--prompt=a --w 70",), "prompt, --w: 70 pixels: sides are multiples of 8, at least 64.\n  Take 64."),
    (("--prompt=a", "--W=100"), "--W: 100 pixels: sides are multiples of 8, at least 64.\n  Take 96."),
    (("--prompt=a", "--from_file=x"), "--from_file: It cannot go together with --prompt: prompts come from one place."),
    (("--prompt=a", "--fp16", "--bf16"), "--fp16: It cannot go together with --bf16: there is one precision."),
    (
        ("--prompt=a", "--zero_terminal_snr", "--sampler=heun"),
        "--zero_terminal_snr: heun cannot begin with pure noise.\n"
        "  Take ddim, euler, euler_a, k_euler, k_euler_a, dpmsolver++, dpm++_2m_karras.",
    ),
    (
        ("--prompt=a", "--network_mul", "1"),
        "--network_mul: It needs --network_weights: it is about networks.\n"
        "  Add --network_weights, or leave --network_mul out.",
    ),
    (
        ("--prompt=a", "--mask_path=mask.png"),
        "--mask_path: It needs --image_path: the mask belongs to a picture.",
    ),
    (
        ("--prompt=a --f ../cat",),
        "prompt, --f: '../cat' cannot be the name of a file: it contains /.",
    ),
    (
        ("--prompt=a --f cat.webp",),
        "prompt, --f: cat.webp: pictures are PNG, which keeps their prompt, not WEBP.\n  Write --f cat.",
    ),
    (
        ("--prompt=a", "--ds_depth_1=3"),
        "--ds_depth_1: This command does not have the option.\n  Deep Shrink is not here; --highres_fix_scale",
    ),
    (
        ("--prompt=a", "--highres_fix_save_1st"),
        "--highres_fix_save_1st: It needs --highres_fix_scale: only with it are there two stages.",
    ),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_what_is_wrong_is_told_before_a_model_is_loaded(plan, words, message):
    with pytest.raises(UserError) as problem:
        plan(*words)
    assert message in str(problem.value)


def test_a_pattern_has_to_fit_one_file(plan, tmp_path):
    write_model(tmp_path / "model 2.safetensors")
    with pytest.raises(UserError) as problem:
        plan("--prompt=a", f"--ckpt={tmp_path}/mod*")
    assert "2 files fit the pattern" in str(problem.value)
    assert "model 2.safetensors, model.safetensors" in str(problem.value)


WITH_FILES = [
    (("--ckpt=",), "--ckpt: The model was not named.\n  Add --ckpt=MODEL.safetensors."),
    (("--ckpt={here}/none.safetensors",), "--ckpt: '{here}/none.safetensors' is not there."),
    (("--ckpt={here}/none*",), "--ckpt: 0 files fit the pattern '{here}/none*'."),
    (("--ckpt={here}/notes.txt",), "notes.txt is a text, not a model."),
    (
        ("--from_file={here}/empty.txt",),
        "--from_file {here}/empty.txt: The file holds no prompts.\n  Write one a line.",
    ),
    (("--from_file={here}/none.txt",), "--from_file: '{here}/none.txt' is not there."),
    (("--image_path={here}/nothing",), "--image_path: There are no pictures in {here}/nothing."),
    (("--image_path={here}/none.png",), "--image_path: '{here}/none.png' is not there."),
    (("--image_path={here}/a.png", "--mask_path={here}/none.png"), "--mask_path: '{here}/none.png' is not there."),
    (("--network_weights={here}/none.pt",), "--network_weights: '{here}/none.pt' is not there."),
    (
        ("--network_weights={here}/a.safetensors", "--network_args", "a=1", "b=2"),
        "--network_args: There are 2 for 1 networks.\n  Give one for each of --network_weights.",
    ),
    (
        ("--network_weights={here}/a.safetensors", "--network_pre_calc", "--network_module=lycoris.kohya"),
        "--network_pre_calc: It works with networks.lora only, not with lycoris.kohya.\n  Take --network_merge.",
    ),
    (
        ("--network_weights={here}/a.safetensors", "--network_pre_calc", "--network_merge"),
        "--network_pre_calc: It cannot go together with --network_merge: merged networks are in the weights already.",
    ),
    (
        ("--network_weights={here}/a.safetensors", "--network_module=networks.dylora"),
        "--network_module: networks.dylora belongs to sd-scripts and is not part of this trainer.",
    ),
    (
        ("--control_net_lllite_models={here}/none.pt", "--guide_image_path={here}/a.png"),
        "--control_net_lllite_models: '{here}/none.pt' is not there.",
    ),
    (
        ("--control_net_lllite_models={here}/a.safetensors", "--guide_image_path={here}/none.png"),
        "--guide_image_path: '{here}/none.png' is not there.",
    ),
    (
        (
            *("--control_net_lllite_models={here}/a.safetensors", "--guide_image_path={here}/a.png"),
            *("--control_net_multipliers", "1", "2"),
        ),
        "--control_net_multipliers: There are 2 for 1 control networks.\n  Give one for each model.",
    ),
    (
        (
            *("--control_net_lllite_models={here}/a.safetensors", "--guide_image_path={here}/a.png"),
            *("--control_net_ratios", "1", "2"),
        ),
        "--control_net_ratios: There are 2 for 1 control networks.\n  Give one for each model.",
    ),
    (
        ("--highres_fix_disable_control_net",),
        "--highres_fix_disable_control_net: It needs --highres_fix_scale: only with it are there two stages.",
    ),
    (
        ("--use_original_file_name",),
        "--use_original_file_name: It needs --image_path: the name is that of a picture of --image_path.",
    ),
    (
        ("--use_original_file_name", "--sequential_file_name", "--image_path={here}/a.png"),
        "--use_original_file_name: It cannot go together with --sequential_file_name: a picture has one name.",
    ),
    (("--vae={here}/a.png",), "a.png is a PNG picture, not a model."),
]


@pytest.mark.parametrize(("words", "message"), WITH_FILES)
def test_files_that_are_not_there_or_do_not_fit_are_told(plan, tmp_path, words, message):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "notes.txt").write_text("no model", "utf-8")
    (tmp_path / "empty.txt").write_text("# only a comment\n\n", "utf-8")
    scene(tmp_path / "a.png", (0, 0, 0))
    write_model(tmp_path / "a.safetensors")
    prompt = [] if any(word.startswith("--from_file") for word in words) else ["--prompt=a"]

    with pytest.raises(UserError) as problem:
        plan(*prompt, *(word.format(here=tmp_path) for word in words))

    assert message.format(here=tmp_path) in str(problem.value)
