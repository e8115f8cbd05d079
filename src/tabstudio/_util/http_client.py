"""HTTP requests to other programs: with a time limit, without redirects, through the environment's proxies.

httpx's transport is used without its client: the client logs every address at level INFO (that of a webhook
is a secret), takes certificates from `certifi`, not the system, and fails on a SOCKS proxy in `ALL_PROXY`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

if TYPE_CHECKING:
    import httpx


class RequestError(OSError):
    """No answer came: no connection, no time left, an address or an answer that is not HTTP's."""


def send_request(
    method: str,
    url: str,
    *,
    seconds: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    use_proxy: bool = True,
) -> httpx.Response:
    """Return the whole answer, whatever its status; a redirect is not followed.

    `seconds` limits each wait for the network, `use_proxy=False` passes the environment's proxies over.
    Raises `RequestError`.
    """
    with open_request(
        method, url, seconds=seconds, body=body, headers=headers, use_proxy=use_proxy
    ) as response:
        response.read()
        return response


@contextmanager
def open_request(
    method: str,
    url: str,
    *,
    seconds: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    use_proxy: bool = True,
) -> Iterator[httpx.Response]:
    """Yield the answer; `read`, `iter_lines` or `iter_bytes` fetch its body. Raises `RequestError`."""
    import httpx

    try:
        limits = httpx.Timeout(seconds).as_dict()
        request = httpx.Request(method, url, content=body, headers=headers, extensions={"timeout": limits})
        proxy = _proxy(url) if use_proxy else None
        with httpx.HTTPTransport(verify=_ssl_context(url), trust_env=False, proxy=proxy) as transport:
            response = transport.handle_request(request)
            response.request = request
            try:
                yield response
            finally:
                response.close()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RequestError(str(error) or type(error).__name__) from error


def _proxy(url: str) -> str | None:
    """Return the proxy of `http_proxy`, `https_proxy` and `no_proxy` (or the system) for an address."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or not parts.hostname or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _ssl_context(url: str) -> ssl.SSLContext:
    """Return the context for an address; plain HTTP need not wait 0.05 s for the certificates."""
    return _trusted() if url.lower().startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@cache
def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context()
