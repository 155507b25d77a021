"""A row out of a spreadsheet, pasted with the keyboard into whichever field has the focus."""

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.whole


def row(record, separator="\t", comma="."):
    return separator.join(str(value).replace(".", comma) for value in record.values())


def with_header(record, separator="\t"):
    return separator.join(record) + "\r\n" + row(record, separator) + "\r\n"


def backwards(record):
    return dict(reversed(record.items()))


PASTED = {
    "tabs": row,
    "names above": with_header,
    "names in another order": lambda record: with_header(backwards(record)),
    "a CSV": lambda record: with_header(record, ","),
    "decimal commas": lambda record: row(record, comma=","),
    "semicolons and decimal commas": lambda record: row(record, ";", ","),
}


@pytest.mark.parametrize("written", PASTED)
async def test_a_row_fills_every_field(desk, models, written):
    record = models.record(number=5)
    await desk.paste(PASTED[written](record), "worst_area")
    await expect(desk.field("mean_radius")).to_have_value(str(record["mean_radius"]))
    found = await desk.typed(record)
    assert [float(value) for value in found] == list(record.values())


async def test_a_row_with_a_value_too_few_fills_nothing(desk, models):
    """It would shift all that follow."""
    record = dict(list(models.benign.items())[1:])
    await desk.paste(row(record), "mean_radius")
    await expect(desk.page.get_by_text("has 29. ")).to_be_visible()
    assert set(await desk.typed(models.benign)) == {""}


async def test_one_number_is_pasted_where_it_belongs(desk):
    await desk.paste("12.5", "mean_area")
    await expect(desk.field("mean_area")).to_have_value("12.5")
    await expect(desk.field("mean_radius")).to_have_value("")
