"""Which files a run reads, and their bytes: folders and globs on any file system that Beam knows, gzip or not."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import itertools
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from nextclick.components import spans
from nextclick.pipeline.config import DataConfig
from nextclick.pipeline.errors import DataError

# What is taken from a folder; a file that is named or matched by a glob may be called anything.
DATA_SUFFIXES = (".csv", ".tsv", ".dat", ".txt", ".jsonl", ".json", ".parquet")
CHUNK_BYTES = 8 << 20
_HEAD_BYTES = 64 << 10  # what looking at a file's header costs, however large the file
_GZIP_MAGIC = b"\x1f\x8b"
_FOREIGN_MAGICS = (
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "a bzip2 file"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)


@dataclasses.dataclass(frozen=True)
class InputFile:
    """One file of a log.

    Attributes:
        path: where it is.
        name: its path below the folder that all files of the log share.
        size_bytes: as it is stored.
        span: of the log that it belongs to; None where the log does not come in spans.
    """

    path: str
    name: str
    size_bytes: int
    span: int | None = None


class TruncatedInputError(Exception):
    """A compressed file ends early or is damaged from here on; whatever came before was readable."""


def expand_inputs(paths: Iterable[str], data: DataConfig | None = None) -> list[InputFile]:
    """All files that paths, folders and globs stand for, sorted by path, each once.

    Args:
        paths: what to look for; `{SPAN}` stands for a number (see `spans`).
        data: which spans; None: all.

    Raises:
        DataError: a path that does not exist, a folder without data files, a file system that is not installed.
    """
    sizes: dict[str, int] = {}
    span_of: dict[str, int] = {}
    for path in paths:
        found = spans.in_window(path, data or DataConfig(), _sizes) if spans.has_span(path) else _match(path)
        sizes.update(found)
        if spans.has_span(path):
            span_of.update({name: spans.number(path, name) for name in found})
    names = _names_below_common_folder(sorted(sizes))
    return [InputFile(path, name, sizes[path], span_of.get(path)) for path, name in names.items()]


def find_inputs(data: DataConfig) -> tuple[list[InputFile], list[InputFile]]:
    """The files of `data.paths` (empty: the bundled sample) without those of `data.test_path`, and the latter."""
    tests = expand_inputs([data.test_path]) if data.test_path else []
    paths = data.paths or (str(importlib.resources.files("nextclick.pipeline") / "data"),)
    held_out = {file.path for file in tests}
    clicks = [file for file in expand_inputs(paths, data) if file.path not in held_out]
    if not clicks:
        raise DataError(f"every file of {', '.join(paths)} is the test log {data.test_path}: name other training files")
    return clicks, tests


def newest_span(data: DataConfig) -> int | None:
    """The greatest number of a span that is read; None where the log does not come in spans."""
    return max((file.span for file in find_inputs(data)[0] if file.span is not None), default=None)


def fingerprint(files: Iterable[InputFile], tests: Iterable[InputFile]) -> str:
    """Hex SHA-256 over name and content of every file; whatever changes the examples changes it."""
    digest = hashlib.sha256()
    for role, group in (("clicks", files), ("test", tests)):
        for file in group:
            digest.update(f"{role}\0{file.name}\0{file.size_bytes}\0".encode())
            with _open(file) as stream:
                while data := stream.read(CHUNK_BYTES):
                    digest.update(data)
    return digest.hexdigest()


class Head(NamedTuple):
    """The first bytes of a file's content, and whether the file is gzip."""

    data: bytes
    zipped: bool


def first_bytes(file: InputFile) -> Head:
    """What a file begins with, unzipped.

    Raises:
        DataError: the file is empty, or of a kind that is not read here.
    """
    with _open(file) as stream:
        first = stream.read(_HEAD_BYTES)
    _refuse_foreign(file, first)
    if not first.startswith(_GZIP_MAGIC):
        return Head(first, zipped=False)
    try:
        return Head(next(_unzip(iter([first])), b""), zipped=True)
    except TruncatedInputError:
        return Head(b"", zipped=True)


def read_chunks(file: InputFile) -> Iterator[bytes]:
    """The file's bytes, unzipped where its content is gzip, in pieces of at most `CHUNK_BYTES`.

    Raises:
        DataError: the file is empty, or of a kind that is not read here.
        TruncatedInputError: after the last readable piece of a damaged gzip file.
    """
    with _open(file) as stream:
        first = stream.read(_HEAD_BYTES)
        _refuse_foreign(file, first)
        pieces = _pieces(first, stream)
        yield from (_unzip(pieces) if first.startswith(_GZIP_MAGIC) else pieces)


def _open(file: InputFile) -> Any:
    return FileSystems.open(file.path, compression_type=CompressionTypes.UNCOMPRESSED)


def _match(path: str) -> dict[str, int]:
    """Path and size in bytes of every file that a path, a folder or a glob stands for."""
    if not path:
        raise DataError("a path of the log is empty: name a file, a folder or a glob")
    local = Path(path)
    if local.is_file():  # before globbing: a file's name may hold brackets
        return {path: local.stat().st_size}
    found = {} if local.is_dir() else _sizes(path)
    found = {name: size for name, size in found.items() if name == path or not _is_hidden(name.rsplit("/", 1)[-1])}
    if found:
        return found
    folder = path.rstrip("/")
    inside = _sizes(folder + "/**")
    found = {name: size for name, size in inside.items() if _is_data_file(name.removeprefix(folder))}
    if found:
        return found
    if inside or local.is_dir():
        suffixes = ", ".join(DATA_SUFFIXES)
        raise DataError(f"the folder {path} holds no data file: expected names ending in {suffixes} (or those and .gz)")
    raise DataError(f"there is no file, folder or match for {path}: check the path that --data or --test-data names")


def _sizes(pattern: str) -> dict[str, int]:
    here = "" if "/" in pattern else "./"  # Beam finds nothing by a glob without a folder
    try:
        found = FileSystems.match([here + pattern])[0].metadata_list
    except (BeamIOError, ValueError, ImportError) as error:
        raise DataError(f"{pattern} cannot be listed: {_one_line(error)}") from error
    return {entry.path.removeprefix(here): entry.size_in_bytes for entry in found}


def _is_data_file(path_below_folder: str) -> bool:
    parts = [part for part in path_below_folder.lower().split("/") if part]
    return not any(map(_is_hidden, parts)) and parts[-1].removesuffix(".gz").endswith(DATA_SUFFIXES)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _names_below_common_folder(paths: list[str]) -> dict[str, str]:
    folders = [path.split("/")[:-1] for path in paths]
    shared = len(list(itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))))
    return {path: "/".join(path.split("/")[shared:]) for path in paths}


def _refuse_foreign(file: InputFile, first: bytes) -> None:
    if not first:
        raise DataError(f"{file.path} is empty: expected a header and one row a click")
    for magic, kind in _FOREIGN_MAGICS:
        if first.startswith(magic):
            raise DataError(f"{file.path} is {kind}: expected UTF-8 text, plain or gzip, so convert it first")
    if file.path.lower().endswith(".gz") and not first.startswith(_GZIP_MAGIC):
        raise DataError(f"{file.path} is called .gz but is not gzip: rename it or compress it")


def _pieces(first: bytes, stream: BinaryIO) -> Iterator[bytes]:
    data = first
    while data:
        yield data
        data = stream.read(CHUNK_BYTES)


def _unzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Inflates gzip, members one after another as `cat a.gz b.gz` makes them; zeros after the end are padding."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    started = False  # within a member
    try:
        for piece in pieces:
            while piece := piece if started else piece.lstrip(b"\0"):
                started = True
                if data := inflater.decompress(piece, CHUNK_BYTES):
                    yield data
                piece = inflater.unconsumed_tail
                if inflater.eof:
                    piece, started = inflater.unused_data, False
                    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    except zlib.error as error:
        raise TruncatedInputError(str(error)) from error
    if started:
        raise TruncatedInputError("the compressed data ends early")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
