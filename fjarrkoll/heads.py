"""Signed heads of access logs: where a chain ended, as a token to keep somewhere else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from fleet.access.audit import Head

_ALGORITHM: Final = "Ed25519"
_TYPE: Final = "fjarrkoll-audit-head"


class HeadError(ValueError):
    """A key or a signed head that cannot be used; the message says which and why."""


def public_file(file: Path) -> Path:
    """Where the public half of a key goes.

    Raises:
        HeadError: a key is there already.
    """
    public = file.with_name(f"{file.name}.pub")
    for path in (file, public):
        if path.exists():
            raise HeadError(f"{path} is there already: name another file")
    return public


def write_key(file: Path) -> Path:
    """Make a key pair: `file` for its owner only, and beside it the public half.

    Returns:
        The public half's file.

    Raises:
        HeadError: one of them is there already.
    """
    public = public_file(file)
    key = OKPKey.generate_key("Ed25519", {"use": "sig", "alg": _ALGORITHM}, auto_kid=True)
    for path, mode, is_private in ((file, 0o600, True), (public, 0o644, False)):
        path.touch(mode, exist_ok=False)
        path.write_text(json.dumps(key.as_dict(private=is_private)) + "\n", "utf-8")
    return public


def read_key(file: Path) -> OKPKey:
    """A key as `write_key` wrote it, or its public half.

    Raises:
        HeadError: there is no such key in the file.
    """
    try:
        key = OKPKey.import_key(json.loads(file.read_text("utf-8")))
        if key.curve_name == "Ed25519":
            return key
    except (OSError, ValueError, KeyError, JoseError) as exc:
        raise HeadError(f"{file} holds no key: {exc}") from exc
    raise HeadError(f"{file} holds a key for {key.curve_name}: make one by `fjarrkoll audit key`")


def sign(head: Head, key: OKPKey, at: datetime) -> str:
    """The head as a compact JWS; `at` is when it was exported.

    Raises:
        HeadError: the key is only the public half.
    """
    if not key.is_private:
        raise HeadError("this is the public half of a key: sign with the private one")
    claims = {"tenant": head.tenant, "no": head.no, "hash": head.hash.hex(), "at": _said(at)}
    header = {"alg": _ALGORITHM, "typ": _TYPE, "kid": key.thumbprint()}
    body = json.dumps(claims, sort_keys=True)
    return jws.serialize_compact(header, body, key, algorithms=[_ALGORITHM])


def _said(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


def read_head(token: str, key: OKPKey) -> Head:
    """The head in a token.

    Raises:
        HeadError: the signature is not by this key, or it signs something else.
    """
    try:
        found = jws.deserialize_compact(token, key, algorithms=[_ALGORITHM])
        if found.headers().get("typ") != _TYPE:
            raise HeadError(f"it is no {_TYPE}")
        claims = json.loads(found.payload)
        return Head(str(claims["tenant"]), int(claims["no"]), bytes.fromhex(claims["hash"]))
    except (JoseError, ValueError, KeyError, TypeError) as exc:
        raise HeadError(f"a signed head cannot be trusted: {exc}") from exc


def read_heads(files: Iterable[Path], key: OKPKey) -> list[Head]:
    """All heads in these files, one a line.

    Raises:
        HeadError: naming file and line.
    """
    return [head for file in files for head in _heads_in(file, key)]


def _heads_in(file: Path, key: OKPKey) -> list[Head]:
    heads = []
    for number, line in enumerate(_lines(file), 1):
        try:
            heads.append(read_head(line, key))
        except HeadError as exc:
            raise HeadError(f"{file}, line {number}: {exc}") from exc
    if not heads:
        raise HeadError(f"{file} holds no heads: export them by `fjarrkoll audit head`")
    return heads


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").split()
    except (OSError, ValueError) as exc:
        raise HeadError(f"{file} cannot be read: {exc}") from exc
