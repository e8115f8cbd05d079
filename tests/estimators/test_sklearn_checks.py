"""scikit-learn's own suite of estimator checks."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from tabstudio import TabularClassifier, TabularRegressor

pytestmark = pytest.mark.filterwarnings(
    # the suite itself passes columns of shape (n, 1) and expects this warning of scikit-learn's
    "ignore:A column-vector y was passed:sklearn.exceptions.DataConversionWarning"
)


@parametrize_with_checks([TabularClassifier(), TabularRegressor()])
def test_estimator_keeps_scikit_learns_contract(estimator, check):
    check(estimator)
