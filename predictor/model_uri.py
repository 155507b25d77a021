"""MLflow's own way to say which version should serve: `models:/NAME/STAGE`, `@ALIAS` or `/NUMBER`."""

import re
from dataclasses import dataclass
from typing import Literal

STAGES = ("None", "Staging", "Production", "Archived")

_FORM = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<place>[^/@]+)|@(?P<alias>[A-Za-z0-9_-]+))")


@dataclass(frozen=True)
class ModelUri:
    """The registered name, and the pointer to the version that should serve."""

    name: str
    kind: Literal["stage", "alias", "version"]
    pointer: str

    @classmethod
    def parse(cls, text: str) -> "ModelUri":
        """Read MLflow's form. Raises ValueError with the forms that are understood."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(_explain(text))
        if match["alias"]:
            return cls(match["name"], "alias", match["alias"])
        place = match["place"]
        if place.isascii() and place.isdigit():
            return cls(match["name"], "version", str(int(place)))
        for stage in STAGES:
            if place.lower() == stage.lower():
                return cls(match["name"], "stage", stage)
        raise ValueError(_explain(text))

    def __str__(self) -> str:
        return f"models:/{self.name}{'@' if self.kind == 'alias' else '/'}{self.pointer}"


def _explain(text: str) -> str:
    return (
        f"{text!r} names no model; use models:/NAME/Production (or another stage: "
        f"{', '.join(STAGES)}), models:/NAME@ALIAS or models:/NAME/7"
    )
