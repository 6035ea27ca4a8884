"""An unreadable file ends every command with one line that names the file and the remedy, and exit code 2."""

from __future__ import annotations

import errno
import gzip
import io
import multiprocessing
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("uproot")
pytest.importorskip("lightning")
from sscn_triton import cli
from sscn_triton.lartpc import EventFileError, create_events, open_events, relabel
from tests.study.training.test_prediction import make_checkpoint
from tests.support.events.files import random_event, same_event
from tests.support.events.formats import FORMATS, Format, make

EVENTS = [random_event(seed, 300, (16, 16, 16)).replace(labels=np.arange(300) % 5) for seed in range(3)]


def sscn(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sscn WORDS`."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def _packed(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def _packed_and_cut(path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes())[:-9])


def _zipped(path: Path) -> None:
    content = path.read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.name, content)


def _tarred(path: Path) -> None:
    content = path.read_bytes()
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(path.name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def _halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "not there": (lambda path: path.unlink(), "no such file"),
    "empty": (lambda path: path.write_bytes(b""), "not an? .* file, or a truncated one|no header|an empty file"),
    "words": (lambda path: path.write_text("some words\n" * 99), "not an? .* file, or a truncated one|no column x, y"),
    "zeros": (lambda path: path.write_bytes(bytes(9999)), "not an? .* file, or a truncated one|no column x, y"),
    "packed": (_packed, "packed with gzip; unpack it first"),
    "packed and cut short": (_packed_and_cut, "packed with gzip; unpack it first"),
    "zipped": (_zipped, r"an archive that contains events\.\w+, not npz: unpack it first"),
    "in a tar archive": (_tarred, "packed with tar; unpack it first"),
    "in a packed tar archive": (lambda path: (_tarred(path), _packed(path)), "packed with gzip; unpack it first"),
    "cut short": (_halved, "truncated|cannot be read"),
    "a folder": (_folder, "the folder contains no event files"),
    "a pipe": (_pipe, "not a readable file"),
    "a link to nothing": (_link_to_nothing, "no such file"),
}


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", SPOILT)
def test_a_file_without_events_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: Format, name: str
) -> None:
    path = make(kind, tmp_path, EVENTS)
    spoil, message = SPOILT[name]
    spoil(path)
    code, out, err = sscn(capsys, "inspect", path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"sscn inspect: {path}: ")
    with pytest.raises((EventFileError, FileNotFoundError), match=message):
        open_events(path)


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_an_unreadable_file_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Format, number: int
) -> None:
    path = make(kind, tmp_path, EVENTS)
    real = Path.open

    def fail(self: Path, *arguments: object, **options: object) -> object:
        if self == path:
            raise OSError(number, os.strerror(number), str(self))
        return real(self, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", fail)
    for reader in (open_events, kind.reader):
        with pytest.raises(EventFileError) as caught:
            reader(path)
        assert str(caught.value) == f"{path}: cannot be opened ({os.strerror(number)})"


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("suffix", [".root", ".h5", ".npz", ".csv", ".dat", ""])
def test_the_content_of_a_file_decides_its_format_before_the_name(tmp_path: Path, kind: Format, suffix: str) -> None:
    path = make(kind, tmp_path, EVENTS)
    moved = path.rename(tmp_path / f"moved{suffix}")
    if kind.magic or suffix in kind.suffixes:
        assert len(open_events(moved)) == 3
    else:
        with pytest.raises(
            EventFileError, match=r"moved.*(not an? .* file|not an event file: .* nor \.csv by its name)"
        ):
            open_events(moved)


@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_an_error_in_a_folder_names_the_damaged_file(tmp_path: Path, kind: Format) -> None:
    make(kind, tmp_path, EVENTS, "a")
    whole = make(kind, tmp_path, EVENTS, "b")
    _halved(whole)
    with pytest.raises(EventFileError) as caught:
        list(open_events(tmp_path))
    assert str(caught.value).startswith(f"{whole}: ")


def test_a_folder_can_be_relabelled_and_projected(tmp_path: Path) -> None:
    for stem in "ab":
        make(FORMATS[2], tmp_path, EVENTS, stem)
    events = open_events(tmp_path, labels="attached")
    assert len(events) == 6
    assert same_event(events[4], relabel(open_events(tmp_path)[4], "attached"))
    assert {event.ndim for event in open_events(tmp_path, plane="u")} == {2}


FOREIGN = {
    "an image": (
        {"images": np.zeros((3, 8, 8), np.float32), "labels": np.zeros(3, np.int64)},
        r"no array x; it contains images float32\[3, 8, 8\], labels int64\[3\]; expected columns x, y, z",
    ),
    "no arrays": ({}, "no array x; it contains no arrays; expected columns"),
    "many": ({f"a{i:02d}": np.zeros(i) for i in range(20)}, r"a00 float64\[0\], .*a11 float64\[11\], \.\.\.; expected"),
    "coordinates": (
        {"coords": np.zeros((5, 3), int), "feats": np.ones((5, 1))},
        r"coords int64\[5, 3\], feats float64\[",
    ),
    "no energies": ({"x": np.arange(2), "y": np.arange(2)}, r"no array value; it contains x int64\[2\], y int64\[2\]"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_npz_is_listed(tmp_path: Path, name: str) -> None:
    arrays, message = FOREIGN[name]
    np.savez(tmp_path / "foreign.npz", **arrays)
    with pytest.raises(EventFileError, match=rf"foreign\.npz: event 0: .*{message}"):
        open_events(tmp_path / "foreign.npz")


def test_a_single_array_is_not_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros((5, 4)))
    moved = (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(
        EventFileError, match=r"array\.npz: a single array, not an npz file; np\.savez can write arrays x"
    ):
        open_events(moved)


def test_an_empty_path_is_not_the_current_folder(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(FORMATS[2], tmp_path, EVENTS)
    monkeypatch.chdir(tmp_path)
    assert len(open_events(".")) == 3
    for words in (("inspect", ""), ("display", ""), ("convert", "", "a.npz"), ("study", "--data", "")):
        code, out, err = sscn(capsys, *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "pass the path of an event file, got an empty path" in err


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_read_error_in_a_worker_ends_the_command_with_the_same_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.data import DataLoader

    path = make(FORMATS[2], tmp_path, EVENTS)
    content = path.read_bytes()
    path.write_bytes(content.replace(EVENTS[1].energy[:1].tobytes(), b"\0\0\0\0"))

    def read(options: object) -> None:
        # Type: ignore[arg-type].
        for _ in DataLoader(open_events(path), batch_size=None, num_workers=1, multiprocessing_context="fork"):
            pass

    monkeypatch.setattr("sscn_triton.lartpc.commands.inspect", read)
    code, out, err = sscn(capsys, "inspect", path)
    assert (code, out) == (2, "")
    assert err == f"sscn inspect: {path}: event 1: point: damaged: its checksum does not match\n"


WORDS = {
    "inspect": ("inspect", "FILE"),
    "display": ("display", "FILE"),
    "convert": ("convert", "FILE", "copy.npz"),
    "statistics": ("statistics", "FILE", "--events", "1", "--size", "16"),
    "predict": ("predict", "FILE", "--checkpoint", "CHECKPOINT", "--out", "labelled.npz"),
    "evaluate": ("evaluate", "--checkpoint", "CHECKPOINT", "--data", "FILE"),
    "train": ("train", "--data", "FILE", "--steps", "1", "--filters", "2", "--depth", "2", "--tensorboard", "false"),
    "study": ("study", "--data", "FILE", "--steps", "1"),
    "bench": ("bench", "--data", "FILE", "--repeat", "1"),
    "scaling": ("scaling", "--data", "FILE"),
}


def test_every_command_on_event_files_has_a_case() -> None:
    from sscn_triton.lartpc.files.reading_options import ReadingOptions

    reads = {name for name, command in cli.COMMANDS.items() if issubclass_of(command.options_class(), ReadingOptions)}
    assert reads == WORDS.keys()


def issubclass_of(options: object, base: type) -> bool:
    return isinstance(options, type) and issubclass(options, base)


def ended(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, path: Path) -> str:
    """The last line of a command that cannot use a file; only the folder of a training may remain."""
    checkpoint = make_checkpoint(tmp_path / "a.ckpt", image=16)
    words = [{"FILE": path, "CHECKPOINT": checkpoint}.get(word, word) for word in WORDS[name]]
    before = sorted(tmp_path.iterdir())
    code, _, err = sscn(capsys, *words)
    lines = [line for line in err.splitlines() if not line.split(":")[-1].strip().endswith("%")]
    assert (code, len(lines)) == (2, 1), err
    assert "Traceback" not in err
    assert [p for p in sorted(tmp_path.iterdir()) if p.name != "training"] == before
    return lines[0]


@pytest.mark.parametrize("name", WORDS)
def test_every_command_names_a_file_that_is_cut_short(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make(FORMATS[2], tmp_path, EVENTS)
    _halved(path)
    assert ended(capsys, tmp_path, name, path).startswith(f"sscn {name}: {path}: not an HDF5 file, or a truncated one")


@pytest.mark.parametrize("name", WORDS)
def test_every_command_reports_a_file_without_events(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with create_events(tmp_path / "none.h5") as writer:
        pass
    if name in ("convert", "predict"):  # events without labels are not copied or labelled as such
        checkpoint = make_checkpoint(tmp_path / "a.ckpt", image=16)
        words = [{"FILE": writer.path, "CHECKPOINT": checkpoint}.get(word, word) for word in WORDS[name]]
        assert sscn(capsys, *words)[0] == 0
        assert len(open_events(words[-1])) == 0
        return
    line = ended(capsys, tmp_path, name, writer.path)
    assert "none.h5" in line
    assert any(
        words in line for words in ("no event", "has 0", "0 events", "found 0", "no voxel", "there are no", "needs")
    )


@pytest.mark.parametrize("name", ["evaluate", "study"])
def test_commands_that_need_labels_report_missing_labels(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make(FORMATS[2], tmp_path, [event.replace(labels=np.full(300, -1)) for event in EVENTS])
    line = ended(capsys, tmp_path, name, path)
    assert line.startswith(f"sscn {name}: {path}: ")
    assert "label" in line
