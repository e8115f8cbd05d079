"""Private names of other libraries, one file for each; a test of `tests/compat` fails where they change."""
