"""Lengths of time in words. Pure."""


def seconds_text(seconds: float) -> str:
    """A duration: `0.8 s`, `42 s`, `3 min 20 s`, `5 h 02 min`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
