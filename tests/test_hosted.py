"""The files that hosted services read agree with the project: GitHub's workflows and conda-forge's recipe."""

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import sscn_triton
from tests.test_project import PYTHONS, ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
RECIPE = yaml.safe_load((ROOT / ".ci" / "conda" / "recipe.yaml").read_text())


def requirements(key: str) -> dict[str, str]:
    """Conda's name of each package in a list of pyproject.toml, with the versions allowed."""
    (listed,) = re.findall(rf"^{key} = \[(.*?)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    found = [Requirement(text) for text in re.findall(r'"([^"]+)"', listed)]
    return {CONDA_NAMES.get(requirement.name, requirement.name): str(requirement.specifier) for requirement in found}


def recipe_requirements(key: str) -> dict[str, str]:
    return dict(line.split() for line in RECIPE["requirements"][key] if not line.startswith("python "))


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} == {"book", "gpu", "release", "tests"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_only_targets_of_the_makefile_and_folders_of_tests(path: Path):
    steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
    commands = " ".join(step.get("run", "") for step in steps)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([\w-]+)", commands)) <= set(targets)
    assert [folder for folder in re.findall(r"\btests/[\w/]+", commands) if not (ROOT / folder).is_dir()] == []


def test_the_workflow_runs_every_supported_python():
    tests = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    assert tests["jobs"]["test"]["strategy"]["matrix"]["python"] == list(PYTHONS)


def test_the_oldest_pytorch_that_the_project_allows_is_the_one_that_is_tested():
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]["oldest"]
    (tested,) = re.findall(r'"torch==([\d.]+)\.\*"', " ".join(step.get("run", "") for step in job["steps"]))
    assert requirements("dependencies")["pytorch"] == f">={tested}"
    assert f"torch from {tested})" in (ROOT / "README.md").read_text()
    unpinned = {word for step in job["steps"] for word in re.findall(r"'\^(\w+)=='", step.get("run", ""))}
    assert unpinned == {"torch", "triton", "sympy"}  # torch 2.5 requires sympy 1.13.1, our pin is newer


def test_the_recipe_requires_what_the_project_requires():
    assert recipe_requirements("run") == requirements("dependencies")
    assert recipe_requirements("run_constraints") == requirements("study") | requirements("parquet") | requirements(
        "hub"
    )


def test_the_recipe_is_of_this_version():
    assert RECIPE["context"]["version"] == sscn_triton.__version__
