"""The page as its user knows it: by the names of its fields, buttons and regions."""

import re
from collections.abc import Iterable, Mapping, Sequence

from playwright.async_api import Locator, expect

from tests.page.visitor import Visitor

_DROP = """([name, text]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([text], name, { type: "text/csv" }));
  for (const kind of ["dragenter", "dragover", "drop"])
    document.querySelector("main").dispatchEvent(
      new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""


class Desk:
    """One visitor's page."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.page = visitor.page
        self.answer = self.page.get_by_role("region", name="Answer", exact=True)
        self.prediction = self.answer.locator(".prediction")
        self.table = self.page.get_by_role("region", name=re.compile("^Predictions"))
        self.news = self.page.locator("#news")
        self.notices = self.page.locator("#notices")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    def field(self, feature: str) -> Locator:
        return self.page.locator(f'[name="{css(feature)}"]')

    async def is_in_state(self, state: str) -> None:
        await expect(self.page.locator("body")).to_have_attribute("data-state", state)

    async def type(self, record: Mapping[str, object]) -> None:
        for feature, value in record.items():
            await self.field(feature).fill(str(value))

    async def predict(self) -> None:
        """Ask, and wait for the answer."""
        async with self.page.expect_response("**/predict"):
            await self.page.locator("#predict").click()

    async def ask(self, record: Mapping[str, object]) -> None:
        """Type a record, and have it answered."""
        await self.type(record)
        await self.predict()
        await expect(self.prediction).to_be_visible()

    async def typed(self, features: Iterable[str]) -> list[str]:
        """What stands in these fields."""
        return [await self.field(feature).input_value() for feature in features]

    async def paste(self, text: str, feature: str) -> None:
        """Copy a text elsewhere, and paste it into a field, as with a spreadsheet beside the browser."""
        await self.visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await self.page.evaluate("text => navigator.clipboard.writeText(text)", text)
        await self.field(feature).focus()
        await self.page.keyboard.press("ControlOrMeta+V")

    async def drop(self, name: str, text: str) -> None:
        """Drop a file on the page."""
        await self.page.evaluate(_DROP, [name, text])

    async def choose(self, name: str, text: str) -> None:
        """Choose a file by the button."""
        file = {"name": name, "mimeType": "text/csv", "buffer": text.encode()}
        await self.page.get_by_label("Open a CSV file").set_input_files(file)  # type: ignore[arg-type]

    async def download(self) -> str:
        """The text of the file that the table is downloaded as."""
        async with self.page.expect_download() as download:
            await self.table.get_by_role("button", name="Download CSV").click()
        return (await (await download.value).path()).read_text(encoding="utf-8-sig")

    async def column(self, title: str) -> Sequence[str]:
        """The cells of a column of the table, from above."""
        titles = await self.table.locator("thead th").all_inner_texts()
        place = [each.strip() for each in titles].index(title) + 1
        return await self.table.locator(f"tbody tr > :nth-child({place})").all_inner_texts()


def css(text: str) -> str:
    """The text as CSS has it in quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\a ")
