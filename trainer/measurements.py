"""What the 30 measurements are, in the words of UCI's `wdbc.names`.

Ten things are measured of each cell nucleus in a picture. A row has the mean of each over the
nuclei, its standard error, and its "worst" value, which is the mean of the three largest. The data
set states no unit of length, so none is given here; the shape measures have none.
"""

from exporters.training_data import Description
from trainer.wdbc import FEATURES, MEASURES

# What is measured, and its unit. The words are UCI's, but for what is in parentheses.
_MEASURED = {
    "radius": ("mean of distances from center to points on the perimeter", None),
    "texture": ("standard deviation of gray-scale values", "gray levels"),
    "perimeter": ("perimeter of the nucleus", None),
    "area": ("area of the nucleus", None),
    "smoothness": ("local variation in radius lengths", None),
    "compactness": ("perimeter² / area - 1.0", None),
    "concavity": ("severity of concave portions of the contour", None),
    "concave_points": ("number of concave portions of the contour (scaled: not a count)", None),
    "symmetry": ("symmetry of the nucleus", None),
    "fractal_dimension": ('"coastline approximation" - 1', None),
}
# In the order of FEATURES.
_GROUPS = {
    "mean": "mean over the nuclei",
    "standard error": "standard error over the nuclei",
    "worst": "mean of the three largest values",
}

DESCRIPTIONS = {
    feature: Description(group, f"{measured}; {statistic}", unit)
    for feature, (group, statistic, (measured, unit)) in zip(
        FEATURES,
        (
            (group, statistic, _MEASURED[measure])
            for group, statistic in _GROUPS.items()
            for measure in MEASURES
        ),
        strict=True,
    )
}
"""What each of the features is: its group, what is measured and how it is summed up, its unit."""

PAGE = {
    "values": {"en": "Measurements", "de": "Messwerte"},
    "caution": {
        "en": "Decision support, not a diagnosis. A model's answer is one finding among others; the decision is yours.",
        "de": "Eine Entscheidungshilfe, keine Diagnose. Die Antwort eines Modells ist ein Befund unter anderen; "
        "Sie entscheiden.",
    },
}
"""What the predictor's page calls the features, and says beside every answer."""
