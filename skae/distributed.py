"""Training by several processes, each on its own rows."""
