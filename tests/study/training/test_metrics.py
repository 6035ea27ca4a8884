"""Precision, recall, F1 and IoU agree with scikit-learn, and are nan where they are not defined."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sscn_triton.study.training.metrics import voxel_metrics

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def test_measures_of_classes_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(5)
    true, predicted = generator.integers(0, 5, 400), generator.integers(0, 5, 400)
    predicted = np.where(generator.random(400) < 0.6, true, predicted)
    confusion = sklearn_metrics.confusion_matrix(true, predicted)
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(true, predicted)
    iou = sklearn_metrics.jaccard_score(true, predicted, average=None)
    found = voxel_metrics(confusion.tolist())
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1), ("iou", iou)):
        np.testing.assert_allclose(getattr(found, name), expected, rtol=1e-12, err_msg=name)
    assert found.mean_iou == pytest.approx(iou.mean(), rel=1e-12)
    assert found.mean_f1 == pytest.approx(f1.mean(), rel=1e-12)
    assert found.voxel_accuracy == pytest.approx((true == predicted).mean(), rel=1e-12)


def test_measures_of_a_class_that_does_not_occur() -> None:
    found = voxel_metrics([[3, 1, 0, 0], [0, 4, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]])
    assert found.mean_f1 == pytest.approx((6 / 9 + 8 / 9 + 0) / 3), "the class without voxels does not count"
    assert found.precision[0] == 3 / 5
    assert found.recall == [3 / 4, 1.0, pytest.approx(math.nan, nan_ok=True), 0.0]
    assert math.isnan(found.precision[2]), "never predicted"
    assert math.isnan(found.precision[3]), "never predicted"
    assert math.isnan(found.iou[2]), "neither true nor predicted"
    assert found.iou[3] == found.f1[3] == 0.0
    assert found.mean_iou == pytest.approx((3 / 6 + 4 / 5 + 0) / 3)
