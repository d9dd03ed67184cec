"""What exists, and what does it mean to a user? Pure: raw objects to facts to reasons to status."""
