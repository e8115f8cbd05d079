"""What a prediction log tells of a model's traffic."""

from __future__ import annotations

import polars as pl
import pytest

from tabstudio.serving.predictionlog.catalog import LogCatalog
from tabstudio.serving.predictionlog.feedback import FeedbackLabel, store_feedback
from tabstudio.serving.predictionlog.record_frames import utc_times
from tabstudio.studio.services import traffic as room
from tabstudio.studio.services.traffic import BINS, ModelTraffic, read_traffic
from tests.serving.predictionlog.helpers import NOW, SCHEMA, opened, record

ROW = (30, 70.5, "Rome", "1996-01-02")


@pytest.fixture
def folder(tmp_path):
    """Forty requests a minute of version 1 for three minutes, some of a canary, two rows each."""
    log = opened(tmp_path / "log")
    log.opened("cancer", "2", SCHEMA)
    for number in range(120):
        log(record(number, [ROW, ROW], at=NOW - 180 + 1.5 * number + 0.1))
    for number in range(10):
        log(
            record(
                1000 + number,
                at=NOW - 30,
                version="2",
                role="canary",
                labels=["no"],
                probabilities=[[0.9, 0.1]],
            )
        )
    log(record(5000, at=NOW - 7200))
    log.close()
    return tmp_path / "log"


def test_requests_are_counted_per_minute_by_version_and_role(folder):
    found = read_traffic("cancer", hours=1, folder=folder, now=NOW)
    assert found.rows == {"version 1": 240, "version 2, canary": 10}
    live = found.requests["version 1"]
    assert len(live) == 60
    assert live[-3:] == [(-2.0, 40.0), (-1.0, 40.0), (-0.0, 40.0)]
    assert sum(rate for _, rate in live[:-3]) == 0
    assert sum(rate for _, rate in found.requests["version 2, canary"]) == 10


def test_answers_and_how_sure_they_were_are_told_by_version(folder):
    found = read_traffic("cancer", hours=1, folder=folder, now=NOW)
    assert found.classes == {"version 1": {"yes": 240}, "version 2, canary": {"no": 10}}
    assert found.scores["version 1"][int(0.75 * BINS)] == 1.0
    assert found.scores["version 2, canary"][int(0.9 * BINS)] == 1.0
    assert found.values == {}


def test_a_longer_period_reaches_further_back(folder):
    assert read_traffic("cancer", hours=3, folder=folder, now=NOW).rows["version 1"] == 241


def test_labels_that_came_later_say_how_often_it_was_right(folder):
    with LogCatalog(folder) as catalogue:
        store_feedback(
            catalogue,
            [
                FeedbackLabel("r0", "yes"),
                FeedbackLabel("r1", "no"),
                FeedbackLabel("r2", "yes", 1),
                FeedbackLabel("r3", "yes"),
            ],
            "me",
        )
    assert read_traffic("cancer", hours=1, folder=folder, now=NOW).labelled == {"version 1": (4, 0.75)}


def test_a_regression_is_told_by_quantiles_and_its_mean_error(monkeypatch):
    frame = pl.DataFrame(
        {
            "time": utc_times([NOW - 10] * 5),
            "request_id": [f"r{n}" for n in range(5)],
            "version": ["7"] * 5,
            "role": ["live"] * 5,
            "prediction": [1.0, 2.0, 3.0, 4.0, 5.0],
            "label": [1.5, None, 2.0, None, None],
        }
    )
    monkeypatch.setattr("tabstudio.serving.predictionlog.reader.prediction_log", lambda *_: frame.lazy())
    found = read_traffic("price", now=NOW)
    assert found.values == {"version 7": [1.0, 2.0, 3.0, 4.0, 5.0]}
    assert found.labelled == {"version 7": (2, 0.75)}
    assert found.classes == found.scores == {}


def test_a_model_that_was_never_asked_has_no_traffic(folder, tmp_path):
    assert read_traffic("unknown", folder=folder, now=NOW) == ModelTraffic(1.0)
    assert read_traffic("cancer", folder=tmp_path / "none", now=NOW) == ModelTraffic(1.0)


def test_the_token_differs_after_each_prediction(tmp_path):
    assert room.traffic_token("", tmp_path / "log") == ()
    log = opened(tmp_path / "log")
    tokens = []
    for number in range(3):
        log(record(number))
        tokens.append(room.traffic_token("", tmp_path / "log"))
    log.close()
    assert len(set(tokens)) == 3


def test_one_reading_of_the_log_serves_all_browsers_until_something_is_asked(monkeypatch):
    readings = []
    monkeypatch.setattr(room, "read_traffic", lambda *_, **__: readings.append(1) or ModelTraffic(1.0))
    monkeypatch.setenv("TABSTUDIO_HOME", "home")
    log = opened("home/predictions")
    traffics = room.TrafficCache()
    for _ in range(20):
        traffics.find("cancer", 1.0)
    assert len(readings) == 1
    log(record(1))
    traffics.find("cancer", 1.0)
    traffics.find("cancer", 1.0)
    assert len(readings) == 2
    log.close()
