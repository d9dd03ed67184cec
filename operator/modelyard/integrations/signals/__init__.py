"""What running pods report about themselves: bounded, untrusted, and unknown rather than zero when missing."""
