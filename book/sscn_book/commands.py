"""The commands of `sscn` with the classes that define their options, for the reference."""

from __future__ import annotations

from sscn_triton.cli import COMMANDS


def text() -> str:
    """Return a heading, the help line and the documented options of every command."""
    parts = []
    for name, command in COMMANDS.items():
        options = command.options_class()
        kind = "class" if isinstance(options, type) else "function"
        directive = f"```{{eval-rst}}\n.. auto{kind}:: {options.__module__}.{options.__qualname__}\n```"
        parts += [f"### sscn {name}", command.summary, directive]
    return "\n\n".join(parts)
