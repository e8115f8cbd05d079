"""What the pages and the REST API stand on: deployments, jobs, runs, tables, traffic, metrics, feed."""
