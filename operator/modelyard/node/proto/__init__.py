"""The two services that the kubelet calls. The *_pb2 files are generated from the .proto files: `make generate`."""
