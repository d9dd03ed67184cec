"""How far is the fetch, and why did it fail?"""
