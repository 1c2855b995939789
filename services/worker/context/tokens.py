"""How many tokens a message is, without the provider's tokenizer. Pure.

An estimate: three ASCII characters a token, one token for any other character. Training logs are mostly numbers, at
two to three characters a token; prose has four. What providers count corrects it from the second call on, see `fold`.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

_ASCII_PER_TOKEN = 3
_PER_MESSAGE = 4


def tokens_of(messages: Iterable[Mapping[str, Any]]) -> int:
    """The estimate for messages, or for the schemas of tools."""
    return sum(_tokens(message) for message in messages)


def _tokens(message: Mapping[str, Any]) -> int:
    text = json.dumps(message, ensure_ascii=False)
    narrow = len(text.encode("ascii", "ignore"))
    return narrow // _ASCII_PER_TOKEN + (len(text) - narrow) + _PER_MESSAGE
