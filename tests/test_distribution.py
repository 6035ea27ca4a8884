"""Wheel and sdist: they contain every file that the packages need, and the wheel works without the clone."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.test_project import EXAMPLES

ROOT = Path(__file__).parents[1]
PACKAGES = ("sscn_ref", "sscn_triton")
BESIDE = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt")
LARGEST = 10e6  # bytes; most of the wheel are the weights of the packaged networks

pytestmark = pytest.mark.deep


def run(*command: object, folder: Path, **variables: str) -> str:
    """The output of a command that sees nothing of the clone; fails with its error output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA"))}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment | variables, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def sources() -> set[str]:
    """All files of both packages, without those that Python and Numba write."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the sdist and of the wheel that is built from it, as `make dist` does."""
    pytest.importorskip("build", reason="`make dist` installs build and twine")
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"  # a copy, because building leaves files behind
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "test_cli.py", source / "tests")
    for name in BESIDE:
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", source, folder=folder)
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


def test_the_wheel_contains_every_file_of_both_packages_and_no_other(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == sources()
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < LARGEST


def test_the_sdist_contains_the_sources_and_what_a_reader_looks_for(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() | set(BESIDE) <= names
    assert not [name for name in names if name.startswith("tests/test")]  # a part of them, without their support


def test_twine_accepts_both(built: Path, tmp_path: Path) -> None:
    pytest.importorskip("twine", reason="`make dist` installs build and twine")
    told = run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), folder=tmp_path)
    assert told.count("PASSED") == 2


def test_the_metadata_are_what_pypi_shows(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        found = email.message_from_bytes(archive.read(name))
        assert f"{name.removesuffix('METADATA')}licenses/LICENSE" in archive.namelist()
    version = re.search(r'^__version__ = "(.*?)"', (ROOT / "sscn_triton" / "__init__.py").read_text(), re.MULTILINE)
    assert version is not None
    assert found["Version"] == version[1]
    assert found["License-Expression"] == "BSD-3-Clause"
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload().strip() == (ROOT / "README.md").read_text().strip()  # type: ignore[union-attr]
    assert set(found.get_all("Provides-Extra", [])) >= {"study", "hub", "interpreter"}


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, its requirements and those of the extra study."""
    folder = tmp_path_factory.mktemp("bare")
    run(sys.executable, "-m", "venv", folder / "env", folder=folder)
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    install = [programs / "python", "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    run(*install, f"sscn[study] @ {wheel.as_uri()}", folder=folder)
    return programs


def test_the_examples_of_the_readme_run_in_a_bare_environment(bare: Path, tmp_path: Path) -> None:
    where = "import sscn_triton; print(sscn_triton.__file__)"
    assert str(bare.parent) in run(bare / "python", "-c", where, folder=tmp_path)
    out = run(bare / "python", "-c", "\n".join(EXAMPLES), folder=tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
    lines = out.splitlines()
    assert lines[0].startswith("step  0: loss ")
    assert lines[-1].startswith("['")


def test_commands_simulate_and_label_events_in_a_bare_environment(bare: Path, tmp_path: Path) -> None:
    def sscn(*words: object) -> str:
        return run(bare / "sscn", *words, folder=tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "numba"))

    sscn("simulate", "--events", 2, "--size", 64, "--seed", 900, "--out", "events.h5")
    told = sscn("predict", "events.h5", "--checkpoint", "lartpc-192", "--out", "labelled.h5")
    (accuracy,) = re.findall(r"labelled\.h5: 2 events, nonzero accuracy ([\d.]+) %", told)
    assert float(accuracy) > 70
    sscn("display", "labelled.h5", "--event", 0, "--out", "event.png")
    assert (tmp_path / "event.png").read_bytes().startswith(b"\x89PNG")
    sscn("display", "labelled.h5", "--event", 0, "--out", "event.html")
    sscn("train", "--config", "laptop", "--print_config")
