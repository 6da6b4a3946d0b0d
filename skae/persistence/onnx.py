"""Fitted estimators as ONNX files, which run where neither skae nor torch is installed."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skae._compat import in_own_modes
from skae.device import on_cpu
from skae.estimators.base import NetworkEstimator
from skae.estimators.labels import PartlyLabelled
from skae.outliers import AutoEncoderOutlierDetector
from skae.persistence.computation import AutoEncoderComputation, Decoded, DetectorComputation, column_names
from skae.persistence.container import write
from skae.persistence.onnx_graphs import CELLS, OPSETS, before_network, level_array, name_values, put_before, step

LOGGERS = ("torch", "onnxscript", "onnx_ir")


def export_onnx(estimator, path, *, threshold_input=False):
    """Write a fitted estimator to an ONNX file, which needs neither skae nor torch to run.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A fitted autoencoder, classifier or detector of this package, a search over one, whose ``best_estimator_`` is
        taken, or a `sklearn.pipeline.Pipeline` that ends in one, after steps that skl2onnx converts.
    path : str or path-like
        The file. It is replaced only when the new one is complete.
    threshold_input : bool, default=False
        Whether the threshold of a detector is an input of the file; else it is ``threshold_``.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no estimator of this package, nor a pipeline that ends in one.
    ValueError
        If a part of it cannot be exported, or ``threshold_input`` is set for no detector. The message says what to do.
    ImportError
        If onnx, onnxscript, onnxruntime or skl2onnx is missing.

    Notes
    -----
    The file has opset 18 and, for text and other categories, opset 4 of ai.onnx.ml.

    **Inputs.** ``X``, float64, (n_rows, n_features): the columns in the order of the fit, NaN for holes. An estimator
    fitted on categories has an input (n_rows,) for each column instead, by its name, ``x0``, ``x1``... where it has
    none: strings for text, where "" is a hole, float64 for everything else. ``threshold``, where it is an input, is
    float64 without axes.

    **Outputs.** What the methods return for float64 rows, floats as float64; those of a pipeline are its last step's:

    ==================  =======================  ===============================================
    output              shape                    of
    ==================  =======================  ===============================================
    ``code``            (n_rows, n_components)   autoencoders and classifiers: `transform`
    ``reconstruction``  (n_rows, n_features)     autoencoders and detectors: `reconstruct`
    ``score``           (n_rows,)                the same: `score_samples`
    ``decision``        (n_rows,)                detectors: `decision_function`
    ``label``           (n_rows,)                detectors and classifiers: `predict`
    ``probabilities``   (n_rows, n_classes)      classifiers: `predict_proba`
    ==================  =======================  ===============================================

    With categories there is ``reconstruction_<column>``, (n_rows,), for each column in place of ``reconstruction``.
    Levels and classes are strings, integers, floats or booleans, as they were in `fit`.

    Results agree with skae's to 1e-5 of the largest value of an output, or to 1e-5 where that is less than 1, and in
    the tests mostly to 1e-6: float32 sums are rounded differently. Rows are not checked, and those whose results
    overflow float32 are not computed again in float64, as skae does.

    The metadata hold ``features``, the names of the columns, and ``estimator``, the class, as JSON.
    ``producer_version`` is skae's version.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import onnxruntime
    >>> from skae import AutoEncoderOutlierDetector, AutoEncoderTransformer, export_onnx
    >>> X = np.random.default_rng(0).normal(size=(200, 1)) @ [[1.0, -1.0, 2.0]]
    >>> detector = AutoEncoderOutlierDetector(AutoEncoderTransformer(1, random_state=0), novelty=True).fit(X)
    >>> with TemporaryDirectory() as folder:
    ...     export_onnx(detector, f"{folder}/detector.onnx")
    ...     session = onnxruntime.InferenceSession(f"{folder}/detector.onnx")
    >>> (labels,) = session.run(["label"], {"X": np.array([[1.0, -1.0, 2.0], [1.0, 1.0, 2.0]])})
    >>> labels.tolist()
    [1, -1]
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
        import skl2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError('skae.export_onnx needs onnx: python -m pip install "skae[onnx]".') from error
    from skae import __version__

    steps, last = _split(estimator)
    if threshold_input and not isinstance(last, AutoEncoderOutlierDetector):
        raise ValueError(f"threshold_input=True needs a detector: {type(last).__name__} has no threshold.")
    has_categories = any(last._table.n_levels)
    if steps and has_categories:
        raise ValueError(
            f"{type(last).__name__} has categories, which the step before it, {steps[-1][0]!r}, passes on: ONNX has "
            "one type for all columns. Encode them in a step (OneHotEncoder), or let it take X as it is."
        )
    with _quiet():
        fronts = [step(name, transformer, is_first=i == 0) for i, (name, transformer) in enumerate(steps)]
        if has_categories:
            fronts.append(before_network(last._table))
        model = _network_model(last, CELLS if fronts else "X", threshold_input)
        for front in reversed(fronts):
            model = put_before(front, model)
    names = getattr(estimator, "feature_names_in_", None)
    about = {
        "estimator": type(last).__name__,
        "features": column_names(last._table) if names is None else names.tolist(),
    }
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in about.items()})
    model.producer_name, model.producer_version = "skae", __version__
    onnx.checker.check_model(model, full_check=True)
    write(path, [model.SerializeToString()])


def _split(estimator: Any) -> tuple[list[tuple[str, Any]], Any]:
    """Return the steps before a fitted estimator of this package, and it."""
    steps: list[tuple[str, Any]] = []
    last = estimator
    while not isinstance(last, NetworkEstimator | AutoEncoderOutlierDetector):
        if isinstance(last, Pipeline):
            steps += [(name, part) for name, part in last.steps[:-1] if part not in (None, "passthrough")]
            last = last.steps[-1][1]
        elif hasattr(last, "refit"):  # a search
            check_is_fitted(last)
            if not last.refit:
                raise ValueError(
                    f"refit={last.refit} of {type(last).__name__} leaves no estimator to export: set True."
                )
            last = last.best_estimator_
        else:
            raise TypeError(
                "estimator must be one of skae, a Pipeline that ends in one, or a search over one; got "
                f"{type(last).__name__}."
            )
    check_is_fitted(last)
    return steps, last


@in_own_modes(inference=False)
def _network_model(estimator: Any, input_name: str, threshold_input: bool) -> Any:
    """Return the model of an estimator of this package, from cells and perhaps a threshold to outputs."""
    from onnx import compose, numpy_helper

    inputs: dict[str, Tensor] = {input_name: torch.zeros(2, estimator.n_features_in_, dtype=torch.float64)}
    shapes: list[dict] = [{0: torch.export.Dim("n_rows")}]
    computation: nn.Module
    if isinstance(estimator, AutoEncoderOutlierDetector):
        computation = DetectorComputation(estimator)
        inputs["threshold"] = torch.tensor(estimator.threshold_, dtype=torch.float64)
        shapes.append({})
    else:
        computation = AutoEncoderComputation(estimator)
    module = Decoded(computation, estimator._table).eval()
    try:
        with torch.no_grad(), on_cpu():
            outputs = list(module(*inputs.values()))  # layouts make their tensors here, not while they are traced
            exported = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=(tuple(shapes),))
            program: Any = torch.onnx.export(
                exported,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes=(tuple(shapes),),
                opset_version=OPSETS[""],
                verbose=False,
            )
    except Exception as error:  # the exporter raises many kinds
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"torch cannot export {estimator}: {reason}\nModules of your own must take any number of rows and must not "
            "branch on their values."
        ) from error
    # no column may have the name of something within
    model = compose.add_prefix(program.model_proto, "network.", rename_inputs=False, rename_outputs=False)
    for part in (
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
        model.graph,
        model,
    ):
        part.ClearField("metadata_props")  # paths of this machine, many times the size of a small network
    if "threshold" in inputs and not threshold_input:
        model.graph.input.pop()
        model.graph.initializer.append(numpy_helper.from_array(inputs["threshold"].numpy(), "threshold"))
    table = estimator._table
    names = column_names(table)
    columns = zip(names, table.columns, strict=True)
    values = {f"reconstruction_{name}": column.levels for name, column in columns if column.levels is not None}
    if isinstance(estimator, PartlyLabelled):
        values["label"] = estimator.classes_
    for name in values.keys() & {*outputs}:
        name_values(model, name, level_array(values[name], name))
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' messages from the user, who can do nothing about them."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
