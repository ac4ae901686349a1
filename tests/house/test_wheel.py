"""What is shipped is what is tested: the wheel, installed away from the checkout, does the work."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("fleet", "runtime", "storage", "ingest", "diagnostics", "api", "firmware_sim", "fjarrkoll")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    source = tmp_path_factory.mktemp("source") / "fjarrkoll"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = target.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A virtual environment with the wheel, and this one's dependencies without the checkout."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    packages = next(home.glob("lib/python*/site-packages"))
    ours = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    for entry in ours.iterdir():
        if "fjarrkoll" not in entry.name and not entry.name.endswith(".pth"):
            (packages / entry.name).symlink_to(entry)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    return home / "bin" / "python"


def test_the_wheel_holds_every_room_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(ROOMS)
    for suffix in (".sql", ".toml", ".html", ".css"):
        assert any(name.endswith(suffix) for name in names), f"no {suffix} file in the wheel"


def test_the_installed_wheel_migrates_and_answers(installed, plain, tmp_path):
    url = plain.create_database("wheel")
    environment = {"PATH": os.environ["PATH"], "FJARRKOLL_DATABASE_URL": url}
    try:
        for arguments in (["db", "migrate"], ["catalog", "show", "vr2", "2C00"], ["doctor"]):
            done = subprocess.run(
                [str(installed), "-m", "fjarrkoll", *arguments],
                cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        code = "import fleet, api; print(fleet.__file__, api.__file__)"
        where = subprocess.run(
            [str(installed), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        assert str(ROOT) not in where
    finally:
        plain.drop_database("wheel")
