"""What a studio and its clients agree on beside the shapes: address, header, version, codes of refusals."""

from __future__ import annotations

from tabstudio.errors import (
    AccessError,
    ConfigError,
    ConflictError,
    DatabaseError,
    DataError,
    GateError,
    ModelError,
    RegistryError,
    TabstudioError,
    TrackingError,
)

API = "/api/v1"
API_HEADER = "tabstudio-api"
"""Header of every answer: the version of the API, then that of the studio."""
API_VERSION = "1"
CODES: dict[str, tuple[type[TabstudioError], int]] = {
    "gates_failed": (GateError, 409),
    "conflict": (ConflictError, 409),
    "not_found": (ModelError, 404),
    "not_allowed": (RegistryError, 409),
    "forbidden": (AccessError, 403),
    "unauthenticated": (AccessError, 401),
    "bad_option": (ConfigError, 422),
    "bad_data": (DataError, 422),
    "tracking": (TrackingError, 502),
    "database": (DatabaseError, 503),
    "failed": (TabstudioError, 409),
}
"""The codes of refusals, the more special error first, with what is raised for each and its HTTP status."""


def check_address(*addresses: str) -> None:
    """Raise `ConfigError` for a folder: a studio does not look into the machine of its client."""
    for address in addresses:
        if not address.startswith(("models:/", "runs:/")):
            raise ConfigError(
                f"model {address}: with TABSTUDIO_URL models:/NAME/VERSION, models:/NAME@ALIAS or "
                "runs:/ID/model was expected; unset it to look at a folder of this machine"
            )
