"""The folder of tables: what lies there, what comes into it, and the first look at a table."""
