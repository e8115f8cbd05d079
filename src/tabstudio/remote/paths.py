"""The paths of the REST API below `/api/v1`."""

from __future__ import annotations

import re
from urllib.parse import quote

RULES = "/rules"
MODELS = "/models"
VERSIONS = f"{MODELS}/{{name}}/versions"
HISTORY = f"{MODELS}/{{name}}/history"
EXPORT = f"{HISTORY}/export"
AT = f"{MODELS}/{{name}}/at"
VERIFY = f"{MODELS}/{{name}}/verify"
ROLLBACK = f"{MODELS}/{{name}}/rollback"
VERSION = f"{VERSIONS}/{{which}}"
REQUESTS = f"{VERSION}/requests"
GATES = f"{VERSION}/gates"
PROMOTE = f"{VERSION}/promote"
ARCHIVE = f"{VERSION}/archive"
REQUEST = f"{VERSION}/request"
APPROVE = f"{VERSION}/approve"
REJECT = f"{VERSION}/reject"
CARD = "/card"
COMPARE = "/compare"
COMPARE_REPORT = f"{COMPARE}/report"
DEPLOYMENTS = "/deployments"
DEPLOYMENT = f"{DEPLOYMENTS}/{{name}}"
DEPLOYMENT_STOP = f"{DEPLOYMENT}/stop"
DEPLOYMENT_LOG = f"{DEPLOYMENT}/log"
PREDICTIONS = "/predictions/{model}"
EXPERIMENTS = "/experiments"
RUNS = "/runs"
RUN_COLUMNS = f"{RUNS}/columns"
RUN = f"{RUNS}/{{run_id}}"
RUN_METRIC = f"{RUN}/metrics/{{metric:path}}"
TABLES = "/tables"
TABLE = f"{TABLES}/{{name}}"
TABLE_SCHEMA = f"{TABLES}/{{name:path}}/schema"
TABLE_EXPLORATION = f"{TABLES}/{{name:path}}/exploration"
JOBS = "/jobs"
JOB = f"{JOBS}/{{job_id}}"
JOB_STOP = f"{JOB}/stop"
JOB_OUTPUT = f"{JOB}/output"
PEOPLE = "/people"
PERSON = f"{PEOPLE}/{{name}}"
PERSON_TOKENS = f"{PERSON}/tokens"
_PART = re.compile(r"\{(\w+)(?::path)?\}")


def fill(path: str, **parts: object) -> str:
    """Return a path with its parts, whatever characters they hold.

    >>> fill(VERSION, name="a b", which=3)
    '/models/a%20b/versions/3'
    """
    return _PART.sub(lambda part: quote(str(parts[part[1]]), safe=""), path)
