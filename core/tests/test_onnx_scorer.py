"""ONNX files as they are read: what becomes of the graph's output, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from scipy.special import expit

from twinserve.command.containment import containing_environment
from twinserve.model.onnx_scorer import CHUNK, METADATA_KEY, OnnxUnusable, Usage, load_onnx_score
from twinserve.model.row_order import Cut

ROWS = np.random.default_rng(0).normal(size=(2 * CHUNK + 700, 2))


def doubling() -> Any:
    """(rows, 2) → twice that."""
    shape = [None, 2]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["rows", "two"], ["raw"])],
        "doubling",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, shape)],
        [helper.make_tensor_value_info("raw", TensorProto.DOUBLE, shape)],
        [numpy_helper.from_array(np.array([2.0]), "two")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def content(usage: Usage | str, model: Any = None) -> bytes:
    model = model or doubling()
    helper.set_model_props(model, {METADATA_KEY: usage if isinstance(usage, str) else usage.model_dump_json()})
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(), 2 * ROWS[:, 0]),
        (Usage(column=1), 2 * ROWS[:, 1]),
        (Usage(link="logit"), expit(2 * ROWS[:, 0])),
        (Usage(link="logit_complement"), 1 - expit(2 * ROWS[:, 0])),
        (Usage(link="log"), np.exp(2 * ROWS[:, 0])),
        (Usage(order=(Cut(feature=1, edges=(-0.3, 0.3)), Cut(feature=0, edges=(0.0,)))), 2 * ROWS[:, 0]),
    ],
)
def test_column_link_and_order(usage: Usage, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(load_onnx_score(content(usage))(ROWS), expected)


def test_no_rows_no_scores() -> None:
    assert load_onnx_score(content(Usage()))(np.empty((0, 2))).shape == (0,)


def test_any_layout_of_the_matrix_is_taken() -> None:
    score = load_onnx_score(content(Usage()))
    np.testing.assert_array_equal(score(np.asfortranarray(ROWS[::3])), 2 * ROWS[::3, 0])


def test_rows_that_the_original_would_refuse_get_nan() -> None:
    usage = Usage(takes_nan=(True, False), largest=(None, 1e30))
    rows = np.array([[np.nan, 1], [1, np.nan], [np.inf, 1], [1, np.inf], [1, -2e30], [1, 1e30], [3, 4]])
    scores = load_onnx_score(content(usage))(rows)
    np.testing.assert_array_equal(scores, [np.nan, np.nan, np.inf, np.nan, np.nan, 2, 6])


def test_several_threads_at_once_give_the_same_bits() -> None:
    score = load_onnx_score(content(Usage(link="logit", order=(Cut(feature=0, edges=(0.0,)),))))
    alone = score(ROWS)
    with ThreadPoolExecutor(4) as pool:
        for together in pool.map(score, [ROWS] * 16):
            np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"no graph",
        content(Usage())[:-20],
        doubling().SerializeToString(),
        content('{"link": "cosine"}'),
        content('{"column": 0, "surprise": 1}'),
    ],
)
def test_what_cannot_be_used_is_refused(bad: bytes) -> None:
    with pytest.raises(OnnxUnusable):
        load_onnx_score(bad)


def test_a_file_that_points_at_another_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = doubling()
    (two,) = model.graph.initializer
    (tmp_path / "two.bin").write_bytes(two.raw_data)
    external_data_helper.set_external_data(two, "two.bin")
    two.ClearField("raw_data")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OnnxUnusable, match="refers to other files"):
        load_onnx_score(content(Usage(), model))


def test_onnx_runtime_keeps_no_record_of_what_it_does(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(doubling().SerializeToString())
    home = tmp_path / "home"
    words = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1])"
    environment = os.environ | containing_environment(home) | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", words, str(model)], env=environment, check=True)
    assert [path for path in home.rglob("*") if path.is_file()] == []
