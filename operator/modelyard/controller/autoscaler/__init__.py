"""How many replicas does each service with spec.scaling need now, and who has to know?"""
