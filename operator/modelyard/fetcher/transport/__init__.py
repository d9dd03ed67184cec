"""How do bytes get from a server into our memory?"""
