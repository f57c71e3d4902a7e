"""Installs the folders of this repository as `nextclick.*`.

The packages are mapped one by one: bare top-level packages called `kubeflow` or `schema` would clash with public ones.
"""

from setuptools import setup

FOLDERS = ["pipeline", "pipeline/commands", "pipeline/page", "components", "schema", "serving", "kubeflow"]

setup(
    name="nextclick",
    version="0.1.0",
    description="A TFX pipeline that learns from click sessions and predicts the next click over gRPC",
    python_requires=">=3.10,<3.14",
    packages=["nextclick." + folder.replace("/", ".") for folder in FOLDERS],
    package_dir={"nextclick." + folder.replace("/", "."): folder for folder in FOLDERS},
    package_data={
        "nextclick.pipeline": ["data/*"],
        "nextclick.pipeline.page": ["*.css", "*.html", "*.js", "vendor/*"],
        "nextclick.schema": ["*.pbtxt", "*.md"],
    },
    entry_points={"console_scripts": ["nextclick=nextclick.pipeline.cli:main"]},
)
