"""The services of one studio in one object: registry, runs, deployments, jobs, tables, metrics."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from tabstudio.database import Database, database_address
from tabstudio.settings import registry_address, tracking_address
from tabstudio.studio.access.authentication import Authentication
from tabstudio.studio.access.login_policy import decide_login
from tabstudio.studio.mlflow_server import web_address
from tabstudio.studio.services.feed import Feed
from tabstudio.studio.services.tables.table_folder import TableFolder
from tabstudio.studio.services.topics import topic_sources
from tabstudio.studio.services.traffic import TrafficCache
from tabstudio.studio.studio_options import StudioOptions

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tabstudio.registry import Registry
    from tabstudio.serving.deployments import Deployments
    from tabstudio.studio.access.roles import Actor
    from tabstudio.studio.access.users import UserStore
    from tabstudio.studio.services.jobs import StudioJobs
    from tabstudio.studio.services.runs.run_store import RunStore
    from tabstudio.studio.services.service_metrics import ServiceMetrics
    from tabstudio.studio.services.system_metrics import SystemMetrics
    from tabstudio.studio.services.tables.previews import TablePreviews


class Studio:
    """One per process. Everything here may be called from several threads.

    Raises `ConfigError` where people must log in and there is nobody.
    """

    def __init__(self, options: StudioOptions) -> None:
        self.tracking_uri = tracking_address()
        self.registry_uri = registry_address(None, self.tracking_uri)
        self.database = Database(database_address(registry_uri=self.registry_uri))
        self.tables = TableFolder(options.data, options.upload_bytes)
        self.access = Authentication(self.database)
        self.options = decide_login(options, self.access.people)
        self.mlflow_url = web_address(self.tracking_uri)
        self.traffic = TrafficCache()
        self.feed = Feed(topic_sources(self))
        self._registry: Registry | None = None
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
    def service_metrics(self) -> ServiceMetrics:
        """Request metrics of the deployed services."""
        from tabstudio.studio.services.service_metrics import ServiceMetrics

        return ServiceMetrics(lambda name: self.deployments.find(name, ask=False))

    @cached_property
    def system_metrics(self) -> SystemMetrics:
        """Load of the machine and of the processes of jobs."""
        from tabstudio.studio.services.system_metrics import SystemMetrics

        return SystemMetrics()

    @cached_property
    def previews(self) -> TablePreviews:
        """Previews of tables, shared by all browsers. For the event loop of the server."""
        from tabstudio.studio.services.tables.previews import TablePreviews

        return TablePreviews(self.tables)

    @cached_property
    def jobs(self) -> StudioJobs:
        """Trainings and searches that were started from the studio."""
        from tabstudio.studio.services.jobs import StudioJobs

        return StudioJobs(self.database, self.tables)

    @cached_property
    def runs(self) -> RunStore:
        """All runs of the tracking store."""
        from tabstudio.registry.mlflow_client import RegistryClient
        from tabstudio.studio.services.runs.run_store import RunStore

        _ = self.mlflow  # makes the local database, so that an empty one can be looked at
        return RunStore(RegistryClient(self.tracking_uri, self.registry_uri))

    def registry(self, who: Actor) -> Registry:
        """The registry, with this person as who acts."""
        from tabstudio.registry import Registry

        _ = self.mlflow  # makes the local database, so that an empty registry can be looked at
        with self._lock:
            if self._registry is None:
                # With connections of its own: while MLflow is told of a move, one of them waits.
                self._registry = Registry(tracking_uri=self.tracking_uri, registry_uri=self.registry_uri)
        return self._registry.as_actor(who.name)

    def people(self, who: Actor, about: str = "") -> UserStore:
        """Return the users: to an admin all of them, to everybody else what is `about` themselves.

        Raises `ForbiddenError` for anybody else.
        """
        if about != who.name:
            who.check("admin", "see and change who may use the studio")
        return self.access.people

    def close(self) -> None:
        """Close every connection."""
        if self._registry is not None:
            self._registry.close()
        self.access.close()
        self.database.close()
