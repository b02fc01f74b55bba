"""The published tables, row by row: what to run, at full size or as a small replica, and how it compares."""
