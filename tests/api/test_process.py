from __future__ import annotations

import socket
import threading

import httpx
import pytest
from support.people import access_settings

from api.process import ApiRefusedError, ApiSettings, run

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.4", "192.168.1.5", "example.com", "", "127.0.0.1.evil"]
)
def test_an_address_that_others_can_reach_is_refused(host):
    with pytest.raises(ApiRefusedError, match="speaks plain HTTP"):
        ApiSettings(NOWHERE, access_settings(), host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_is_accepted(host):
    assert ApiSettings(NOWHERE, access_settings(), host=host).host == host


def test_a_port_that_is_taken_is_refused_with_advice():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = ApiSettings(NOWHERE, access_settings(), port=taken.getsockname()[1])
        with pytest.raises(ApiRefusedError, match="Choose another"):
            run(settings, threading.Event())


def test_the_server_reports_its_port_and_answers_over_a_socket(server):
    assert int(server.rpartition(":")[2]) > 0
    answer = httpx.get(f"{server}/readyz")
    assert answer.status_code == 200
    assert "server" not in answer.headers


def test_a_rebound_name_is_refused_over_a_socket(server):
    answer = httpx.get(f"{server}/api/v1/devices", headers={"Host": "evil.example"})
    assert answer.status_code == 421


def test_a_forwarding_header_changes_nothing(server):
    headers = {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "10.0.0.1"}
    assert httpx.get(f"{server}/livez", headers=headers).status_code == 200


def test_it_starts_without_a_database_and_stops_when_told():
    stop, ready, found = threading.Event(), threading.Event(), []

    def on_ready(url):
        found.append(url)
        ready.set()

    settings = ApiSettings(NOWHERE, access_settings(), port=0, database_wait_s=0.2)
    thread = threading.Thread(target=run, args=(settings, stop, on_ready))
    thread.start()
    assert ready.wait(20)
    assert httpx.get(f"{found[0]}/livez").status_code == 200
    assert httpx.get(f"{found[0]}/readyz").status_code == 503
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
