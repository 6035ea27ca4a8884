"""The command `sscn`: readable help, and one clear line with exit code 2 for bad input."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sscn_triton import cli


def sscn(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sscn WORDS`."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(words))
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def test_a_command_does_not_need_the_options_of_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parser of all commands would cost every command a tenth of a second."""
    monkeypatch.setitem(cli.COMMANDS, "train", cli.Command("", "no.such:Options", "no.such:function"))
    code, _, err = sscn(capsys, "inspect", "absent.h5")
    assert (code, err) == (2, "sscn inspect: absent.h5: no such file\n")
    with pytest.raises(ModuleNotFoundError, match="no"):
        sscn(capsys, "--help")


@pytest.mark.parametrize("words", [(), ("--help",)], ids=["alone", "--help"])
def test_help_names_every_command(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    code, out, err = sscn(capsys, *words)
    assert (code, err) == (0, "")
    for name, command in cli.COMMANDS.items():
        assert name in out
        assert command.summary.split()[0] in out


@pytest.mark.parametrize("module", ["sscn_triton", "sscn_triton.cli"])
def test_the_module_run_by_python_is_the_command(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "stduy"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sscn: argument COMMAND: invalid choice: 'stduy'")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_of_every_command_is_explained(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = sscn(capsys, name, "--help")
    assert code == 0
    for option in cli.COMMANDS[name].options_class().__annotations__:
        found = re.search(rf"^  (?:--)?{option}\b", out, re.MULTILINE)  # with dashes, or as a positional argument
        assert found, option
        explanation = re.split(r"\n  --|\n\n|\(default:", out[found.end() :])[0]
        assert len(explanation.split()) >= 3, option


def test_help_lists_user_options_first_and_common_options_once(capsys: pytest.CaptureFixture[str]) -> None:
    _, whole, _ = sscn(capsys, "--help")
    assert "--print_config" in whole
    for name in cli.COMMANDS:
        _, out, _ = sscn(capsys, name, "--help")
        assert "print_config" not in out
        assert ("--config" in out) == (name == "train")
        assert "(type:" not in out
        users, _, maintainers = out.partition("for maintainers:")
        for option in cli.FOR_MAINTAINERS.get(name, ()):
            assert f"--{option}" in maintainers
            assert f"--{option}" not in users
        assert bool(maintainers) == (name in cli.FOR_MAINTAINERS)
    assert out.startswith("usage: sscn bench [options]\n")
    _, out, _ = sscn(capsys, "evaluate", "--help")
    assert out.startswith("usage: sscn evaluate --checkpoint CHECKPOINT --data DATA [options]\n")


BAD = {
    "unknown command": (["stduy"], "sscn: argument COMMAND: invalid choice: 'stduy' (choose from '"),
    "unknown option": (["study", "--sise", "64"], "sscn study: unrecognized arguments: --sise 64"),
    "not a number": (["study", "--size", "big"], "sscn study: --size: Expected int. Got value: big"),
    "not a number either": (["study", "--steps", "few"], "sscn study: --steps: Expected int. Got value: few"),
    "indivisible size": (
        ["study", "--size", "60"],
        "sscn study: size must be a multiple of 32 (2 ** depth, depth 5) and more than that, got 60",
    ),
    "negative minutes": (["study", "--minutes", "-1"], "sscn study: minutes must be positive and finite, got -1.0"),
    "no minutes": (["study", "--minutes", ".nan"], "sscn study: minutes must be positive and finite, got nan"),
    "negative seed": (["study", "--seed", "-3"], "sscn study: seed must be at least 0, got -3"),
    "no steps": (["study", "--steps", "0"], "sscn study: steps must be at least 1, got 0"),
    "two limits": (
        ["study", "--steps", "5", "--minutes", "1"],
        "sscn study: give minutes or steps, not both, got minutes=1.0 and steps=5",
    ),
    "small image": (
        ["study", "--image", "48"],
        "sscn study: image must be at least the size of a crop, 64, got 48",
    ),
    "useless option": (
        ["study", "--data", "a.root", "--image", "96"],
        "sscn study: image applies only to simulated events: leave it out with data=a.root",
    ),
    "missing file": (["study", "--data", "a.root"], "sscn study: a.root: no such file"),
    "foreign file": (["study", "--data", "text.txt"], "sscn study: text.txt: "),
    "missing config": (["study", "--config", "a.yaml"], "sscn study: --config: File does not exist"),
    "no such configuration": (
        ["train", "--config", "nope"],
        "sscn train: --config: 'nope' is neither a file nor one of the packaged 192, 2d",
    ),
    "foreign config": (
        ["study", "--config", "wrong.yaml"],
        "sscn study: Subcommand 'study' does not accept option 'sise'",
    ),
    "out is a file": (["study", "--out", "text.txt"], "sscn study: out must be a folder, but text.txt is a file"),
    "out below a file": (["study", "--out", "text.txt/x"], "sscn study: out must be a writable folder"),
    "out contains other files": (
        ["study", "--out", "."],
        "sscn study: out must be new, empty or an earlier report's folder, but . contains other files: text.txt",
    ),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_bad_input_ends_with_exit_code_2_and_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    (tmp_path / "text.txt").write_text("no events here\n" * 100)
    (tmp_path / "wrong.yaml").write_text("sise: 64\n")
    monkeypatch.chdir(tmp_path)
    code, out, err = sscn(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.txt", "wrong.yaml"]


def test_config_files_are_read_and_the_command_line_wins(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("size: 96\nseed: 7\n")
    code, out, _ = sscn(capsys, "study", "--config", str(tmp_path / "c.yaml"), "--seed", "8", "--print_config")
    assert code == 0
    assert "size: 96" in out
    assert "seed: 8" in out


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        ("Interrupted('interrupted; nothing was kept')", 130, "sscn study: interrupted; nothing was kept"),
        ("RunError('the run failed')", 1, "sscn study: the run failed"),
    ],
)
def test_the_exit_code_depends_on_the_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: str, code: int, line: str
) -> None:
    from sscn_triton.common import errors
    from sscn_triton.study.laptop import comparison

    def end(config: object) -> None:
        raise eval(error, vars(errors))

    monkeypatch.setattr(comparison, "study", end)
    assert sscn(capsys, "study") == (code, "", f"{line}\n")


def test_help_loads_neither_lightning_nor_figures() -> None:
    program = (
        "import sys; from sscn_triton import cli\n"
        "try: cli.main(['study', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('lightning', 'matplotlib', 'plotly', 'uproot', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
