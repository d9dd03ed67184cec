"""What do running pods report about themselves? Bounded, untrusted, and unknown rather than zero when missing."""
