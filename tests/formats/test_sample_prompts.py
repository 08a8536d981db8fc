import pytest
from tanren.errors import SeveralProblems, UsageError
from tanren.formats.sample_prompts import SamplePrompt, parse_line, read_sample_prompts


@pytest.fixture
def written(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_line_with_every_usual_option(written):
    path = written("p.txt", "a cat, 2:3 --n a dog --w 768 --h 640 --d 1 --l 7.5 --s 28 --ss euler_a --g 3.5\n")
    assert read_sample_prompts(path).prompts == (
        SamplePrompt("a cat, 2:3", "a dog", 768, 640, 1, 28, 7.5, 3.5, "euler_a"),
    )


def test_blank_lines_and_comments_are_left_out(written):
    path = written("p.txt", "\ufeffa cat\r\n\r\n# no\r\n  \r\na dog")
    assert [prompt.prompt for prompt in read_sample_prompts(path).prompts] == ["a cat", "a dog"]


def test_defaults_of_a_bare_prompt(written):
    prompt = read_sample_prompts(written("p.txt", "a cat")).prompts[0]
    assert (prompt.width, prompt.height, prompt.seed, prompt.negative_prompt) == (512, 512, None, None)


def test_letters_of_options_may_be_capitals():
    assert parse_line("a --W 640 --SS ddim") == {"prompt": "a", "width": "640", "sample_sampler": "ddim"}


def test_a_prompt_that_looks_like_an_option_is_a_prompt():
    assert parse_line("w 640") == {"prompt": "w 640"}


def test_options_of_other_models_are_read_and_have_no_effect(written):
    read = read_sample_prompts(written("p.txt", "a --ctr 0.2 --rcfg 1 --fs 3"))
    assert read.prompts == (SamplePrompt("a"),)
    assert read.notes == ()


def test_unknown_options_are_left_out_with_a_note(written):
    path = written("p.txt", "a --zz 3 -- b --")
    read = read_sample_prompts(path)
    assert read.prompts == (SamplePrompt("a"),)
    assert read.notes == (f"{path}:1: --zz is not known here and has no effect.",)


def test_steps_are_held_between_1_and_1000(written):
    path = written("p.txt", "a --s 0\nb --s 5000")
    assert [prompt.sample_steps for prompt in read_sample_prompts(path).prompts] == [1, 1000]


def test_a_seed_of_minus_one_means_any(written):
    assert read_sample_prompts(written("p.txt", "a --d -1")).prompts[0].seed is None


def test_sizes_are_rounded_down_and_never_below_64():
    assert SamplePrompt(width=517, height=30).size_wh(8) == (512, 64)
    assert SamplePrompt(width=520, height=520).size_wh(16) == (512, 512)


def test_toml_shares_keys_and_subsets_win(written):
    subsets = '[[prompt.subset]]\nprompt = "a"\n[[prompt.subset]]\nprompt = "b"\nwidth = 320\n'
    path = written("p.toml", "[prompt]\nwidth = 640\nscale = 5\n" + subsets)
    assert read_sample_prompts(path).prompts == (
        SamplePrompt("a", width=640, scale=5.0),
        SamplePrompt("b", width=320, scale=5.0),
    )


def test_toml_without_subsets_is_one_prompt(written):
    assert read_sample_prompts(written("p.toml", '[prompt]\nprompt = "a"\n')).prompts == (SamplePrompt("a"),)


def test_json_holds_lines_and_objects(written):
    path = written("p.json", '["a --d 3", {"prompt": "b", "seed": 4, "scale": 2.5}]')
    assert read_sample_prompts(path).prompts == (SamplePrompt("a", seed=3), SamplePrompt("b", seed=4, scale=2.5))


def test_an_empty_file_is_said(written):
    path = written("p.txt", "# nothing\n")
    read = read_sample_prompts(path)
    assert read.prompts == ()
    assert read.notes == (f"{path} holds no prompts: no sample pictures will be drawn.",)


@pytest.mark.rule("txt-04")
def test_all_wrong_values_are_told_at_once_with_their_lines(written):
    path = written("p.txt", "a --w wide --d 1.5\nb\nc --l much\nd --h 99999")
    with pytest.raises(SeveralProblems) as caught:
        read_sample_prompts(path)
    assert [str(problem) for problem in caught.value.problems] == [
        f"{path}:1: width: 'wide' is not a whole number.",
        f"{path}:1: seed: '1.5' is not a whole number.",
        f"{path}:3: scale: 'much' is not a number.",
        f"{path}:4: height: 99999 pixels: from 1 to 16384 are possible.",
    ]


@pytest.mark.rule("txt-04")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.yaml", "a", "{path}: .yaml is no form of prompt files."),
        ("p.txt", b"\xff\xfe", "{path}:1: The file is not UTF-8 (byte 0)."),
        ("p.toml", "[other]\n", "{path}: There is no [prompt] table."),
        ("p.toml", "[prompt]\nsubset = 3\n", "{path}:2: prompt.subset is not a list of tables."),
        ("p.toml", "[prompt]\nwidth = true\n", "{path}:1: width: True is not a whole number."),
        ("p.json", '{"prompt": "a"}', "{path}: The file is not a list of prompts."),
        ("p.json", '["a", 3]', "{path}[1]: 3 is neither a text nor an object."),
        ("p.json", '[{"prompt": 3}]', "{path}[0]: prompt: 3 is not a text."),
        ("p.json", '[{"scale": "x"}]', "{path}[0]: scale: 'x' is not a number."),
        ("p.json", "[", "{path}:1: This is not valid JSON: Expecting value: line 1 column 2 (char 1)."),
    ],
)
def test_files_that_cannot_be_read_are_refused(written, name, content, message):
    path = written(name, content)
    with pytest.raises(UsageError) as caught:
        read_sample_prompts(path)
    assert str(caught.value).splitlines()[0] == message.format(path=path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no such file"):
        read_sample_prompts(tmp_path / "none.txt")
