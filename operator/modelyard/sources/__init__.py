"""Where models come from: what each kind of source adds to a pod, one file each, and their registry."""
