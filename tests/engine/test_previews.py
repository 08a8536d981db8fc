import re
import sys
from contextlib import contextmanager

import pytest
import torch
from objectives.tiny_family import tiny_model, tiny_network
from PIL import Image
from several import run_several
from tanren.engine.previews import Previews
from tanren.engine.processes import Processes
from tanren.engine.sampling import Picture, draw_picture, picture_of
from tanren.engine.together import joined
from tanren.errors import NumericError
from tanren.events import Report
from tanren.formats.sample_prompts import SamplePrompt
from tanren.options.distributed import ORDINARY
from tanren.options.sampling import SamplingOptions

SMALL = {"width": 64, "height": 64, "sample_steps": 3}
CPU = torch.device("cpu")


def prompts(count=2, **options):
    return [SamplePrompt(f"prompt {index}", **{**SMALL, **options}) for index in range(count)]


class Setup:
    """Previews of a tiny model and everything they told."""

    def __init__(
        self, folder, given=None, processes=None, pause=None, model=None, name="mine", strengths=(1.0,), **options
    ):
        self.events = []
        report = Report([self.events.append])
        self.model = model or tiny_model()
        self.network = tiny_network(self.model, network_dropout=0.5)
        self.network.train()
        extra = {"pause": pause} if pause else {}
        self.previews = Previews(
            self.model,
            self.network,
            prompts() if given is None else given,
            SamplingOptions(**options),
            folder=folder,
            output_name=name,
            seed=1,
            report=report,
            processes=processes or Processes(CPU),
            strengths=strengths,
            **extra,
        )

    def told(self, kind):
        return [event for event in self.events if event["kind"] == kind]


def names(folder):
    return sorted(re.sub(r"_\d{14}", "_TIME", path.name) for path in folder.glob("*.png"))


@pytest.mark.option("sample_every_n_steps")
def test_pictures_after_steps(tmp_path):
    setup = Setup(tmp_path, sample_every_n_steps=2)
    for step in range(1, 5):
        setup.previews.maybe(step=step, epoch=0)
    assert names(tmp_path) == [f"mine_{step:06d}_{index:02d}_TIME.png" for step in (2, 4) for index in (0, 1)]


@pytest.mark.option("sample_every_n_epochs")
def test_pictures_after_epochs_win_over_steps(tmp_path):
    setup = Setup(tmp_path, sample_every_n_steps=1, sample_every_n_epochs=2)
    for epoch in range(1, 5):
        setup.previews.maybe(step=epoch, epoch=epoch)
        setup.previews.maybe(step=epoch, epoch=epoch, epoch_end=True)
    assert names(tmp_path) == [f"mine_e{epoch:06d}_{index:02d}_TIME.png" for epoch in (2, 4) for index in (0, 1)]


@pytest.mark.option("sample_at_first")
def test_pictures_before_the_first_step(tmp_path):
    setup = Setup(tmp_path, given=prompts(1, seed=7), name=None, sample_at_first=True)
    setup.previews.maybe(step=0, epoch=0, at_start=True)
    assert names(tmp_path) == ["e000000_00_TIME_7.png"]


def test_nothing_is_due_without_an_option(tmp_path):
    setup = Setup(tmp_path, sample_every_n_steps=0, sample_every_n_epochs=-1)
    setup.previews.maybe(step=0, epoch=0, at_start=True)
    setup.previews.maybe(step=1, epoch=0)
    setup.previews.maybe(step=1, epoch=1, epoch_end=True)
    assert names(tmp_path) == []
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert names(tmp_path) == ["mine_000001_00_TIME.png", "mine_000001_01_TIME.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="the gloo back end, and forks")
def test_each_process_draws_its_share(tmp_path):
    def draw(index):
        with joined(ORDINARY, Report(), give_up=print) as processes:
            setup = Setup(tmp_path, given=prompts(5), processes=processes)
            setup.previews.maybe(step=1, epoch=0, on_request=True)
            return [event["index"] for event in setup.told("sample")]

    assert run_several(draw) == [[0, 2, 4], [1, 3]]


def test_the_event_names_file_prompt_and_seed(tmp_path):
    setup = Setup(tmp_path, given=prompts(1, seed=7))
    setup.previews.maybe(step=3, epoch=0, on_request=True)
    (event,) = setup.told("sample")
    assert event["prompt"] == "prompt 0"
    assert (event["seed"], event["index"], event["step"]) == (7, 0, 3)
    assert Image.open(event["file"]).size == (64, 64)


def test_the_file_says_how_it_was_drawn_in_the_hosts_words(tmp_path):
    given = [SamplePrompt("a cat", "a dog", 72, 70, 5, 4, 3.0, sample_sampler="k_euler_a")]
    setup = Setup(tmp_path, given=given)
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert Image.open(setup.told("sample")[0]["file"]).text["parameters"] == (
        "a cat\nNegative prompt: a dog\nSteps: 4, Sampler: Euler a, CFG scale: 3, Seed: 5, Size: 72x64"
    )


def test_japanese_prompts_survive_in_the_file(tmp_path):
    setup = Setup(tmp_path, given=[SamplePrompt("桜の木", **SMALL, seed=1)])
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert Image.open(setup.told("sample")[0]["file"]).text["parameters"].startswith("桜の木\nSteps: 3")


@pytest.mark.rule("flt-12")
def test_drawing_leaves_the_random_streams_and_the_network_as_they_were(tmp_path):
    setup = Setup(tmp_path, given=prompts(2, sample_sampler="dpm_2_a"))
    before = torch.random.get_rng_state()
    weights = [parameter.detach().clone() for parameter in setup.network.trainable()]
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert torch.equal(before, torch.random.get_rng_state())
    assert setup.network.training
    assert all(torch.equal(a, b) for a, b in zip(weights, setup.network.trainable(), strict=True))


@pytest.mark.rule("flt-12")
def test_a_failing_picture_is_told_and_counted_and_the_others_are_drawn(tmp_path):
    class Breaks(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.calls = inner, 0

        def forward(self, *inputs):
            self.calls += 1
            if self.calls == 1:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")
            return self.inner(*inputs)

    setup = Setup(tmp_path)
    setup.model.denoiser = Breaks(setup.model.denoiser)
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert setup.previews.failures == 1
    assert [event["text"] for event in setup.told("warning")] == [
        "Sample picture 0 failed, training goes on: OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."
    ]
    assert names(tmp_path) == ["mine_000001_01_TIME.png"]
    assert setup.network.training


@pytest.mark.rule("flt-12")
def test_a_folder_that_cannot_be_written_does_not_stop_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    setup = Setup(tmp_path / "file" / "sample", given=prompts(1))
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert setup.previews.failures == 1


def test_weights_are_put_in_place_around_the_pictures(tmp_path):
    order = []

    @contextmanager
    def pause():
        order.append("average")
        yield
        order.append("training")

    setup = Setup(tmp_path, given=prompts(1), pause=pause)
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert order == ["average", "training"]


@pytest.mark.option("sample_sampler")
@pytest.mark.parametrize(("options", "name"), [({}, "DDIM"), ({"sample_sampler": "heun"}, "Heun")])
def test_prompts_without_a_sampler_are_drawn_with_the_one_of_the_options(tmp_path, options, name):
    setup = Setup(tmp_path, given=prompts(1, seed=1), **options)

    setup.previews.maybe(step=1, epoch=0, on_request=True)

    assert f"Sampler: {name}," in Image.open(setup.told("sample")[0]["file"]).text["parameters"]
    setup.network.eval()
    asked = draw_picture(setup.model, Picture("prompt 0", "", (64, 64), seed=1, steps=3, sampler=name.lower()))
    assert Image.open(setup.told("sample")[0]["file"]).tobytes() == asked.tobytes()


def test_what_pictures_need_is_at_hand_around_all_of_them_and_no_memory_for_it_costs_only_the_pictures(tmp_path):
    order = []

    @contextmanager
    def at_hand():
        order.append("here")
        if len(order) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        yield
        order.append("away")

    setup = Setup(tmp_path, given=prompts(2))
    setup.previews.at_hand = at_hand
    for step in (1, 2):
        setup.previews.maybe(step=step, epoch=0, on_request=True)

    assert order == ["here", "away", "here"]
    assert len(setup.told("sample")) == 2
    assert setup.previews.failures == 1
    (warning,) = setup.told("warning")
    assert warning["text"] == "Sample pictures failed, training goes on: OutOfMemoryError: CUDA out of memory"


def test_an_unknown_sampler_falls_back_to_ddim_and_says_so(tmp_path):
    setup = Setup(tmp_path, given=prompts(1, sample_sampler="dpm++"), sample_sampler="euler")
    assert [event["text"] for event in setup.told("warning")] == [
        "Sample prompt 0: 'dpm++' is not a known sampler, ddim is used."
    ]
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert "Sampler: DDIM" in Image.open(setup.told("sample")[0]["file"]).text["parameters"]


def test_a_prompt_without_a_seed_gets_another_one_at_each_step_but_always_the_same(tmp_path):
    seeds = []
    for _ in range(2):
        setup = Setup(tmp_path, given=prompts(1))
        for step in (1, 2):
            setup.previews.maybe(step=step, epoch=0, on_request=True)
        seeds.append([event["seed"] for event in setup.told("sample")])
    assert seeds[0] == seeds[1]
    assert seeds[0][0] != seeds[0][1]


def test_the_same_seed_draws_the_same_picture_and_another_another():
    model = tiny_model()
    first = draw_picture(model, Picture("a", "", (64, 64), seed=1, steps=3))
    torch.rand(5)
    assert first.tobytes() == draw_picture(model, Picture("a", "", (64, 64), seed=1, steps=3)).tobytes()
    assert first.tobytes() != draw_picture(model, Picture("a", "", (64, 64), seed=2, steps=3)).tobytes()


def test_guidance_moves_the_prediction_away_from_the_negative_prompt():
    model = tiny_model()

    def one_step(scale, negative):
        picture = Picture("a cat", negative, (64, 64), seed=1, steps=1, scale=scale)
        return torch.frombuffer(bytearray(draw_picture(model, picture).tobytes()), dtype=torch.uint8)

    plain = one_step(1.0, "a dog")
    assert torch.equal(plain, one_step(1.0, "nothing"))
    assert torch.equal(plain, one_step(7.5, "a cat"))
    assert not torch.equal(one_step(7.5, "a dog"), one_step(7.5, "nothing"))


def test_numbers_that_are_not_finite_give_no_black_picture():
    model = tiny_model()
    model.denoiser.mix.weight.data.fill_(float("nan"))
    with pytest.raises(NumericError, match="infinite or NaN"):
        draw_picture(model, Picture("a", "", (64, 64), seed=1, steps=2))


def test_what_a_prompt_leaves_open_is_filled_in():
    picture = picture_of(SamplePrompt("a"), tiny_model(), sampler="euler", seed=9)
    assert picture == Picture("a", "", (512, 512), seed=9, steps=30, scale=7.5, sampler="euler")


def test_several_strengths_have_names_and_what_is_without_the_network_is_drawn_once(tmp_path):
    given = [*prompts(1, seed=7), *prompts(1)]
    setup = Setup(tmp_path, given=given, strengths=(-1.0, 0.0, 1.0))
    for step in (1, 2):
        setup.previews.maybe(step=step, epoch=0, on_request=True)

    told = [(event["step"], event["index"], event["strength"]) for event in setup.told("sample")]
    assert told == [
        *((1, index, strength) for index in (0, 1) for strength in (-1.0, 0.0, 1.0)),
        *((2, 0, strength) for strength in (-1.0, 1.0)),
        # Without a seed of its own every step has another one.
        *((2, 1, strength) for strength in (-1.0, 0.0, 1.0)),
    ]
    assert names(tmp_path)[:3] == [
        "mine_000001_00_x+0_TIME_7.png",
        "mine_000001_00_x+1_TIME_7.png",
        "mine_000001_00_x-1_TIME_7.png",
    ]


def test_one_strength_is_not_told(tmp_path):
    setup = Setup(tmp_path, given=prompts(1))
    setup.previews.maybe(step=1, epoch=0, on_request=True)
    assert "strength" not in setup.told("sample")[0]
