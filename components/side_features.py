"""What is known of a click besides its item: pure TensorFlow functions, the same in Transform and in the served graph.

Each of `features.side_features` becomes one int64 ragged feature [sessions, (items)], aligned with `item_indices`.
All are numbered alike (`contract`): 0 is padding, 1 unknown, then the values.

| name             | values                                                                                         |
|------------------|------------------------------------------------------------------------------------------------|
| event_type       | the types of the training split, most frequent first                                           |
| dwell            | buckets of the time to the session's next item (`GAP_SECONDS`); unknown for the last            |
| since_previous   | buckets of the time since the item before; unknown for the first                                |
| hour_of_day      | 24, on the clocks of `features.time_zone`                                                       |
| day_of_week      | 7, from Monday                                                                                  |
| season           | 4, from December to February                                                                    |
| price            | buckets of the attribute `features.price_attribute` (`PRICES`)                                  |
| item_hash        | `features.item_hash_buckets`, of a fingerprint of the id                                        |
| attribute_<name> | the values of that column in the training split, most frequent first                            |

The buckets are fixed rather than learnt, so that a bucket means the same in every model, whatever it was trained on,
and a model can start from the weights of an older one.

The dwell time of an item is only known once the next one is clicked: a model that predicts the next item must not
look at the dwell time of the last, in training as little as in serving.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from nextclick.components import contract, features, local_time
from nextclick.pipeline.config import FeaturesConfig

# Lower bounds in seconds of all buckets of pauses but the first; an hour or more is one bucket.
GAP_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
# Lower bounds of all buckets of prices but the first: each the square root of 2 times the one before, 1/16 to 2^24.
PRICES = tuple(2 ** (step / 2) for step in range(-8, 49))
# No exponents, and few enough digits for a float: whatever matches is a number to TensorFlow.
_PRICE = r"\s*([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})\s*"
_NO_TIME = -1


@dataclasses.dataclass(frozen=True)
class Events:
    """The events that have a place in `item_indices`, and the raw features that they come from.

    Attributes:
        inputs: raw features by name, [sessions, (items)], sparse, ragged or padded; all but `item_ids` may be missing,
            and so may values at the end of a session.
        item_ids: string ragged [sessions, (items)], as it came.
        kept: int64 ragged [sessions, (kept items)], place of each of the events in the flat values of `item_ids`.
    """

    inputs: Mapping[str, Any]
    item_ids: Any
    kept: Any

    def texts(self, name: str) -> tf.Tensor:
        """A raw feature, string [events]; "" where it is missing."""
        return self._values(name, tf.constant(""))

    def times_ms(self) -> tf.Tensor:
        """Times, int64 [events]; not positive where they are missing."""
        return self._values(contract.EVENT_TIMES_MS, tf.constant(_NO_TIME, tf.int64))

    def _values(self, name: str, missing: tf.Tensor) -> tf.Tensor:
        places = self.kept.flat_values
        if name not in self.inputs:
            return tf.fill(tf.shape(places), missing)
        values = features.to_ragged(self.inputs[name])
        session = tf.gather(self.item_ids.value_rowids(), places)
        position = places - tf.gather(self.item_ids.row_starts(), session)
        is_there = position < tf.gather(values.row_lengths(), session)
        source = tf.gather(values.row_starts(), session) + position
        flat = tf.concat([values.flat_values, missing[None]], axis=0)
        return tf.gather(flat, tf.where(is_there, source, tf.size(flat, tf.int64) - 1))


def compute(inputs: Mapping[str, Any], config: FeaturesConfig) -> dict[str, Any]:
    """The configured side features by their names in the transformed examples; nothing where there are none.

    To be called within a preprocessing_fn: the values of texts are learnt from the analysed splits.
    """
    if not config.side_features:
        return {}
    item_ids = features.to_ragged(inputs[contract.ITEM_IDS])
    events = Events(inputs, item_ids, features.kept_places(item_ids, config.collapse_repeats))
    return {
        contract.side_feature(name): events.kept.with_flat_values(_indices(name, events, config))
        for name in config.side_features
    }


def raw_names(config: FeaturesConfig) -> dict[str, tf.DType]:
    """The raw features that the configured side features are made of, besides `item_ids`, with their types."""
    found: dict[str, tf.DType] = {}
    for name in config.side_features:
        if name == "event_type":
            found[contract.EVENT_TYPES] = tf.string
        elif name == "price":
            found[contract.attribute_feature(config.price_attribute)] = tf.string
        elif name not in contract.SIDE_FEATURES:
            found[name] = tf.string
        elif name != "item_hash":
            found[contract.EVENT_TIMES_MS] = tf.int64
    return found


def complete(inputs: Mapping[str, Any], config: FeaturesConfig) -> dict[str, Any]:
    """Raw inputs of a request as Transform's graph takes them: sparse, those that are not there without a value.

    Args:
        inputs: `item_ids` and any of `raw_names`, [batch, (items)], sparse, ragged or padded at the right.
        config: as Transform was given it.
    """
    found = {name: _sparse(values) for name, values in inputs.items()}
    batch = found[contract.ITEM_IDS].dense_shape[0]
    for name, kind in raw_names(config).items():
        if name not in found:
            no_places, no_values = tf.zeros([0, 2], tf.int64), tf.zeros([0], kind)
            found[name] = tf.SparseTensor(no_places, no_values, tf.stack([batch, tf.constant(0, tf.int64)]))
    return found


def index_count(name: str, config: FeaturesConfig, transform: Any) -> int:
    """Number of indices of a side feature, padding and unknown among them: the rows of its embedding.

    Args:
        name: of `features.side_features`.
        config: as Transform was given it.
        transform: TFTransformOutput of the graph that computes it.
    """
    values: dict[str, Callable[[], int]] = {
        "dwell": lambda: len(GAP_SECONDS) + 1,
        "since_previous": lambda: len(GAP_SECONDS) + 1,
        "hour_of_day": lambda: 24,
        "day_of_week": lambda: 7,
        "season": lambda: 4,
        "price": lambda: len(PRICES) + 1,
        "item_hash": lambda: config.item_hash_buckets,
    }
    learnt = contract.side_feature(name)
    count = values[name]() if name in values else int(transform.vocabulary_size_by_name(learnt))
    return contract.FIRST_SIDE_INDEX + count


def pauses_ms(times_ms: Any, to_next: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Time from each event to the next of its session, or from the one before, and where it is known.

    Args:
        times_ms: int64 ragged [sessions, (items)]; not positive where a time is missing.
        to_next: whether the time to the next event is wanted.

    Returns: int64 [events], never negative (a request's times may be in any order); bool [events].
    """
    times = times_ms.flat_values
    step = 1 if to_next else -1
    session = times_ms.value_rowids()
    place = tf.range(tf.size(times, tf.int64)) + step
    inside = (place >= 0) & (place < tf.size(times, tf.int64))
    place = tf.where(inside, place, tf.zeros_like(place))
    other = tf.gather(times, place)
    known = inside & tf.equal(tf.gather(session, place), session) & (times > 0) & (other > 0)
    return tf.maximum((other - times) * step, 0), known


def bucket(values: tf.Tensor, lower_bounds: tuple[float, ...]) -> tf.Tensor:
    """Number of lower bounds that are not above each value, int64 [n]; values and bounds as float64."""
    bounds = tf.constant(lower_bounds, tf.float64)
    return tf.searchsorted(bounds, tf.cast(values, tf.float64), side="right", out_type=tf.int64)


def prices(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Numbers that texts [n] say, float64, and where they say one; a decimal point, no thousands separators."""
    known = tf.strings.regex_full_match(texts, _PRICE)
    return tf.strings.to_number(tf.where(known, tf.strings.strip(texts), "0"), tf.float64), known


def _indices(name: str, events: Events, config: FeaturesConfig) -> tf.Tensor:
    """int64 [events]."""
    if name == "item_hash":
        ids = tf.gather(events.item_ids.flat_values, events.kept.flat_values)
        return contract.FIRST_SIDE_INDEX + tf.strings.to_hash_bucket_fast(ids, config.item_hash_buckets)
    if name == "price":
        values, known = prices(events.texts(contract.attribute_feature(config.price_attribute)))
        return _where_known(known, bucket(values, PRICES))
    if name in ("dwell", "since_previous"):
        pauses, known = pauses_ms(events.kept.with_flat_values(events.times_ms()), to_next=name == "dwell")
        return _where_known(known, bucket(pauses, tuple(1000 * bound for bound in GAP_SECONDS)))
    if name in _CALENDAR:
        times = events.times_ms()
        return _where_known(times > 0, _CALENDAR[name](local_time.local_seconds(times, config.time_zone)))
    return _category(name, events.texts(contract.EVENT_TYPES if name == "event_type" else name), config)


def _category(name: str, texts: tf.Tensor, config: FeaturesConfig) -> tf.Tensor:
    """Places in a vocabulary of the analysed splits; a missing value is not in it."""
    vocabulary = tft.vocabulary(
        tf.boolean_mask(texts, tf.not_equal(texts, "")),
        top_k=config.max_categories,
        vocab_filename=contract.side_feature(name),
    )
    places = tf.cast(tft.apply_vocabulary(texts, vocabulary, default_value=-1), tf.int64)
    return _where_known(places >= 0, places)


_CALENDAR: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "hour_of_day": local_time.hour_of_day,
    "day_of_week": local_time.day_of_week,
    "season": local_time.season,
}


def _where_known(known: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    unknown = tf.constant(contract.UNKNOWN_SIDE_INDEX, tf.int64)
    return tf.where(known, contract.FIRST_SIDE_INDEX + values, unknown)


def _sparse(values: Any) -> Any:
    if isinstance(values, tf.SparseTensor):
        return values
    return features.to_ragged(values).to_sparse()
