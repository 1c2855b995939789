"""The forms that the dashboards' queries have. Pure.

Every selector keeps to the namespace that is chosen. Rates are over `$__rate_interval`, totals over the time that is
shown. What the controllers read of the state both of them export, so it is the same value twice: `state` takes it once.
"""

NAMESPACE = 'namespace=~"$namespace"'


def chosen(name: str, where: str = "") -> str:
    """The series of a name in the namespace that is chosen; `where` are further matchers."""
    return f"{name}{{{NAMESPACE}{f', {where}' if where else ''}}}"


def rate(name: str, *labels: str, where: str = "") -> str:
    """How much a counter grows in a second, summed by these labels."""
    return f"sum{_by(labels)} (rate({chosen(name, where)}[$__rate_interval]))"


def total(name: str, *labels: str, where: str = "") -> str:
    """How much a counter grew in the time that is shown, summed by these labels."""
    return f"sum{_by(labels)} (increase({chosen(name, where)}[$__range]))"


def state(name: str, *labels: str, where: str = "", kept: tuple[str, ...] = ()) -> str:
    """What every controller exports, taken once and summed by `labels`; `kept` are the labels that it has besides."""
    once = f"max by ({', '.join(('namespace', *labels, *kept))}) ({chosen(name, where)})"
    return f"sum{_by(labels)} ({once})"


def worst(name: str, *labels: str, where: str = "") -> str:
    """The highest value that any process exports."""
    return f"max{_by(labels)} ({chosen(name, where)})"


def quantile(share: float, name: str, *labels: str, where: str = "") -> str:
    """The value of a histogram that so many of its observations stay below."""
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', 'le', *labels, where=where)})"


def ratio(part: str, whole: str) -> str:
    """A share: 0 where there is a whole and no part, no value where there is nothing to be part of."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def dollars(of: str, *labels: str, where: str = "") -> str:
    """What models and steps cost together; `of` is rate, in dollars a second, or increase, in the time shown."""
    window = "$__rate_interval" if of == "rate" else "$__range"
    names = ("cohort_model_dollars_total", "cohort_step_dollars_total")
    # Their labels differ, so that `or` takes both.
    both = " or ".join(f"{of}({chosen(name, where)}[{window}])" for name in names)
    return f"sum{_by(labels)} ({both})"


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""
