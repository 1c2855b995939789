"""Masking credentials in text before it is stored for reading, shown or sent to a model.

Two nets: the exact values that this deployment knows to be secret, in every spelling a program may print them, and the
shapes of well-known credentials. The second is a heuristic and errs towards leaving training logs alone:
`eos_token=</s>` and `max_tokens=100` pass. Linear in the text: no pattern can backtrack over more than a bounded piece.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import TypeAlias
from urllib.parse import quote, quote_plus

MASK = "[REDACTED]"
MIN_SECRET_CHARACTERS = 8

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

# Where a shape's own alphabet has a hyphen, it may not begin after one: else each hyphen would start a new long search.
_SHAPES = re.compile(
    r"""(?<![A-Za-z0-9_])(?:
        hf_[A-Za-z0-9]{20,}+
      | gh[oprsu]_[A-Za-z0-9]{20,}+ | github_pat_[A-Za-z0-9_]{20,}+
      | A(?:KIA|SIA)[0-9A-Z]{16}(?![A-Za-z0-9])
      | v1\.[a-z0-9-]{5,80}\.[0-9]{9,12}\.[0-9a-f]{64}
      | (?<!-)(?:
            sk-[A-Za-z0-9_-]{16,}+ | ck_[A-Za-z0-9_-]{16,}+
          | glpat-[A-Za-z0-9_-]{20,}+ | xox[abeoprs]-[A-Za-z0-9-]{10,}+ | AIza[0-9A-Za-z_-]{35}
          | eyJ[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]{10,}+
        )
    )""",
    re.VERBOSE,
)
_SCHEMES = ("Bearer", "bearer", "BEARER", "Basic", "basic")
_BEARER = re.compile(r"(\b(?:Bearer|bearer|BEARER|Basic|basic)[ \t]{1,4})([A-Za-z0-9._~+/=-]{16,}+)")
_URL_PASSWORD = re.compile(r"(://[^\s/:@\"'<>]{0,128}:)([^\s/@\"'<>]{1,256})(?=@)")
_KEY_MARKER = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINES = re.compile(r"(?:(?:\s|\\[nr])++[A-Za-z0-9+/=]{40,}+)*+")
_MAX_KEY_CHARACTERS = 20_000

# What a sensitive name ends in, as it is written in environments, JSON, YAML and code. Looked for as plain strings,
# which is several times faster than one case-insensitive pattern.
_NAME_ENDS = tuple(
    spelling
    for word in ("token", "secret", "password", "passwd", "passphrase", "key")
    for spelling in (word, word.upper(), word.capitalize())
)
_KEY_KINDS = re.compile(r"(?:api|access|secret|private|auth|signing|encryption)[_-]?\Z", re.IGNORECASE)
# `HF_TOKEN=…`, `"api_key": "…"`, `password: …`, after the name.
_VALUE = re.compile(
    r"""(?P<between>(?:[_-]?[iI][dD])?\\?["']?[ \t]{0,8}[:=][ \t]{0,8})
        (?:(?P<mark>\\?["'])(?P<quoted>[^"'\\\n]{4,256})(?P=mark) | (?P<bare>[^\s"'\\,;&<>(){}\[\]|=]{4,256}={0,2}))""",
    re.VERBOSE,
)
_LOOK_BACK = 16
# Words before `token` that make it a piece of vocabulary.
_VOCABULARY = re.compile(
    r"(?:max|min|num|eos|bos|pad|unk|sep|cls|mask|image|audio|video|start|end|stop|special|next|first|last|prompt|per|new|extra)"
    r"[_-]?\Z",
    re.IGNORECASE,
)
_WORDS = frozenset({"none", "null", "true", "false", "str", "string", "unset", "missing", "required", "optional"})
_CODE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\Z")
_NUMBER = re.compile(r"[-+0-9.,_eE%/]+\Z")
_PLACEHOLDER = re.compile(r"[*.xX_#-]+\Z")
_NOISE = re.compile(r"[A-Za-z0-9]{20}|(?<![A-Za-z0-9])(?=[A-Za-z0-9]{8})(?:[A-Za-z]++[0-9]|[0-9]++[A-Za-z])")


class Redactor:
    """Masks what it was told and what looks like a credential. Immutable and thread-safe.

    `secrets` shorter than 8 characters are ignored: masking them would shred ordinary text.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        # Longest first: a short spelling may be a piece of a long one.
        self._spellings = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))

    def redact(self, text: str) -> str:
        """`text` with every credential replaced by `MASK`. Applying it twice changes nothing more."""
        for spelling in self._spellings:
            text = text.replace(spelling, MASK)
        text = _mask_private_keys(text)
        text = _SHAPES.sub(_mask_shape, text)
        if any(scheme in text for scheme in _SCHEMES):
            text = _BEARER.sub(_mask_bearer, text)
        text = _URL_PASSWORD.sub(rf"\g<1>{MASK}", text)
        return _mask_assignments(text)

    def redact_json(self, value: JsonValue) -> JsonValue:
        """The same for every string in a JSON value, keys too; `{"api_key": "…"}` is masked by its name."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_json(item) for item in value]
        if isinstance(value, dict):
            return {self.redact(key): self._redact_member(key, item) for key, item in value.items()}
        return value

    def _redact_member(self, key: str, value: JsonValue) -> JsonValue:
        end = next((end for end in _NAME_ENDS if key.endswith(end)), None)
        if end and isinstance(value, str) and _is_credential(key[: -len(end)][-_LOOK_BACK:], end, value, quoted=True):
            return MASK
        return self.redact_json(value)


def _spellings(secret: str) -> Iterator[str]:
    """Every way a program is likely to print a secret, each at least 8 characters long."""
    if len(secret) < MIN_SECRET_CHARACTERS:
        return
    raw = secret.encode(errors="surrogateescape")
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    for escaped in (quote(secret, safe="", errors="surrogateescape"), quote_plus(secret, errors="surrogateescape")):
        yield escaped
        yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), escaped)
    yield raw.hex()
    yield raw.hex().upper()
    yield from _base64_spellings(raw)
    # A secret of several lines is often printed or prefixed line by line.
    lines = secret.splitlines()
    if len(lines) > 1:
        for line in lines:
            if len(line.strip()) >= 2 * MIN_SECRET_CHARACTERS:
                yield line.strip()


def _base64_spellings(raw: bytes) -> Iterator[str]:
    """base64 of the secret itself and inside a longer text (`user:secret`), where it can start at three offsets.

    Characters that also encode a neighbouring byte are left off.
    """
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw).decode()
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        core = encoded[first:last]
        if len(core) >= MIN_SECRET_CHARACTERS:
            yield core
            yield core.translate({ord("+"): "-", ord("/"): "_"})


def _mask_private_keys(text: str) -> str:
    markers = list(_KEY_MARKER.finditer(text))
    if not markers:
        return text
    pieces, position = [], 0
    for marker, following in zip(markers, [*markers[1:], None], strict=True):
        if marker[1] == "END" or marker.start() < position:
            continue
        closed = following is not None and following[1] == "END"
        if following and closed and following.start() - marker.end() <= _MAX_KEY_CHARACTERS:
            end = following.end()
        else:
            body = _KEY_LINES.match(text, marker.end())
            end = body.end() if body else marker.end()
        pieces += [text[position : marker.start()], MASK]
        position = end
    return "".join([*pieces, text[position:]])


def _mask_shape(found: re.Match[str]) -> str:
    # `sk-` and `ck_` also begin names that people choose; those are words, not noise.
    loose = found[0].startswith(("sk-", "ck_"))
    return found[0] if loose and not _looks_random(found[0][3:]) else MASK


def _mask_bearer(found: re.Match[str]) -> str:
    is_header = "authorization" in found.string[max(0, found.start() - 24) : found.start()].lower()
    return found[1] + MASK if is_header or _looks_random(found[2]) or "=" in found[2] else found[0]


def _mask_assignments(text: str) -> str:
    pieces, position = [], 0
    for start, name in sorted(_find_all(text, _NAME_ENDS)):
        found = _VALUE.match(text, start + len(name)) if start >= position else None
        if found is None:
            continue
        kind = "quoted" if found["quoted"] is not None else "bare"
        called = kind == "bare" and text[found.end() : found.end() + 1] in ("(", "[")
        before = text[max(0, start - _LOOK_BACK) : start]
        if not called and _is_credential(before, name, found[kind], kind == "quoted"):
            pieces += [text[position : found.start(kind)], MASK]
            position = found.end(kind)
    return "".join([*pieces, text[position:]])


def _find_all(text: str, words: Iterable[str]) -> Iterator[tuple[int, str]]:
    for word in words:
        start = text.find(word)
        while start >= 0:
            yield start, word
            start = text.find(word, start + 1)


def _is_credential(before: str, name: str, value: str, quoted: bool) -> bool:
    """Whether `<before><name>=<value>` gives a credential away."""
    if len(value) < 4 or value.startswith(("$", "%", "<", "[", "{")) or _PLACEHOLDER.match(value):
        return False
    if value.lower() in _WORDS or (not quoted and _CODE.match(value)):
        return False
    name = name.lower()
    if name.startswith("pass"):
        return value.lower() != name
    if _NUMBER.match(value) or _is_innocent(before, name):
        return False
    # `HF_TOKEN=` and the like are environment variables, whose values are credentials whatever they look like.
    return (before[-1:] == "_" and before[-2:-1].isupper()) or _looks_random(value)


def _is_innocent(before: str, name: str) -> bool:
    """Whether the name is one of vocabulary (`eos_token`) or of sorting and looking up (`primary_key`)."""
    if name == "key":
        return _KEY_KINDS.search(before) is None
    return name == "token" and _VOCABULARY.search(before) is not None


def _looks_random(value: str) -> bool:
    """Whether a value is noise rather than words: long, or letters and digits mixed within one piece."""
    start = value[:64]
    return len(value) >= MIN_SECRET_CHARACTERS and " " not in start and _NOISE.search(start) is not None
