"""The init container's program: brings a model into the cache volume, complete and verified, or not at all."""
