"""What running pods tell about themselves: bounded, untrusted, and unknown rather than zero when they don't."""
