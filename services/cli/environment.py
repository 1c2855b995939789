"""What the command line takes from the environment besides its own settings: how to look, and what services get of it.

Services started by `cohort up` get what programs need to run at all, and the user's `COHORT_…` settings. Only the
worker gets the keys of model providers: the controller's children are training programs, which shall not see them.
"""

import os
from collections.abc import Mapping

from services.core.settings import PREFIX

_NEEDED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}
)
_NEEDED_PREFIXES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "OMP_")
_OURSELVES = "127.0.0.1,localhost"
_MODEL_KEY = f"{PREFIX}MODEL_API_KEY"
# The client's own, and the one secret among the settings.
_NO_TUNING = frozenset({f"{PREFIX}URL", f"{PREFIX}KEY", f"{PREFIX}HOME", _MODEL_KEY})
_PROVIDER_NAMES = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", _MODEL_KEY})
_PROVIDER_PREFIXES = ("AWS_", "AZURE_", "VERTEX", "GOOGLE_", "WATSONX_")
_PROVIDER_SUFFIXES = ("_API_KEY", "_API_BASE", "_BASE_URL", "_API_TOKEN", "_API_VERSION")


def wants_no_colour() -> bool:
    """Whether the user wants no colours (https://no-color.org) or has a terminal without them."""
    environ = own()
    return bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"


def own() -> dict[str, str]:
    """A copy of this process's environment."""
    # No settings of ours are read here, which is what the ban is for.
    return dict(os.environ)  # noqa: TID251


def bare(environ: Mapping[str, str]) -> dict[str, str]:
    """What any program needs; no provider's key in it, and the way to this machine's own services avoids the proxy."""
    kept = {name: value for name, value in environ.items() if name in _NEEDED or name.startswith(_NEEDED_PREFIXES)}
    without = ",".join(part for part in (environ.get("NO_PROXY") or environ.get("no_proxy"), _OURSELVES) if part)
    return kept | {"NO_PROXY": without, "no_proxy": without}


def tuning(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's own settings of the services; no secret among them."""
    return {name: value for name, value in environ.items() if name.startswith(PREFIX) and name not in _NO_TUNING}


def of_provider(environ: Mapping[str, str]) -> dict[str, str]:
    """What the provider of a model asks for: keys, addresses, regions."""
    return {name: value for name, value in environ.items() if _is_providers(name)}


def _is_providers(name: str) -> bool:
    if name in _PROVIDER_NAMES or name.startswith(_PROVIDER_PREFIXES):
        return True
    return name.endswith(_PROVIDER_SUFFIXES) and not name.startswith(PREFIX)
