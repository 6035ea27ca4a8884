"""The project's statements about itself are true: versions, pins, imports, the README's example and map."""

from __future__ import annotations

import collections
import doctest
import itertools
import json
import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # a requirement of pytest

import sscn_triton
from sscn_triton.common.units import percent
from tests import conftest
from tests.conftest import COSTLY

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CHANGES = (ROOT / "CHANGELOG.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
HEAVY = (
    "safetensors",
    "huggingface_hub",
    "triton",
    "uproot",
    "awkward",
    "h5py",
    "lightning",
    "plotly",
    "matplotlib",
    "sklearn",
    "jsonargparse",
    "pyarrow",
)


def run(*command: str, folder: Path) -> str:
    """The output of a new Python process; fails with its error output."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_version_is_the_same_everywhere():
    version = metadata.version("sscn")
    assert sscn_triton.__version__ == version
    assert "version" in PROJECT["project"]["dynamic"]
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {version}\n" in citation
    if "dev" not in version:
        (date,) = re.findall(rf"^## \[{re.escape(version)}\] - (\d{{4}}-\d\d-\d\d)$", CHANGES, re.MULTILINE)
        assert f"date-released: {date}\n" in citation


def test_both_packages_are_installed_and_typed():
    for package in ("sscn_ref", "sscn_triton"):
        assert package in metadata.packages_distributions()
        assert (ROOT / package / "py.typed").exists()


@pytest.mark.parametrize("module", ["sscn_ref", "sscn_triton.lartpc"])
def test_the_import_needs_nothing_but_the_core(module, tmp_path):
    """The import of `sscn_triton.lartpc` begins with that of `sscn_triton`."""
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    assert run("-c", code, folder=tmp_path).split() == []


def test_the_reference_imports_without_torch(tmp_path):
    assert run("-c", "import sys, sscn_ref; print('torch' in sys.modules)", folder=tmp_path) == "False\n"


def test_the_files_whose_tests_run_first_exist():
    assert [path for path in COSTLY if not (ROOT / path).is_file()] == []


def test_these_files_run_first_and_the_scheduler_is_that_of_the_command_line():
    items: list[Any] = [types.SimpleNamespace(nodeid=f"{path}::test") for path in ("tests/a.py", COSTLY[1], COSTLY[0])]
    conftest.pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == [f"{path}::test" for path in (COSTLY[0], COSTLY[1], "tests/a.py")]
    assert not hasattr(conftest, "pytest_xdist_make_scheduler")  # it would replace the one that --dist names


def test_no_folder_contains_more_than_18_files():
    paths = [path for room in ("sscn_ref", "sscn_triton", "tests") for path in (ROOT / room).rglob("*.py")]
    counts = collections.Counter(str(path.parent.relative_to(ROOT)) for path in paths)
    assert {folder: count for folder, count in counts.items() if count > 18} == {}


def test_every_folder_of_tests_mirrors_one_of_the_library():
    others = {"engines", "support", "book", "tutorial", "reference"}
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    mirrors = [folder for folder in folders if not others.intersection(folder.parts[:1])]
    assert [str(folder) for folder in mirrors if not (ROOT / "sscn_triton" / folder).is_dir()] == []


def test_the_example_of_the_readme_learns_as_printed(tmp_path):
    """Rounding differs between processors, and changes the second decimal."""
    example = EXAMPLES[0]
    (printed,) = re.findall(r"```text\n(step.*?)```", README, re.DOTALL)
    line = re.compile(r"step +(\d+): loss (\d\.\d\d), (\d+)% of (\d+) voxels right")
    shown, done = (
        [tuple(map(float, line.fullmatch(text).groups())) for text in output.splitlines()]
        for output in (printed, run("-c", example, folder=tmp_path))
    )
    assert [(step, voxels) for step, _, _, voxels in done] == [(step, voxels) for step, _, _, voxels in shown]
    for (_, loss, right, _), (_, shown_loss, shown_right, _) in zip(done, shown, strict=True):
        assert abs(loss - shown_loss) <= 0.1
        assert abs(right - shown_right) <= 10
    assert sorted(done, key=lambda row: -row[1]) == done  # the loss decreases from line to line
    assert done[-1][1] < 0.6 * done[0][1]


def test_the_example_with_pretrained_weights_continues_the_first_one(capsys):
    first, second = EXAMPLES
    scope: dict[str, object] = {}
    exec(first[: first.index("model =")] + second, scope)
    constant = scope["labels"].bincount().max() / len(scope["labels"])  # the best answer that is the same everywhere
    assert scope["scores"].argmax(1).eq(scope["labels"]).float().mean() > constant + 0.1
    assert capsys.readouterr().out.count("'") == 10
    record = ROOT / "book/results" / f"{scope['network'].about['record']}.json"
    judged = json.loads(record.read_text())["scores"][0]
    assert f"{percent(judged['nonzero_accuracy'])} of the nonzero voxels of {judged['events']:,} simulated" in README


def test_the_folders_listed_in_the_readme_exist():
    named = re.findall(r"^\| `([\w/]+)/` \|", README, re.MULTILINE)
    assert {"sscn_ref", "sscn_triton", "tests", "tutorial", "book"} <= set(named)
    assert [name for name in named if not (ROOT / name).is_dir()] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_and_commands_of_a_page_exist(page):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    assert [link for link in links if not (ROOT / link).exists()] == []
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = re.findall(r"(?:^    |`|=\S+ )make ([\w-]+)", text, re.MULTILINE)
    assert commands
    assert set(commands) <= set(targets)


@pytest.mark.parametrize("page", ["relation.md", "errata.md"])
def test_the_examples_of_the_book_are_computed_as_printed(page):
    failed, tried = doctest.testfile(str(ROOT / "book" / page), module_relative=False)
    assert tried
    assert not failed


def pins(python: str) -> dict[str, list[str]]:
    """The versions that constraints.txt allows for each package, on Linux with this Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.13", "sys_platform": "linux"}
    lines = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    chosen: dict[str, list[str]] = {}
    for pin in lines:
        if pin.marker is None or pin.marker.evaluate(environment):
            chosen.setdefault(pin.name, []).append(str(pin.specifier))
    return chosen


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned_once_to_a_version_it_allows(python):
    chosen = pins(python)
    assert [name for name, versions in chosen.items() if len(versions) > 1 or not versions[0].startswith("==")] == []
    required = [Requirement(text) for text in metadata.requires("sscn") or []]
    for requirement in itertools.filterfalse(lambda r: r.name == "sscn", required):
        (pinned,) = chosen[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(pinned.removeprefix("==")), f"{requirement} and {pinned}"


def test_the_wheel_is_told_of_every_file_that_is_not_code():
    """The wheel itself is built by a deep test."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    for package in ("sscn_ref", "sscn_triton"):
        folders = {path.parent for path in (ROOT / package).rglob("__init__.py")}
        told = {path for folder in folders for pattern in patterns for path in folder.glob(pattern)}
        files = {path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        assert {path for path in files - told if path.suffix != ".py"} == set()
        assert {path.parent for path in files if path.suffix == ".py"} <= folders


def test_pypi_can_follow_the_links_of_the_readme():
    """PyPI shows the text without the files beside it."""
    urls = PROJECT["project"].get("urls", {})
    if not urls:
        pytest.skip("the project has no public address yet")
    assert [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("https://")] == []
