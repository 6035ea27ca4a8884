"""The Containerfile copies the files that the installation reads, and installs the pins and extras."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "Containerfile").read_text()


def test_the_image_contains_all_files_that_the_installation_reads() -> None:
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", LINES, re.MULTILINE) for word in line.split()}
    assert [name for name in copied if not (ROOT / name).exists()] == []
    project = (ROOT / "pyproject.toml").read_text()
    read = re.findall(r'^readme = "(.*)"', project, re.MULTILINE) + re.findall(
        r"^license-files = \[\"(.*)\"\]", project, re.M
    )
    packages = {path.parent.name for path in ROOT.glob("sscn_*/__init__.py")}
    assert copied == {"pyproject.toml", "constraints.txt", *read, *packages}


def test_the_image_installs_an_extra_that_exists_on_a_python_that_is_supported() -> None:
    (extra,) = re.findall(r'pip install .*"/source\[(\w+)\]"', LINES)
    project = (ROOT / "pyproject.toml").read_text()
    assert re.search(rf"^{extra} = \[", project, re.MULTILINE)
    (python,) = re.findall(r"^FROM python:([\d.]+)-slim$", LINES, re.MULTILINE)
    assert f"Python :: {python}" in project
