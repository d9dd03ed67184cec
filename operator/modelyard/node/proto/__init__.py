"""What does the kubelet call? The *_pb2 files are generated from the .proto files: `make generate`."""
