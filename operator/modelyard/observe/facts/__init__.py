"""What is there? Raw objects of the API server to facts."""
