"""The operating point: a threshold in the graph's metadata, and its comparison in each prediction."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.errors import LoadError
from predictor.model.answers import read_answers
from predictor.model.encoder import Encoder
from predictor.model.operating_point import OperatingPoint
from predictor.model.signature import ExtraOutput, Outputs, Signature
from tests.predictor.graphs import classifier, converted, regressor, with_metadata
from tests.predictor.parts import servable_of, version

LABELS = ("malignant", 'odd "%s"')
CLASSES = Signature((), (), Outputs("l", "p"), LABELS)
chances = st.floats(0, 1, width=32)


def point(threshold, label="malignant", signature=CLASSES):
    return OperatingPoint.read({"class": label, "threshold": threshold}, signature)


def responses(signature, outputs, operating_point, warnings=()):
    encoder = Encoder(version(7), signature, operating_point)
    answers = read_answers(signature, outputs)
    bodies = [json.loads(body) for body in encoder.each(answers, dict(warnings))]
    (batch,) = [json.loads(encoder.batch(encoder.rows(answers)))]
    named = {"model_name": "m", "model_version": "7"}
    if not warnings:
        assert [row | named for row in batch["predictions"]] == bodies
    return bodies


def of_chance(chance, operating_point):
    """The response to a row with this probability of malignant."""
    scores = np.array([[chance, 1 - chance]], np.float32)
    (body,) = responses(CLASSES, [np.array([LABELS[0]], object), scores], operating_point)
    return body


class TestAbove:
    @given(st.floats(2**-126, 1, width=32, exclude_max=True))
    def test_the_threshold_itself_counts_as_above(self, threshold):
        """Of three neighbouring float32 values, the one below is not above; the other two are."""
        single = np.float32(threshold)
        below, at, above = (
            np.nextafter(single, np.float32(0)),
            single,
            np.nextafter(single, np.float32(2)),
        )
        found = [
            of_chance(each, point(float(single)))["operating_point"] for each in (below, at, above)
        ]
        assert [each["above"] for each in found] == [False, True, True]
        assert {each["threshold"] for each in found} == {float(single)}

    @given(chances, st.floats(0, 1))
    def test_a_response_never_contradicts_itself(self, chance, threshold):
        """`above` is what a client finds that compares the two numbers of the response."""
        body = of_chance(chance, point(threshold))
        compared = body["operating_point"]
        assert compared["above"] == (body["probabilities"]["malignant"] >= compared["threshold"])

    def test_a_threshold_that_is_no_float32_is_not_rounded(self):
        """The float32 nearest to 0.044 is below it, and the response shows that it is."""
        body = of_chance(0.044, point(0.044))
        compared = body["operating_point"]
        assert body["probabilities"]["malignant"] == pytest.approx(0.044)
        assert compared == {"class": "malignant", "threshold": 0.044, "above": False}

    @pytest.mark.parametrize(
        ("threshold", "above"), [(0, True), (1, False), (1.0, False), (-0.0, True)]
    )
    def test_the_ends(self, threshold, above):
        """Every probability reaches 0, and only certainty reaches 1."""
        body = of_chance(0.5, point(threshold))
        assert body["operating_point"]["above"] is above
        assert str(body["operating_point"]["threshold"]) == str(float(abs(threshold)))


class TestResponses:
    @given(st.lists(st.tuples(st.sampled_from(LABELS), chances, chances), min_size=1), chances)
    def test_only_one_member_is_added(self, rows, threshold):
        """Without an operating point, the response is the same but for that member."""
        labels, *columns = zip(*rows, strict=True)
        outputs = [np.array(labels, object), np.array(columns, np.float32).T]
        plain = responses(CLASSES, outputs, None)
        found = responses(CLASSES, outputs, point(threshold, LABELS[1]))
        for body, before in zip(found, plain, strict=True):
            compared = body.pop("operating_point")
            assert body == before
            assert compared["class"] == LABELS[1]
            assert compared["above"] == (body["probabilities"][LABELS[1]] >= compared["threshold"])

    def test_beside_other_outputs_and_warnings(self):
        """A graph with further outputs is written row by row, and has the comparison, too."""
        signature = Signature((), (), Outputs("l", "p", extra=(ExtraOutput("margin"),)), LABELS)
        outputs = [
            np.array([LABELS[0]] * 2, object),
            np.array([[0.75, 0.25], [0.5, 0.5]], np.float32),
            np.array([3.0, 4.0], np.float32),
        ]
        first, second = responses(
            signature, outputs, point(0.75, signature=signature), {0: [], 1: []}.items()
        )
        assert first["operating_point"]["above"] is True
        assert second["operating_point"]["above"] is False
        assert (first["outputs"], first["warnings"]) == ({"margin": 3.0}, [])

    def test_one_of_several_classes(self):
        """The class's own probability counts, also if another class is predicted."""
        labels = (10, 20, 30)
        signature = Signature((), (), Outputs("l", "p"), labels)
        outputs = [np.array([10, 30]), np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]], np.float32)]
        found = responses(signature, outputs, point(0.25, "20", signature))
        assert [each["operating_point"] for each in found] == [
            {"class": 20, "threshold": 0.25, "above": True},
            {"class": 20, "threshold": 0.25, "above": False},
        ]

    def test_maps_and_a_row_without_probabilities(self):
        """Maps of scores are compared; a row whose scores are no probabilities has no comparison."""
        signature = Signature((), (), Outputs("l", "p", mapped=True, unverified=True), LABELS)
        maps = [dict(zip(LABELS, row, strict=True)) for row in ([0.9, 0.1], [7.0, -7.0])]
        first, second = responses(
            signature, [np.array([LABELS[0]] * 2, object), maps], point(0.5, signature=signature)
        )
        assert first["operating_point"]["above"] is True
        assert "operating_point" not in second


EVIDENCE = {"stated_sensitivity": 0.98, "found": {"count": 41, "of": 42}, "note": "bösartig"}


def refused(folder, model, entry):
    with pytest.raises(LoadError) as caught:
        servable_of(folder, with_metadata(model, operating_point=entry))
    assert caught.value.stage == "signature"
    return caught.value.reason


class TestLoading:
    def test_class_threshold_and_evidence_are_read(self, tmp_path):
        """Further members of the entry are its evidence, whatever they are."""
        entry = {"class": "malignant", "threshold": 0.044, **EVIDENCE}
        read = servable_of(tmp_path, with_metadata(classifier(), operating_point=entry))
        assert read.operating_point == OperatingPoint("malignant", 0.044, 0, EVIDENCE)

    @pytest.mark.parametrize(
        ("labels", "given", "label"),
        [((0, 1), 1, 1), ((0, 1), "1", 1), (("0", "1"), 1, "1")],
    )
    def test_a_label_or_its_name(self, tmp_path, labels, given, label):
        """The response has the class as `prediction` has it, however the entry writes it."""
        entry = {"class": given, "threshold": 0.5}
        read = servable_of(
            tmp_path, with_metadata(classifier(labels=labels), operating_point=entry)
        )
        assert read.operating_point.label == label
        assert type(read.operating_point.label) is type(label)

    def test_probabilities_as_maps(self, tmp_path):
        """As skl2onnx writes them by default."""
        from sklearn.linear_model import LogisticRegression

        fitted = LogisticRegression().fit([[0.0], [1.0]], ["ill", "well"])
        model = with_metadata(
            converted(fitted, 1), operating_point={"class": "ill", "threshold": 0.1}
        )
        servable = servable_of(tmp_path, model)
        (body,) = servable.encoder.each(servable.answer([(0.0,)]))
        assert json.loads(body)["operating_point"] == {
            "class": "ill",
            "threshold": 0.1,
            "above": True,
        }

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            ({"class": "other", "threshold": 0.5}, "'other', which is not among the class labels"),
            ({"class": "malignant", "threshold": 1.5}, "1.5, which is not within 0 and 1"),
            ({"class": "malignant", "threshold": -1e-9}, "which is not within 0 and 1"),
            ({"class": "malignant", "threshold": "0.5"}, "Expected `float`, got `str`"),
            ({"class": "malignant", "threshold": True}, "Expected `float`, got `bool`"),
            ({"class": "malignant", "threshold": None}, "Expected `float`, got `null`"),
            ({"class": "malignant"}, "missing required field `threshold`"),
            ({"threshold": 0.5}, "missing required field `class`"),
            ({"class": ["malignant"], "threshold": 0.5}, "got `array`"),
            ([], "Expected `object | null`, got `array`"),
            (0.5, "Expected `object | null`, got `float`"),
        ],
    )
    def test_an_invalid_entry_is_refused(self, tmp_path, entry, reason):
        """The reason names the entry and its error."""
        text = refused(tmp_path, classifier(), entry)
        assert "operating_point" in text
        assert reason in text

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
    def test_a_threshold_that_is_not_finite_is_refused(self, tmp_path, number):
        """Python's json writes NaN and Infinity, which are not JSON."""
        text = f'{{"class": "malignant", "threshold": {number}}}'
        model = with_metadata(classifier(), as_text={"operating_point": text})
        with pytest.raises(LoadError) as caught:
            servable_of(tmp_path, model)
        assert caught.value.stage == "signature"

    def test_evidence_without_end_is_refused(self, tmp_path):
        """Lists in lists, deeper than a parser goes."""
        text = f'{{"class": "malignant", "threshold": 0.5, "note": {"[" * 200_000}{"]" * 200_000}}}'
        model = with_metadata(classifier(), as_text={"operating_point": text})
        with pytest.raises(LoadError, match="metadata is not readable"):
            servable_of(tmp_path, model)

    def test_a_model_without_probabilities_is_refused(self, tmp_path):
        """A regressor, and a classifier whose scores are margins."""
        entry = {"class": "malignant", "threshold": 0.5}
        for name, model in (
            ("r", regressor()),
            ("m", classifier(post_transform="NONE", weights=(3.0, -2.0))),
        ):
            text = refused(tmp_path / name, model, entry)
            assert "needs a classifier with probabilities" in text
