"""The kinds of panels of the dashboard, with their queries, unit and size."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    DashboardRegexMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    RangeMap,
    RegexMap,
    SpecialValueMap,
    Threshold,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

AnyPanel = Builder[Panel]
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
VERSIONS = {"serves", "desired"}  # columns of tables whose numbers are versions
HALF, THIRD, QUARTER, SIXTH, WHOLE = 12, 8, 6, 4, 24  # of 24 columns

NO_DATA = "#8e8e8e"  # grey: neither well nor ill
_CALM = ((None, "green"),)
DASHED = DynamicConfigValue(
    id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]}
)  # fmt: skip
# By the last digit of a version, so that it has one colour wherever it is shown. No red, and neither the green of what is
# well: both mean something else. Neighbours, which serve during a swap, are easy to tell apart.
_OF_VERSIONS = (
    "#6e9fff", "#ff9830", "#b877d9", "#00a5a5", "#f2cc0c", "#3274d9", "#ff85c0", "#96b0c4", "#a16946", "#5794f2",
)  # fmt: skip
Steps = Sequence[tuple[float | None, str]]


def number(
    title: str, description: str, expr: str, unit: str, steps: Steps = _CALM, *,
    legend: str = "__auto",
) -> stat.Panel:  # fmt: skip
    """One number, coloured by thresholds."""
    return (
        stat.Panel()
        .title(title).description(description).datasource(SOURCE).span(SIXTH).height(4)
        .unit(unit).thresholds(_thresholds(steps)).no_value("no data")
        .color_mode(looks.BigValueColorMode.BACKGROUND).graph_mode(looks.BigValueGraphMode.NONE)
        .text_mode(looks.BigValueTextMode.AUTO)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(prometheus.Dataquery().expr(expr).instant().legend_format(legend).ref_id("A"))
    )  # fmt: skip


def lines(
    title: str, description: str, unit: str, queries: Mapping[str, str], *,
    span: int = HALF, steps: Steps | None = None,
) -> timeseries.Panel:  # fmt: skip
    """Lines over time: legend -> expression. `steps` are thresholds.

    A legend has a third of a panel's height; four lines of it need ten units.
    """
    panel = (
        timeseries.Panel()
        .title(title).description(description).datasource(SOURCE).span(span).height(10 if span == QUARTER else 8).unit(unit)
        .axis_soft_min(0).line_width(1).fill_opacity(8).show_points(looks.VisibilityMode.NEVER)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
        .legend(
            common.VizLegendOptions().show_legend(show_legend=True)
            .display_mode(looks.LegendDisplayMode.TABLE).placement(looks.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
    )  # fmt: skip
    for ref, (legend, expr) in zip("ABCDEFGH", queries.items(), strict=False):
        panel.with_target(
            prometheus.Dataquery().expr(expr).range().legend_format(legend).ref_id(ref)
        )
    if any("version {{" in legend for legend in queries):
        _colour_versions(panel)
    if steps is not None:
        line = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(_thresholds(steps)).thresholds_style(line)
    return panel


def shares(title: str, description: str, legend: str, expr: str, *, span: int = HALF) -> AnyPanel:
    """Shares over time, stacked to 100 %."""
    panel = lines(title, description, "percentunit", {legend: expr}, span=span).fill_opacity(60)
    return panel.max(1).stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))


def bars(
    title: str, description: str, legend: str, expr: str, *, span: int = THIRD, unit: str = "short"
) -> AnyPanel:
    """Counts of events over time, as stacked bars."""
    panel = lines(title, description, unit, {legend: expr}, span=span)
    panel.draw_style(looks.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    return panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))


def timeline(
    title: str, description: str, queries: Mapping[str, str], words: Mapping[str, tuple[str, str]]
) -> statetimeline.Panel:
    """States over time: one line for each series."""
    panel = (
        statetimeline.Panel()
        .title(title).description(description).datasource(SOURCE).span(HALF).height(8)
        .merge_values(merge_values=True).row_height(0.8).fill_opacity(75).no_value("none")
        .show_value(looks.VisibilityMode.AUTO).mappings([value_texts(words)] if words else [])
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    )  # fmt: skip
    for ref, (legend, expr) in zip("ABCDEFGH", queries.items(), strict=False):
        panel.with_target(
            prometheus.Dataquery().expr(expr).range().legend_format(legend).ref_id(ref)
        )
    return panel


def names_of_versions(panel: stat.Panel) -> AnyPanel:
    """Show the names of the series, which are named after versions, in their colours."""
    _colour_versions(panel)
    return panel.text_mode(looks.BigValueTextMode.NAME)


def of_versions(panel: statetimeline.Panel) -> AnyPanel:
    """Show the values of a timeline as versions, in their colours."""
    return panel.mappings(_versions()).transformations([_as_text("Value")])


def heat(title: str, description: str, unit: str, expr: str) -> AnyPanel:
    """A histogram over time: the increase of each bucket."""
    query = prometheus.Dataquery().expr(expr).range().legend_format("{{le}}").ref_id("A")
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64)
    return (
        heatmap.Panel()
        .title(title).description(description).datasource(SOURCE).span(HALF).height(8)
        .calculate(calculate=False).color(colours).y_axis(heatmap.YAxisConfig().unit(unit))
        .with_target(query.format(PromQueryFormat.HEATMAP))
    )  # fmt: skip


def rows(
    title: str, description: str, queries: Mapping[str, str], *, key: str = "instance"
) -> table.Panel:
    """A table with one row for each `key` and one column for each expression: heading -> expression."""
    panel = (
        table.Panel()
        .title(title).description(description).datasource(SOURCE).span(WHOLE).height(8)
        .thresholds(_thresholds(_CALM))
    )  # fmt: skip
    names: dict[str, str] = {}
    for ref, (heading, expr) in zip("ABCDEFGH", queries.items(), strict=False):
        query = prometheus.Dataquery().expr(expr).instant().format(PromQueryFormat.TABLE)
        panel.with_target(query.ref_id(ref))
        names[f"Value #{ref}"] = heading
    order = {name: place for place, name in enumerate([key, *names])}
    hidden: dict[str, object] = {"Time": True}
    return panel.transformations(
        [
            _as_text(*(name for name, heading in names.items() if heading in VERSIONS)),
            DataTransformerConfig(id_val="merge", options={}),
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": hidden, "indexByName": order, "renameByName": {**names, key: key},
                },
            ),
        ]
    )  # fmt: skip


def column(
    panel: table.Panel, heading: str, unit: str, *,
    words: Mapping[str, tuple[str, str]] | None = None, steps: Steps | None = None,
) -> None:  # fmt: skip
    """Set unit, texts and thresholds of one column of a table."""
    properties = [DynamicConfigValue(id_val="unit", value=unit)]
    if words:
        properties.append(DynamicConfigValue(id_val="mappings", value=[value_texts(words)]))
    if steps:
        properties.append(DynamicConfigValue(id_val="thresholds", value=_thresholds(steps).build()))
    if words or steps:
        background = {"type": "color-background", "mode": "basic"}
        properties.append(DynamicConfigValue(id_val="custom.cellOptions", value=background))
    panel.override_by_name(heading, properties)


def column_of_versions(panel: table.Panel, heading: str) -> None:
    """Show the numbers of one column of a table as versions, in their colours."""
    background = {"type": "color-background", "mode": "basic"}
    panel.override_by_name(
        heading,
        [
            DynamicConfigValue(id_val="mappings", value=_versions()),
            DynamicConfigValue(id_val="custom.cellOptions", value=background),
        ],
    )


def _as_text(*names: str) -> DataTransformerConfig:
    """Grafana matches only texts with regular expressions, not numbers."""
    conversions = [{"targetField": each, "destinationType": "string"} for each in names]
    return DataTransformerConfig(id_val="convertFieldType", options={"conversions": conversions})


def _versions() -> list[ValueMap | RangeMap | RegexMap | SpecialValueMap]:
    """None in red, and each version in its colour."""
    by_digit = [
        RegexMap(
            DashboardRegexMapOptions(
                pattern=f"/^(\\d*{digit})$/",
                result=ValueMappingResult(text="$1", color=color, index=digit + 1),
            )
        )
        for digit, color in enumerate(_OF_VERSIONS)
    ]
    return [value_texts({"0": ("none", "red")}), *by_digit]


def _colour_versions(panel: stat.Panel | timeseries.Panel) -> None:
    """Give each series that is named after a version its colour; version 0 is none."""
    for digit, color in enumerate(_OF_VERSIONS):
        panel.override_by_regexp(f"/version \\d*{digit}$/", [_fixed(color)])
    panel.override_by_regexp("/version 0$/", [_fixed("red")])


def _fixed(color: str) -> DynamicConfigValue:
    return DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    found = [Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().steps(found)


def value_texts(words: Mapping[str, tuple[str, str]]) -> ValueMap:
    """Texts and colours for single values: value -> (text, colour)."""
    return ValueMap(
        {
            value: ValueMappingResult(text=text, color=color, index=place)
            for place, (value, (text, color)) in enumerate(words.items())
        }
    )
