"""The pictures: which ones a task has, what they say, and that nothing in them is cut off."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from exporters.metrics import Evaluation
from trainer.operating_point import Counts, OperatingPoint, threshold
from trainer.plots import MAX_BARS, MAX_CURVES, draw, draw_importance, figures, importance_figure

LONG = "does not cancel the contract_within $ the next $ twelve_months"
NAMES = [("malignant", "benign"), (LONG, f"no, {LONG}"), ("1", "0")]


def binary(labels=NAMES[0], rows=114, noise=0.5):
    """`labels[0]` is the positive class, a third of the rows."""
    random = np.random.default_rng(0)
    is_positive = np.arange(rows) % 3 == 0
    chance = 1 / (1 + np.exp(-(4 * is_positive - 2 + random.normal(size=rows) * 2 * noise)))
    names = np.array(labels, object)
    return Evaluation(
        "binary", names, labels[0], names[1 - is_positive.astype(int)],
        names[(chance < 0.5).astype(int)], np.stack([chance, 1 - chance], axis=1),
    )  # fmt: skip


def several(classes, rows=200, wide=False):
    random = np.random.default_rng(1)
    names = np.array([f"{LONG} {n}" if wide else f"class {n}" for n in range(classes)], object)
    actual = np.arange(rows) % classes
    scores = random.random((rows, classes)) + 0.7 * np.eye(classes)[actual]
    shares = scores / scores.sum(axis=1, keepdims=True)
    return Evaluation(
        "multiclass", names, None, names[actual], names[shares.argmax(axis=1)], shares
    )


def regression(rows=133, scale=1.0):
    random = np.random.default_rng(2)
    actual = random.normal(size=rows) * scale
    return Evaluation(
        "regression",
        np.array([]),
        None,
        actual,
        actual + random.normal(size=rows) * scale / 3,
        None,
    )


def point_of(evaluation, sensitivity=0.95):
    chance, positive = evaluation.probability(evaluation.positive), evaluation.positive
    chosen = threshold(chance, evaluation.actual == positive, sensitivity)
    counts = Counts.of(chosen, chance, evaluation.actual == positive)
    return OperatingPoint(positive, chosen, sensitivity, 5, counts, counts)


def importance(features, name="feature_{}", least=0.0):
    means = np.linspace(0.5, least, features)
    names = [name.format(n) for n in range(features)]
    return pd.DataFrame({"feature": names, "mean": means, "std": 0.1})


def texts(figure):
    return [each for each in figure.findobj(Text) if each.get_visible() and each.get_text()]


def words(figure):
    return "\n".join(each.get_text() for each in texts(figure))


def assert_nothing_is_cut(figure):
    figure.draw_without_rendering()
    whole = figure.get_tightbbox().padded(-0.02)
    assert whole.x0 >= 0, "cut on the left"
    assert whole.y0 >= 0, "cut at the bottom"
    assert whole.x1 <= figure.get_figwidth(), "cut on the right"
    assert whole.y1 <= figure.get_figheight(), "cut at the top"


class TestTasks:
    @pytest.mark.parametrize(
        ("evaluation", "expected"),
        [
            (binary(), {"confusion_matrix", "roc_curve", "precision_recall_curve", "calibration_curve"}),
            (several(3), {"confusion_matrix", "roc_curve"}),
            (regression(), {"predicted_and_actual", "residuals", "error_by_decile"}),
        ],
        ids=["binary", "multiclass", "regression"],
    )  # fmt: skip
    def test_each_task_has_its_pictures(self, tmp_path, evaluation, expected):
        """As PNG files, and the importance beside them."""
        draw(tmp_path, "breast-cancer: Random forest", evaluation)
        draw_importance(tmp_path, "breast-cancer: Random forest", importance(30), "Brier score")
        found = {each.stem: each.read_bytes()[:8] for each in tmp_path.iterdir()}
        assert found.keys() == expected | {"permutation_importance"}
        assert set(found.values()) == {b"\x89PNG\r\n\x1a\n"}

    def test_each_title_names_the_model_and_the_rows(self):
        """On two lines, so that a picture is understood away from its run."""
        for evaluation in (binary(), several(3), regression()):
            for figure in figures("churn 7: Random forest", evaluation).values():
                first, second = figure.get_suptitle().split("\n")[:2]
                assert first == "churn 7: Random forest"
                assert f"{len(evaluation.actual)} held-out rows" in second
                assert "better" in figure.get_suptitle().split("\n")[-1]

    def test_prices_are_written_as_numbers(self):
        """With separators of thousands, and room for them: not as 2.5e+05."""
        for figure in figures("m", regression(scale=1e5)).values():
            figure.draw_without_rendering()
            shown = words(figure)
            assert ",000" in shown
            assert "e+0" not in shown

    @pytest.mark.parametrize(
        ("evaluation", "point"),
        [(binary(NAMES[1]), True), (several(3, wide=True), False), (regression(), False)]
        + [
            pytest.param(*each, marks=pytest.mark.whole)
            for each in [
                *((binary(names), False) for names in NAMES),
                (binary(NAMES[0]), True), (binary(NAMES[2]), True), (binary(rows=30_000), True),
                (several(25), False), (regression(5000, 1e6), False), (regression(3), False),
            ]
        ],
    )  # fmt: skip
    def test_nothing_is_cut_off(self, evaluation, point):
        """Long names, dollars, many classes, and few and many rows."""
        title = f"a registered model with quite a long name: {LONG}"
        for figure in figures(title, evaluation, point_of(evaluation) if point else None).values():
            assert_nothing_is_cut(figure)


class TestRoc:
    def test_it_shows_chance_interval_and_operating_point(self):
        """With counts, not only rates."""
        evaluation = binary(noise=2)
        figure = figures("m", evaluation, point_of(evaluation))["roc_curve"]
        shown = words(figure)
        assert "chance: AUC 0.5" in shown
        assert "95 % interval 0." in shown
        assert "operating point, threshold 0." in shown
        assert "37 of 38 found" in shown
        assert "operating point" not in words(figures("m", evaluation)["roc_curve"])

    def test_an_area_below_1_is_not_shown_as_1(self):
        """One pair of 42 times 72 in the wrong order."""
        chance = np.r_[np.linspace(0.6, 0.9, 41), 0.3, 0.4, np.linspace(0.01, 0.2, 71)]
        names = np.array(["malignant", "benign"], object)
        actual = names[(np.arange(114) >= 42).astype(int)]
        predicted = names[(chance < 0.5).astype(int)]
        evaluation = Evaluation(
            "binary", names, "malignant", actual, predicted, np.stack([chance, 1 - chance], 1)
        )
        shown = words(figures("m", evaluation)["roc_curve"])
        assert "AUC 0.9997," in shown
        assert "1.00" not in shown

    def test_a_perfect_one_still_has_an_interval(self):
        """Few rows do not prove perfection."""
        shown = words(figures("m", binary(noise=0))["roc_curve"])
        assert "AUC 1.000, 95 % interval 0.9" in shown

    def test_of_many_classes_the_lowest_are_shown(self):
        """A curve each, and the number of classes in the title."""
        figure = figures("m", several(25))["roc_curve"]
        assert len(figure.axes[0].lines) == MAX_CURVES + 1
        assert f"the {MAX_CURVES} lowest of 25 classes" in words(figure)


def test_the_confusion_matrix_has_counts_and_rates():
    """Of the actual class; its rows are counted beside its name."""
    evaluation = binary(noise=2)
    shown = words(figures("m", evaluation)["confusion_matrix"])
    positive = evaluation.actual == "malignant"
    found = (positive & (evaluation.predicted == "malignant")).sum()
    assert f"{found}\n{100 * found / 38:.1f} %" in shown
    assert "malignant\n(38)" in shown
    right = (evaluation.actual == evaluation.predicted).sum()
    assert f"{right} of 114 held-out rows right" in shown


def test_calibration_counts_the_rows_of_each_bin():
    """The counts add up to all rows."""
    figure = figures("m", binary(noise=2))["calibration_curve"]
    counts = [int(each.get_text()) for each in figure.axes[1].texts]
    assert len(counts) == 10
    assert sum(counts) == 114


def test_deciles_count_their_rows():
    """The counts add up to all rows."""
    figure = figures("m", regression())["error_by_decile"]
    counts = [int(each.get_text().split()[0]) for each in figure.axes[0].texts]
    assert len(counts) == 10
    assert sum(counts) == 133


class TestImportance:
    @pytest.mark.parametrize("name", ["x{}", LONG + "_{}", "feature_" * 12 + "{}"])
    def test_names_are_whole(self, name):
        """Wrapped, not cut."""
        table = importance(20, name)
        figure = importance_figure("m", table, "mean squared error")
        assert_nothing_is_cut(figure)
        labels = [each.get_text() for each in figure.axes[0].get_yticklabels()]
        plain = [each.replace("\n", "").replace(" ", "") for each in labels]
        assert plain == [
            each.replace(" ", "") for each in table["feature"].head(MAX_BARS).iloc[::-1]
        ]
        assert f"the first {MAX_BARS} of 20" in words(figure)

    def test_there_is_no_empty_space_below_zero(self):
        """Error bars do not make room for themselves; negative bars do."""
        left, _ = importance_figure("m", importance(5), "error").axes[0].get_xlim()
        assert left == 0
        left, _ = importance_figure("m", importance(5, least=-0.2), "error").axes[0].get_xlim()
        assert -0.3 < left < -0.2

    def test_features_that_matter_not_at_all(self):
        """A constant model has bars of no length."""
        table = pd.DataFrame({"feature": ["a", "b"], "mean": [0.0, 0.0], "std": [0.0, 0.0]})
        left, right = importance_figure("m", table, "error").axes[0].get_xlim()
        assert left == 0 < right
