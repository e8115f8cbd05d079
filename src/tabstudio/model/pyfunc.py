"""The bundle as MLflow's `python_function` flavour: `loader_module: tabstudio.model.pyfunc`.

MLflow calls `_load_pyfunc` with the bundle's folder, which `MLmodel` names as `data`. Nothing is unpickled
and no code comes out of the folder, so models load with `MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false` too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabstudio.model.predictor import Model, load

if TYPE_CHECKING:
    import pandas as pd


class PyfuncModel:
    """What `mlflow.pyfunc.load_model` wraps; `model` is the tabstudio model itself."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """The columns of `Model.predict_frame`, one row per row of the input, which may be raw.

        Raises `InputError` naming every missing column and every value that does not fit, `ConfigError` for
        parameters, since the model has none.
        """
        if params:
            from tabstudio.errors import ConfigError

            raise ConfigError(f"no parameters were expected, got {', '.join(params)}: leave params out")
        return self.model.predict_frame(model_input).to_pandas()


def _load_pyfunc(path: str) -> PyfuncModel:
    return PyfuncModel(load(Path(path)))
