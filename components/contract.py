"""Names and limits that two parts of nextclick must agree on; standard library only.

Three records pass between components:

raw tf.Example (ExampleGen → StatisticsGen, Transform, Evaluator, `predict_examples`), one row = one session,
events ordered by time, ties in input order:

    session_id        bytes [1]   opaque
    item_ids          bytes [n]   opaque, never empty, no line breaks
    event_times_ms    int64 [n]   milliseconds since the epoch, UTC, ascending
    event_types       bytes [n]   "click" where the log has none
    session_length    bytes [1]   bucket of n, a slice of the evaluation ("2", "3-4", ...)
    attribute_<name>  bytes [n]   a column of `data.attributes`, "" where the log has no value; none by default

transformed tf.Example (Transform → Trainer):

    item_indices      int64 [n]             the encoded session, out-of-vocabulary items in place
    windows           int64 [w, ≤ length+1] the session cut into windows that overlap by one event
    end_time_ms       int64                 time of the session's last event
    side_<name>       int64 [n]             a feature of `features.side_features`, aligned with item_indices

evaluation signature (SavedModel → Evaluator): see `SIGNATURE_EVALUATE`.
"""

from __future__ import annotations

# Raw features.
SESSION_ID = "session_id"
ITEM_IDS = "item_ids"
EVENT_TIMES_MS = "event_times_ms"
EVENT_TYPES = "event_types"
SESSION_LENGTH = "session_length"
DEFAULT_EVENT_TYPE = "click"

# Transformed features.
ITEM_INDICES = "item_indices"
WINDOWS = "windows"
END_TIME_MS = "end_time_ms"

# Names that `features.side_features` may list; components/side_features.py computes them.
SIDE_FEATURES = (
    "event_type", "dwell", "since_previous", "hour_of_day", "day_of_week", "season", "price", "item_hash",
)  # fmt: skip
# They are numbered alike: 0 is padding, 1 unknown (missing, or not seen in training), then the values.
UNKNOWN_SIDE_INDEX = 1
FIRST_SIDE_INDEX = 2

# Splits.
TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")

# Encoded items: 0 is padding, then `features.oov_buckets` out-of-vocabulary indices, then the vocabulary,
# most frequent item first. Padding and out-of-vocabulary indices are never recommended.
PADDING_INDEX = 0
FIRST_OOV_INDEX = 1
VOCABULARY_NAME = "items"

# Signatures of the SavedModel (INTERFACE: "The model's signatures").
SIGNATURE_SERVING = "serving_default"
SIGNATURE_INDICES = "predict_indices"
SIGNATURE_EXAMPLES = "predict_examples"
# As `serving_default`, and each session brings ids that it must not be answered, or the only ones that it may be: see
# components/restrictions.py. Rows are padded with "". A row without an allowed id may be answered everything; places
# that no item is left for hold "" and the least float32.
SIGNATURE_RECOMMEND = "recommend"
INPUT_EXCLUDE = "exclude_item_ids"
INPUT_ALLOW = "allow_item_ids"
# The candidates of each session, string [batch, candidates], best first, unknown ones and repeats left out.
SIGNATURE_RANK = "rank_candidates"
INPUT_CANDIDATES = "candidate_item_ids"
# As `serving_default`, with what is known of each click besides: event_times_ms int64 [batch, n], 0 where it is not
# known, and of event_types and attribute_<name>, string [batch, n], "" where it is not, those that the model's side
# features are made of. Rows are padded at the right; n may be less than the number of items. There only where the
# network looks at side features.
SIGNATURE_EVENTS = "predict_events"
# A session as the model sees it: item_ids string [batch, length] → item_indices int64 [batch, look-back], trimmed to
# the newest items and padded. The static width of its output tells clients the look-back (GetModelMetadata).
SIGNATURE_ENCODE = "encode"
# Input "examples": string [batch], raw tf.Examples. Outputs, padded at the right to the longest row:
#   ranks    int32 [batch, positions]      rank of the next item after each prefix, from 1;
#                                          NO_PREDICTION where there is none (padding),
#                                          UNKNOWN_TARGET_RANK where the next item is not in the vocabulary
#   top_ids  int32 [batch, positions, TOP_IDS]  recommended item indices, best first
#   tied     bool [batch, positions]       whether another candidate has the next item's score
# The name carries a version: a baseline model with another evaluation contract must not be loaded by mistake.
SIGNATURE_EVALUATE = "evaluate_v1"
INPUT_ITEM_IDS = "item_ids"
INPUT_ITEM_INDICES = "item_indices"
INPUT_EXAMPLES = "examples"
OUTPUT_ITEM_IDS = "item_ids"
OUTPUT_ITEM_INDICES = "item_indices"
OUTPUT_SCORES = "scores"
OUTPUT_RANKS = "ranks"
OUTPUT_TOP_IDS = "top_ids"
OUTPUT_TIED = "tied"
NO_PREDICTION = 0
UNKNOWN_TARGET_RANK = 2**31 - 1
TOP_IDS = 20

# The metrics' cut-offs (INTERFACE: "metrics.json").
CUTOFFS = (1, 3, 5, 10, 20)

# What BaselineRanks adds to the raw features of the test split: ITEM_INDICES int64 [n], the session as the
# candidate's Transform graph encodes it, each baseline's ranks int64 [n - 1] under `baseline_ranks_feature(name)`,
# the slice of each prediction (prediction_slices.feature) and the day, or the week, in which the session began.
TEST_PERIOD = "period"
# The baselines, in the order of the report.
BASELINES = ("popular", "popular_recent", "last_viewed", "item_to_item", "session_knn")

# Lower and upper bound of each `session_length` bucket, both included; None: no upper bound.
SESSION_LENGTH_BUCKETS: tuple[tuple[int, int | None], ...] = ((1, 1), (2, 2), (3, 4), (5, 9), (10, 19), (20, None))

# Limits on what one request may ask.
MAX_REQUEST_BATCH = 1024
MAX_REQUEST_ITEMS = 1000
MAX_ITEM_ID_BYTES = 256
MAX_LIST_ITEMS = 10_000  # of each session's excluded or allowed ids
MAX_CANDIDATES = 1000
# Clients pad each list to the next of these widths, since a server only batches rows of one width.
LIST_WIDTHS = (8, 32, 128, 512, 2048, MAX_LIST_ITEMS)
MAX_TOP_K = 1000


def baseline_ranks_feature(baseline: str) -> str:
    """Name of the test split's feature that holds a baseline's ranks."""
    return f"ranks_{baseline}"


def attribute_feature(name: str) -> str:
    """Name of the raw feature that holds an entry of `data.attributes`: "attribute_device_category"."""
    return f"attribute_{name.replace('.', '_')}"


def side_feature(name: str) -> str:
    """Name of the transformed feature of an entry of `features.side_features`; its vocabulary is called so too."""
    return f"side_{name}"


def session_length_bucket(events: int) -> str:
    """Bucket of a session of that many events: `session_length_bucket(4)` is "3-4"."""
    for low, high in SESSION_LENGTH_BUCKETS:
        if high is None:
            return f"{low}+"
        if events <= high:
            return str(low) if low == high else f"{low}-{high}"
    raise AssertionError("the last bucket has no upper bound")
