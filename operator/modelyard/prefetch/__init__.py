"""Which nodes get a model ahead of the pods, by which Job, and what does the status report of it? Pure."""
