import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, strategies as st

from services.core.redaction import MASK, Redactor

SECRET = "p@ss/w0rd+for%us!"
KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(["MIIEowIBAAKCAQEAx" + "k9Q" * 15] * 6)
    + "\nkq==\n-----END RSA PRIVATE KEY-----"
)
NOISE = "a8Zk2mQ9xT4vB7nC1dE5"


@pytest.mark.parametrize(
    "printed",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        json.dumps(SECRET),
        repr({"k": SECRET}),
    ],
)
def test_a_known_secret_is_masked_in_every_spelling(printed: str) -> None:
    text = Redactor([SECRET]).redact(f"loss=0.5 before {printed} after acc=0.9")
    assert MASK in text
    assert printed.strip("'\"") not in text
    assert text.startswith("loss=0.5 before ")
    assert text.endswith(" after acc=0.9")


@given(st.binary(max_size=10), st.binary(max_size=10), st.text(min_size=16, max_size=40), st.booleans())
def test_base64_hides_no_known_secret_wherever_it_starts(
    before: bytes, after: bytes, secret: str, urlsafe: bool
) -> None:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    printed = encode(before + secret.encode() + after).decode()
    masked = Redactor([secret]).redact(printed)
    shown = "".join(masked.split(MASK))
    assert MASK in masked
    assert len(shown) <= len(printed) - (len(secret.encode()) * 8 // 6 - 2)


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    secret = "first line of the secret\nsecond line of the secret\nshort"
    masked = Redactor([secret]).redact("[rank0] first line of the secret\n[rank0] second line of the secret")
    assert masked == f"[rank0] {MASK}\n[rank0] {MASK}"


def test_a_short_secret_does_not_shred_the_text() -> None:
    assert Redactor(["", "a", "loss"]).redact("a loss of 0.1") == "a loss of 0.1"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"login with hf_{NOISE}{NOISE}", f"login with {MASK}"),
        (f"https://user:hf_{NOISE}@hf.co/x", f"https://user:{MASK}@hf.co/x"),
        (f"key sk-proj-{NOISE}-{NOISE}.", f"key {MASK}."),
        (f"sk-ant-api03-{NOISE}", MASK),
        (f"ghp_{NOISE}{NOISE} github_pat_11A_{NOISE}", f"{MASK} {MASK}"),
        ("id AKIAIOSFODNN7EXAMPLE", f"id {MASK}"),
        (f"ck_{NOISE}", MASK),
        (f"v1.rabc123def456-train-1.1765432100.{'0a' * 32}", MASK),
        (f"eyJhbGciOiJI{NOISE}.{NOISE}.{NOISE}", MASK),
        (f"Authorization: Bearer {NOISE}", f"Authorization: Bearer {MASK}"),
        ("authorization: Basic dXNlcjpwYXNzd29yZA", f"authorization: Basic {MASK}"),
        (f"curl -H 'bearer {NOISE}'", f"curl -H 'bearer {MASK}'"),
        ("redis://:hunter2@redis:6379/0", f"redis://:{MASK}@redis:6379/0"),
        ("HF_TOKEN=whatever LOSS=1", f"HF_TOKEN={MASK} LOSS=1"),
        ("export WANDB_API_KEY='abcd efgh'", f"export WANDB_API_KEY='{MASK}'"),
        ("AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMI/K7MDENG/bPx", f"AWS_SECRET_ACCESS_KEY: {MASK}"),
        (f'{{"api_key": "{NOISE}", "lr": 0.1}}', f'{{"api_key": "{MASK}", "lr": 0.1}}'),
        (f'{{\\"apiKey\\": \\"{NOISE}\\"}}', f'{{\\"apiKey\\": \\"{MASK}\\"}}'),
        (f"client_secret = {NOISE}", f"client_secret = {MASK}"),
        ("password: hunter2", f"password: {MASK}"),
        ("DB_PASSWORD=correct-horse", f"DB_PASSWORD={MASK}"),
        (f"x\n{KEY}\ny", f"x\n{MASK}\ny"),
        (json.dumps({"pem": KEY}), f'{{"pem": "{MASK}"}}'),
        (KEY[:200], MASK + KEY[:0]),
    ],
)
def test_a_credential_is_known_by_its_shape(text: str, masked: str) -> None:
    assert Redactor().redact(text) == masked
    assert Redactor().redact(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        'eos_token=</s> bos_token=<s> pad_token=[PAD] unk_token="<unk>"',
        '"eos_token": "<|im_end|>", "pad_token": "endoftext1234", "mask_token": null',
        "max_tokens=100 num_tokens: 1234567890 tokens/s=51234.5 MAX_TOKEN=4096",
        "tokenizer=bert-base-uncased-v2024 token_ids: tensor([101, 2023])",
        "loss per token: 0.12345678 nll/token: 2.3e-05",
        'token = os.environ["HF_TOKEN"]',
        "token=get_token() password=getpass.getpass() api_key=args.api_key",
        'if key == "state_dict": sort_key=validation_loss_2024 PRIMARY_KEY=customer_id_12345678',
        "key: layers.12.attention.wq.weight_00001234",
        "api_key=None password: str = '' token: bool",
        'HF_TOKEN=$SECRET api_key="${API_KEY}" token=<your token> password=********',
        "pip install scikit-learn sk-learn-contrib-something task-1234567890abcdef check_point_2024_01_01_final",
        "basic training1 with a bearer certificate",
        "http://localhost:8080/path?x=1 and s3://bucket/key:1@2",
        "the line -----BEGIN PRIVATE KEY----- starts a key",
        "commit 3f786850e387550fdab836ed7e6dc881de23001b sha256:" + "ab" * 32,
        "epoch 1/3 loss=0.5 acc: 0.91 lr=1e-4 | 45%|####   | 12/100 [00:10<01:00, 3.2it/s]",
        "secretary: someone12345 Password required",
    ],
)
def test_training_logs_and_code_are_left_alone(text: str) -> None:
    assert Redactor().redact(text).replace("-----BEGIN PRIVATE KEY-----", MASK) == text.replace(
        "-----BEGIN PRIVATE KEY-----", MASK
    )


def test_json_is_masked_by_value_and_by_name() -> None:
    value = {
        "api_key": NOISE,
        "HF_TOKEN": "plain",
        "eos_token": "</s>",
        "list": [f"x {SECRET}", 1, None, True, 0.5],
        SECRET: {"password": "hunter2", "tokens": 7},
    }
    assert Redactor([SECRET]).redact_json(value) == {
        "api_key": MASK,
        "HF_TOKEN": MASK,
        "eos_token": "</s>",
        "list": [f"x {MASK}", 1, None, True, 0.5],
        MASK: {"password": MASK, "tokens": 7},
    }


@pytest.mark.parametrize(
    "unit",
    [
        "eyJ-",
        "eyJaaaaaaaaaaaaaaaaa.",
        "sk-",
        "hf_",
        "token=",
        "token:",
        'token="',
        "://a:",
        "-----BEGIN PRIVATE KEY-----\n",
        "bearer ",
        "a",
        "token" + " " * 1000,
        "password=" + "x" * 2000,
        "v1.aaaaa-",
        "A" * 64 + "\n",
    ],
)
def test_no_text_makes_redaction_hang(unit: str) -> None:
    """Work that grows faster than the text would take hours here."""
    text = unit * (500_000 // len(unit))
    assert Redactor([SECRET]).redact(text)
