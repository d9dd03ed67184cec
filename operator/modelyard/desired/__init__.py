"""Pure: what shall exist for one service, as plain objects."""
