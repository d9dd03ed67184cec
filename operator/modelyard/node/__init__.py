"""modelyard-node: the node cache's CSI driver, and the keeper of what is in the cache. Runs once on each node."""
