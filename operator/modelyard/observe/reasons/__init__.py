"""Why is it not ready? Facts to reasons with their remedies."""
