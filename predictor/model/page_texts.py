"""What the page calls the values of a version's records, and what it says beside every answer."""

import msgspec

Text = str | dict[str, str]
"""One text, or one for each language, such as `{"en": …, "de": …}`."""


class PageTexts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The graph's metadata entry `page`. For an empty text the page has a neutral one."""

    values: Text = ""  # a title, such as "Measurements"
    caution: Text = ""  # what to bear in mind; the page emphasises the first sentence
