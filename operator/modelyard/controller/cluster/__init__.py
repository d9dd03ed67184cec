"""How is the API server read and written?"""
