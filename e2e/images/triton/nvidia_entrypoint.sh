#!/bin/sh
# Stands where NVIDIA's images have theirs, which looks at the GPU driver first: it becomes the command that it is given.
exec "$@"
