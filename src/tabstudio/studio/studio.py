"""What the pages and the REST API stand on: registry, runs, services and training processes of one place."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from tabstudio.database import Database, database_address
from tabstudio.settings import registry_address, tracking_address
from tabstudio.studio.access.access import Access
from tabstudio.studio.access.asking import settled
from tabstudio.studio.data.tables import Tables
from tabstudio.studio.feed import Feed
from tabstudio.studio.mlflowserver import web_address
from tabstudio.studio.options import StudioOptions
from tabstudio.studio.topics import sources
from tabstudio.studio.traffic import Traffics

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tabstudio.registry import Registry
    from tabstudio.serving.deployments import Deployments
    from tabstudio.studio.access.people import People
    from tabstudio.studio.access.roles import Who
    from tabstudio.studio.data.looks import Looks
    from tabstudio.studio.gauges import Gauges
    from tabstudio.studio.jobs import Jobs
    from tabstudio.studio.meters import Meters
    from tabstudio.studio.runs.listing import Runs


class Studio:
    """One per process. Everything here may be called from several threads.

    Raises `ConfigError` where people must log in and there is nobody.
    """

    def __init__(self, options: StudioOptions) -> None:
        self.tracking_uri = tracking_address()
        self.registry_uri = registry_address(None, self.tracking_uri)
        self.database = Database(database_address(registry_uri=self.registry_uri))
        self.tables = Tables(options.data, options.upload_bytes)
        self.access = Access(self.database)
        self.options = settled(options, self.access.people)
        self.mlflow_url = web_address(self.tracking_uri)
        self.traffics = Traffics()
        self.feed = Feed(sources(self))
        self._registries: dict[str, Registry] = {}
        self._lock = Lock()

    @cached_property
    def mlflow(self) -> MlflowClient:
        """MLflow's client for runs; a local database is made where there is none yet."""
        from mlflow import MlflowClient

        from tabstudio.tracking.sqlite_template import opened

        return opened(self.tracking_uri, lambda: MlflowClient(self.tracking_uri, self.registry_uri))

    @cached_property
    def deployments(self) -> Deployments:
        """The services that were started by name."""
        from tabstudio.serving.deployments import Deployments

        return Deployments(self.database)

    @cached_property
    def gauges(self) -> Gauges:
        """What the services count of themselves."""
        from tabstudio.studio.gauges import Gauges

        return Gauges(lambda name: self.deployments.find(name, ask=False))

    @cached_property
    def meters(self) -> Meters:
        """How busy the machine and the processes of jobs are."""
        from tabstudio.studio.meters import Meters

        return Meters()

    @cached_property
    def looks(self) -> Looks:
        """First looks at the tables, shared by all who look. For the event loop of the server."""
        from tabstudio.studio.data.looks import Looks

        return Looks(self.tables)

    @cached_property
    def jobs(self) -> Jobs:
        """Trainings and searches that were started from the studio."""
        from tabstudio.studio.jobs import Jobs

        return Jobs(self.database, self.tables)

    @cached_property
    def runs(self) -> Runs:
        """All runs of the tracking store."""
        from tabstudio.registry.mlflow_client import RegistryClient
        from tabstudio.studio.runs.listing import Runs

        _ = self.mlflow  # makes the local database, so that an empty one can be looked at
        return Runs(RegistryClient(self.tracking_uri, self.registry_uri))

    def registry(self, who: Who) -> Registry:
        """The registry, with this person as who acts."""
        from tabstudio.registry import Registry

        _ = self.mlflow  # makes the local database, so that an empty registry can be looked at
        with self._lock:
            if who.name not in self._registries:
                self._registries[who.name] = Registry(
                    tracking_uri=self.tracking_uri, registry_uri=self.registry_uri, actor=who.name
                )
            return self._registries[who.name]

    def people(self, who: Who, about: str = "") -> People:
        """Hand out who may use the studio: to an admin, and to everybody what is `about` themselves.

        Raises `ForbiddenError` for anybody else.
        """
        if about != who.name:
            who.check("admin", "see and change who may use the studio")
        return self.access.people

    def close(self) -> None:
        """Give every connection back."""
        for registry in self._registries.values():
            registry.close()
        self.database.close()
