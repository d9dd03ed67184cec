"""The engines that can serve a model, one file each, and their registry."""
