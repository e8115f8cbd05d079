"""Scoring files of any length: equal to scoring in memory, in bounded memory, whole or not at all."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tabstudio.errors import ConfigError, InputError, TabstudioError
from tabstudio.model.encoder import Encoder
from tabstudio.model.networks import NetworkSpec, build
from tabstudio.model.predictor import Model
from tabstudio.options import NetworkConfig, ReadConfig
from tabstudio.serving.batch_prediction import score
from tabstudio.table import read

READERS = {
    ".csv": pl.read_csv,
    ".tsv": lambda path: pl.read_csv(path, separator="\t"),
    ".parquet": pl.read_parquet,
    ".arrow": pl.read_ipc,
    ".feather": pl.read_ipc,
}


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(2)
    count = 500
    age = rng.normal(50, 12, count)
    return pl.DataFrame(
        {
            "age": pl.Series(age).set(pl.Series(np.arange(count) % 13 == 0), None),
            "city": rng.choice(["Rome", "Oslo", "Lima"], count),
            "ill": np.where(age + rng.normal(size=count) > 50, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def model(frame: pl.DataFrame) -> Model:
    table = read(frame, target="ill")
    encoder = Encoder.fit(table.frame, table.schema, "robust")
    config = NetworkConfig("mlp", (8,), 0.0, "relu")
    spec = NetworkSpec("mlp", encoder.numbers, encoder.cardinalities, 1, config)
    return Model(table.schema, encoder, build(spec, [0, 1]))


def write(frame: pl.DataFrame, name: str) -> Path:
    path = Path(name)
    {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".arrow": frame.write_ipc}[path.suffix](path)
    return path


@pytest.mark.parametrize("source", ["in.csv", "in.parquet", "in.arrow"])
@pytest.mark.parametrize("suffix", list(READERS))
def test_streamed_answers_equal_those_in_memory(
    model: Model, frame: pl.DataFrame, source: str, suffix: str
) -> None:
    done = score(model, write(frame, source), f"out{suffix}", rows=64)
    answers = READERS[suffix](f"out{suffix}")
    expected = model.predict_frame(frame)
    assert done.rows == len(frame)
    assert answers["prediction"].to_list() == expected["prediction"].to_list()
    assert answers.columns == expected.columns
    assert answers["probability_yes"].to_list() == expected["probability_yes"].to_list()


def test_a_file_is_predicted_like_its_rows(model: Model, frame: pl.DataFrame) -> None:
    path = write(frame, "in.csv")
    np.testing.assert_array_equal(model.predict_proba(path), model.predict_proba(frame))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_of_the_input_can_be_kept(model: Model, frame: pl.DataFrame, suffix: str) -> None:
    named = frame.select(pl.int_range(pl.len()).alias("key"), "city", "age").with_columns(
        note=pl.when(pl.int_range(pl.len()) > 400).then(pl.lit("late"))
    )
    score(model, write(named, "in.csv"), f"out{suffix}", keep_columns=True, rows=64)
    out = READERS[suffix](f"out{suffix}")
    assert out.columns[:4] == ["key", "city", "age", "note"]
    assert out["key"].cast(pl.Int64).to_list() == list(range(len(frame)))
    assert out["note"].to_list()[-1] == "late"


def test_no_more_rows_than_asked_are_held_at_a_time(
    model: Model, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []
    predict = Model.predict_frame

    def watch(self: Model, data: Any) -> pl.DataFrame:
        held.append(len(data))
        return predict(self, data)

    monkeypatch.setattr(Model, "predict_frame", watch)
    told: list[int] = []
    score(model, write(frame, "in.csv"), "out.csv", rows=100, on_rows=told.append)
    assert max(held) <= 100
    assert sum(held) == len(frame)
    assert told == np.cumsum(held).tolist()


def test_new_categories_and_gaps_are_counted_for_this_file_alone(model: Model, frame: pl.DataFrame) -> None:
    strange = frame.head(3).with_columns(city=pl.Series(["Mu", "Oslo", None]))
    path = write(strange, "in.csv")
    for _ in range(2):
        done = score(model, path, "out.csv", overwrite=True)
        assert (done.unseen, done.gaps) == ({"city": 1}, {"city": 1})
    assert "did not know: city 1" in str(done)


def test_a_file_of_other_separator_is_read_as_told(model: Model, frame: pl.DataFrame) -> None:
    frame.write_csv("in.txt", separator="|")
    score(model, "in.txt", "out.csv", config=ReadConfig(separator="|"))
    assert len(pl.read_csv("out.csv")) == len(frame)


def test_an_existing_output_is_refused_unless_it_may_be_replaced(model: Model, frame: pl.DataFrame) -> None:
    path = write(frame, "in.csv")
    Path("out.csv").write_text("precious")
    with pytest.raises(ConfigError, match=r"out\.csv: the output exists.*--overwrite"):
        score(model, path, "out.csv")
    assert Path("out.csv").read_text() == "precious"
    score(model, path, "out.csv", overwrite=True)
    assert len(pl.read_csv("out.csv")) == len(frame)


def test_the_input_is_never_replaced(model: Model, frame: pl.DataFrame) -> None:
    path = write(frame, "in.csv")
    with pytest.raises(ConfigError, match="the input itself"):
        score(model, path, "in.csv", overwrite=True)


@pytest.mark.parametrize(
    ("output", "words"), [("out.xlsx", r"\.csv, \.tsv"), ("no/out.csv", "does not exist")]
)
def test_an_output_that_cannot_be_is_refused(
    model: Model, frame: pl.DataFrame, output: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        score(model, write(frame, "in.csv"), output)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("anything")])
def test_an_interrupted_run_leaves_nothing_and_keeps_what_was_there(
    model: Model, frame: pl.DataFrame, suffix: str, error: BaseException
) -> None:
    path = write(frame, "in.csv")
    Path(f"out{suffix}").write_text("precious")

    def stop(rows: int) -> None:
        if rows > 150:
            raise error

    with pytest.raises(type(error)):
        score(model, path, f"out{suffix}", rows=64, overwrite=True, on_rows=stop)
    assert sorted(p.name for p in Path().iterdir()) == ["in.csv", f"out{suffix}"]
    assert Path(f"out{suffix}").read_text() == "precious"


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize("when", ["while writing", "at the end"])
def test_a_full_disk_is_said_and_leaves_nothing(
    model: Model, frame: pl.DataFrame, suffix: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(frame, "in.csv")
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_: Any) -> int:
        raise full

    class Full(io.FileIO):
        write = refuse

    if when == "while writing":
        monkeypatch.setattr(Path, "open", lambda self, mode: Full(self, mode))
    else:
        monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(TabstudioError, match=r"cannot be written: .*No space left on device"):
        score(model, path, f"out{suffix}", rows=64)
    assert [p.name for p in Path().iterdir()] == ["in.csv"]


def test_rows_that_do_not_fit_are_named_by_their_place_in_the_file(model: Model, frame: pl.DataFrame) -> None:
    words = frame.with_columns(pl.col("age").cast(pl.String))
    words[130, "age"] = "unknown age"
    with pytest.raises(InputError, match=r"(?s)in\.csv.*row 1 is row 129.*unknown age.* in row 3"):
        score(model, write(words, "in.csv"), "out.csv", rows=64)
    assert not Path("out.csv").exists()


def test_a_column_that_would_stand_there_twice_is_refused(model: Model, frame: pl.DataFrame) -> None:
    path = write(frame.with_columns(prediction=pl.lit("?")), "in.csv")
    with pytest.raises(ConfigError, match="prediction would stand there twice"):
        score(model, path, "out.csv", keep_columns=True)


def test_a_header_alone_gives_a_header_alone(model: Model, frame: pl.DataFrame) -> None:
    done = score(model, write(frame.clear(), "in.parquet"), "out.csv")
    assert done.rows == 0
    assert Path("out.csv").read_text() == "prediction,probability_no,probability_yes\n"
