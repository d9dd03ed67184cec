"""The operator: how does what was observed become what is written?"""
