"""A model in its ONNX form: a graph for ONNX Runtime, and in the file's metadata how its output becomes a score."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from twinserve.contract import Score
from twinserve.model.row_order import Cut, row_order

METADATA_KEY = "twinserve"
CHUNK = 16_384  # rows of one call: beyond it nothing gets faster, below it sorting pays less
SORTED_FROM = 128  # rows; fewer are scored before they are sorted
Floats = NDArray[np.float64]


class OnnxUnusable(Exception):
    """The file can't be used here; says why, in one clause."""


class Usage(BaseModel):
    """How the graph is used. It has one input, (rows, features) double, and one output, (rows, columns) double.

    Attributes:
        column: of the output.
        link: from that column to the score: as it is, the logistic function, one minus that, or exp(). NumPy and SciPy
            compute it, as scikit-learn does: in the graph its last bit would depend on a row's place in the batch.
        takes_nan: per feature, whether the original takes a NaN there; empty: everywhere.
        largest: per feature, the largest magnitude that the original takes, None for infinity too; empty: all of it.
            A row that the original would refuse with an error gets NaN.
        order: sort a large batch by these first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    column: int = 0
    link: Literal["identity", "logit", "logit_complement", "log"] = "identity"
    takes_nan: tuple[bool, ...] = ()
    largest: tuple[float | None, ...] = ()
    order: tuple[Cut, ...] = ()


def import_runtime() -> None:
    """Import now what `load_onnx_score` will need, where it is installed; a third of a second."""
    with suppress(ImportError):
        import scipy.special  # noqa: F401


def load_onnx_score(content: bytes) -> Score:
    """The score that an ONNX file computes: safe from several threads at once, each call on its own thread alone.

    Args:
        content: the file. Only data: it can name no code, and one that refers to other files is refused.

    Raises:
        OnnxUnusable: ONNX Runtime is not installed, or does not take the file.
    """
    session = _session(content)
    usage = _usage(session)
    refused, link, name = _refused(usage), _link(usage), session.get_inputs()[0].name

    def score(rows: Floats) -> Floats:
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        scores = np.empty(len(rows))
        for first in range(0, len(rows), CHUNK):
            part = rows[first : first + CHUNK]
            order = row_order(part, usage.order) if usage.order and len(part) >= SORTED_FROM else slice(None)
            scores[first : first + CHUNK][order] = session.run(None, {name: part[order]})[0][:, usage.column]
            if refused:
                scores[first : first + CHUNK][refused(part)] = np.nan
        with np.errstate(over="ignore"):
            return link(scores)

    return score


def _session(content: bytes) -> Any:
    """One thread a call: then no sum depends on how rows were spread over threads."""
    if b"location" in content:  # the key by which a tensor names another file that holds its values
        raise OnnxUnusable("the file refers to other files")
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # what goes wrong comes as an exception too
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a dozen classes, with no common base but this
        raise OnnxUnusable(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error


def _usage(session: Any) -> Usage:
    try:
        return Usage.model_validate_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    except (KeyError, ValidationError) as error:
        raise OnnxUnusable(f"its metadata {METADATA_KEY!r} can't be used ({type(error).__name__})") from None


def _refused(usage: Usage) -> Callable[[Floats], NDArray[np.bool_]] | None:
    """Which rows the original would refuse; None if it takes everything."""
    largest = np.array([np.inf if most is None else most for most in usage.largest] or [np.inf])
    barred = np.array([not takes for takes in usage.takes_nan] or [False])
    if not barred.any() and np.isinf(largest).all():
        return None
    harmless = float(largest.min())

    def refused(rows: Floats) -> NDArray[np.bool_]:
        sizes = np.abs(rows)
        if sizes.max(initial=0) <= harmless:  # not so for a NaN
            return np.zeros(len(rows), bool)
        found: NDArray[np.bool_] = ((sizes > largest) | (np.isnan(rows) & barred)).any(axis=1)
        return found

    return refused


def _link(usage: Usage) -> Callable[[Floats], Floats]:
    if usage.link == "identity":
        return lambda raw: raw
    if usage.link == "log":
        return np.exp
    from scipy.special import expit

    return expit if usage.link == "logit" else lambda raw: 1 - expit(raw)
