"""The init container's program: how does a model get into the cache volume, complete and verified, or not at all?"""
