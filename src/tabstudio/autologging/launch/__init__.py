"""How watching begins and ends: `autolog`, scripts, notebooks, spawned processes, `log_model`."""
