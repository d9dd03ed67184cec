"""What do people write and read?"""
