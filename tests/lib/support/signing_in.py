"""A browser at the built-in issuer, for tests: chooses a person there and comes back."""

from __future__ import annotations

import re
from html import unescape
from typing import Final
from urllib.parse import urlsplit

import httpx

_HIDDEN: Final = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


def sign_in(client: httpx.Client, user: str, start: str = "/sign-in/start") -> httpx.Response:
    """Sign in as `user`, such as `demo-tova`; the answer that opens the session, not followed."""
    answer = client.get(start, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return client.get(choose(answer.headers["location"], user), follow_redirects=False)


def choose(address: str, user: str) -> str:
    """Choose a person on the issuer's page; the path and query that the browser is sent back to."""
    with httpx.Client(trust_env=False) as browser:
        shown = browser.get(address)
        assert shown.status_code == 200, shown.text
        fields = {name: unescape(value) for name, value in _HIDDEN.findall(shown.text)}
        url = urlsplit(address)
        sent = browser.post(f"{url.scheme}://{url.netloc}/authorize", data=fields | {"user": user})
    assert sent.status_code == 303, sent.text
    back = urlsplit(sent.headers["location"])
    return f"{back.path}?{back.query}"
