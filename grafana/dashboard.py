"""The dashboard: its variables, annotations and rows.

It has the classic form, which older Grafanas read from a file, too.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    Panel,
    RowPanel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana import drift, health, predictions, requests, shadow, versions
from grafana.panels import SOURCE
from grafana.queries import of_model, select

FILE = Path(__file__).parent / "dashboards" / "predictor.json"

# The first screen answers whether all is well; the other rows are folded.
_FIRST = "Is all well, and which version serves?"
_FOLDED = {
    "Each replica": versions.replicas,
    "Did the last swap work?": versions.swaps,
    "Predictions": predictions.panels,
    "Has the world changed?": drift.panels,
    "What would the shadow say?": shadow.panels,
    "Requests": requests.panels,
    "Registry": health.registry,
    "Processes": health.processes,
}


def written() -> str:
    """The content of the dashboard's file."""
    encoded = JSONEncoder(indent=2, sort_keys=True).encode(build())
    return json.dumps(json.loads(encoded), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def build() -> Dashboard:
    """The dashboard, built from the models of Grafana's schema."""
    board = (
        builders.Dashboard("mlflow-hotswap")
        .uid("mlflow-hotswap")
        .description(
            "The serving version of each replica, swaps, requests, the registry and the processes."
        )
        .tags(["mlflow-hotswap"])
        .time("now-1h", "now")
        .refresh("10s")
        .timezone("browser")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .variables([_source(), _job(), _model(), _instance()])
    )
    for annotation in _marks():
        board.annotation(annotation)
    board.with_row(builders.Row(_FIRST))
    for panel in (*versions.figures(), *requests.golden(), health.lag(), *versions.history()):
        board.with_panel(panel)
    for title, panels in _FOLDED.items():
        row = builders.Row(title)
        for panel in panels():
            row.with_panel(panel)
        board.with_row(row)
    made = board.build()
    for number, each in enumerate(all_panels(made), 1):
        each.id_val = number
    return made


def all_panels(board: Dashboard) -> Iterator[Panel | RowPanel]:
    """The rows and the panels, also those in folded rows."""
    for each in board.panels or []:
        yield each
        if isinstance(each, RowPanel):
            yield from each.panels


def _source() -> builders.DatasourceVariable:
    return builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _values(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": query, "refId": name, "qryType": 1})
        .definition(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _job() -> builders.QueryVariable:
    chosen = VariableOption(selected=True, text="predictor", value="predictor")
    return _values("job", "Job", "label_values(predictor_model_version, job)").current(chosen)


def _all(variable: builders.QueryVariable) -> builders.QueryVariable:
    chosen = VariableOption(selected=True, text=["All"], value=["$__all"])
    return variable.multi(multi=True).include_all(include_all=True).current(chosen)


def _model() -> builders.QueryVariable:
    query = 'label_values(predictor_model_version{job="$job"}, model_name)'
    return _all(_values("model", "Model", query))


def _instance() -> builders.QueryVariable:
    query = 'label_values(predictor_model_version{job="$job", model_name=~"$model"}, instance)'
    return _all(_values("instance", "Replica", query))


def _mark(name: str, color: str, expr: str, title: str, text: str) -> builders.AnnotationQuery:
    """An annotation for as long as the expression is above zero."""
    return (
        builders.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(enable=True)
        .icon_color(color)
        .expr(expr)
        .step("10s")
        .title_format(title)
        .text_format(text)
    )


def _swap_times() -> str:
    # The value is the time of the swap in milliseconds: Grafana shows the annotation there.
    return (
        f"min by (model_name, model_version) ("
        f"{select('predictor_serving_since_timestamp_seconds')} * 1000"
        f" * on (job, instance) group_left (model_name, model_version) {of_model('predictor_model_info')}"
        f")"
    )


def _marks() -> list[builders.AnnotationQuery]:
    failed = of_model("predictor_failed_model_version")
    outcomes = select("predictor_registry_polls_total", 'outcome!="answered"')
    return [
        _mark(
            "Swaps", "blue", _swap_times(), "Version {{model_version}} serves",
            "{{model_name}} version {{model_version}} serves from here on.",
        ).use_value_for_time(use_value_for_time=True),
        _mark(
            "Failed versions", "red", f'count_values by (model_name) ("failed", {failed} > 0)',
            "Version {{failed}} failed",
            "{{model_name}} version {{failed}} cannot be loaded, or a computation of it was stopped.",
        ),
        _mark(
            "Nothing serves", "dark-red",
            f"count by (model_name) ({of_model('predictor_model_version')} == 0)",
            "Nothing serves", "A replica serves no version of {{model_name}}.",
        ),
        _mark(
            "Registry", "orange", f"sum by (outcome) (increase({outcomes}[20s])) > 0",
            "Registry: {{outcome}}", "The registry gave no usable response: {{outcome}}.",
        ),
        _mark(
            "Alerts", "purple",
            'max by (alertname) (ALERTS{alertstate="firing", alertname=~"Predictor.*"})',
            "{{alertname}}", "{{alertname}} fires; docs/runbooks.md says what to do.",
        ),
    ]  # fmt: skip
