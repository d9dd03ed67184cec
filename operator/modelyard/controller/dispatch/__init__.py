"""Which service is looked at next, by which replica?"""
