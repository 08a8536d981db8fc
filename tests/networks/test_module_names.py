import pytest
from tanren.errors import EnvironmentProblem, UsageError
from tanren.networks.module_names import check_module, is_own


@pytest.mark.parametrize("name", ["networks.lora", "lora"])
def test_our_own_lora_goes_by_kohyas_name(name):
    assert is_own(name)
    check_module(name, typed_at_shell=False)


def test_lycoris_may_come_from_anywhere():
    check_module("lycoris.kohya", typed_at_shell=False)


@pytest.mark.parametrize("name", [None, ""])
def test_no_network_is_refused_with_the_usual_choice(name):
    with pytest.raises(UsageError, match="no network was chosen") as caught:
        check_module(name, typed_at_shell=True)

    assert "--network_module=networks.lora" in str(caught.value)


@pytest.mark.parametrize("name", ["networks.dylora", "networks.oft", "networks.lora_fa", "networks.lora_flux"])
def test_other_modules_of_sd_scripts_are_named_as_not_built_in(name):
    with pytest.raises(UsageError, match=f"{name} belongs to sd-scripts and is not part of this trainer."):
        check_module(name, typed_at_shell=True)


def test_unknown_modules_are_taken_from_the_shell_only():
    check_module("json.decoder", typed_at_shell=True)

    with pytest.raises(UsageError, match=r"'json\.decoder' is not one of the networks that may be chosen here"):
        check_module("json.decoder", typed_at_shell=False)


@pytest.mark.rule("V44")
def test_a_missing_package_is_named():
    with pytest.raises(EnvironmentProblem, match=r"no_such_package\.kohya needs the package no_such_package"):
        check_module("no_such_package.kohya", typed_at_shell=True)


def test_words_that_are_no_module_name_are_refused():
    with pytest.raises(UsageError, match="is not the name of a Python module"):
        check_module("../evil", typed_at_shell=True)
