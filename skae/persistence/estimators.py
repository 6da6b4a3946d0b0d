"""Estimators and network specifications: parameters through their constructors, fitted attributes one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from torch import Tensor

from skae.estimators import (
    AdversarialAutoEncoder,
    AutoEncoderTransformer,
    ConditionalVariationalAutoEncoder,
    ContractiveAutoEncoder,
    DenoisingAutoEncoder,
    SparseAutoEncoder,
    StackedAutoEncoder,
    StackedAutoEncoderClassifier,
    VariationalAutoEncoder,
)
from skae.estimators.base import NetworkEstimator
from skae.estimators.greedy import GreedyPretraining
from skae.estimators.labels import PartlyLabelled
from skae.estimators.parameters import are_same
from skae.persistence.container import ArtifactError
from skae.persistence.networks import SPECIFICATIONS, check_optimizer_states, read_network, write_network
from skae.persistence.values import Kind, Reader, Writer, register
from skae.tables import Table, TableLayout

# parameters that may hold code of the user's
CODE = ("network", "corruption", "prior")

CLASSES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        *SPECIFICATIONS,
        AdversarialAutoEncoder,
        AutoEncoderTransformer,
        ConditionalVariationalAutoEncoder,
        ContractiveAutoEncoder,
        DenoisingAutoEncoder,
        SparseAutoEncoder,
        StackedAutoEncoder,
        StackedAutoEncoderClassifier,
        VariationalAutoEncoder,
    )
}


# ---- what a value must be ------------------------------------------------------------------------------------

Check = Callable[[Any], bool]


def is_count(value: Any) -> bool:
    """Whether it is an integer of 0 or more."""
    return type(value) is int and value >= 0


def is_a(*types: type) -> Check:
    """Return the check for values of exactly these types."""
    return lambda value: type(value) in types


def is_list(check: Check) -> Check:
    """Return the check for lists of what passes another one."""
    return lambda value: type(value) is list and all(map(check, value))


def is_vector(value: Any) -> bool:
    """Whether it is a one-dimensional array."""
    return type(value) is np.ndarray and value.ndim == 1


def is_floats(*shape: int | None) -> Check:
    """Return the check for float64 arrays of a shape, in which None is any number."""
    return lambda value: (
        type(value) is np.ndarray
        and value.dtype == np.float64
        and value.ndim == len(shape)
        and all(n in (None, got) for n, got in zip(shape, value.shape, strict=True))
    )


def is_names(value: Any) -> bool:
    """Whether it is an array of names, as ``feature_names_in_``."""
    return is_vector(value) and value.dtype == object and all(type(name) is str for name in value)


# attributes of fitted estimators
FITTED: dict[type, dict[str, Check]] = {
    NetworkEstimator: {
        "n_features_in_": is_count,
        "_table": is_a(Table),
        "_layout": is_a(TableLayout, type(None)),
        "_seed": is_count,
        "_fitted_loss_scale": is_a(float),
        "_optimizer_states": is_list(is_list(is_a(Tensor))),
        "loss_curve_": is_list(is_a(float)),
        "validation_loss_curve_": lambda value: value is None or is_list(is_a(float))(value),
        "best_epoch_": is_count,
        "n_iter_": is_count,
    },
    PartlyLabelled: {"classes_": lambda value: is_vector(value) and len(value) > 0},
    ConditionalVariationalAutoEncoder: {"class_prior_": is_floats(None), "_known_share": is_a(float)},
}
# that they may lack
OPTIONAL: dict[type, dict[str, Check]] = {
    BaseEstimator: {
        "feature_names_in_": is_names,
        "_sklearn_output_config": lambda value: type(value) is dict and set(value) == {"transform"},
    },
    NetworkEstimator: {"_given_layout": is_a(TableLayout, type(None))},
    GreedyPretraining: {"pretraining_loss_curves_": is_list(is_list(is_a(float)))},
}


def checks_of(estimator: BaseEstimator, table: dict[type, dict[str, Check]]) -> dict[str, Check]:
    """Return the checks of all classes that an estimator is an instance of."""
    return {k: check for base, checks in table.items() if isinstance(estimator, base) for k, check in checks.items()}


def check_attributes(estimator: BaseEstimator, values: dict[str, Any], is_fitted: bool) -> None:
    """Raise an `ArtifactError` where one is missing, unknown or not what it must be."""
    name, required = type(estimator).__name__, checks_of(estimator, FITTED)
    known = required | checks_of(estimator, OPTIONAL)
    if is_fitted and (missing := required.keys() - values.keys()):
        raise ArtifactError(f"its {name} has no {min(missing)}")
    for key, value in values.items():
        if key not in known:
            raise ArtifactError(f"its {name} has an attribute {key!r}, which this version of skae does not know")
        if not known[key](value):
            raise ArtifactError(f"{key} of its {name} is {value!r:.80}, which it cannot be")


# ---- estimators ----------------------------------------------------------------------------------------------


def attributes_of(estimator: BaseEstimator) -> dict[str, Any]:
    """Return what an estimator holds beyond its parameters and callbacks."""
    parameters = estimator.get_params(deep=False)
    return {name: v for name, v in vars(estimator).items() if name not in parameters and "callback" not in name}


def _write_values(writer: Writer, estimator: BaseEstimator, values: dict[str, Any]) -> dict[str, Any]:
    """Return parameters or attributes as JSON."""
    written = {}
    for name, value in values.items():
        try:
            if name in CODE and not (value is None or isinstance(value, str) or type(value) in SPECIFICATIONS):
                written[name] = writer.user_code(name, value)
            else:
                written[name] = writer.of(value)
        except TypeError as error:
            raise TypeError(f"{name} of {type(estimator).__name__}: {error}") from error
    return written


def _write(writer: Writer, estimator: BaseEstimator) -> dict[str, Any]:
    attributes, parameters = attributes_of(estimator), estimator.get_params(deep=False)
    special: dict[str, Any] = {}
    if isinstance(estimator, NetworkEstimator) and "_network" in attributes:
        fixed, network = attributes.pop("_fixed"), attributes.pop("_network")
        changed = {k: v for k, v in fixed.items() if not are_same(v, parameters[k])}  # most often nothing
        special = {"fixed": _write_values(writer, estimator, changed), "network": write_network(writer, network)}
    known = checks_of(estimator, FITTED) | checks_of(estimator, OPTIONAL)
    if foreign := attributes.keys() - known.keys():
        raise TypeError(f"{min(foreign)} of {type(estimator).__name__} is no attribute of skae's: delete it")
    return {
        "class": type(estimator).__name__,
        "parameters": _write_values(writer, estimator, parameters),
        "attributes": _write_values(writer, estimator, attributes),
        **special,
    }


def _read(reader: Reader, content: dict[str, Any]) -> BaseEstimator:
    reader.n_estimators_left -= 1
    if reader.n_estimators_left < 0:
        raise ArtifactError("it holds more estimators than arrays")
    if content["class"] not in CLASSES:
        raise ArtifactError(f"it holds a {content['class']!r:.80}, which this version of skae does not know")
    cls = CLASSES[content["class"]]
    estimator = cls(**{name: reader.of(value) for name, value in content["parameters"].items()})
    estimator._validate_params()
    values = {name: reader.of(value) for name, value in content["attributes"].items()}
    check_attributes(estimator, values, is_fitted="network" in content)
    estimator.__dict__.update(values)
    if isinstance(estimator, NetworkEstimator) and "network" in content:
        _read_fit(reader, estimator, content)
    return estimator


def _read_fit(reader: Reader, estimator: Any, content: dict[str, Any]) -> None:
    """Set the network of an estimator, and the parameters that its fit has fixed."""
    table, layout = estimator._table, estimator._layout
    given = estimator._given_layout
    if (
        len(table.columns) != estimator.n_features_in_
        or (layout is not None and len(layout.n_levels) != estimator.n_features_in_)
        or (given is not None and given is not layout)
        or (given is None and any(table.n_levels) and (layout is None or table.n_levels != layout.n_levels))
    ):
        raise ArtifactError("its table has other columns than its network")
    changed = {name: reader.of(value) for name, value in content["fixed"].items()}
    estimator._fixed = estimator._current_fixed()
    if changed.keys() - estimator._fixed.keys():
        raise ArtifactError("it fixes parameters that no fit fixes")
    estimator._fixed |= changed
    builder = type(estimator)(**(estimator.get_params(deep=False) | estimator._fixed))
    builder._validate_params()
    builder.__dict__.update({name: vars(estimator)[name] for name in ("n_features_in_", "classes_", "class_prior_") if name in vars(estimator)})
    estimator._network = read_network(reader, content["network"], builder, layout)
    check_optimizer_states(estimator._optimizer_states, estimator._network)


register(Kind("estimator", _write, _read), *CLASSES.values())
