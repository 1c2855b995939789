"""The kinds of panels that the dashboards are made of. Each has a title, a unit, and says what a bad value means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard as builders, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common as options, dashboard as models, prometheus as queries

Panel = timeseries.Panel | stat.Panel | table.Panel | bargauge.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, bargauge.Panel)

PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, ORANGE, RED, GREY = "green", "orange", "red", "text"
SECONDS, BYTES, BYTES_PER_SECOND, DOLLARS, SHARE = "s", "bytes", "Bps", "currencyUSD", "percentunit"
PERCENT, COUNT, PER_SECOND, DATE = "percent", "none", "cps", "dateTimeAsIso"
_TALL, _FLAT = 8, 4
_LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Query:
    """One query of PromQL, and what its series are called: `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Limits:
    """From which value on a person should look, and act. `low`: it is low values that are bad."""

    warn: float
    bad: float | None = None
    low: bool = False


def lines(
    title: str, unit: str, *asked: Query, says: str, limits: Limits | None = None, stacked: bool = False, width: int = 8
) -> timeseries.Panel:
    """Values over time. With limits, the line that must not be crossed is drawn."""
    panel = timeseries.Panel().title(title).description(says).unit(unit).span(width).height(_TALL).min(0)
    panel = panel.legend(common.VizLegendOptions().display_mode(options.LegendDisplayMode.LIST).show_legend(True))
    panel = panel.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI))
    panel = panel.fill_opacity(30 if stacked else 8).line_width(1).show_points(options.VisibilityMode.NEVER)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    if limits is not None:
        panel = panel.thresholds(_thresholds(limits)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
        )
    return _asking(panel, asked)


def number(title: str, unit: str, *asked: Query, says: str, limits: Limits | None = None, width: int = 4) -> stat.Panel:
    """What a value is now, or came to in the time that is shown; green, orange or red by its limits."""
    panel = stat.Panel().title(title).description(says).unit(unit).span(width).height(_FLAT)
    panel = panel.graph_mode(options.BigValueGraphMode.NONE).color_mode(options.BigValueColorMode.VALUE)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = panel.thresholds(_thresholds(limits))
    return _asking(panel, asked, instant=True)


def bars(title: str, unit: str, asked: Query, *, says: str, width: int = 8) -> bargauge.Panel:
    """What a value came to in the time that is shown, one bar for each label, the longest on top."""
    panel = bargauge.Panel().title(title).description(says).unit(unit).span(width).height(_TALL).min(0)
    panel = panel.orientation(options.VizOrientation.HORIZONTAL).display_mode(options.BarGaugeDisplayMode.BASIC)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    return _asking(panel, [Query(f"sort_desc({asked.expr})", asked.legend)], instant=True)


def rows(title: str, label: str, columns: dict[str, tuple[str, Query]], *, says: str, width: int = 24) -> table.Panel:
    """A table with a row for each value of `label`. `columns`: what each is called, its unit and its query."""
    panel = table.Panel().title(title).description(says).span(width).height(_TALL)
    renamed = {}
    for letter, (name, (unit, query)) in zip(_LETTERS, columns.items(), strict=False):
        panel = panel.with_target(_target(query, letter, instant=True).format(queries.PromQueryFormat.TABLE))
        panel = panel.override_by_name(name, [models.DynamicConfigValue("unit", unit)])
        renamed[f"Value #{letter}"] = name
    joined = models.DataTransformerConfig(id_val="joinByField", options={"byField": label, "mode": "outer"})
    hidden = {"Time": True, **{f"Time {number}": True for number in range(1, len(columns) + 1)}}
    named = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": hidden, "indexByName": {}, "renameByName": renamed}
    )
    return panel.datasource(PROMETHEUS).with_transformation(joined).with_transformation(named)


def _target(query: Query, letter: str, *, instant: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(letter).legend_format(query.legend or "__auto")
    target = target.datasource(PROMETHEUS)
    return target.instant() if instant else target.range()


def _asking(panel: P, asked: Sequence[Query], *, instant: bool = False) -> P:
    for letter, query in zip(_LETTERS, asked, strict=False):
        panel = panel.with_target(_target(query, letter, instant=instant))
    return panel.datasource(PROMETHEUS)


def _thresholds(limits: Limits | None) -> builders.ThresholdsConfig:
    steps = [models.Threshold(value=value, color=color) for value, color in _colors(limits)]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _colors(limits: Limits | None) -> list[tuple[float | None, str]]:
    """From which value on which color is shown; None is from the lowest there is."""
    if limits is None:
        return [(None, GREY)]
    between = [] if limits.bad is None else [(limits.bad, ORANGE if limits.low else RED)]
    if limits.low:
        return [(None, RED), *between, (limits.warn, GREEN)]
    return [(None, GREEN), (limits.warn, ORANGE), *between]
