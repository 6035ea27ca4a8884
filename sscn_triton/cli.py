"""The command `sscn`.

Each subcommand is an entry of `COMMANDS`: the class whose signature and docstring give its options, and the function
that takes them. A subcommand imports what it needs when it runs, so that help is quick.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from sscn_triton.common.optional import require

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

DESCRIPTION = """Submanifold sparse convolutions on liquid-argon images.

`sscn COMMAND --help` explains a command and its options. Every command also takes `--config FILE`, a YAML file with
options (those on the command line take precedence), and `--print_config`, which prints such a file and exits."""

FOR_MAINTAINERS = {
    "study": ("toy",),
    "bench": ("copies", "repeat", "threads", "cold", "model"),
}
"""Options under a separate heading in a command's help, below those for users."""

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


@dataclass(frozen=True)
class Command:
    """One subcommand. Options and function are named as "module:name", below `sscn_triton`, and imported when used.

    summary: its line in the help of `sscn`
    options: the dataclass whose signature and docstring give its options
    function: called with an instance of it
    positional: whether options without a default are positional
    needs: optional modules; without them the command fails before any work
    """

    summary: str
    options: str
    function: str
    positional: bool = True
    needs: tuple[str, ...] = ()

    def options_class(self) -> type:
        return _imported(self.options)

    def run(self, values: dict[str, Any]) -> None:
        """Run the command and raise its errors; bad options raise ValueError."""
        require(*self.needs)
        options = self.options_class()(**values)
        _imported(self.function)(options)


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(f"sscn_triton.{module}"), attribute)


EVENTS = "lartpc.commands"
CLUSTERS = ("scipy", "sklearn")
COMMANDS = {
    "simulate": Command(
        "simulate liquid-argon events into a file", f"{EVENTS}:Simulate", f"{EVENTS}:simulate", needs=("h5py",)
    ),
    "statistics": Command(
        "compare simulated events with those of a file", f"{EVENTS}:Statistics", f"{EVENTS}:statistics"
    ),
    "inspect": Command("summarise an event file", f"{EVENTS}:Inspect", f"{EVENTS}:inspect"),
    "display": Command("draw an event, as an interactive page or a picture", f"{EVENTS}:Display", f"{EVENTS}:display"),
    "predict": Command(
        "label the voxels of a file with a trained network",
        "study.training.config:Predict",
        "study.training.prediction:predict",
    ),
    "convert": Command("copy events from one file format to another", f"{EVENTS}:Convert", f"{EVENTS}:convert"),
    "convert-checkpoint": Command(
        "convert weights to and from other engines' layouts",
        "compat.convert_checkpoint:ConvertCheckpoint",
        "compat.convert_checkpoint:convert_checkpoint",
    ),
    "export": Command(
        "write a trained network as a program of torch.export",
        "study.training.export:Export",
        "study.training.export:export",
        positional=False,
    ),
    "train": Command(
        "train a network, or continue an interrupted training",
        "study.training.config:TrainConfig",
        "study.training.trainer:train_and_say",
        needs=("lightning",),
    ),
    "report": Command(
        "write the page of a training",
        "study.training.config:Report",
        "study.runs.report:report",
        needs=("lightning", "matplotlib"),
    ),
    "evaluate": Command(
        "evaluate a trained network on the events of a file",
        "study.training.config:EvaluateConfig",
        "study.training.evaluation:evaluate",
        positional=False,
        needs=CLUSTERS,
    ),
    "study": Command(
        "train a sparse and a dense UResNet side by side and write a report",
        "study.config:StudyConfig",
        "study.command:study",
        needs=("lightning", "h5py", "scipy"),
    ),
    "scaling": Command(
        "measure how time and memory grow with the image",
        "study.scaling.command:Scaling",
        "study.scaling.command:scaling",
        positional=False,
        needs=("scipy",),
    ),
    "bench": Command("time a training step on this machine", "bench.cpu.command:Bench", "bench.cpu.command:bench"),
}


def build_parser(names: Iterable[str] = COMMANDS) -> ArgumentParser:
    """The parser of `sscn` and of these of its subcommands."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog="sscn", description=DESCRIPTION, exit_on_error=False, formatter_class=_formatter())
    parser.add_argument("--version", action="version", version=f"sscn {_version()}")
    commands = parser.add_subcommands(required=False, dest="command", metavar="COMMAND", title="commands")
    for name in names:
        command = COMMANDS[name]
        options = command.options_class()
        sub = ArgumentParser(description=_first_paragraphs(options), exit_on_error=False, formatter_class=_formatter())
        sub.add_argument(
            "--config", action="config", help="YAML file with options; those on the command line take precedence."
        )
        sub.add_class_arguments(options, as_group=False, as_positional=command.positional)
        _arrange_help(sub, name)
        commands.add_subcommand(name, sub, help=command.summary)
    return parser


def _arrange_help(parser: ArgumentParser, name: str) -> None:
    """List the options for users first, then names in other programs' files, then options for maintainers, each under
    its heading. Only `sscn --help` explains the options that every command has."""
    from argparse import SUPPRESS
    from dataclasses import fields

    from sscn_triton.lartpc.files.reading_options import ReadingOptions

    places = [action.dest.upper() for action in parser._actions if not action.option_strings]
    options = [action for action in parser._actions if action.option_strings]
    wanted = [f"{action.option_strings[0]} {action.dest.upper()}" for action in options if action.required]
    parser.usage = " ".join(["sscn", name, *places, *wanted, "[options]"])
    for action in parser._actions:
        if action.dest == "print_config" or (action.dest == "config" and name != "train"):
            action.help = SUPPRESS
    headings = {
        "to read files of other programs": [field.name for field in fields(ReadingOptions)],
        "for maintainers": list(FOR_MAINTAINERS.get(name, ())),
    }
    for heading, names in headings.items():
        group = parser.add_argument_group(heading)
        for action in [one for one in parser._optionals._group_actions if one.dest in names]:
            parser._optionals._group_actions.remove(action)
            group._group_actions.append(action)


def _first_paragraphs(documented: Callable[..., Any]) -> str:
    """The part of a docstring before its arguments."""
    from inspect import getdoc

    return (getdoc(documented) or "").split("\nArgs:")[0].strip()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `sscn`. Exits with 0; with 2 and one line on stderr for bad input; 1 if the work failed; 130 on Ctrl-C.

    If the reader of its output has ended, as in `sscn inspect events.h5 | head -1`, it exits with 1 without a message.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            _run_all(words)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where an error can be caught, rather than when Python exits
    except BrokenPipeError:
        _silence()
        sys.exit(FAILED)
    except OSError as error:  # such as a full disk
        _silence()
        _end(_program(words), f"the output cannot be written: {error.strerror or error}", FAILED)


def _silence() -> None:
    """Discard the buffers of stdout and stderr if they cannot be written: Python would flush them again at its end and
    complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _run_all(words: list[str]) -> NoReturn:
    from sscn_triton.common.optional import is_optional, missing

    try:
        sys.exit(_run(words))
    except ModuleNotFoundError as error:
        if not is_optional(error):
            raise
        _end(_program(words), missing(str(error.name).partition(".")[0]), BAD_INPUT)
    except KeyboardInterrupt:
        _end("sscn", "interrupted; nothing was written", INTERRUPTED)


def _run(words: list[str]) -> int:
    from jsonargparse import ArgumentError

    parser = build_parser(words[:1] if words and words[0] in COMMANDS else COMMANDS)  # all take a tenth of a second
    if not words:
        parser.print_help()
        return 0
    try:
        words = _with_packaged_config(words)
    except ValueError as error:
        _end(_program(words), str(error), BAD_INPUT)
    try:
        parsed = parser.parse_args(words)
    except ArgumentError as error:
        _end(_program(words), _plain(str(error)), BAD_INPUT)
    if parsed.command is None:
        _end("sscn", f"choose a command: {', '.join(COMMANDS)}", BAD_INPUT)
    command = COMMANDS[parsed.command]
    values = parsed[parsed.command].as_dict()
    values.pop("config", None)
    return _do(parsed.command, command, values)


def _with_packaged_config(words: list[str]) -> list[str]:
    """Replace the name in `sscn train --config NAME` by the path of the packaged file."""
    if words[0] != "train":
        return words
    from sscn_triton.study.training.config import config_path

    named = [f"--config={config_path(w[9:])}" if w.startswith("--config=") else w for w in words]
    return [config_path(w) if before == "--config" else w for before, w in zip(["", *named], named, strict=False)]


def _do(name: str, command: Command, values: dict[str, Any]) -> int:
    from sscn_triton.common.errors import Interrupted, RunError
    from sscn_triton.common.files import FULL

    try:
        command.run(values)
    except Interrupted as error:
        _end(f"sscn {name}", str(error), INTERRUPTED)
    except RunError as error:
        _end(f"sscn {name}", str(error), FAILED)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        full = isinstance(error, OSError) and error.errno in FULL
        _end(f"sscn {name}", _own_words(error), FAILED if full else BAD_INPUT)
    return 0


def _own_words(error: Exception) -> str:
    """The text of an error, without the traceback that torch prepends if a worker of a data loader raised it."""
    reported = re.fullmatch(
        r"Caught (\w+) in DataLoader worker process \d+\.\n.*\n(?:[\w.]+\.)?\1: (.*)", str(error), re.DOTALL
    )
    return reported[2] if reported else str(error)


def _plain(message: str) -> str:
    """The parser's message for a bad value, without Python's type names."""
    message = re.sub(r'^Parser key "(\w+)":', r"--\1:", message)
    message = re.sub(r"(?<= )\w+\.(\w+)(?=,|$)", r"\1", message) if "are required:" in message else message
    option, _, alternatives = message.partition("Does not validate against any of the Union subtypes")
    expected = re.findall(r"Expected (?:a <class ')?(\w+)", alternatives)
    if expected:  # an optional type
        wanted = " or ".join(name for name in expected if name != "NoneType")
        message = f"{option}Expected {wanted}. Got value: {alternatives.rpartition('Given value: ')[2]}"
    return re.sub(r"a <class '(\w+)'>", r"\1", message)


def _program(words: list[str]) -> str:
    return f"sscn {words[0]}" if words and words[0] in COMMANDS else "sscn"


def _end(program: str, message: str, code: int) -> NoReturn:
    """Print one line to stderr and exit."""
    if code == INTERRUPTED and sys.stderr.isatty():
        print(file=sys.stderr)  # below the progress bar
    print(f"{program}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _formatter() -> Any:
    from argparse import SUPPRESS, Action

    from jsonargparse import DefaultHelpFormatter

    class Formatter(DefaultHelpFormatter):
        """Keeps the paragraphs of a description apart. Shows whether an option is required, and otherwise its default
        if there is one; leaves out types."""

        def _get_help_string(self, action: Action) -> str:
            text = (action.help or "").replace("%", "%%")
            if action.required and action.option_strings:
                return f"{text} (required)"
            if action.default in (None, "", SUPPRESS) or not action.option_strings:
                return text
            shown = str(action.default)
            return f"{text} (default: {shown.lower() if isinstance(action.default, bool) else shown})"

        def _fill_text(self, text: str, width: int, indent: str) -> str:
            paragraphs = text.split("\n\n")
            return "\n\n".join(super(Formatter, self)._fill_text(one, width, indent) for one in paragraphs)

    return Formatter


def _version() -> str:
    from importlib.metadata import version

    return version("sscn")


if __name__ == "__main__":
    main()
