"""The node agent, one on each node: who gets which part of the node's cache, and what does it keep?"""
