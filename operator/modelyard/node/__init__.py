"""The node agent, once on each node: who gets which part of the node's cache, and what is kept in it?"""
