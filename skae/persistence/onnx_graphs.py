"""What stands before and after a network in an ONNX file: columns, the steps of a pipeline, levels and classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from skae.messages import listed
from skae.persistence.computation import column_names
from skae.tables import Table

OPSETS = {"": 18, "ai.onnx.ml": 4}
CELLS = "cells"  # what the graph of a network takes, (n_rows, n_columns)
RESERVED = (CELLS, "threshold", "code", "score", "decision", "label", "probabilities")


def before_network(table: Table) -> Any:
    """Return the model that makes cells of the columns of a table: numbers, the numbers of levels and NaN."""
    from onnx import TensorProto, helper, numpy_helper

    names, inputs, nodes, parts = column_names(table), [], [], []
    if taken := {*names} & {*RESERVED, *(f"reconstruction_{name}" for name in names)}:
        raise ValueError(
            f"Columns {listed(sorted(taken))} of X have the names of inputs or outputs of the file: rename them."
        )
    for name, column in zip(names, table.columns, strict=True):
        is_text, part = False, name
        if column.levels is not None:
            levels = level_array(column.levels, name)
            is_text, part = levels.dtype.kind == "U", f"{name}.level"
            # a level of "" is no hole
            numbers = {"" if is_text else np.nan: np.nan} | {level: i for i, level in enumerate(levels.tolist())}
            keys: dict[str, Any] = {"keys_strings": list(numbers)}
            if not is_text:
                keys = {"keys_tensor": numpy_helper.from_array(np.array(list(numbers), dtype=np.float64))}
            values = numpy_helper.from_array(np.array(list(numbers.values()), dtype=np.float64))
            unknown = numpy_helper.from_array(np.array([len(levels)], dtype=np.float64))
            encoder = dict(domain="ai.onnx.ml", values_tensor=values, default_tensor=unknown, **keys)
            nodes.append(helper.make_node("LabelEncoder", [name], [part], **encoder))
        kind = TensorProto.STRING if is_text else TensorProto.DOUBLE
        inputs.append(helper.make_tensor_value_info(name, kind, ["n_rows"]))
        nodes.append(helper.make_node("Unsqueeze", [part, "columns.axis"], [f"{name}.column"]))
        parts.append(f"{name}.column")
    nodes.append(helper.make_node("Concat", parts, [CELLS], axis=1))
    cells = helper.make_tensor_value_info(CELLS, TensorProto.DOUBLE, ["n_rows", len(parts)])
    axis = numpy_helper.from_array(np.array([1]), "columns.axis")
    return helper.make_model(helper.make_graph(nodes, "columns", inputs, [cells], [axis]), opset_imports=_opsets())


def level_array(levels: Any, name: str) -> np.ndarray:
    """Return levels or classes as an array that ONNX can hold: of text, or of numbers."""
    array = np.array(list(levels))
    is_text = {isinstance(level, str) for level in levels}
    if len(is_text) > 1 or array.dtype.kind not in "Ubiuf":
        raise ValueError(
            f"{name!r} has levels or classes that are neither all text nor all numbers, as ONNX needs them: convert "
            "them (astype(str)) and fit again."
        )
    return array if array.dtype.kind in "Ub" else array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def step(name: str, transformer: Any, is_first: bool) -> Any:
    """Return the model of a fitted transformer of numbers, float64; the first step of a pipeline takes ``X``."""
    import onnxruntime
    from onnx import compose
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType

    try:
        model = convert_sklearn(
            transformer,
            initial_types=[("X", DoubleTensorType([None, transformer.n_features_in_]))],
            target_opset=OPSETS | {"ai.onnx.ml": 3},  # the last that it knows
        )
        onnxruntime.InferenceSession(model.SerializeToString())  # it lacks some operators for float64
    except Exception as error:  # skl2onnx raises many kinds
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"Step {name!r}, {transformer}, has no ONNX form in float64: {reason}\nReplace it (StandardScaler, "
            "MinMaxScaler, RobustScaler, PCA and others have one), or export only what follows it."
        ) from error
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n_rows"
    del model.opset_import[:]  # the least that its operators need, which are the same in ours
    model.opset_import.extend(_opsets())
    return compose.add_prefix(model, f"{name}.", rename_inputs=not is_first)


def put_before(first: Any, model: Any) -> Any:
    """Return two models as one: the only output of the first is the first input of the other."""
    from onnx import compose

    first.ir_version = model.ir_version
    return compose.merge_models(first, model, io_map=[(first.graph.output[0].name, model.graph.input[0].name)])


def name_values(model: Any, output: str, values: np.ndarray) -> None:
    """Replace an output of integers, (n_rows,), by the values that they are the numbers of."""
    from onnx import helper, numpy_helper

    graph, numbers, table = model.graph, f"{output}.number", f"{output}.values"
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [numbers if name == output else name for name in names]
    values = values.astype(object) if values.dtype.kind == "U" else values
    graph.initializer.append(numpy_helper.from_array(values, table))
    graph.node.append(helper.make_node("Gather", [table, numbers], [output]))
    info = next(info for info in graph.output if info.name == output)
    info.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(values.dtype)


def _opsets() -> list:
    from onnx import helper

    return [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
