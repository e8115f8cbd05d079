"""The registry and the services of this machine and of a studio are asked in the same words."""

from __future__ import annotations

import inspect

import pytest

from tabstudio.registry import Registry
from tabstudio.remote.deployments import RemoteDeployments
from tabstudio.remote.protocols import AnyDeployments, AnyRegistry
from tabstudio.remote.registry import RemoteRegistry
from tabstudio.serving.deployments import Deployments


def signature(kind, name):
    return str(inspect.signature(getattr(kind, name))).replace("builtins.", "")


def methods(protocol):
    return [name for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"]


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [
        (AnyRegistry, Registry),
        (AnyRegistry, RemoteRegistry),
        (AnyDeployments, Deployments),
        (AnyDeployments, RemoteDeployments),
    ],
)
def test_both_take_and_give_the_same(protocol, kind):
    assert len(methods(protocol)) >= 6
    for name in methods(protocol):
        assert signature(kind, name) == signature(protocol, name), name


@pytest.mark.parametrize(
    ("near", "far", "protocol"),
    [(Registry, RemoteRegistry, AnyRegistry), (Deployments, RemoteDeployments, AnyDeployments)],
)
def test_what_both_have_is_in_the_protocol(near, far, protocol):
    both = {name for name in dir(near) if name[0] != "_" and hasattr(far, name)}
    assert both - {"rules"} == set(methods(protocol))
