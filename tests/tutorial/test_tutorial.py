"""The notebooks are committed with outputs, and their exercises detect wrong answers.

`pytest --nbval tutorial/` shows that their outputs are true.
"""

from __future__ import annotations

import ast
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from pybtex.database import parse_file

from sscn_ref.jit import submanifold_rulebook, unique_sites
from sscn_triton.lartpc import CLASS_COLORS, CLASS_NAMES, crop, open_events, read_larcv

TUTORIAL = Path(__file__).parents[2] / "tutorial"
NOTEBOOKS = sorted(TUTORIAL.glob("*.ipynb"))
BIGGEST = 1_000_000  # bytes of a notebook

Site = tuple[int, int]


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def outputs(path: Path) -> Iterator[Any]:
    for cell in code_cells(path):
        yield from cell.outputs


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_valid_and_small(self, path):
        nbformat.validate(nbformat.read(path, as_version=4))
        assert path.stat().st_size < BIGGEST

    def test_every_cell_was_run_once_from_top_to_bottom(self, path):
        counts = [cell.execution_count for cell in code_cells(path)]
        assert counts == list(range(1, len(counts) + 1))

    def test_no_cell_has_an_error_or_writes_to_stderr(self, path):
        assert not [output for output in outputs(path) if output.output_type == "error"]
        assert not [output for output in outputs(path) if output.get("name") == "stderr"]

    def test_no_output_needs_the_network(self, path):
        shown = [
            str(output.get("data", {}).get(kind, "")) for output in outputs(path) for kind in output.get("data", {})
        ]
        assert not [text for text in shown if re.search(r"https?://|src=[\"']//", text)]

    def test_every_figure_has_a_description_and_a_number(self, path):
        for cell in code_cells(path):
            kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
            if "image/png" in kinds:
                assert len(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")) > 40, cell.source
                assert "hide-input" in cell.metadata.get("tags", ())  # the book folds what draws a figure
                assert cell.metadata["mystnb"]["code_prompt_show"] == "Show the code of the figure"
        texts = [output for output in outputs(path) if output.output_type == "stream"]
        figures = [output for output in outputs(path) if "image/png" in output.get("data", {})]
        assert len(texts) >= len(figures)

    def test_every_link_leads_to_a_file_from_the_folders_of_teachers_and_students(self, path, hand_out):
        chapter = nbformat.read(path, as_version=4)
        for notebook, folder in ((chapter, path.parent), (hand_out.twin(chapter), path.parent / "student")):
            texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
            links = [link for text in texts for link in re.findall(r"\]\(([^)\s]+)\)", text)]
            inside = [link.partition("#")[0] for link in links if not link.startswith("http")]
            assert [link for link in inside if not exists_from(folder, link)] == []

    def test_the_first_exercise_says_how_exercises_are_done(self, path):
        texts = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
        first = next(text for text in texts if re.search(r"^## (Exercise|Puzzle) 1", text, re.MULTILINE))
        assert "`make exercises` writes that folder and `make notebooks` starts JupyterLab" in first

    def test_printed_numbers_do_not_name_numpy(self, path):
        texts = [str(output.get("text", output.get("data", {}).get("text/plain", ""))) for output in outputs(path)]
        assert [text for text in texts if re.search(r"\bnp\.\w+\(", text)] == []

    def test_metadata_do_not_describe_the_machine_that_ran_it(self, path):
        notebook = nbformat.read(path, as_version=4)
        assert set(notebook.metadata) == {"kernelspec", "language_info"}
        assert notebook.metadata["language_info"] == {"name": "python"}
        assert not [cell for cell in notebook.cells if "execution" in cell.metadata]


def imported(source: str) -> set[str]:
    """The packages that the top level of a program imports; what it imports inside `try` is optional."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def test_chapters_1_to_8_need_neither_pytorch_nor_the_library():
    names = [path.stem.partition("_")[2] for path in NOTEBOOKS[:8]]
    assert (names[0], names[-1]) == ("images", "outputs")
    programs = {path.name: "\n".join(cell.source for cell in code_cells(path)) for path in NOTEBOOKS[:8]}
    for name in ("argon", "chalk", "checker", *(f"exercises/{name}" for name in names)):
        programs[name] = (TUTORIAL / f"{name}.py").read_text(encoding="utf-8")
    needed = set().union(*map(imported, programs.values())) - set(sys.stdlib_module_names)
    ours = {"sscn_ref", "argon", "chalk", "checker", "exercises"}
    assert needed == ours | {"numpy", "matplotlib", "IPython", "cycler", "threadpoolctl"}


@pytest.mark.parametrize("edge", [None, 64])
def test_argon_reads_and_crops_the_events_like_the_library(edge):
    sys.path.insert(0, str(TUTORIAL))
    try:
        import argon
    finally:
        sys.path.remove(str(TUTORIAL))
    assert (argon.CLASS_NAMES, argon.CLASS_COLORS) == (CLASS_NAMES, CLASS_COLORS)
    for ours, theirs in zip(argon.read_events(), open_events(TUTORIAL / "events.npz"), strict=True):
        if edge is not None:
            ours, theirs = argon.crop(ours, edge), crop(theirs, edge)
        assert len(ours) == len(theirs) > 0
        assert (ours.voxel_size, ours.spatial_shape) == (theirs.voxel_size, tuple(theirs.spatial_shape))
        for name in ("coordinates", "energy", "labels"):
            mine, other = getattr(ours, name), getattr(theirs, name)
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)


def test_formulas_use_the_letters_of_the_table_of_symbols():
    other = re.compile(r"(?<![A-Za-z\\])[xy]_|[WR]_\{?v")  # features are f and h, x is a position; a tap is t
    book = TUTORIAL.parent / "book"
    quoted = r"the sum reads \$x_\{s u \+ i\}\$"  # another paper's formula, in its letters
    texts = {path.name: re.sub(quoted, "", path.read_text(encoding="utf-8")) for path in book.glob("*.md")}
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        texts[path.name] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "$f_x$" in texts["relation.md"]
    formulas = {name: re.findall(r"\${1,2}[^$]+\${1,2}", text) for name, text in texts.items()}
    assert [(name, one) for name, found in formulas.items() for one in found if other.search(one)] == []


def test_papers_that_a_chapter_cites_by_number_are_in_the_bibliography_with_their_authors():
    entries = parse_file(TUTORIAL.parent / "book" / "references.bib").entries.values()
    surnames = {
        entry.fields["url"].rpartition("/")[2]: entry.persons["author"][0] for entry in entries if "url" in entry.fields
    }
    for path in NOTEBOOKS:
        text = " ".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
        for number in re.findall(r"arXiv:(\d{4}\.\d{5})", text):
            assert str(surnames[number].rich_last_names[0]) in text, f"{path.stem}: {number}"


def exists_from(folder: Path, link: str) -> bool:
    """Whether a relative link leads to a file; the students' folder itself does not have to exist."""
    target = Path(os.path.normpath(folder / link))
    return target.exists() or (target.parent == TUTORIAL / "student" and (TUTORIAL / target.name).exists())


@pytest.fixture(scope="module")
def hand_out() -> Iterator[Any]:
    sys.path.insert(0, str(TUTORIAL))
    import hand_out

    yield hand_out
    sys.path.remove(str(TUTORIAL))


def test_an_unreadable_chapter_leaves_the_notebooks_for_students_complete(hand_out, tmp_path, monkeypatch):
    monkeypatch.setattr(hand_out, "HERE", tmp_path)
    monkeypatch.setattr(hand_out, "TWINS", tmp_path / "student")
    for name in ("01.ipynb", "02.ipynb", "03.ipynb"):
        (tmp_path / name).write_text(NOTEBOOKS[0].read_text(encoding="utf-8"), encoding="utf-8")
    hand_out.write_twins()
    whole = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "student").iterdir()}
    assert whole.keys() == {"01.ipynb", "02.ipynb", "03.ipynb"}
    (tmp_path / "02.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(nbformat.reader.NotJSONError):
        hand_out.write_twins()
    assert whole == {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "student").iterdir()}
    (tmp_path / "02.ipynb").unlink()
    hand_out.write_twins()
    assert {path.name for path in (tmp_path / "student").iterdir()} == {"01.ipynb", "03.ipynb"}


def test_the_notebook_for_students_contains_no_solution(hand_out):
    for path in NOTEBOOKS:
        twin = hand_out.text(path)
        assert "SOLUTION" not in twin
        assert "[ok]" not in twin
        count = sum("### BEGIN SOLUTION" in cell.source for cell in code_cells(TUTORIAL / path.name))
        assert twin.count("raise NotImplementedError") == count > 0
        assert twin.count("[todo]") == count


@pytest.fixture(scope="module")
def check_reached() -> Iterator[Callable[..., None]]:
    sys.path.insert(0, str(TUTORIAL))
    from exercises.dilation import check_reached

    yield check_reached
    sys.path.remove(str(TUTORIAL))


def solved(sites, kernel_size, stride, padding):
    """The solution as it appears in the notebook."""
    source = next(cell.source for cell in code_cells(TUTORIAL / "03_dilation.ipynb") if "def reached" in cell.source)
    scope: dict[str, Any] = {}
    exec(source, scope)
    return scope["reached"](sites, kernel_size, stride, padding)


def test_the_solution_is_accepted(check_reached, capsys):
    check_reached(solved)
    assert capsys.readouterr().out.startswith("[ok] solved: 32 cases")


def test_an_answer_that_is_not_written_yet_is_reported(check_reached, capsys):
    def reached(sites, kernel_size, stride, padding):
        raise NotImplementedError

    check_reached(reached)
    assert capsys.readouterr().out == "[todo] reached is not written yet\n"


def test_an_answer_that_raises_shows_its_error(check_reached, capsys):
    check_reached(lambda sites, kernel_size, stride, padding: 1 // 0)
    assert "raised ZeroDivisionError" in capsys.readouterr().out


def every(solve: Callable[..., int | None]) -> Callable[..., set[Site]]:
    """An answer that loops over sites and taps like the solution and solves each axis with `solve(x, tap, k, s, p)`."""

    def reached(sites: set[Site], kernel_size: int, stride: int, padding: int) -> set[Site]:
        found = set()
        for x, y in sites:
            for i, j in itertools.product(range(kernel_size), repeat=2):
                u, v = (solve(a, tap, kernel_size, stride, padding) for a, tap in ((x, i), (y, j)))
                if u is not None and v is not None:
                    found.add((u, v))
        return found

    return reached


def whole(numerator: int, stride: int) -> int | None:
    return None if numerator % stride else numerator // stride


def test_the_template_of_the_wrong_answers_gives_a_right_answer(check_reached, capsys):
    check_reached(every(lambda x, tap, k, s, p: whole(x + p - tap, s)))
    assert capsys.readouterr().out.startswith("[ok]")


WRONG = {
    "taps from 1 to k": every(lambda x, tap, k, s, p: whole(x + p - (tap + 1), s)),
    "last tap forgotten": every(lambda x, tap, k, s, p: whole(x + p - tap, s) if tap < k - 1 or k == 1 else None),
    "taps the other way": every(lambda x, tap, k, s, p: whole(x - p + tap, s)),
    "tap added, padding right": every(lambda x, tap, k, s, p: whole(x + p + tap, s)),
    "padding forgotten": every(lambda x, tap, k, s, p: whole(x - tap, s)),
    "padding in output units": every(lambda x, tap, k, s, p: None if (x - tap) % s else (x - tap) // s + p),
    "stride forgotten, x[u + i]": every(lambda x, tap, k, s, p: x + p - tap),
    "rounded down instead of whole": every(lambda x, tap, k, s, p: (x + p - tap) // s),
    "rounded to zero": every(
        lambda x, tap, k, s, p: int((x + p - tap) / s) if (x + p - tap) % s < 1 or x < 0 else None
    ),
    "transposed, s u instead of u": every(lambda x, tap, k, s, p: s * x + tap - p),
    "no negative outputs": every(lambda x, tap, k, s, p: whole(x + p - tap, s) if x + p - tap >= 0 else None),
    "submanifold": lambda sites, kernel_size, stride, padding: set(sites),
    "a list": lambda sites, kernel_size, stride, padding: sorted(solved(sites, kernel_size, stride, padding)),
    "the axes swapped": lambda *args, **case: {(v, u) for u, v in solved(*args, **case)},
    "nothing": lambda sites, kernel_size, stride, padding: set(),
    "none": lambda sites, kernel_size, stride, padding: None,
    "strings": lambda sites, kernel_size, stride, padding: {"0, 0"},
    "true division": every(lambda x, tap, k, s, p: (x + p - tap) / s),
    "pairs with a string": lambda sites, kernel_size, stride, padding: {(0, "a"), (1, 1)},
    "numbers among pairs": lambda sites, kernel_size, stride, padding: {(0, 0), 1},
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
def test_a_known_wrong_answer_is_rejected(check_reached, capsys, answer):
    check_reached(answer)
    shown = capsys.readouterr().out
    assert shown.startswith("[wrong]")
    assert "kernel_size=" in shown  # the failing case is named


def test_the_drawing_marks_missing_and_excess_sites(check_reached, capsys):
    check_reached(lambda sites, kernel_size, stride, padding: {(0, 0), (0, 1)})
    shown = capsys.readouterr().out
    assert "    o x\n" in shown


def test_the_growth_quoted_for_events_of_pilarnet_is_theirs(pilarnet_file):
    growth = []
    for event in read_larcv(pilarnet_file):
        active = np.zeros((194,) * 3, bool)  # an image of 192 and its border
        active[tuple(event.coordinates.T + 1)] = True
        counts = [len(event)]
        for _ in range(3):  # inside the image, as in the chapter
            for axis in range(3):
                active = active | np.roll(active, 1, axis) | np.roll(active, -1, axis)
            active = np.pad(active[1:-1, 1:-1, 1:-1], 1)
            counts.append(int(active.sum()))
        growth.append(np.array(counts[1:]) / counts[0])
    lowest, highest = np.min(growth, axis=0), np.max(growth, axis=0)
    text = " ".join(cell.source for cell in nbformat.read(TUTORIAL / "03_dilation.ipynb", as_version=4).cells)
    quoted = f"{lowest[0]:.1f} to {highest[0]:.1f} after one layer, {lowest[1]:.0f} to {highest[1]:.0f} after two, "
    assert quoted + f"{lowest[2]:.0f} to {highest[2]:.0f} after three" in text


def test_the_sparsity_quoted_for_events_of_pilarnet_is_theirs(pilarnet_file):
    voxels, around, dimensions = [], [], []
    for event in read_larcv(pilarnet_file):
        sites = np.pad(event.coordinates, ((0, 0), (1, 0)))
        voxels.append(len(sites))
        around.append(submanifold_rulebook(sites, 3).number_of_rules / len(sites))
        boxes = [len(unique_sites(np.c_[sites[:, :1], sites[:, 1:] >> level])[0]) for level in range(6)]
        dimensions.append(-np.polyfit(np.arange(6), np.log2(boxes), 1)[0])
    text = " ".join(cell.source for cell in nbformat.read(TUTORIAL / "01_images.ipynb", as_version=4).cells)
    share = [100 * number / 192**3 for number in (min(voxels), max(voxels))]
    assert f"have {min(voxels)} to {max(voxels)} voxels, an occupancy of {share[0]:.3f} to {share[1]:.3f} %" in text
    assert f"and {min(around):.1f} to {max(around):.1f} active voxels in a neighbourhood" in text
    assert f"For the five events of PILArNet it is {min(dimensions):.2f} to {max(dimensions):.2f}." in text


def test_the_waste_quoted_for_events_of_pilarnet_is_theirs(pilarnet_file):
    """For tiles of 32 rows, in the order of reading and sorted by the rank of their masks in a Gray code."""
    before, after = [], []
    for event in read_larcv(pilarnet_file):
        book = submanifold_rulebook(np.pad(event.coordinates, ((0, 0), (1, 0))), 3)
        masks = np.zeros(len(event), np.int64)
        for tap, (_, rows) in enumerate(book.rules):
            masks[rows] |= 1 << tap
        rank = np.bitwise_xor.reduce(masks >> np.arange(27)[:, np.newaxis], axis=0)
        for order, wastes in ((np.arange(len(event)), before), (np.argsort(rank, kind="stable"), after)):
            tiles = np.bitwise_or.reduceat(masks[order], np.arange(0, len(event), 32))
            taps = sum(int(mask).bit_count() for mask in tiles)
            wastes.append(round(100 * (1 - book.number_of_rules / (32 * taps))))
    text = " ".join(cell.source for cell in nbformat.read(TUTORIAL / "13_tiles.ipynb", as_version=4).cells)
    ranges = [f"{min(wastes)} to {max(wastes)} %" for wastes in (before, after)]
    assert f"tiles of 32 rows waste {ranges[0]} in the order of the file, and {ranges[1]} when sorted" in text
