"""What happens to one service, from its object to its status?"""
