"""What all dashboards share: variables, links to one another, and the order of panels in rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import builder
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import PROMETHEUS, Panel

TAG = "cohort"
Variable = builder.Builder[models.VariableModel]


@dataclass(frozen=True)
class Section:
    """A row of panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """A dashboard: its address is /d/<uid>, its file <uid>.json."""

    uid: str
    title: str
    says: str
    sections: Sequence[Section]
    variables: Sequence[Variable]
    since: str = "now-6h"

    def built(self) -> models.Dashboard:
        board = builders.Dashboard(self.title).uid(self.uid).description(self.says).tags([TAG]).readonly()
        board = board.time(self.since, "now").refresh("1m").tooltip(models.DashboardCursorSync.CROSSHAIR)
        for variable in self.variables:
            board = board.with_variable(variable)
        others = builders.DashboardLink("Cohort").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
        board = board.link(others.as_dropdown(True).include_vars(True).keep_time(True))
        number = 0
        for section in self.sections:
            number += 1
            board = board.with_row(builders.Row(section.title).id(number))
            for panel in section.panels:
                number += 1
                board = board.with_panel(panel.id(number))
        return board.build()


def source() -> Variable:
    """Which Prometheus is asked."""
    return builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def namespace() -> Variable:
    """Which install is shown; all of them unless told."""
    return labels("namespace", "Namespace", "cohort_controller_leading")


def labels(label: str, title: str, metric: str) -> Variable:
    """The values that a metric has of a label, of which one, several or all may be chosen."""
    where = "" if label == "namespace" else '{namespace=~"$namespace"}'
    query: dict[str, Any] = {
        "qryType": 1,
        "query": f"label_values({metric}{where}, {label})",
        "refId": "PrometheusVariableQueryEditor-VariableQuery",
    }
    variable = builders.QueryVariable(label).label(title).datasource(PROMETHEUS).query(query)
    variable = variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
    variable = variable.sort(models.VariableSort.ALPHABETICAL_ASC)
    variable = variable.multi(True).include_all(True).all_value(".*")
    return variable.current(models.VariableOption(selected=True, text="All", value="$__all"))
