from pathlib import Path

import pytest
from pydantic import SecretStr

from services.core.errors import BadRequest
from services.core.settings import WorkerSettings
from services.worker.web.outside import Outside, Places, outside_of
from services.worker.web.toolsfile import ToolsFile

FILE = {
    "hosts": ["*.huggingface.co", "arxiv.org"],
    "tokens": {"hub": "HF_TOKEN"},
    "tenants": {"research": {"hosts": ["*.edu"], "tokens": {"hub": "HF_RESEARCH", "semantic_scholar": "S2"}}},
}
SECRETS = {"HF_TOKEN": SecretStr("hf_all"), "HF_RESEARCH": SecretStr("hf_research"), "S2": SecretStr("s2")}


def test_a_tenant_has_what_is_said_of_it_and_else_what_all_have() -> None:
    outside = Outside(file=ToolsFile.read(FILE), secrets=SECRETS)
    all_others, research = outside.access("acme"), outside.access("research")
    assert all_others.hosts.allows("cdn.huggingface.co") and not all_others.hosts.allows("mit.edu")
    assert research.hosts.allows("mit.edu") and not research.hosts.allows("arxiv.org")

    def told(tenant: str) -> dict[str, tuple[str, str]]:
        return {
            host: (name, value.get_secret_value()) for (host, _), (name, value) in outside.access(tenant).tokens.items()
        }

    assert told("acme") == {"huggingface.co": ("Authorization", "Bearer hf_all")}
    assert told("research") == {
        "huggingface.co": ("Authorization", "Bearer hf_research"),
        "api.semanticscholar.org": ("x-api-key", "s2"),
    }
    assert "hf_" not in repr(outside) + repr(research)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "mapping with the keys"),
        ({"host": []}, "do you mean hosts"),
        ({"hosts": ["https://arxiv.org"]}, "is no host"),
        ({"tokens": {"gitlab": "X"}}, "no tool asks gitlab; there are: hub"),
        ({"tokens": {"hub": "hf_abc-def"}}, "the name of a variable, not the token"),
        ({"tenants": {"Not A Tenant": {}}}, "no name of a tenant"),
        ({"tenants": {"acme": {"tenants": {}}}}, "no such key"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(value: object, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        ToolsFile.read(value)


def test_a_variable_that_is_not_set_is_an_error_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text("tokens: {hub: NO_SUCH_VARIABLE_IS_SET}\n")
    with pytest.raises(BadRequest, match="NO_SUCH_VARIABLE_IS_SET, which is not set"):
        outside_of(WorkerSettings(state_dir=tmp_path, tools_file=path))


def test_the_hub_is_where_hf_endpoint_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.com/")
    outside = outside_of(WorkerSettings(state_dir=tmp_path))
    assert outside.places.hub == "https://hub.example.com"
    assert outside.places.moved() == {("hub.example.com", 443)}
    assert Places().moved() == frozenset()
