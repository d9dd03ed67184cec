"""Which files does a model's source have, and how are they read?"""
