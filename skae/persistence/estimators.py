"""Estimators and network specifications: parameters through their constructors, fitted attributes one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from skae.persistence.checks import (
    Check,
    are_classes,
    is_a,
    is_count,
    is_float,
    is_floats,
    is_list,
    is_names,
    is_none_or,
)
from skae.persistence.container import ArtifactError
from skae.persistence.networks import SPECIFICATIONS, check_optimizer_states, read_network, write_network
from skae.persistence.values import Kind, Reader, Writer, fields, register
from skae.tables import Table, TableLayout

CODE = ("network", "corruption", "prior")  # parameters that may hold code of the user's
# a file names no place to write to, and what is known by the name of a fit is not in it
LEFT_OUT = {"memory", "_fit_id"}

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


# ---- attributes ----------------------------------------------------------------------------------------------

# attributes of fitted estimators; `_network` and `_fixed` are read apart
FITTED: dict[type, dict[str, Check]] = {
    NetworkEstimator: {
        "n_features_in_": is_count,
        "_table": is_a(Table),
        "_layout": is_a(TableLayout, type(None)),
        "_seed": lambda value: is_count(value) and value < 2**64,
        "_fitted_loss_scale": is_float,
        "_optimizer_states": is_list(is_list(is_a(Tensor))),
        "loss_curve_": is_list(is_float),
        "validation_loss_curve_": is_none_or(is_list(is_float)),
        "best_epoch_": is_count,
        "n_iter_": is_count,
    },
    PartlyLabelled: {"classes_": are_classes},
    ConditionalVariationalAutoEncoder: {"class_prior_": is_floats, "_known_share": is_float},
}
# attributes that an estimator may lack
OPTIONAL: dict[type, dict[str, Check]] = {
    BaseEstimator: {
        "feature_names_in_": is_names,
        "_sklearn_output_config": lambda value: type(value) is dict and set(value) == {"transform"},
    },
    NetworkEstimator: {"_given_layout": is_a(TableLayout, type(None))},
    GreedyPretraining: {"pretraining_loss_curves_": is_list(is_list(is_float))},
}
MODELS = {"_network"}  # attributes that only a fitted estimator has


def checks_of(estimator: BaseEstimator, table: dict[type, dict[str, Check]]) -> dict[str, Check]:
    """Return the checks of all classes that an estimator is an instance of."""
    return {k: check for base, checks in table.items() if isinstance(estimator, base) for k, check in checks.items()}


def check_attributes(estimator: BaseEstimator, values: dict[str, Any], is_fitted: bool) -> None:
    """Raise an `ArtifactError` where one is missing, unknown or not what it must be."""
    name, required = type(estimator).__name__, checks_of(estimator, FITTED)
    known = required | checks_of(estimator, OPTIONAL)
    if type(is_fitted) is not bool:
        raise ArtifactError(f"its {name} is not said to be fitted or not")
    if is_fitted and (missing := required.keys() - values.keys()):
        raise ArtifactError(f"its {name} has no {min(missing)}")
    for key, value in values.items():
        if key not in known:
            raise ArtifactError(f"its {name} has an attribute {key!r}, which is none of this version of skae's")
        if not known[key](value):
            raise ArtifactError(f"{key} of its {name} is {value!r:.80}, which it cannot be")


# ---- estimators ----------------------------------------------------------------------------------------------


def code_of(estimator: BaseEstimator) -> dict[str, Any]:
    """Return the parameters of an autoencoder that hold code of the user's."""
    parameters = estimator.get_params(deep=False)
    return {name: parameters[name] for name in CODE if _is_code(parameters.get(name))}


def _is_code(value: Any) -> bool:
    return not (value is None or isinstance(value, str) or type(value) in SPECIFICATIONS)


def _write_values(writer: Writer, estimator: BaseEstimator, values: dict[str, Any]) -> dict[str, Any]:
    """Return parameters or attributes as JSON."""
    written = {}
    for name, value in values.items():
        try:
            if name in CODE and _is_code(value):
                written[name] = writer.user_code(name, value)
            elif name not in LEFT_OUT:
                written[name] = writer.of(value)
        except TypeError as error:
            raise TypeError(f"{name} of {type(estimator).__name__}: {error}") from error
    return written


def _write(writer: Writer, estimator: BaseEstimator) -> dict[str, Any]:
    estimator._validate_params()  # as `load` will
    parameters = estimator.get_params(deep=False)
    attributes = {k: v for k, v in vars(estimator).items() if k not in parameters and "callback" not in k}
    written: dict[str, Any] = {
        "class": type(estimator).__name__,
        "parameters": _write_values(writer, estimator, parameters),
        "is_fitted": not MODELS.isdisjoint(attributes),
        "fixed": None,
        "network": None,
    }
    if "_network" in attributes:
        fixed, network = attributes.pop("_fixed"), attributes.pop("_network")
        changed = {k: v for k, v in fixed.items() if not are_same(v, parameters[k])}  # most often nothing
        written |= {"fixed": _write_values(writer, estimator, changed), "network": write_network(writer, network)}
    attributes = {name: value for name, value in attributes.items() if name not in LEFT_OUT}
    try:
        check_attributes(estimator, attributes, written["is_fitted"])
    except ArtifactError as error:
        raise TypeError(f"It could not be loaded: {error}.") from error
    return written | {"attributes": _write_values(writer, estimator, attributes)}


def _read(reader: Reader, content: dict[str, Any]) -> BaseEstimator:
    reader.n_estimators_left -= 1
    if reader.n_estimators_left < 0:
        raise ArtifactError("it holds more estimators than arrays")
    name, parameters, is_fitted, fixed, network, attributes = fields(
        content, "class", "parameters", "is_fitted", "fixed", "network", "attributes"
    )
    if name not in CLASSES:
        raise ArtifactError(f"it holds a {name!r:.80}, which this version of skae does not know")
    # where a later version adds a parameter, it is given here the value that files of this one stand for
    fields(parameters, *({*CLASSES[name]._get_param_names()} - LEFT_OUT))
    estimator = CLASSES[name](**{key: reader.of(value) for key, value in parameters.items()})
    estimator._validate_params()
    attributes = {key: reader.of(value) for key, value in attributes.items()}
    check_attributes(estimator, attributes, is_fitted)
    estimator.__dict__.update(attributes)
    if isinstance(estimator, NetworkEstimator) and is_fitted:
        _add_network(reader, estimator, fixed, network)
    elif fixed is not None or network is not None:
        raise ArtifactError(f"its {name} has a network")
    if is_fitted and name in COMPLETE:
        COMPLETE[name](estimator)
    return estimator


def _add_network(reader: Reader, estimator: Any, fixed: dict[str, Any], network: dict[str, Any]) -> None:
    """Set the network of an estimator, and the parameters that its fit has fixed."""
    table, layout, given = estimator._table, estimator._layout, estimator._given_layout
    of_cells = (0,) * len(table.columns) if layout is None else layout.n_levels
    if (
        len(table.columns) != estimator.n_features_in_
        or len(of_cells) != estimator.n_features_in_
        or (given is not layout if given is not None else of_cells != table.n_levels)
    ):
        raise ArtifactError("its table has other columns than its network")
    curves = [estimator.loss_curve_, estimator.validation_loss_curve_ or estimator.loss_curve_]
    if any(len(curve) != estimator.n_iter_ for curve in curves) or estimator.best_epoch_ > estimator.n_iter_:
        raise ArtifactError("its numbers of epochs differ")
    changed = {name: reader.of(value) for name, value in fixed.items()}
    estimator._fixed = estimator._current_fixed() | changed
    if estimator._fixed.keys() - estimator._fixed_by_fit:
        raise ArtifactError("it fixes parameters that no fit fixes")
    builder = type(estimator)(**(estimator.get_params(deep=False) | estimator._fixed))
    builder._validate_params()
    of_fit = ("n_features_in_", "classes_", "class_prior_")
    builder.__dict__.update({name: value for name, value in vars(estimator).items() if name in of_fit})
    estimator._network = read_network(reader, network, builder, layout)
    check_optimizer_states(estimator._optimizer_states, estimator._network)


# by the name of the class: what is done to a fitted estimator that has its attributes
COMPLETE: dict[str, Callable[[Any], None]] = {}
ESTIMATOR = Kind("estimator", _write, _read)
register(ESTIMATOR, *CLASSES.values())
