"""The REST API: what the pages do, for programs; `/api/v1/docs` describes it."""
