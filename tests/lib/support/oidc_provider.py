"""Starts the certified OpenID provider that npm has, and fills in its log-in forms."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx

_VERSION: Final = "oidc-provider@9"
_SCRIPT: Final = Path(__file__).with_name("oidc_provider.mjs")
_HOPS_MAX: Final = 20


def installed() -> Path | str:
    """The provider's main file, installed beside the virtual environment; or why there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed: apt-get install nodejs npm (node 20 or newer)"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().lstrip("v").split(".")[0]) < 20:
        return f"node is {version.stdout.strip()}, and oidc-provider needs 20 or newer"
    folder = Path(sys.prefix) / "npm-oidc"
    main = folder / "node_modules" / "oidc-provider" / "lib" / "index.js"
    if not main.exists():
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), _VERSION],
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            return f"npm could not install {_VERSION}: {done.stderr.strip()[-300:]}"
    return main


@contextmanager
def running(main: Path, options: dict[str, Any]) -> Iterator[str]:
    """The provider's address, for as long as the block lasts."""
    command = ["node", str(_SCRIPT), str(main), json.dumps(options)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # its warnings fit into the pipe
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert process.stderr is not None
        assert line.strip() == "ready", line + process.stderr.read()
        yield f"http://127.0.0.1:{options['port']}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


def log_in(address: str, login: str, back_to: str) -> str:
    """Go through the provider's pages as `login`; the path and query we are sent back to."""
    with httpx.Client(trust_env=False) as browser:
        response = browser.get(address)
        for _ in range(_HOPS_MAX):
            if response.is_redirect:
                target = urljoin(str(response.url), response.headers["location"])
                if target.startswith(back_to):
                    back = urlsplit(target)
                    return f"{back.path}?{back.query}"
                response = browser.get(target)
            else:
                response = _submitted(browser, response, login)
    raise AssertionError(f"the provider never sent the browser back: {response.text[:500]}")


def _submitted(browser: httpx.Client, page: httpx.Response, login: str) -> httpx.Response:
    assert page.status_code == 200, page.text
    action = re.search(r'<form[^>]* action="([^"]+)"', page.text)
    assert action is not None, page.text
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
    if 'name="login"' in page.text:
        fields |= {"login": login, "password": "any"}
    return browser.post(urljoin(str(page.url), action[1]), data=fields)
