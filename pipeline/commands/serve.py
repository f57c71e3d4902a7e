"""Serve pushed models over gRPC and REST until stopped.

Runs TensorFlow Serving where it is installed (tensorflow_model_server), else its Docker image where a Docker engine
answers, else nextclick's own local server, and says which of the three it is. New versions are loaded as they are
pushed. When all models answer, one line is printed: "ready: " and the addresses as JSON.

Exit codes: 0 stopped by SIGTERM or Ctrl-C, all calls answered; 2 wrong usage, or nothing has been pushed;
1 no model can be loaded, or the port is taken.

Example:
  nextclick serve --root nextclick-root --port 8500
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nextclick.pipeline.commands import options
from nextclick.pipeline.errors import ConfigError

DEFAULT_PORT = 8500
DEFAULT_REST_PORT = 8501
DEFAULT, OFF = "default", "off"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `nextclick serve`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--root",
        metavar="DIR",
        default=options.DEFAULT_ROOT,
        help="serve every model pushed under DIR/serving (%(default)s)",
    )
    what.add_argument("--model", metavar="DIR", help="serve this model: a folder of numbered versions, or one of these")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: all (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of gRPC; 0: any free one (%(default)s)")
    parser.add_argument("--rest-port", type=int, help="of REST; 0: any free one (8501, or any beside --port 0)")
    parser.add_argument(
        "--server",
        choices=("auto", "tensorflow_model_server", "docker", "local"),
        default="auto",
        help="which server to run; auto: the best that is here (%(default)s)",
    )
    parser.add_argument("--poll-seconds", type=float, default=1.0, help="between looks for new versions (%(default)s)")
    parser.add_argument(
        "--grace-seconds", type=float, default=15.0, help="for calls under way, at the end (%(default)s)"
    )
    parser.add_argument(
        "--ready-file", metavar="FILE", help="write the addresses here, as JSON, once the models answer"
    )
    parser.add_argument("--playground", action="store_true", help="also serve a page to try the models by hand")
    files = parser.add_argument_group("TensorFlow Serving's settings files (serving/config); off: without")
    files.add_argument("--batching", metavar="FILE", default=DEFAULT, help="batching parameters (the one we ship)")
    files.add_argument("--monitoring", metavar="FILE", default=DEFAULT, help="Prometheus metrics (the one we ship)")
    files.add_argument(
        "--ssl", metavar="FILE", default=OFF, help="key and certificates: gRPC by TLS only (%(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Serves until stopped. Raises ConfigError, ServingError."""
    from nextclick.serving import local, model_config, server
    from nextclick.serving.external import SettingsFiles

    config = model_config.of_folder(Path(args.model)) if args.model else model_config.of_root(Path(args.root))
    settings = local.LocalSettings(
        host=args.host,
        port=_port("--port", args.port),
        rest_port=_port("--rest-port", _rest_port(args)),
        poll_seconds=args.poll_seconds,
        grace_seconds=args.grace_seconds,
        playground=args.playground,
        config_file=None if args.model else Path(args.root) / "serving" / model_config.CONFIG_FILE,
        ready_file=Path(args.ready_file) if args.ready_file else None,
    )
    files = SettingsFiles(
        _settings_file(args.batching, "batching_parameters.txt"),
        _settings_file(args.monitoring, "monitoring.config"),
        _settings_file(args.ssl, ""),
    )
    local.log_to_stderr()
    kind = server.choose() if args.server == "auto" else args.server
    return server.serve(config, kind, settings, files)


def _settings_file(given: str, shipped: str) -> Path | None:
    """The file that an option names, or the one that comes with us, or None where it says off."""
    if given == OFF:
        return None
    if given == DEFAULT:
        import nextclick.serving

        return Path(nextclick.serving.__path__[0]).resolve() / "config" / shipped
    return Path(given).resolve()


def _rest_port(args: argparse.Namespace) -> int:
    if args.rest_port is not None:
        return int(args.rest_port)
    return DEFAULT_REST_PORT if args.port else 0


def _port(option: str, port: int) -> int:
    if not 0 <= port < 65536:
        raise ConfigError(f"{option} must lie between 0 and 65535, received {port}")
    return port
