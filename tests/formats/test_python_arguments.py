import pytest
from tanren.errors import UsageError
from tanren.formats.python_arguments import parse_arguments


def test_values_are_python_literals():
    words = ["weight_decay=0.01", "betas=0.9,0.999", "decouple=True", "decay_type='cosine'", "d0 = 1e-5"]
    assert parse_arguments(words, "--optimizer_args") == {
        "weight_decay": 0.01,
        "betas": (0.9, 0.999),
        "decouple": True,
        "decay_type": "cosine",
        "d0": 1e-5,
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["weight_decay"], "--optimizer_args: 'weight_decay' is not key=value."),
        (["a=b=c"], "--optimizer_args: 'a=b=c' is not key=value."),
        (["a=1", "a=2"], "--optimizer_args: a is given twice."),
        (["a=cosine"], "--optimizer_args: The value in 'a=cosine' is not a Python literal."),
        (["a=__import__('os')"], "--optimizer_args: The value in \"a=__import__('os')\" is not a Python literal."),
        (["__class__=1"], "--optimizer_args: '__class__' in '__class__=1' is not the name of an argument."),
        (["a b=1"], "--optimizer_args: 'a b' in 'a b=1' is not the name of an argument."),
    ],
)
def test_other_words_are_refused(words, message):
    with pytest.raises(UsageError) as caught:
        parse_arguments(words, "--optimizer_args")
    assert str(caught.value).splitlines()[0] == message
