"""Which nodes hold which models? A loop beside the reconciles."""
