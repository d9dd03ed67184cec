"""Which files are the model, and are their bytes right?"""
