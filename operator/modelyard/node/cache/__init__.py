"""What is in this node's cache, what may stay, and what must be evicted?"""
