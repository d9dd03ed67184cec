"""Pure: what exists, as facts, and what the facts mean to a user, as status."""
