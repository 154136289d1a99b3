"""Where the proxy is, and with which API key it is asked: from the caller or the environment.

An API key is in no repr. Workers get theirs from the environment, where a secret store puts them.
"""

from __future__ import annotations

import os

URL = "KEYBRAKE_URL"
"""Where the proxy is; `http://127.0.0.1:8787` by default."""
ADMIN_URL = "KEYBRAKE_ADMIN_URL"
"""Where its admin API is, if that listens elsewhere."""
API_KEY = "KEYBRAKE_API_KEY"
"""An `issuer`'s API key (or an `admin`'s): issues, refreshes and revokes."""
CALLER_KEY = "KEYBRAKE_CALLER_API_KEY"
"""A `caller`'s API key: spends as a vault key that it names."""
AUDIT_KEY = "KEYBRAKE_AUDIT_KEY"
"""An `auditor`'s API key, or the token of a vault key of the scope `audit`."""

_DEFAULT_URL = "http://127.0.0.1:8787"


class NotConfigured(Exception):
    """An API key is missing; the message says which."""


def url(given: str | None = None) -> str:
    """Where calls go, without a final slash."""
    return (given or os.environ.get(URL) or _DEFAULT_URL).rstrip("/")


def admin_url(given: str | None = None) -> str:
    """Where the admin API is, without a final slash."""
    return url(given or os.environ.get(ADMIN_URL))


def api_key(given: str | None = None) -> str:
    """The API key that issues.

    Raises:
        NotConfigured: where nothing says so.
    """
    return _needed(given, "api_key", API_KEY)


def caller_key(given: str | None = None) -> str:
    """The API key that spends as a vault key which it names; an `admin`'s can do so too.

    Raises:
        NotConfigured: where nothing says so.
    """
    return _needed(given, "api_key", CALLER_KEY, API_KEY)


def audit_key(given: str | None = None) -> str:
    """The key that reads audit rows; an `admin`'s can do so too.

    Raises:
        NotConfigured: where nothing says so.
    """
    return _needed(given, "audit_key", AUDIT_KEY, API_KEY)


def can_issue() -> bool:
    """Whether this process was given an API key that issues."""
    return bool(os.environ.get(API_KEY))


def _needed(given: str | None, argument: str, *variables: str) -> str:
    found = given or next((value for name in variables if (value := os.environ.get(name))), None)
    if not found:
        raise NotConfigured(f"pass {argument}, or set {' or '.join(variables)}: nothing was sent")
    return found
