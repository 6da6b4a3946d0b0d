"""Scikit-learn's own checks, those that it yields and those that it keeps for its own estimators."""

import pytest
from catalogue import AUTOENCODERS, ESTIMATORS
from sklearn.base import clone
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks


@parametrize_with_checks(ESTIMATORS)
def test_yielded_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.parametrize(
    "check", [checks.check_param_validation, checks.check_dataframe_column_names_consistency], ids=lambda c: c.__name__
)
def test_further_check(estimator, check):
    check(type(estimator).__name__, clone(estimator))


@pytest.mark.parametrize("estimator", AUTOENCODERS, ids=repr)
@pytest.mark.parametrize(
    "check",
    [
        checks.check_transformer_get_feature_names_out,
        checks.check_transformer_get_feature_names_out_pandas,
        checks.check_set_output_transform,
        checks.check_set_output_transform_pandas,
        checks.check_set_output_transform_polars,
        checks.check_global_output_transform_pandas,
        checks.check_global_set_output_transform_polars,
    ],
    ids=lambda c: c.__name__,
)
def test_further_transformer_check(estimator, check):
    check(type(estimator).__name__, clone(estimator))
