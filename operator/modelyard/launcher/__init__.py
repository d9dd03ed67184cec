"""How does the engine start, stop, and keep what it compiled? Files that stand alone: standard library, Python 3.8."""
