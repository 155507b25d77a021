"""MLflow's three forms of a model URI, and nothing else."""

import pytest

from predictor.model_version import ModelUri


@pytest.mark.parametrize(
    ("text", "kind", "pointer"),
    [
        ("models:/breast-cancer/Production", "stage", "Production"),
        ("models:/breast-cancer/production", "stage", "Production"),
        ("models:/breast-cancer/Staging", "stage", "Staging"),
        ("models:/breast-cancer/Archived", "stage", "Archived"),
        ("models:/breast-cancer/none", "stage", "None"),
        ("models:/breast-cancer@champion", "alias", "champion"),
        ("models:/breast-cancer@Production", "alias", "Production"),
        ("models:/breast-cancer/7", "version", "7"),
        ("models:/breast-cancer/007", "version", "7"),
    ],
)
def test_each_form_names_its_pointer(text, kind, pointer):
    """Stages in any case, aliases as written, numbers without zeros in front."""
    assert ModelUri.parse(text) == ModelUri("breast-cancer", kind, pointer)


@pytest.mark.parametrize("text", ["models:/a b.c/Production", "models:/ä@x-y_Z", "models:/n/3"])
def test_writing_and_reading_agree(text):
    """The text of a URI is parsed as the same URI."""
    assert str(ModelUri.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "breast-cancer", "models:/", "models:/name", "models:/name/", "models://name/1",
        "models:/name/latest", "models:/name/1/x", "models:/name@", "models:/name@a b",
        "models:/name@é", "models:/@x", "runs:/1/model", "models:/name/٣", "models:/name/-1",
        "models:/name/1.0", " models:/name/1", "models:/name/1\n",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_forms(text):
    """The error shows the valid forms."""
    with pytest.raises(ValueError, match="models:/NAME@ALIAS"):
        ModelUri.parse(text)
