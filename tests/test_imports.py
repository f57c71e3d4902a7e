"""Who may import whom. Without it TFX creeps into plain functions, a client drags in TensorFlow, and circles close."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("pipeline", "components", "schema", "serving", "kubeflow")
LEAVES = (
    "nextclick.pipeline.config",
    "nextclick.pipeline.config_checks",
    "nextclick.pipeline.setting",
    "nextclick.pipeline.errors",
    "nextclick.components.contract",
)
TFX_FILES = {
    "nextclick.components.example_gen",
    "nextclick.components.executors",
    "nextclick.components.gate_executor",
    "nextclick.components.nodes",
    "nextclick.pipeline.definition",
    "nextclick.pipeline.local",
    "nextclick.kubeflow.runner",
}
# What each folder may import of us besides the leaves and itself; commands, and the benchmarks that one of them runs,
# may import everything.
MAY_IMPORT = {
    "components": (),
    "serving": (),
    "schema": (),
    "pipeline": ("components",),
    "kubeflow": ("pipeline",),
}


class Edge(NamedTuple):
    """One import: `top_level` where it happens as soon as the importing module is imported."""

    importer: str
    imported: str
    top_level: bool
    line: int


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("nextclick", *(part for part in parts if part != "__init__")))


FILES = {module_name(path): path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))}
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def imports_of(importer: str, source: str) -> list[Edge]:
    """Every import of a file; `from nextclick.components import metrics` is an import of the module metrics."""
    edges = []
    tree = ast.parse(source)
    deferred = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            members = [f"{base}.{alias.name}" for alias in node.names]
            names = [member if member in FILES else base for member in members]
        else:
            continue
        edges += [Edge(importer, name, id(node) not in deferred, node.lineno) for name in names]
    return edges


def all_edges() -> list[Edge]:
    return [edge for name, path in FILES.items() for edge in imports_of(name, path.read_text())]


def folder_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else module


def allowed(edge: Edge) -> bool:
    """The rule of STYLE: leaves import the standard library and leaves; the rest as in `MAY_IMPORT`."""
    package = edge.imported.split(".")[0]
    if edge.importer in LEAVES:
        return package in sys.stdlib_module_names or edge.imported in LEAVES
    if package != "nextclick":
        return package not in (*FOLDERS, "")  # bare or relative names of our own folders
    if edge.imported in LEAVES or edge.importer.startswith(
        ("nextclick.pipeline.commands", "nextclick.pipeline.benchmarks")
    ):
        return True
    if edge.imported.startswith("nextclick.pipeline.commands"):
        return False
    here = folder_of(edge.importer)
    return folder_of(edge.imported) in (here, *MAY_IMPORT[here])


def test_every_import_goes_in_an_allowed_direction():
    wrong = [
        f"{FILES[edge.importer]}:{edge.line}: imports {edge.imported}" for edge in all_edges() if not allowed(edge)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("importer", "line", "expected"),
    [
        ("nextclick.components.metrics", "from nextclick.pipeline import report", False),
        ("nextclick.components.metrics", "from nextclick.pipeline import config", True),
        ("nextclick.components.metrics", "from nextclick.pipeline.errors import DataError", True),
        ("nextclick.components.metrics", "from nextclick.components.contract import PADDING_INDEX", True),
        ("nextclick.components.metrics", "def f():\n from nextclick.pipeline.report import x", False),
        ("nextclick.components.metrics", "from components import contract", False),
        ("nextclick.components.metrics", "from . import contract", False),
        ("nextclick.components.contract", "import numpy", False),
        ("nextclick.components.contract", "import dataclasses", True),
        ("nextclick.pipeline.config", "from nextclick.components import metrics", False),
        ("nextclick.pipeline.report", "from nextclick.components import metrics", True),
        ("nextclick.pipeline.report", "from nextclick.serving import client", False),
        ("nextclick.pipeline.report", "from nextclick.pipeline.commands import run", False),
        ("nextclick.pipeline.commands.predict", "from nextclick.serving import client", True),
        ("nextclick.serving.client", "from nextclick.components import contract", True),
        ("nextclick.serving.client", "from nextclick.components import metrics", False),
        ("nextclick.serving.client", "from nextclick.pipeline import cli", False),
        ("nextclick.kubeflow.runner", "from nextclick.pipeline import definition", True),
        ("nextclick.kubeflow.runner", "from nextclick.serving import client", False),
    ],
)
def test_rule_tells_right_from_wrong(importer, line, expected):
    (edge,) = imports_of(importer, line)
    assert allowed(edge) is expected


def test_tfx_is_imported_at_the_edges_only():
    found = {edge.importer for edge in all_edges() if edge.imported.split(".")[0] == "tfx"}
    assert found <= TFX_FILES
    assert len(found) > 3, "the walk has found the files that do import it"


def test_serving_loads_tensorflow_only_to_run_a_model():
    found = {
        edge.importer
        for edge in all_edges()
        if folder_of(edge.importer) == "serving"
        and edge.imported.split(".")[0] == "tensorflow"
        and not edge.imported.startswith("tensorflow.core")  # message classes, see serving/protos.py
    }
    assert found <= {"nextclick.serving.server", "nextclick.serving.servable"}


def keras_3(source: str) -> list[int]:
    """Lines that would get Keras 3: `import keras`, `tensorflow.keras`, `tf.keras`."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr == "keras" and isinstance(node.value, ast.Name):
            lines += [node.lineno] if node.value.id in ("tf", "tensorflow") else []
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            lines += [
                node.lineno for name in names if name == "keras" or name.startswith(("keras.", "tensorflow.keras"))
            ]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names]
            lines += [node.lineno for name in names if name.startswith(("keras.", "tensorflow.keras"))]
    return lines


def test_keras_is_tf_keras_everywhere():
    wrong = {str(path): keras_3(path.read_text()) for path in [*FILES.values(), *TESTS]}
    assert not {path: lines for path, lines in wrong.items() if lines}


@pytest.mark.parametrize(
    "line",
    ["import keras", "import tensorflow.keras as k", "from tensorflow import keras", "from keras import layers",
     "from tensorflow.keras import layers", "x = tf.keras.layers.Dense(1)", "x = tensorflow.keras.backend"],
)  # fmt: skip
def test_keras_3_is_seen_in_every_disguise(line):
    assert keras_3(line) == [1]


def test_tf_keras_is_not_taken_for_keras_3():
    assert keras_3("import tf_keras\nfrom tf_keras import layers\nx = tf_keras.layers.Dense(1)") == []


def test_components_have_no_circle():
    graph = {
        name: {edge.imported for edge in imports_of(name, path.read_text()) if folder_of(edge.imported) == "components"}
        for name, path in FILES.items()
        if folder_of(name) == "components"
    }
    while free := {name for name, imported in graph.items() if not imported & graph.keys()}:
        graph = {name: imported for name, imported in graph.items() if name not in free}
    assert not graph, f"each of these imports another of them: {sorted(graph)}"


BLOCKER = """
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
for name in {names!r}:
    importlib.import_module(name)
print("all imported")
"""


def import_without(blocked: set[str], names: list[str]) -> None:
    """Imports modules in a fresh process in which some packages cannot be imported."""
    script = BLOCKER.format(blocked=blocked, names=sorted(names))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd="/", check=False)
    assert done.stdout == "all imported\n", done.stderr


def test_plain_components_work_with_tfx_absent():
    plain = [
        name
        for name, path in FILES.items()
        if folder_of(name) == "components"
        and not {"tfx", "tensorflow_model_analysis"} & top_level_packages(name, path, set())
    ]
    for needed in ("sessions", "features", "model", "losses", "metrics", "baselines", "ranks", "trainer"):
        assert f"nextclick.components.{needed}" in plain
    import_without({"tfx", "tensorflow_model_analysis"}, plain)


def test_command_line_and_client_start_without_the_heavy_packages():
    names = [name for name in FILES if name.startswith("nextclick.pipeline.commands.")]
    names += ["nextclick.pipeline.cli", "nextclick.pipeline.presets", "nextclick.pipeline.sample"]
    import_without({"tfx", "tensorflow", "tf_keras", "apache_beam", "kfp", "grpc", "numpy", "pandas"}, names)
    import_without({"tfx", "tf_keras", "apache_beam", "kfp", "pandas"}, ["nextclick.serving.client"])


def top_level_packages(name: str, path: Path, seen: set[str]) -> set[str]:
    """The packages that the import of a module of ours brings in, through other modules of ours."""
    seen.add(name)
    found = set()
    for edge in imports_of(name, path.read_text()):
        if edge.top_level and edge.imported in FILES and edge.imported not in seen:
            found |= top_level_packages(edge.imported, FILES[edge.imported], seen)
        elif edge.top_level:
            found.add(edge.imported.split(".")[0])
    return found
