"""What MLflow, a database driver or the network say in many lines, said in a few words."""

from __future__ import annotations

_KNOWN = {
    "Connection refused": "nothing answers there (connection refused); is the server running?",
    "Name or service not known": "there is no machine of that name",
    "failed to resolve host": "there is no machine of that name",
    "password authentication failed": "user or password are wrong",
    "timed out": "it did not answer in time",
    "timeout expired": "it did not answer in time",
    "database is locked": "the database is locked by another program",
    "readonly database": "the database is read-only for this user",
    "unable to open database file": "it cannot be opened; does its folder exist, may it be written?",
    "file is not a database": "the file is not an SQLite database",
    "is malformed": "the file is damaged; restore a copy of it",
    "out-of-date database schema": "another MLflow version made it (older? run `mlflow db upgrade`)",
    "Can't locate revision": "a newer MLflow version made it; install that version",
    "No space left": "no space is left on the disk",
    "disk is full": "no space is left on the disk",
}


def summarize_error(error: BaseException | str) -> str:
    """One line of at most 300 characters.

    >>> summarize_error("(sqlite3.OperationalError) database is locked [SQL: ...]")
    'the database is locked by another program'
    """
    text = " ".join(str(error).split())
    for words, sentence in _KNOWN.items():
        if words in text:
            return sentence
    return text if len(text) <= 300 else text[:297] + "..."
