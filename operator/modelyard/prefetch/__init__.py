"""Which nodes get a model ahead of the pods, by which Job, and what the status reports of it. Pure."""
