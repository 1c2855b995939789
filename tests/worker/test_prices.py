"""What calls cost, and how many tokens are reserved for one."""

from typing import Any

import pytest

from services.worker.prices import FREE, Price, Usage, estimate_tokens


@pytest.mark.parametrize(
    ("price", "usage", "microdollars"),
    [
        (FREE, Usage(10**6, 10**6), 0),
        (Price(3.0, 15.0, 0.3), Usage(), 0),
        (Price(3.0, 15.0, 0.3), Usage(prompt=1_000, completion=100), 4_500),
        (Price(3.0, 15.0, 0.3), Usage(prompt=1_000, completion=100, cached=1_000), 1_800),
        (Price(3.0, 15.0, 0.3), Usage(prompt=1_000, completion=0, cached=400), 1_920),
        (Price(3.0, 15.0, 0.3, 3.75), Usage(prompt=1_000, completion=0, cached=400, written=500), 2_295),
        (Price(3.0, 15.0, 0.3), Usage(prompt=1_000, completion=0, written=500), 3_000),
        # A provider that counts cached tokens beside the prompt must not make a call cheaper than free.
        (Price(3.0, 15.0, 0.3), Usage(prompt=100, completion=0, cached=1_000), 300),
    ],
)
def test_a_price_is_dollars_per_million_tokens(price: Price, usage: Usage, microdollars: int) -> None:
    assert price.microdollars(usage) == microdollars


def test_what_is_reserved_is_the_dearest_that_a_cache_can_make_it() -> None:
    assert Price(3.0, 15.0, 0.3, 3.75).most_microdollars(1_000, 100) == 5_250
    assert Price(3.0, 15.0, 0.3, 0.0).most_microdollars(1_000, 100) == 4_500


@pytest.mark.parametrize(
    ("text", "tokens_by_any_tokenizer"),
    [
        ("hello world, this is a sentence. " * 40, 280),
        ("مرحبا بالعالم " * 100, 1000),
        ("🙂" * 100, 200),
        ("你好" * 50, 100),
    ],
)
def test_the_estimate_is_above_what_text_of_any_script_makes(text: str, tokens_by_any_tokenizer: int) -> None:
    assert estimate_tokens([{"role": "user", "content": text}], []) >= tokens_by_any_tokenizer


def test_the_estimate_counts_the_tools_too() -> None:
    tools: list[dict[str, Any]] = [{"type": "function", "function": {"name": "read", "description": "x" * 3_000}}]

    assert estimate_tokens([], tools) - estimate_tokens([], []) >= 1_000
