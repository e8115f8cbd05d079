"""Addresses of the studio's pages, whatever characters a name has."""

from __future__ import annotations

from urllib.parse import quote


def model_page(name: str) -> str:
    """The page of a registered model.

    >>> model_page("churn 100%")
    '/monitor/churn%20100%25'
    """
    return f"/monitor/{quote(name, safe='')}"


def version_page(name: str, version: int | str) -> str:
    """The page of one version of a model."""
    return f"{model_page(name)}/{version}"


def comparison_page(name: str, first: int, second: int) -> str:
    """The page that sets two versions of a model side by side."""
    return f"{model_page(name)}/compare?first={first}&second={second}"


def run_page(run_id: str) -> str:
    """The page of one run."""
    return f"/runs/{quote(run_id, safe='')}"


def service_page(name: str) -> str:
    """The page of one service."""
    return f"/deployments/{quote(name, safe='')}"


def table_page(name: str) -> str:
    """The page of one table; its name may hold folders."""
    return f"/data/table/{quote(name)}"


def job_page(job_id: str) -> str:
    """The page of one training or search."""
    return f"/jobs/{quote(job_id, safe='')}"
