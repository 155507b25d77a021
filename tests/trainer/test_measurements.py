"""What the 30 measurements are."""

from trainer.measurements import DESCRIPTIONS
from trainer.wdbc import FEATURES


def test_every_measurement_has_a_group_and_a_description_of_its_own():
    """In the order of the columns, ten of each group."""
    assert list(DESCRIPTIONS) == list(FEATURES)
    groups = [each.group for each in DESCRIPTIONS.values()]
    assert groups == ["mean"] * 10 + ["standard error"] * 10 + ["worst"] * 10
    assert len({each.text for each in DESCRIPTIONS.values()}) == 30


def test_a_description_is_of_its_column():
    """Not of the one beside it."""
    assert "coastline" in DESCRIPTIONS["fractal_dimension_error"].text
    assert "standard error" in DESCRIPTIONS["fractal_dimension_error"].text
    assert "gray-scale" in DESCRIPTIONS["worst_texture"].text
    assert "three largest" in DESCRIPTIONS["worst_texture"].text


def test_a_unit_is_given_only_where_it_is_known():
    """The data set says nothing of pixels or micrometres."""
    with_unit = {name for name, each in DESCRIPTIONS.items() if each.unit is not None}
    assert with_unit == {"mean_texture", "texture_error", "worst_texture"}
