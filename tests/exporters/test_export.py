"""A fitted model becomes an ONNX model that predicts the same and carries what a server must know."""

import hashlib
import json
from dataclasses import asdict

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

from exporters.answers import session
from exporters.contract import linear_model
from exporters.errors import ConversionError, ExportError, ParityError
from exporters.export import export
from exporters.metadata import Settings
from trainer.candidates import CATALOGUE
from trainer.wdbc import FEATURES


def entries(exported):
    """The metadata of the graph."""
    props = onnx.load_from_string(exported.content).metadata_props
    return {each.key: json.loads(each.value) for each in props}


@pytest.mark.parametrize(
    "name",
    [
        "logistic_regression",
        pytest.param("random_forest", marks=pytest.mark.whole),
        "hist_gradient_boosting",
    ],
)
def test_every_candidate_predicts_like_the_library(fitted, rows, name):
    parity = export(fitted(name), rows.train.features).parity
    assert parity.passed
    assert parity.precision == "float32"
    assert parity.rows_by_kind["given"] == 455
    assert parity.rows_by_kind["generated"] == 1500
    if name != "logistic_regression":
        assert parity.splits_tested == parity.splits > 500


@pytest.fixture(scope="module")
def exported(fitted, rows):
    pipeline = fitted("logistic_regression")
    return export(pipeline, rows.test.features, Settings(positive_class="malignant"))


def test_the_graph_takes_one_float_tensor_and_answers_two_plain_tensors(exported):
    running = session(exported.content)
    (taken,) = running.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("features", "tensor(float)", [None, 30])
    answered = [(each.name, each.type) for each in running.get_outputs()]
    assert answered == [("label", "tensor(string)"), ("probabilities", "tensor(float)")]


def test_the_file_is_valid_names_each_opset_once_and_has_the_digest_it_says(exported):
    proto = onnx.load_from_string(exported.content)
    onnx.checker.check_model(proto)
    domains = [each.domain for each in proto.opset_import]
    assert sorted(domains) == ["", "ai.onnx.ml"]
    assert exported.sha256 == hashlib.sha256(exported.content).hexdigest()


def test_names_labels_and_recorded_examples_travel_inside_the_file(exported):
    props = entries(exported)
    assert props["feature_names"] == list(FEATURES)
    assert props["class_labels"] == ["benign", "malignant"]
    assert props["positive_class"] == "malignant"
    examples = props["recorded_examples"]
    assert len(examples) == 5
    assert examples[0]["prediction"] == "benign"
    assert examples[0]["probabilities"]["benign"] > 0.99
    assert examples[-1]["prediction"] == "malignant"
    for example in examples:
        row = np.array([[example["record"][name] for name in FEATURES]], np.float32)
        labels, probabilities = session(exported.content).run(None, {"features": row})
        assert labels[0] == example["prediction"]
        expected = [example["probabilities"][label] for label in props["class_labels"]]
        np.testing.assert_allclose(probabilities[0], expected, atol=1e-5)


def test_the_same_pipeline_exports_to_the_same_bytes(exported, fitted, rows):
    again = export(
        fitted("logistic_regression"), rows.test.features, Settings(positive_class="malignant")
    )
    assert again.content == exported.content


def linear_entry(pipeline, rows):
    content = export(pipeline, rows.test.features, Settings(positive_class="malignant")).content
    props = onnx.load_from_string(content).metadata_props
    return next((json.loads(each.value) for each in props if each.key == "linear"), None)


@pytest.mark.parametrize(
    ("scaler", "positive"),
    [
        (None, "malignant"),
        (StandardScaler(), "malignant"),
        (StandardScaler(), "benign"),
        (StandardScaler(with_mean=False), "malignant"),
        (StandardScaler(with_std=False), "malignant"),
        (StandardScaler(with_mean=False, with_std=False), "malignant"),
    ],
    ids=str,
)
def test_coefficients_of_a_logistic_regression_are_in_the_features_units(scaler, positive, rows):
    scale = [("scale", scaler)] if scaler else []
    pipeline = Pipeline([*scale, ("classify", LogisticRegression(solver="liblinear"))])
    pipeline.fit(rows.train.features, rows.train.target)
    linear = linear_model(pipeline, positive)
    sums = rows.test.features.to_numpy() @ linear.coefficients + linear.intercept
    sign = 1 if pipeline.classes_[1] == positive else -1
    expected = sign * pipeline.decision_function(rows.test.features)
    np.testing.assert_allclose(sums, expected, rtol=1e-9, atol=1e-9)
    if positive == "malignant":
        assert linear_entry(pipeline, rows) == asdict(linear)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "logistic_regression"])
def test_other_candidates_have_no_coefficients(name, fitted):
    assert linear_model(fitted(name), "malignant") is None


@pytest.mark.parametrize("step", [MinMaxScaler(clip=True), Normalizer()], ids=str)
def test_other_steps_have_no_coefficients(step, rows):
    pipeline = Pipeline([("step", step), ("classify", LogisticRegression(solver="liblinear"))])
    pipeline.fit(rows.train.features, rows.train.target)
    assert linear_model(pipeline, "malignant") is None


def mixed_model(final, text=None):
    """A model of every kind of column, with gaps that imputers fill."""
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["beds", "größe (cm²)"]),
            ("passthrough", ["insured"]),
            (
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
                ),
                ["1st ward"],
            ),
            (text or TfidfVectorizer(), "note"),
        ),
        final,
    )


@pytest.mark.parametrize(
    "final",
    [
        LogisticRegression(),
        RandomForestClassifier(10, random_state=0),
        lightgbm.LGBMClassifier(n_estimators=5, verbose=-1),
        LinearSVC(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_columns_of_every_kind_have_an_input_each_with_the_column_s_own_name(mixed, final):
    frame, target = mixed
    made = export(mixed_model(final).fit(frame, target), frame)
    assert made.parity.passed
    assert {"given", "generated", "unseen category", "missing value"} <= set(
        made.parity.rows_by_kind
    )
    inputs = {each.name: each.type for each in session(made.content).get_inputs()}
    assert inputs == {
        "größe (cm²)": "tensor(float)",
        "beds": "tensor(int64)",
        "insured": "tensor(bool)",
        "1st ward": "tensor(string)",
        "note": "tensor(string)",
    }
    props = entries(made)
    assert props["optional_features"] == ["größe (cm²)", "1st ward"]
    assert props["missing_text"] == "nan"
    assert props["class_labels"] == [False, True]
    assert session(made.content).get_outputs()[0].type == "tensor(bool)"
    assert {type(each["prediction"]) for each in props["recorded_examples"]} == {bool}


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
        ),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_a_missing_text_that_the_encoder_takes_as_a_category_of_its_own(mixed, encoder):
    frame, target = mixed
    columns = frame[["1st ward"]]
    made = export(make_pipeline(encoder, LogisticRegression()).fit(columns, target), columns)
    assert made.parity.rows_by_kind["missing value"] > 0
    assert entries(made)["optional_features"] == ["1st ward"]


def test_a_column_that_the_model_drops_is_not_an_input(mixed):
    frame, target = mixed
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["note"])), LogisticRegression()
    ).fit(frame, target)
    made = export(model, frame)
    assert [each.name for each in session(made.content).get_inputs()] == ["note"]
    props = entries(made)
    assert [each["name"] for each in props["feature_profiles"]] == ["note"]
    assert {len(row) for row in props["background"]} == {1}
    assert {(*each["record"],) for each in props["recorded_examples"]} == {("note",)}


def test_the_text_that_stands_for_a_missing_one_is_refused_beside_missing_ones(mixed):
    frame, target = mixed
    columns = frame[["1st ward"]].replace("west", "nan")
    model = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(), LogisticRegression()
    )
    with pytest.raises(ExportError, match="'1st ward' may be missing, and has the text 'nan'"):
        export(model.fit(columns, target), columns)
    known = columns.fillna("north")
    assert export(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(known, target), known)


def test_columns_named_like_outputs_do_not_collide(rows):
    names = ["label", "probabilities", "features", "variable", *FEATURES[4:]]
    frame = rows.train.features.set_axis(names, axis=1).assign(text="a")
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["text"]), remainder=StandardScaler()),
        LogisticRegression(max_iter=1000),
    ).fit(frame, rows.train.target)
    made = export(model, frame)
    assert {each.name for each in session(made.content).get_inputs()} == set(frame.columns)


def test_missing_values_are_allowed_where_the_rows_or_an_imputer_show_it(rows):
    frame, target = rows.train.features.iloc[:, :4].copy(), rows.train.target
    frame.iloc[::5, 1] = np.nan
    boosting = HistGradientBoostingClassifier(max_iter=5).fit(frame.astype(np.float32), target)
    assert entries(export(boosting, frame))["optional_features"] == [FEATURES[1]]
    complete = rows.train.features.iloc[:, :4]
    imputing = make_pipeline(
        make_column_transformer((SimpleImputer(), [FEATURES[2]]), remainder="passthrough"),
        LogisticRegression(max_iter=1000),
    ).fit(complete, target)
    assert entries(export(imputing, complete))["optional_features"] == [FEATURES[2]]
    plain = LogisticRegression(max_iter=1000).fit(complete, target)
    assert "optional_features" not in entries(export(plain, complete))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array(["böse", "gut"]), ["böse", "gut"]),
        (np.array([7, 9]), [7, 9]),
        (np.array([False, True]), [False, True]),
        (np.array([0.0, 1.0]), [0, 1]),
    ],
    ids=["texts", "integers", "booleans", "whole floats"],
)
def test_labels_of_every_type_travel(rows, labels, expected):
    target = labels[(rows.train.target == "malignant").astype(int)]
    model = RandomForestClassifier(5, random_state=0).fit(rows.train.features, target)
    made = export(model, rows.train.features, Settings(positive_class=labels[1]))
    props = entries(made)
    assert props["class_labels"] == expected
    assert type(props["recorded_examples"][0]["prediction"]) is type(expected[0])


def test_labels_of_an_encoder_outside_the_model_get_their_names_back(rows):
    target = (rows.train.target == "malignant").astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(rows.train.features, target)
    names = ("benign", "malignant")
    made = export(
        model, rows.train.features, Settings(class_labels=names, positive_class="malignant")
    )
    assert entries(made)["class_labels"] == list(names)
    assert session(made.content).get_outputs()[0].type == "tensor(string)"
    with pytest.raises(ExportError, match="3 class_labels for 2 classes"):
        export(model, rows.train.features, Settings(class_labels=("a", "b", "c")))
    with pytest.raises(
        ExportError, match="positive_class 'bad' is not among the classes benign, mal"
    ):
        export(model, rows.train.features, Settings(class_labels=names, positive_class="bad"))


@pytest.mark.parametrize(
    ("model", "outputs"),
    [
        (Ridge(), ["value"]),
        (RandomForestRegressor(5), ["value"]),
        (make_pipeline(StandardScaler(), KMeans(3, n_init=1)), ["label", "scores"]),
        (IsolationForest(n_estimators=3), ["label", "scores"]),
        (
            GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [1, 2]}),
            ["label", "scores"],
        ),
        (
            StackingClassifier([("trees", RandomForestClassifier(3)), ("line", Ridge())][:1]),
            ["label", "probabilities"],
        ),
    ],
    ids=["linear", "trees", "clustering", "outliers", "search", "stacked"],
)
def test_every_kind_of_model_is_proven(rows, model, outputs):
    frame = rows.train.features
    regression = outputs == ["value"]
    model.fit(frame, frame["mean_area"] ** 2 if regression else rows.train.target)
    made = export(model, frame)
    assert [each.name for each in session(made.content).get_outputs()] == outputs
    assert made.parity.passed


def test_several_targets(rows):
    frame = rows.train.features
    made = export(LinearRegression().fit(frame, frame.iloc[:, :3]), frame)
    assert len(entries(made)["recorded_examples"][0]["prediction"]) == 3


def test_trees_behind_a_scaler_are_computed_in_float64(rows):
    """In float32 a scaled value falls on the other side of a split."""
    model = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0))
    model.fit(rows.train.features.astype(np.float32), rows.train.target)
    made = export(model, rows.train.features.astype(np.float32))
    assert made.parity.precision == "float64"
    assert session(made.content).get_inputs()[0].type == "tensor(float)"


@pytest.mark.parametrize(
    "final",
    [
        pytest.param(RandomForestRegressor(5, random_state=0), marks=pytest.mark.whole),
        HistGradientBoostingRegressor(max_iter=5),
    ],
    ids=lambda model: type(model).__name__,
)
def test_trees_behind_a_scaler_beside_texts_are_computed_in_float64(mixed, final):
    frame, _ = mixed
    frame = frame.drop(columns=["1st ward"]).fillna({"größe (cm²)": 50.1})
    prepare = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["note"]),
        (StandardScaler(), ["beds", "größe (cm²)"]),
        remainder="passthrough",
    )
    model = make_pipeline(prepare, final).fit(frame, frame["größe (cm²)"] ** 2)
    parity = export(model, frame).parity
    assert parity.passed
    assert parity.precision != "float32"


def test_boosting_of_float64_rows_takes_float64(rows):
    """Its thresholds can be training values, which float32 would round."""
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    model.fit(rows.train.features, rows.train.target)
    made = export(model, rows.train.features)
    assert made.parity.precision == "float64_input"
    assert session(made.content).get_inputs()[0].type == "tensor(double)"


class Odd(TransformerMixin, BaseEstimator):
    """A transformer that nobody wrote a converter for."""

    def fit(self, features, target=None):
        self.n_features_in_ = features.shape[1]
        return self

    def transform(self, features):
        return features


@pytest.mark.parametrize(
    ("model", "step"),
    [
        (Pipeline([("odd", Odd()), ("classify", LogisticRegression())]), "odd (Odd)"),
        (
            Pipeline(
                [
                    ("columns", make_column_transformer((Odd(), [FEATURES[0]]))),
                    ("classify", LogisticRegression()),
                ]
            ),
            "odd (Odd)",
        ),
        (
            GridSearchCV(Pipeline([("odd", Odd()), ("classify", LogisticRegression())]), {}),
            "odd (Odd)",
        ),
    ],
    ids=["pipeline", "column transformer", "search"],
)
def test_a_step_without_a_converter_is_named_in_one_paragraph(rows, model, step):
    model.fit(rows.train.features / 1000, rows.train.target)
    with pytest.raises(ConversionError) as raised:
        export(model, rows.test.features)
    assert raised.value.step == step
    message = str(raised.value)
    assert step in message
    assert "\n" not in message
    assert len(message) < 600


@pytest.mark.parametrize("count", [-1, 1001])
def test_a_background_that_the_service_would_refuse_is_refused(rows, count):
    model = LinearRegression().fit(rows.train.features, rows.train.features.iloc[:, 0])
    with pytest.raises(ExportError, match="the service takes 0 to 1,000"):
        export(model, rows.train.features, Settings(background_rows=count))


def test_what_has_no_predict_is_refused(rows):
    with pytest.raises(ExportError, match="StandardScaler has no method `predict`"):
        export(StandardScaler().fit(rows.train.features), rows.train.features)


def test_a_categorical_column_that_only_the_library_understands_is_refused(rows):
    frame = pd.DataFrame({"ward": pd.Categorical(["a", "b", "c"] * 100), "age": np.arange(300.0)})
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(frame, np.arange(300) % 2)
    with pytest.raises(
        ExportError, match=r"column 'ward' has pandas' dtype category, .*OrdinalEncoder"
    ):
        export(model, frame)


def test_an_unseen_category_that_the_library_refuses_is_refused_by_the_graph(mixed):
    frame, target = mixed
    columns = frame[["note"]]
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(columns, target)
    try:
        parity = export(model, columns).parity
    except ParityError as error:
        assert "handle_unknown" in str(error)  # noqa: PT017
    else:
        assert parity.refused > 0


def test_lightgbm_reads_the_smallest_numbers_as_zero():
    """Its threshold beside 0 is such a number: a row with exactly that value is on the other side."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.choice([-1.0, 0.0, 1.0], (300, 3)), columns=["a", "b", "c"])
    model = lightgbm.LGBMRegressor(n_estimators=10, verbose=-1).fit(frame, frame @ [1, 2, 3])
    assert "-1.00000001800250" in model.booster_.model_to_string()
    assert export(model, frame).parity.precision == "float32"


def test_a_wrong_label_is_no_tie_because_generated_rows_have_large_scores():
    """Around 1e9, float32 cannot hold the values; far from there, scores are large."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": 1e9 + np.arange(150) % 40.0, "b": random.normal(size=150) * 100})
    target = (frame["a"] > 1e9 + 19.5).astype(int)
    model = make_pipeline(StandardScaler(), RidgeClassifier()).fit(frame, target)
    with pytest.raises(ParityError):
        export(model, frame)


def test_zeros_that_a_model_reads_as_missing_are_tried():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.random(300) * 10 + 1, "b": random.random(300) + 1})
    with_zeros = frame.copy()
    with_zeros.iloc[::3, 0] = 0
    target = ((with_zeros["a"] == 0) | (with_zeros["a"] > 7)).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, zero_as_missing=True)
    model.fit(with_zeros, target)
    with pytest.raises(ExportError):
        export(model, frame)


@pytest.mark.parametrize(
    "vectorizer",
    [
        TfidfVectorizer(),
        CountVectorizer(lowercase=False),
        TfidfVectorizer(ngram_range=(1, 2)),
        TfidfVectorizer(token_pattern=r"(?u)\b\w+\b"),
    ],
    ids=str,
)
def test_words_of_every_language(vectorizer):
    texts = [
        "café noir",
        "éclair now",
        "a big Dog!",
        "naïve; x-ray 12_3",
        "über alles, it's",
        "größer",
    ]
    frame = pd.DataFrame({"note": np.array(texts * 20, object), "age": np.arange(120.0)})
    model = make_pipeline(
        make_column_transformer((vectorizer, "note"), remainder="passthrough"), LogisticRegression()
    ).fit(frame, np.arange(120) % 2)
    assert export(model, frame).parity.passed


@pytest.mark.parametrize("texts", [True, False], ids=["beside texts", "beside numbers"])
def test_booleans_can_be_encoded_like_categories(mixed, texts):
    frame, target = mixed
    frame = frame[["insured", "beds", *(["note"] if texts else [])]]
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(), ["insured", *(["note"] if texts else [])]), remainder="passthrough"
        ),
        LogisticRegression(),
    ).fit(frame, target)
    assert export(model, frame).parity.passed


def test_recorded_examples_are_of_the_further_rows_and_lack_nothing_that_is_required(rows):
    further = rows.test.features.copy()
    further.iloc[:100, 0] = np.nan
    model = LogisticRegression(max_iter=5000).fit(rows.train.features, rows.train.target)
    made = export(model, rows.train.features, Settings(further_rows=further))
    given = rows.test.features.iloc[100:].to_dict("records")
    assert all(each["record"] in given for each in entries(made)["recorded_examples"])
