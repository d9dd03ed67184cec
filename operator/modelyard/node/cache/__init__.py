"""What is in this node's cache, what may stay, and what has to go?"""
