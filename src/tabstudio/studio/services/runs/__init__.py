"""Runs as the pages and the REST API see them: found, sorted, read and compared, whoever has logged them."""
