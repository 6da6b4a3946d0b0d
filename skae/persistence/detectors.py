"""Detectors: bags, their scalers and members, error measures and thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from skae.estimators import BaseAutoEncoder
from skae.outliers import AutoEncoderOutlierDetector
from skae.outliers.bagging import BaggedAutoEncoders, Member
from skae.outliers.errors import FUNCTIONS, ErrorMeasure, ResidualMeasure, WhitenedError
from skae.outliers.scaling import ColumnScaler
from skae.persistence.checks import (
    is_a,
    is_array,
    is_ascending,
    is_count,
    is_flag,
    is_float,
    is_floats,
    is_list,
    is_none_or,
    is_numbers,
)
from skae.persistence.container import ArtifactError
from skae.persistence.estimators import CLASSES, COMPLETE, ESTIMATOR, FITTED, MODELS, OPTIONAL
from skae.persistence.values import Kind, Reader, Writer, fields, register
from skae.tables import Table, TableLayout

FITTED[BaggedAutoEncoders] = {
    "_scaler": is_a(ColumnScaler, type(None)),
    "_members": is_list(is_a(Member)),
    "_copies": is_numbers,
    "_typical": is_floats,
    "out_of_bag_errors_": is_none_or(is_floats),
    "_training_errors": is_none_or(is_floats),
}
OPTIONAL[BaggedAutoEncoders] = {"_given_layout": is_a(TableLayout, type(None))}
FITTED[AutoEncoderOutlierDetector] = {
    "n_features_in_": is_count,
    "_table": is_a(Table),
    "_takes_holes": is_flag,
    "autoencoder_": lambda value: isinstance(value, BaseAutoEncoder | BaggedAutoEncoders),
    "_measure": is_a(ErrorMeasure, ResidualMeasure, WhitenedError),
    "_errors": is_ascending,
    "_training_errors": is_ascending,
    "_novelty": is_flag,
    "_of_new_rows": is_flag,
    "threshold_": is_float,
    "offset_": is_float,
}
MODELS |= {"_typical", "_measure"}


# ---- parts ---------------------------------------------------------------------------------------------------


def _read_scaler(reader: Reader, content: list[str]) -> ColumnScaler:
    scaler = ColumnScaler.__new__(ColumnScaler)
    scaler.center, scaler.scale = map(reader.array, content)
    return scaler


def _write_member(writer: Writer, member: Member) -> list:
    return [writer.of(member.autoencoder), int(member.bag), writer.array(member.rows)]


def _read_member(reader: Reader, content: list) -> Member:
    autoencoder, bag, rows = content
    return Member(reader.of(autoencoder), bag, reader.array(rows))


def _write_measure(writer: Writer, measure: ErrorMeasure) -> dict[str, Any]:
    error, arrays = "auto", None
    if isinstance(measure, WhitenedError):
        error, arrays = "whitened", [writer.array(measure.typical), writer.array(measure.precision)]
    elif isinstance(measure, ResidualMeasure):
        error = next(name for name, (function, _) in FUNCTIONS.items() if function is measure.function)
    numbers = {name: writer.of(getattr(measure, name)) for name in ("power", "least", "rounded")}
    return {"error": error, "arrays": arrays, **numbers}


def _read_measure(reader: Reader, content: dict[str, Any]) -> ErrorMeasure:
    """Return a measure without its model, which the detector has."""
    error, arrays, *numbers = fields(content, "error", "arrays", "power", "least", "rounded")
    measure: Any
    if error == "whitened":
        measure = WhitenedError.__new__(WhitenedError)
        measure.function = measure._whiten
        measure.typical, measure.precision = map(reader.array, arrays)
    elif error == "auto":
        measure = ErrorMeasure.__new__(ErrorMeasure)
    else:
        measure = ResidualMeasure.__new__(ResidualMeasure)
        measure.function = FUNCTIONS[error][0]
    measure.power, measure.least, measure.rounded = map(reader.of, numbers)
    if measure.power not in (None, 1, 2) or not (is_float(measure.least) and is_float(measure.rounded)):
        raise ArtifactError("its measure of errors is damaged")
    return measure


register(Kind("scaler", lambda w, v: [w.array(v.center), w.array(v.scale)], _read_scaler), ColumnScaler)
register(Kind("member", _write_member, _read_member), Member)
register(Kind("measure", _write_measure, _read_measure), ErrorMeasure, ResidualMeasure, WhitenedError)


# ---- estimators ----------------------------------------------------------------------------------------------


def _check_bag(bag: BaggedAutoEncoders) -> None:
    """Raise where the parts of a fitted bag do not belong together."""
    scaler, members, n_samples = bag._scaler, bag._members, len(bag._copies)
    unfitted, n_members, _ = zip(*bag.bags, strict=True)
    if not all(isinstance(member.autoencoder, BaseAutoEncoder) for member in members):
        raise ArtifactError("its bag holds other members than autoencoders")
    fitted = bag._fitted_members()  # all, unless the fit was interrupted
    sizes = {member.autoencoder.n_features_in_ for member in fitted}
    if (
        not all(isinstance(autoencoder, BaseAutoEncoder) for autoencoder in unfitted)
        or not all(map(is_count, n_members))
        or not is_flag(bag.scale_free)
        or not all(is_count(member.bag) and member.bag < len(bag.bags) for member in members)
        or not all(is_numbers(m.rows) and ((m.rows >= 0) & (m.rows < n_samples)).all() for m in members)
        or len(bag._typical) != len(fitted)
        or len(sizes) != 1
        or (scaler is None) == bool(bag.scale_free)
        or (scaler is not None and not all(is_array(np.float64, *sizes)(a) for a in (scaler.center, scaler.scale)))
        or (bag.out_of_bag_errors_ is not None and len(bag.out_of_bag_errors_) != n_samples)
    ):
        raise ArtifactError("its bag of autoencoders is damaged")


def _complete_detector(detector: Any) -> None:
    """Give the measure its model; raise where the parts of a fitted detector do not belong together."""
    model, measure, n = detector.autoencoder_, detector._measure, detector.n_features_in_
    first = model.autoencoders_[0] if isinstance(model, BaggedAutoEncoders) else model
    given = model._given_layout
    n_levels = (0,) * n if given is None else given.n_levels
    if (
        not first.__sklearn_is_fitted__()
        or first.n_features_in_ != n
        or detector._table.n_levels != n_levels
        or detector.offset_ != -detector.threshold_
        or (
            isinstance(measure, WhitenedError)
            and not (is_array(np.float64, n)(measure.typical) and is_array(np.float64, n, n)(measure.precision))
        )
    ):
        raise ArtifactError("its detector is damaged")
    measure.model, detector._fit_id = model, None


CLASSES |= {cls.__name__: cls for cls in (AutoEncoderOutlierDetector, BaggedAutoEncoders)}
COMPLETE |= {"BaggedAutoEncoders": _check_bag, "AutoEncoderOutlierDetector": _complete_detector}
register(ESTIMATOR, AutoEncoderOutlierDetector, BaggedAutoEncoders)
