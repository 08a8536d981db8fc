"""What only torch and the installed packages know about the optimizer is asked before a model is loaded."""

import pytest
from tanren.commands import COMMANDS
from tanren.engine.learner import check_learning
from tanren.errors import Problems, SeveralProblems, UsageError
from tanren.options.parse import parse


def settings(*words):
    return parse("train_network", COMMANDS["train_network"].groups, words, Problems()).settings


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--optimizer_type=NAdam", "--optimizer_args", "weight_decay=0.1", "--lr_scheduler_type=CosineAnnealingLR"],
        ["--optimizer_type=adafactor", "--optimizer_args", "relative_step=False"],
        ["--optimizer_type=torch.optim.Adamax"],
    ],
)
def test_what_can_be_built_is_accepted(words):
    check_learning(settings(*words))


@pytest.mark.rule("cfg-03")
def test_unknown_classes_of_optimizer_and_schedule_come_together():
    with pytest.raises(SeveralProblems) as caught:
        check_learning(settings("--optimizer_type=AdamX", "--lr_scheduler_type=CosinLR"))

    assert caught.value.code == 2
    assert "--optimizer_type: 'AdamX' is not a known optimizer" in str(caught.value)
    assert "--lr_scheduler_type: 'CosinLR' is not a scheduler class." in str(caught.value)


def test_an_argument_that_the_optimizer_lacks_is_named():
    with pytest.raises(UsageError, match="AdamW has no argument weight_deca"):
        check_learning(settings("--optimizer_args", "weight_deca=0.1"))
