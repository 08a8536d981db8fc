"""The port of the standalone page: a taken one is no reason to stop."""

from __future__ import annotations

import socket

import pytest
from tanren.errors import EnvironmentProblem
from tanren.ui.port import listen_on


@pytest.mark.rule("flt-09")
def test_a_taken_port_gives_the_next_free_one():
    with listen_on("127.0.0.1", 0) as first:
        taken = first.getsockname()[1]
        with listen_on("127.0.0.1", taken) as second:
            assert taken < second.getsockname()[1] <= taken + 100


@pytest.mark.rule("flt-09")
def test_a_port_taken_on_every_network_counts_as_taken():
    with listen_on("0.0.0.0", 0) as first:
        taken = first.getsockname()[1]
        with listen_on("127.0.0.1", taken) as second:
            assert second.getsockname()[1] != taken


def test_the_socket_listens_at_once():
    with listen_on("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname(), timeout=5):
        pass


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(EnvironmentProblem) as caught:
        listen_on("192.0.2.1", 0)
    assert caught.value.what == "This address cannot be listened on."
