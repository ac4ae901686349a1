"""Readiness and counts: cheap to ask for, and only from inside."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from starlette.testclient import TestClient
from support.people import access_settings

from api.app import create_app
from api.readiness import KEPT_FOR_S, Readiness
from storage.connection import DatabaseDownError


class Database:
    def __init__(self):
        self.asked_n = 0
        self.now_s = 100.0
        self.is_down = False
        self.readiness = Readiness(self.prove, lambda: self.now_s)

    def prove(self):
        self.asked_n += 1
        if self.is_down:
            raise DatabaseDownError("down")


def test_the_database_is_asked_once_a_second_however_many_ask():
    database = Database()
    for _ in range(50):
        database.readiness.check()
    assert database.asked_n == 1
    database.now_s += KEPT_FOR_S
    database.is_down = True
    for _ in range(50):
        with pytest.raises(DatabaseDownError):
            database.readiness.check()
    assert database.asked_n == 2
    database.now_s += KEPT_FOR_S
    database.is_down = False
    database.readiness.check()


def test_nobody_waits_for_the_question_of_another():
    database = Database()
    database.readiness.check()
    database.now_s += KEPT_FOR_S
    asked, answered = threading.Event(), threading.Event()

    def stuck():
        asked.set()
        assert answered.wait(10)

    database.readiness._prove = stuck
    thread = threading.Thread(target=database.readiness.check)
    thread.start()
    assert asked.wait(5)
    database.readiness.check()
    answered.set()
    thread.join(5)


def test_the_public_address_shows_neither_readiness_nor_counts(settings):
    access = access_settings(public_url="https://fjarrkoll.example")
    app = create_app(replace(settings, access=access))
    paths = ("/livez", "/readyz", "/metrics")
    with TestClient(app, base_url="http://127.0.0.1:8460") as client:
        inside = [client.get(path).status_code for path in paths]
        public = {"Host": "fjarrkoll.example"}
        outside = [client.get(path, headers=public).status_code for path in paths]
    assert (inside, outside) == ([200, 200, 200], [200, 404, 404])
