"""What a person types instead: lines for curl, in which no name can act."""

from shlex import quote as shell
from urllib.parse import quote


def curl(token_env: str | None = None) -> str:
    """How curl is called: a Toxiproxy that wants a token gets it from that variable."""
    return f'curl -H "Authorization: Bearer ${token_env}"' if token_env else "curl"


def remove(url: str, proxy: str, toxic: str, call: str = "curl") -> str:
    """Remove a toxic."""
    return f"{call} -X DELETE {_api(url, proxy, 'toxics', toxic)}"


def enable(url: str, proxy: str, call: str = "curl") -> str:
    """Enable a proxy."""
    return f"{call} -d '{{\"enabled\": true}}' {_api(url, proxy)}"


def _api(url: str, *parts: str) -> str:
    names = (quote(part, safe="") for part in parts)
    return shell("/".join([url.rstrip("/"), "proxies", *names]))
