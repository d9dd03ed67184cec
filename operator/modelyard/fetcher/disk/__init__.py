"""What of the model is on this disk, and when does it count as whole?"""
