"""Without this, a command could lack its help, its example or its place in the docs, or let a stack trace out."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from nextclick.pipeline import cli, overrides
from nextclick.pipeline.errors import ConfigError, DataError, NextclickError, ServingError

ROOT = Path(__file__).resolve().parent.parent


def subparsers():
    actions = [action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return actions[0].choices


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_command_has_help_with_an_example_that_parses(name):
    text = subparsers()[name].format_help()
    assert f"nextclick {name}" in text.partition("Example")[2], "the example is missing"
    assert all(action.help for action in subparsers()[name]._actions)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_command_is_in_the_readme(name):
    assert f"nextclick {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_help_does_not_import_tensorflow():
    """`--help` must be instant; TensorFlow alone takes seconds."""
    code = (
        "import sys; from nextclick.pipeline import cli; cli.parser().format_help();"
        "heavy = ('tensorflow', 'tfx', 'apache_beam', 'pandas', 'numpy', 'pyarrow');"
        "sys.exit(any(name in sys.modules for name in heavy))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (DataError("x"), 2),
        (ServingError("x"), 1),
        (NextclickError("x"), 1),
    ],
)
def test_our_errors_become_one_line_and_their_exit_code(error, code, monkeypatch, capsys):
    from nextclick.pipeline.commands import run

    def fail(args):
        raise error

    monkeypatch.setattr(run, "main", fail)
    assert cli.main(["run"]) == code
    assert capsys.readouterr().err == "nextclick: x\n"


def test_unknown_command_and_option_exit_2():
    for arguments in (["fly"], ["run", "--speed", "9"], []):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2


@pytest.mark.parametrize("command", [["schema"], ["compile", "--target", "kubeflow"], ["batch-predict"]])
def test_commands_that_show_no_configuration_refuse_to(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, "--data", "a.csv", "--output", "x", "--show-config"])
    assert caught.value.code == 2
    assert "--show-config" in capsys.readouterr().err


def test_show_config_prints_a_file_that_config_reads(tmp_path, capsys):
    arguments = ["--config", "quick", "--data", "a,b.csv", "c.csv", "--data", "d.csv", "--set", "seed=9"]
    assert cli.main(["run", *arguments, "--show-config"]) == 0
    file = tmp_path / "shown.toml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    effective = overrides.load(str(file))
    assert effective.data.paths == ("a,b.csv", "c.csv", "d.csv")
    assert effective.seed == 9
