"""What do the four programs agree on? Names, forms, what they write for one another; and what two of them run alike."""
