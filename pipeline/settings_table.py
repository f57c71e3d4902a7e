"""The table of all settings in docs/configuration.md, made from the dataclasses; `make docs` writes it."""

from __future__ import annotations

import sys

from nextclick.pipeline import config, overrides, presets

_HEAD = """# Configuration

Made from `pipeline/config.py` by `make docs`; a test fails when the two differ. Settings come from a preset, a TOML
file (`--config FILE.toml`, whose key `preset` names the preset it starts from) and `--set section.key=value`, in this
order. `nextclick run --show-config` prints the effective configuration in the form of such a file.

A key that does not exist or a value that does not fit is an error that names the nearest right key, before any data
is read.
"""


def settings_table() -> str:
    """The page: a table of the settings, then one of what each preset changes."""
    lines = [_HEAD, "| setting | default | meaning |", "|---|---|---|"]
    for entry in config.settings().values():
        meaning, _, default = overrides.describe(entry).rpartition("; default ")
        lines.append(f"| `{entry.key}` | `{default}` | {meaning} |")
    lines += ["", "## Presets", "", "| preset | what it states differently from `default` |", "|---|---|"]
    for name, preset in presets.PRESETS.items():
        changed = [
            f"`{key}={config.get(preset, key)}`"
            for key in config.settings()
            if config.get(preset, key) != config.get(presets.DEFAULT, key)
        ]
        lines.append(f"| `{name}` | {', '.join(changed) or 'nothing'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(settings_table())
