"""What do the four programs agree on? Names, the cache's layout on disk, errors."""
