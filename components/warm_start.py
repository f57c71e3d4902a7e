"""Training from the weights of an earlier model: the variables in its checkpoint, item rows moved to new places.

The vocabulary is ordered by popularity, so that between two runs most items change their place even where none comes
or goes. Rows are therefore found by item id. An item that the earlier model does not know starts in the midst of the
items that are clicked next to it: at the mean of their rows. Everything else of an equal shape is taken over as it is.
The optimiser starts anew. (docs/training.md: what this gains over fresh rows.)
"""

from __future__ import annotations

import dataclasses
import posixpath
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from nextclick.components.model import Recommender
from nextclick.components.sequences import Sequences

_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Where the exported object (signatures.py) has the network and the vocabulary.
_MODEL_PATH, _VOCABULARY_PATH, _TIME_PATH = ("scorer", "model"), ("item_ids",), ("learnt_until_ms",)
# Variables of the network with a row an item.
_ITEM_TABLES = ("embedding", "output_embedding", "output_bias")


@dataclasses.dataclass(frozen=True)
class CarriedOver:
    """What became of an earlier model's weights.

    Attributes:
      items: items of the vocabulary that kept their rows.
      new_items: items of the vocabulary that the earlier model did not know.
      dropped_items: items of the earlier model that are no longer in the vocabulary.
      variables: trainable variables that were taken over, wholly or in part.
      fresh_variables: those that the earlier model lacks, or has in another shape.
    """

    items: int
    new_items: int
    dropped_items: int
    variables: int
    fresh_variables: int

    def sentence(self) -> str:
        """For a person who watches."""
        return (
            f"{self.items} items keep their vectors, {self.new_items} are new, {self.dropped_items} are gone; "
            f"{self.variables} of {self.variables + self.fresh_variables} variables are taken over"
        )


@dataclasses.dataclass(frozen=True)
class Earlier:
    """The weights of an exported model: a reader of its checkpoint, the objects in it, its vocabulary.

    `learnt_until_ms` is the end of the newest session that it was trained on, in milliseconds; 0 where it is not known.
    """

    reader: Any
    nodes: Sequence[Any]
    vocabulary: list[bytes]
    learnt_until_ms: int = 0


class WarmStart:
    """Sets the weights of each model that is about to be trained, and remembers what became of the earlier ones.

    Args:
      model_path: folder of the served model; it holds none before the first push.
      vocabulary: item ids of the models to come, in order.
    """

    def __init__(self, model_path: str, vocabulary: Sequence[bytes]) -> None:
        self._earlier, self._vocabulary = read(model_path), vocabulary
        self.carried: CarriedOver | None = None
        if self._earlier is None:
            print("warm start: no model is served yet, so training starts from fresh weights", file=sys.stderr)

    @property
    def found(self) -> bool:
        """Whether there is a model to start from."""
        return self._earlier is not None

    @property
    def learnt_until_ms(self) -> int:
        """End of the newest session that the served model was trained on; 0 where it is not known."""
        return self._earlier.learnt_until_ms if self._earlier else 0

    def __call__(self, model: Recommender, windows: Sequences) -> None:
        """Takes over what fits, if anything; says on standard error what that was."""
        if self._earlier is None:
            return
        self.carried = carry_over(self._earlier, model, windows, self._vocabulary)
        print(f"warm start: {self.carried.sentence()}", file=sys.stderr, flush=True)

    def summary(self) -> dict[str, Any]:
        """For training.json; figures are zero where there was no model to start from."""
        fresh = CarriedOver(0, len(self._vocabulary), 0, 0, 0)
        return {"found": self.found, **dataclasses.asdict(self.carried or fresh)}


def read(model_path: str) -> Earlier | None:
    """The weights in a SavedModel's folder; None where there is no model, or none that nextclick exported."""
    prefix = posixpath.join(model_path, "variables", "variables")
    if not tf.io.gfile.exists(f"{prefix}.index"):
        return None
    reader = tf.train.load_checkpoint(prefix)
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor(_GRAPH_KEY))
    vocabulary = _descend(graph.nodes, _VOCABULARY_PATH)
    if vocabulary is None or _descend(graph.nodes, _MODEL_PATH) is None:
        return None
    time = _descend(graph.nodes, _TIME_PATH)
    learnt_until_ms = int(reader.get_tensor(_checkpoint_key(time))) if time is not None else 0
    return Earlier(reader, graph.nodes, list(reader.get_tensor(_checkpoint_key(vocabulary))), learnt_until_ms)


def carry_over(earlier: Earlier, model: Recommender, windows: Sequences, vocabulary: Sequence[bytes]) -> CarriedOver:
    """Gives a model with fresh weights those of an earlier one, as far as they fit.

    Args:
      earlier: what `read` found.
      model: over `vocabulary`, built.
      windows: what the model will be trained on.
      vocabulary: its item ids, in order.
    """
    keys = dict(_same_objects(earlier, model))
    places = {item: place for place, item in enumerate(earlier.vocabulary)}
    here = np.asarray([place for place, item in enumerate(vocabulary) if item in places], np.int64)
    there = np.asarray([places[vocabulary[place]] for place in here], np.int64)
    tables = {id(getattr(model, name)) for name in _ITEM_TABLES if hasattr(model, name)}
    carried = set()
    renumbered = {id(table) for table in model.side.tables_of_learnt_values()} if model.side is not None else set()
    for variable in model.trainable_variables:
        if id(variable) not in keys or id(variable) in renumbered:
            continue
        new = _weights(earlier, keys[id(variable)])
        if id(variable) in tables:
            first = variable.shape[0] - len(vocabulary), len(new) - len(earlier.vocabulary)
            new = _moved(variable.numpy(), new, first, (here, there))
            if new is not None:
                new = _among_neighbours(new, first[0], here, windows, model.first_item)
        if new is not None and new.shape == tuple(variable.shape):
            variable.assign(new)
            carried.add(id(variable))
    items = len(here) if id(model.embedding) in carried else 0
    return CarriedOver(
        items=items,
        new_items=len(vocabulary) - items,
        dropped_items=len(earlier.vocabulary) - items,
        variables=len(carried),
        fresh_variables=len(model.trainable_variables) - len(carried),
    )


def _moved(fresh: Any, old: Any, first: tuple[int, int], rows: tuple[Any, Any]) -> Any:
    """`fresh` with the rows that `old` has for the same items; None where rows have another width.

    Args:
      fresh: a table with a row an item.
      old: the earlier model's.
      first: row of the first item in each; the rows before, of unknown items, are moved where they are as many.
      rows: places of the same items in each vocabulary.
    """
    if fresh.shape[1:] != old.shape[1:]:
        return None
    moved = fresh.copy()
    moved[rows[0] + first[0]] = old[rows[1] + first[1]]
    if first[0] == first[1]:
        moved[: first[0]] = old[: first[1]]
    return moved


def _among_neighbours(table: Any, first: int, known: Any, windows: Sequences, first_item: int) -> Any:
    """A table whose rows of new items are the mean of the rows of known items clicked just before or after them.

    Args:
      table: a row an item, from row `first` on.
      first: see there.
      known: int64, places in the vocabulary of the items that are not new.
      windows: item indices, where those of the vocabulary begin at `first_item`.
      first_item: see there.
    """
    is_known = np.zeros(len(table) - first, bool)
    is_known[known] = True
    places = windows.items.astype(np.int64) - first_item
    last = np.zeros(len(places), bool)
    last[windows.splits[1:] - 1] = True
    pairs = np.flatnonzero(~last[:-1] & (places[:-1] >= 0) & (places[1:] >= 0))
    sums, counts = np.zeros_like(table[first:]), np.zeros(len(is_known))
    for item, neighbour in ((places[pairs], places[pairs + 1]), (places[pairs + 1], places[pairs])):
        counted = ~is_known[item] & is_known[neighbour]
        np.add.at(sums, item[counted], table[first + neighbour[counted]])
        np.add.at(counts, item[counted], 1)
    found = np.flatnonzero(counts)
    placed = table.copy()
    placed[first + found] = sums[found] / counts[found].reshape([-1] + [1] * (table.ndim - 1))
    return placed


def _same_objects(earlier: Earlier, model: Recommender) -> Iterator[tuple[int, Any]]:
    """Id of each variable of the model, and what stands in the checkpoint under the same object path."""
    view = tf.train.TrackableView(model)
    waiting, seen = [(model, _descend(earlier.nodes, _MODEL_PATH))], set()
    while waiting:
        here, there = waiting.pop()
        seen.add(id(here))
        if isinstance(here, tf.Variable):
            yield id(here), there
            continue
        children = {child.local_name: earlier.nodes[child.node_id] for child in there.children}
        for name, child in view.children(here).items():
            if name in children and id(child) not in seen:
                waiting.append((child, children[name]))


def _weights(earlier: Earlier, node: Any) -> Any:
    """The values of a variable, or of a table that was exported in fewer bits (quantize.NarrowRows)."""
    parts = {child.local_name: earlier.nodes[child.node_id] for child in node.children}
    if "narrow" not in parts:
        return earlier.reader.get_tensor(_checkpoint_key(node))
    narrow = earlier.reader.get_tensor(_checkpoint_key(parts["narrow"])).astype(np.float32)
    return narrow * earlier.reader.get_tensor(_checkpoint_key(parts["scales"])) if "scales" in parts else narrow


def _descend(nodes: Sequence[Any], path: Sequence[str]) -> Any:
    """The object under these names, from the root; None where there is none."""
    node = nodes[0]
    for name in path:
        found = [child.node_id for child in node.children if child.local_name == name]
        if not found:
            return None
        node = nodes[found[0]]
    return node


def _checkpoint_key(node: Any) -> str:
    return str(node.attributes[0].checkpoint_key)
