"""The browsers of the benchmark: what they ask, what they count, and what they refuse."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle

import pytest

from fjarrkoll.bench.browsers import browse

BODY = b"x" * 300_000
"""More than one read gives."""


class Handler(BaseHTTPRequestHandler):
    """Answers by path: /200 and /503 with that status, /short ends the connection afterwards."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked[self.path, self.headers["Cookie"], self.headers["Host"]] += 1
        status = int(self.path[1:]) if self.path[1:].isdigit() else 200
        self.send_response(status)
        if self.path != "/endless":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:1000] if self.path == "/cut" else BODY)
        self.close_connection = self.path in ("/short", "/cut", "/endless")

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = Counter()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(url, paths, wanted, browsers_n=3, per_s=10_000):
    """The first so many answers to these paths, again and again."""
    found = []
    asked = ((path, f"who={number}") for number, path in enumerate(cycle(paths)))
    for answer in browse([url] * browsers_n, browsers_n, asked, per_s, lambda: False):
        found.append(answer)
        if len(found) == wanted:
            return found
    return None


def test_every_answer_is_read_to_its_end_and_counted_by_its_status():
    with serving() as (server, url):
        found = answers(url, ["/200", "/503"], 20)
    assert {answer.status for answer in found} == {200, 503}
    assert all(0 < answer.took_s < 5 for answer in found)
    assert 20 <= server.asked.total() <= 23
    assert all(cookie == f"who={n}" for n, (_, cookie, _) in enumerate(sorted(
        server.asked, key=lambda key: int(key[1][4:]))))  # fmt: skip


def test_a_connection_that_the_server_ends_is_made_anew():
    with serving() as (_, url):
        assert len(answers(url, ["/short"], 8, browsers_n=2, per_s=100)) == 8


def test_browsers_stay_with_their_servers():
    with serving() as (one, first), serving() as (other, second):
        asked = cycle([("/200", "a=b")])
        found = browse([first, second, first], 3, asked, 10_000, lambda: False)
        for _ in range(12):
            next(found)
        found.close()
    for server, url in ((one, first), (other, second)):
        assert {host for _, _, host in server.asked} == {url.removeprefix("http://")}


@pytest.mark.parametrize(
    ("path", "says"), [("/cut", "within an answer"), ("/endless", "without a Content-Length")]
)
def test_an_answer_whose_end_cannot_be_told_is_an_error(path, says):
    with serving() as (_, url), pytest.raises(ConnectionError, match=says):
        answers(url, [path], 1)


def test_no_more_are_asked_than_the_rate_allows_and_none_once_it_is_over():
    with serving() as (server, url):
        over = iter([False] * 6 + [True])
        found = list(browse([url], 1, cycle([("/200", "a=b")]), 20, lambda: next(over)))
    assert len(found) <= server.asked.total() <= 7
