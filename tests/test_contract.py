"""Scikit-learn's own checks, those that it yields and those that it keeps for its own estimators."""

from contextlib import nullcontext

import pytest
from catalogue import AUTOENCODERS, ESTIMATORS
from other_processor import rows_alike
from sklearn.base import clone
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import parametrize_with_checks

# scikit-learn's checks label rows as for a classifier
pytestmark = pytest.mark.filterwarnings("ignore:y has the labels .* and no -1")

# which compare a row's results among other rows to 1e-7, less than float32's last bit
IN_OTHER_COMPANY = {"check_methods_subset_invariance", "check_methods_sample_order_invariance"}


@parametrize_with_checks(ESTIMATORS)
def test_yielded_check(estimator, check):
    with rows_alike() if check.func.__name__ in IN_OTHER_COMPANY else nullcontext():
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
