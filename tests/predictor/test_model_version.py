"""Identity and revision of a version."""

import pytest

from tests.predictor.parts import version


def test_a_reused_number_is_another_version():
    """MLflow gives the number of a deleted version to the next one."""
    assert version(3, created=1) != version(3, created=2)


def test_an_edited_version_is_the_same_one():
    """Tags and dates change the revision, not the identity."""
    before, after = version(3), version(3, updated=9, note="x")
    assert before == after
    assert before.revision != after.revision


@pytest.mark.parametrize(("tags", "digest"), [({"onnx_sha256": "ab"}, "ab"), ({}, None)])
def test_the_digest_is_that_of_the_tag(tags, digest):
    """Absent for a version that our trainer did not register."""
    assert version(1, **tags).expected_sha256 == digest


def test_a_version_is_printed_for_people():
    """Its name and its number."""
    assert str(version(12)) == "m version 12"
    assert version(12).number == 12
