"""`run_fn` of TFX's Trainer: transformed examples in; SavedModel, training.json and TensorBoard logs out."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_transform.output_wrapper import TFTransformOutput

from nextclick.components import contract, dataset, fitting, quantize, recipe, request_encoder, side_inputs, warm_start
from nextclick.components.fitting import Fitted
from nextclick.components.memory import peak_memory_bytes
from nextclick.components.projector import write_projector
from nextclick.components.recipe import Trained
from nextclick.components.restricted_signatures import RestrictedSignatures
from nextclick.components.scorer import Scorer
from nextclick.components.warmup import write_warmup
from nextclick.pipeline import config as configuration
from nextclick.pipeline.config import Config
from nextclick.pipeline.errors import DataError

TRAINING_FILE = "training.json"


def run_fn(fn_args: Any) -> None:
    """Trains and exports.

    Args:
      fn_args: TFX's FnArgs. Read are `custom_config["config"]` (JSON text of the configuration), `train_files` and
        `eval_files` (transformed examples), `transform_output`, `serving_model_dir`, `model_run_dir` and, for
        `training.warm_start`, `base_model`: the folder of the served model, which need not hold one.

    Raises: DataError where the training split has no item to learn.
    """
    config = configuration.from_json(fn_args.custom_config["config"])
    start = time.monotonic()
    set_threads(config.training.threads)
    transform = TFTransformOutput(fn_args.transform_output)
    vocabulary = list(transform.vocabulary_by_name(contract.VOCABULARY_NAME))
    read = dataset.reader(config, transform)
    train = read(fn_args.train_files)
    check_known(train, config)
    validation = read(fn_args.eval_files)
    warm = warm_start.WarmStart(fn_args.base_model, vocabulary) if config.training.warm_start else None
    earlier = warm if warm and warm.found else None
    seen_until_ms = earlier.learnt_until_ms if earlier else 0
    trained = recipe.train(config, train, validation, len(vocabulary), earlier, seen_until_ms)
    learnt = [train, validation] if config.data.refit else [train]
    learnt_until_ms = max(seen_until_ms, *(int(split.end_times_ms.max(initial=0)) for split in learnt))
    write_logs(fn_args.model_run_dir, trained.fitted)
    write_projector(fn_args.model_run_dir, trained.scorer.model, vocabulary)
    export(config, trained.scorer, transform, vocabulary, fn_args.serving_model_dir, learnt_until_ms)
    write_summary(fn_args.model_run_dir, trained, time.monotonic() - start, warm)


def check_known(train: dataset.Split, config: Config) -> None:
    """Raises DataError where the training split has no item of the vocabulary (which Transform then fills with one)."""
    if not (train.sessions.items >= contract.FIRST_OOV_INDEX + config.features.oov_buckets).any():
        raise DataError(
            f"no item has {config.features.min_item_support} clicks in the training split: lower "
            "features.min_item_support, or give more data"
        )


def export(
    config: Config, scorer: Scorer, transform: Any, vocabulary: list[bytes], folder: str, learnt_until_ms: int = 0
) -> None:
    """Writes the SavedModel with its signatures and warm-up requests; arguments as of `Signatures`."""
    encoder = request_encoder.of_transform(transform, side_inputs.names(config), config.features)

    def save(scorer: Scorer, folder: str) -> None:
        settings = config.serving
        signatures = RestrictedSignatures(
            scorer, encoder, vocabulary, settings.top_k, settings.exclude_seen, learnt_until_ms
        )
        tf.saved_model.save(signatures, folder, signatures=signatures.functions())

    if config.serving.weights != "float32":
        save(scorer, quantize.reference_folder(folder))
        scorer = quantize.narrowed(scorer, config.serving.weights)
    save(scorer, folder)
    write_warmup(
        folder,
        config.serving.model_name,
        vocabulary,
        scorer.first_item,
        config.features.lookback,
        encoder.side_types,
    )


def write_summary(folder: str, trained: Trained, seconds: float, warm: warm_start.WarmStart | None = None) -> None:
    """Writes training.json: what the report shows of the training."""
    fitted = trained.fitted
    lines = fitted.history + fitted.member_history + fitted.refit_history
    events = sum(line.events for line in lines)
    training_seconds = sum(line.training_seconds for line in lines)
    summary = {
        "epochs": len(fitted.history),
        "best_epoch": fitted.best_epoch,
        "seconds": seconds,
        "events": events,
        "events_per_second": events / training_seconds if training_seconds else 0.0,
        "parameters": trained.parameters,
        "dropout": fitted.config.model.dropout,
        "batch_size": fitted.config.training.batch_size,
        "precision": trained.scorer.model.precision,
        "skipped_steps": sum(line.skipped_steps for line in lines),
        "peak_memory_bytes": peak_memory_bytes(),
        "members": len(trained.scorer.models),
        "fold_epochs": list(trained.fold_epochs),
        "refit_epochs": len(fitted.refit_history) // len(trained.scorer.models),
        "hybrid_weight": trained.hybrid_weight,
        "history": [_history_line(line) for line in fitted.history],
        "warm_start": {**warm.summary(), "validation_mrr@20": _or_null(fitted.mrr_before)} if warm else None,
    }
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(f"{folder}/{TRAINING_FILE}", "w") as file:
        file.write(json.dumps(summary, indent=2))


def write_logs(folder: str, fitted: Fitted) -> None:
    """Writes the history for TensorBoard, a step an epoch; `tf.summary.scalar` would want TensorBoard installed."""
    metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    with tf.summary.create_file_writer(folder).as_default():
        for line in fitted.history:
            for name, value in _history_line(line).items():
                if name != "epoch" and value is not None:
                    tf.summary.write(name, tf.constant(value, tf.float32), step=line.epoch, metadata=metadata)


def set_threads(threads: int) -> None:
    """Limits TensorFlow's CPU threads; 0: no limit. Says so where TensorFlow is already running in this process."""
    if not threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        print(
            f"training.threads={threads} has no effect: TensorFlow already runs in this process",
            file=sys.stderr,
            flush=True,
        )


def _history_line(line: fitting.Epoch) -> Mapping[str, Any]:
    """A line of training.json; JSON has no NaN, so what was not measured is null."""
    return {
        "epoch": line.epoch,
        "loss": line.loss,
        "validation_recall@20": _or_null(line.recall),
        "validation_mrr@20": _or_null(line.mrr),
        "seconds": line.seconds,
    }


def _or_null(figure: float | None) -> float | None:
    return None if figure is None or math.isnan(figure) else figure
