"""What is fetched next, over how many connections, into which buffers?"""
