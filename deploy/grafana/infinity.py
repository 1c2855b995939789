"""Queries of Cohort's own API, through Grafana's Infinity data source: what one run did is in no metric.

The data source knows the API's address and has a key that may only read. Queries name a path, the place of the rows in
the answer, and of each row the fields that become columns, all in gjson's words, which the plugin's backend reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard as builders, stat, table, timeseries
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models import common as options, dashboard as models

API = models.DataSourceRef(type_val="yesoreyeram-infinity-datasource", uid="${api}")
STRING, NUMBER, TIME = "string", "number", "timestamp_epoch_s"
_LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Column:
    """A field of a row: where it is, what it is called, its type, and the unit of numbers."""

    selector: str
    text: str
    kind: str = STRING
    unit: str = ""


class Answer(variants.Dataquery, builder.Builder[variants.Dataquery]):
    """A query that is its own builder: rows of what the API answers. `over_time` makes a line of each number."""

    def __init__(
        self,
        url: str,
        columns: tuple[Column, ...],
        *,
        root: str = "",
        params: Mapping[str, str] | None = None,
        over_time: bool = False,
    ) -> None:
        self._url = url
        self._columns = columns
        self._root = root
        self._params = params or {}
        self._format = "timeseries" if over_time else "table"
        self._letter = "A"

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._columns

    def named(self, letter: str) -> "Answer":
        """The same as another query of its panel."""
        self._letter = letter
        return self

    def build(self) -> variants.Dataquery:
        return self

    def to_json(self) -> dict[str, object]:
        """The query as the plugin reads it."""
        params = [{"key": key, "value": value} for key, value in self._params.items()]
        return {
            "refId": self._letter,
            "datasource": API.to_json(),
            "type": "json",
            "source": "url",
            "parser": "backend",
            "format": self._format,
            "url": self._url,
            "url_options": {"method": "GET", "data": "", "params": params},
            "root_selector": self._root,
            "columns": [
                {"selector": column.selector, "text": column.text, "type": column.kind} for column in self._columns
            ],
            "filters": [],
        }


def answered(title: str, asked: Answer, *, says: str, width: int = 24, height: int = 8) -> table.Panel:
    """A table of what the API answers, its columns in the order in which the query names them."""
    panel = table.Panel().title(title).description(says).span(width).height(height).datasource(API)
    for column in asked.columns:
        if column.unit:
            panel = panel.override_by_name(column.text, [models.DynamicConfigValue("unit", column.unit)])
    order = {column.text: place for place, column in enumerate(asked.columns)}
    ordered = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {}, "indexByName": order, "renameByName": {}}
    )
    return panel.with_target(asked).with_transformation(ordered)


def fact(title: str, unit: str, asked: Answer, *, says: str, width: int = 4) -> stat.Panel:
    """One value of what the API answers, a word or a number."""
    panel = stat.Panel().title(title).description(says).unit(unit).span(width).height(4).datasource(API)
    panel = panel.graph_mode(options.BigValueGraphMode.NONE).color_mode(options.BigValueColorMode.NONE)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("/.*/"))
    return panel.with_target(asked)


def drawn(title: str, unit: str, *asked: Answer, says: str, width: int = 12, points: bool = False) -> timeseries.Panel:
    """Lines of what the API answers. `points`: single values are marked, for lines of few."""
    panel = timeseries.Panel().title(title).description(says).unit(unit).span(width).height(8).datasource(API)
    panel = panel.legend(common.VizLegendOptions().display_mode(options.LegendDisplayMode.LIST).show_legend(True))
    panel = panel.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)).line_width(1)
    panel = panel.show_points(options.VisibilityMode.ALWAYS if points else options.VisibilityMode.AUTO).span_nulls(True)
    for letter, query in zip(_LETTERS, asked, strict=False):
        panel = panel.with_target(query.named(letter))
    return panel


def source() -> builder.Builder[models.VariableModel]:
    """Which Infinity data source is asked: one for each tenant's key."""
    return builders.DatasourceVariable("api").label("Cohort's API").type("yesoreyeram-infinity-datasource")
