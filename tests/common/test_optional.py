"""A package of the extra `study` that is not installed gives one line that names it, from every command and reader."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sscn_triton import cli
from sscn_triton.common.optional import OPTIONAL, OTHER_EXTRAS, install
from sscn_triton.lartpc import open_events, simulate
from sscn_triton.lartpc.files.opening import FORMATS
from tests.support.events.formats import make, name_of

ROOT = Path(__file__).parents[2]
ALWAYS = {
    "jinja2",
    "llvmlite",
    "markupsafe",
    "numpy",
    "numba",
    "safetensors",
    "torch",
    "triton",
    "sscn_ref",
    "sscn_triton",
}
FOREIGN = {"flex_gemm", "MinkowskiEngine", "sparseconvnet", "spconv", "spine", "torchsparse", "warpconvnet"}
"""Other engines, which a comparison looks for and omits if they are missing."""


def imported() -> dict[str, set[str]]:
    """Packages that any module of the library imports, each with the files that import it."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "sscn_triton").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(path.name)
    return found


def test_every_imported_package_is_declared_optional_or_required() -> None:
    found = imported()
    others = {name: files for name, files in found.items() if name not in sys.stdlib_module_names}
    unknown = {name: files for name, files in others.items() if name not in ALWAYS | FOREIGN | OPTIONAL.keys()}
    assert not unknown
    assert OPTIONAL.keys() <= others.keys()


def extra(name: str) -> set[str]:
    """The packages of an extra."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf"^{name} = \[(.*?)\]$", text, re.DOTALL | re.MULTILINE)
    assert found
    return set(re.findall(r'"([\w-]+)', found[1]))


def test_the_extras_have_the_optional_packages() -> None:
    for module, name in OTHER_EXTRAS.items():
        assert {OPTIONAL[module]} == extra(name)
    listed = extra("study")
    studys = {package for module, package in OPTIONAL.items() if module not in OTHER_EXTRAS}
    assert studys - listed == {"tqdm", "PyYAML"}  # the others depend on these
    assert listed <= studys


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Every command; commands that read events, once per format. Slow commands get input that they refuse."""
    folder = tmp_path_factory.mktemp("files")
    files = [str(make(kind, folder, [simulate(0, 0, 16)], name_of(kind).partition(".")[0])) for kind in FORMATS]
    small = ["--events", "1", "--size", "16"]
    absent = str(folder / "absent")
    made = [
        ["simulate", "--out", str(folder / "new.h5"), *small, "--overwrite", "true"],
        ["statistics", files[-1], *small, "--out", str(folder / "new.html"), "--overwrite", "true"],
        *[["inspect", file] for file in files],
        *[
            ["display", files[-1], "--out", str(folder / f"new{end}"), "--overwrite", "true"]
            for end in (".html", ".png")
        ],
        *[["convert", files[-1], str(folder / f"new{end}"), "--overwrite", "true"] for end in (".h5", ".npz", ".csv")],
        ["convert", files[-1], str(folder / "new.csv"), "--labels", "attached", "--overwrite", "true"],
        ["predict", files[-1], "--checkpoint", absent, "--out", str(folder / "labelled.npz")],
        ["convert-checkpoint", absent, str(folder / "new.pt"), "spconv"],
        ["export", "--checkpoint", absent, "--out", str(folder / "new.pt2")],
        ["train", "--data", absent],
        ["report", absent, "--out", str(folder / "new.html"), "--overwrite", "true"],
        ["evaluate", "--checkpoint", absent, "--data", files[-1]],
        ["study", "--data", absent, "--out", str(folder / "study")],
        ["scaling", "--data", absent, "--out", str(folder / "scaling.json")],
        ["bench", "--data", absent, "--out", str(folder / "bench.json")],
    ]
    assert {words[0] for words in made} == cli.COMMANDS.keys()
    return [["--help"], *made]


SMOKE = ("lightning",)
MODULES = [name if name in SMOKE else pytest.param(name, marks=pytest.mark.deep) for name in OPTIONAL]


@pytest.mark.parametrize("module", MODULES)
def test_every_command_names_a_missing_package(module: str, commands: list[list[str]]) -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).parents[1] / "support" / "without_package.py", module],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    answers = json.loads(done.stdout)
    missed = set()
    for words, (code, told) in zip(commands, answers, strict=True):
        assert code in (0, 2), (words, code)
        if code == 0:
            continue
        line = rf"sscn( {words[0]})?: .*needs the package {OPTIONAL[module]}\b.*: {re.escape(install(module))}.*\n"
        if re.fullmatch(line, told):
            missed.add(words[0])
        else:
            assert "absent" in told, (words, told)
    needing = {name for name, command in cli.COMMANDS.items() if module in command.needs}
    assert needing <= missed
    if module == "lightning":  # the others start in half the time, because they do not import it
        assert missed == needing
    if module == "jsonargparse":
        assert missed == {words[0] for words in commands}


@pytest.mark.parametrize("kind", FORMATS, ids=name_of)
def test_readers_name_the_package_that_they_miss(kind: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {".root": "uproot", ".h5": "h5py", ".parquet": "pyarrow"}
    path = make(kind, tmp_path, [simulate(0, 0, 16)])  # type: ignore[arg-type]
    for module in needed.values():
        monkeypatch.setitem(sys.modules, module, None)
    if path.suffix not in needed:
        assert len(open_events(path)) == 1
        return
    with pytest.raises(
        ImportError,
        match=rf"^needs the package {needed[path.suffix]}, .*: {re.escape(install(needed[path.suffix]))}",
    ):
        open_events(path)


def test_attached_labels_name_a_missing_package_before_reading_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(FORMATS[-1], tmp_path, [simulate(0, 0, 16)])
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ImportError, match=r"^needs the package scikit-learn, "):
        open_events(path, labels="attached")
