"""The `nextclick` command: the parser, and the boundary where an error becomes one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from types import ModuleType

from nextclick.pipeline.errors import NextclickError

# A command is a module of that name ("_" for "-") with `add_arguments(parser)`, `main(args) -> int` and a docstring,
# whose first line is the help and whose last paragraph is the example.
COMMANDS = (
    "run",
    "demo",
    "serve",
    "predict",
    "batch-predict",
    "promote",
    "rollback",
    "report",
    "tune",
    "compile",
    "submit",
    "schema",
    "benchmark",
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit code (INTERFACE: "Exit codes")."""
    _quiet_libraries()
    args = parser().parse_args(arguments)
    try:
        return int(args.command.main(args))
    except NextclickError as error:
        print(f"nextclick: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(
            "nextclick: interrupted; the finished steps are kept, the same command goes on from there", file=sys.stderr
        )
        return 1


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="nextclick", description="Learns from click sessions and predicts the next click over gRPC."
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = _command(name)
        summary, _, rest = (module.__doc__ or "").partition("\n")
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=rest.strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(command=module)
    return top


def _command(name: str) -> ModuleType:
    return importlib.import_module(f"nextclick.pipeline.commands.{name.replace('-', '_')}")


def _quiet_libraries() -> None:
    """Settings that must stand before TensorFlow is imported, here and in every process started from here."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.getLogger("absl").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
