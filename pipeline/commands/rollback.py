"""Point the label stable of a served model back at the version before the last promotion, without a restart.

That version is still loaded, so the change takes no longer than a request. The version that is left, and a canary, are
unloaded; callers who ask for no label get the stable version again.

Exit codes: 0 done, 2 there is no previous version, 1 a server cannot be reached; then nothing has changed.

Example:
  nextclick rollback
"""

from __future__ import annotations

import argparse

from nextclick.pipeline.commands import promote


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick rollback`."""
    promote.add_server(parser)


def main(args: argparse.Namespace) -> int:
    """Moves the label back. Raises ConfigError, ServingError."""
    from nextclick.serving import labels

    current = promote.current_config(args)
    had = dict(labels.entry_of(current, args.model).version_labels)
    return promote.change(args, current, labels.labelled(current, args.model, labels.rolled_back(had, args.model)))
