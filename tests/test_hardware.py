"""GPUs, memory and the build of torch that fits them."""

from __future__ import annotations

import pytest
from tanren.hardware import Gpu, Memory, choose_build, main_memory, named_build, parse_gpus, parse_meminfo

CSV = "NVIDIA GeForce RTX 4090, 581.42, 24564, 23010, 8.9\nTesla P40, 535.10, 23040, [N/A], 6.1\nNo devices\n"


def gpu(driver: str, capability: tuple[int, int]) -> Gpu:
    return Gpu("Card", driver, 8192, 8000, capability)


def test_gpus_are_read_from_the_drivers_answer():
    assert parse_gpus(CSV) == [
        Gpu("NVIDIA GeForce RTX 4090", "581.42", 24564, 23010, (8, 9)),
        Gpu("Tesla P40", "535.10", 23040, 0, (6, 1)),
    ]


def test_a_driver_that_does_not_know_capabilities_still_counts():
    assert parse_gpus("Tesla K80, 470.1, 11441, 11000\n") == [Gpu("Tesla K80", "470.1", 11441, 11000, (0, 0))]


@pytest.mark.parametrize(
    ("gpus", "build"),
    [
        ([], "cpu"),
        ([gpu("580.10", (8, 6))], "cu130"),
        ([gpu("590.1", (12, 0))], "cu130"),
        ([gpu("570.1", (8, 6))], "cu126"),
        ([gpu("590.1", (6, 1))], "cu126"),
        ([gpu("590.1", (6, 1)), gpu("590.1", (8, 6))], "cu126"),
        ([gpu("570.1", (12, 0))], "cpu"),
        ([gpu("470.1", (8, 6))], "cpu"),
    ],
)
def test_the_build_fits_driver_and_every_gpu(gpus, build):
    choice = choose_build(gpus, "linux", "x86_64")
    assert choice.build == build
    assert choice.index == f"https://download.pytorch.org/whl/{build}"


def test_a_driver_that_is_too_old_is_said():
    choice = choose_build([gpu("470.1", (8, 6))], "linux", "x86_64")
    assert choice.because.startswith("Card cannot be used with driver 470.1: install driver 580 or newer")


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "aarch64")])
def test_other_machines_take_the_ordinary_build(system, machine):
    assert choose_build([], system, machine).index is None


def test_a_build_can_be_asked_for():
    assert named_build("cu126").index == "https://download.pytorch.org/whl/cu126"


def test_memory_is_read_in_bytes():
    text = "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\nSwapTotal:       1024 kB\n"
    assert parse_meminfo(text) == Memory(16384 * 1024, 8192 * 1024, 1024 * 1024)


def test_this_machine_has_memory():
    assert main_memory().total > 2**28
