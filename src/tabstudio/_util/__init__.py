"""Small helpers that several packages share and that know nothing of tables or models."""
