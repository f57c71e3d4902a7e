"""Point the label stable (or canary) of a served model at a version, without a restart.

With --as canary the newest version is loaded beside the stable one. Without, the canary (where there is none: the
newest version) becomes stable, and what was stable stays loaded as previous, for `nextclick rollback`. From then on
exactly the labelled versions are served; --latest goes back to serving whatever is pushed last.
Each server at --address is told, then ROOT/serving/models.config is replaced in one step.

Exit codes: 0 done, 2 wrong usage or no such version, 1 a server cannot be reached or cannot load the version; then
nothing has changed.

Example:
  nextclick promote --as canary
  nextclick promote
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from nextclick.pipeline.commands import options, predict
from nextclick.pipeline.config import ServingConfig
from nextclick.pipeline.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick promote`."""
    parser.add_argument(
        "version", metavar="VERSION", type=int, nargs="?", help="the canary, else the newest, if left out"
    )
    parser.add_argument(
        "--as", dest="label", choices=("stable", "canary"), default="stable", help="label (%(default)s)"
    )
    parser.add_argument("--latest", action="store_true", help="drop all labels and serve the newest version again")
    add_server(parser)


def add_server(parser: argparse.ArgumentParser) -> None:
    """The options that say which servers and which configuration are meant."""
    options.add_root(parser)
    parser.add_argument("--model", metavar="NAME", default=ServingConfig.model_name, help="served model (%(default)s)")
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        action="append",
        help=f"of a server; repeat it for each of a fleet ({predict.DEFAULT_ADDRESS})",
    )
    parser.add_argument("--config", metavar="FILE", help="the servers' models.config (ROOT/serving/models.config)")
    predict.add_tls(parser)


def main(args: argparse.Namespace) -> int:
    """Moves the label. Raises ConfigError, ServingError."""
    from nextclick.serving import labels, model_config

    current = current_config(args)
    entry = labels.entry_of(current, args.model)
    if args.latest:
        return change(args, current, labels.unlabelled(current, args.model))
    had = dict(entry.version_labels)
    on_disk = model_config.versions_on_disk(Path(entry.base_path))
    version = args.version
    if version is None:
        version = had.get(labels.CANARY) if args.label == labels.STABLE else None
    if version is None:
        version = max(on_disk, default=None)
    if version is None or (on_disk and version not in on_disk):
        raise ConfigError(f"no version {version or ''} of model {args.model} under {entry.base_path}")
    return change(
        args, current, labels.labelled(current, args.model, labels.promoted(had, version, args.label, on_disk))
    )


def current_config(args: argparse.Namespace) -> Any:
    """The servers' configuration: the file where it is there, else every model under the root."""
    from nextclick.serving import model_config

    return model_config.of_file(Path(args.config)) if args.config else model_config.of_root(Path(args.root))


def change(args: argparse.Namespace, current: Any, wanted: Any) -> int:
    """Tells the servers, writes the file, and prints what is served now."""
    from nextclick.serving import labels, model_config

    addresses = args.address or [predict.DEFAULT_ADDRESS]
    labels.apply(current, wanted, args.model, addresses, tls=predict.tls_of(args))
    path = Path(args.config) if args.config else Path(args.root) / "serving" / model_config.CONFIG_FILE
    labels.write(wanted, path)
    served = dict(labels.entry_of(wanted, args.model).version_labels)
    words = ", ".join(f"{label} {served[label]}" for label in sorted(served, reverse=True)) or "the newest version"
    print(f"model {args.model} at {', '.join(addresses)} serves: {words}")
    return 0
