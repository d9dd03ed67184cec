"""The text of the stub libraries that stand in for CUDA's."""

from tests.support.image_module import image_module

stubs = image_module("vllm-cpu", "cuda_stubs")


def requirements(versions: dict[str, set[str]], symbols: dict[str, set[str]]) -> object:
    result = stubs.Wanted()
    result.versions_by_soname.update(versions)
    result.symbols_by_version.update(symbols)
    return result


def test_a_stub_offers_each_symbol_under_its_version_and_fails_when_called() -> None:
    required = requirements({"libnccl.so.2": {"nccl"}}, {"nccl": {"ncclSend", "ncclRecv"}})
    source, script = stubs.source_of("libnccl.so.2", required)
    assert "long ncclRecv(void) { return 100; }" in source
    assert script == "nccl { global: ncclRecv; ncclSend; };"


def test_the_runtime_also_offers_symbols_that_are_requested_without_a_version() -> None:
    required = requirements({"libcudart.so.13": {"libcudart.so.13"}}, {"libcudart.so.13": set(), "": {"cuInit"}})
    assert "long cuInit(void) { return 100; }" in stubs.source_of("libcudart.so.13", required)[0]
    assert (
        "cuInit"
        not in stubs.source_of("libcublas.so.13", requirements({"libcublas.so.13": set()}, {"": {"cuInit"}}))[0]
    )


def test_registering_gpu_code_gives_a_handle_since_torch_keeps_it_while_it_loads() -> None:
    assert stubs.value_of("__cudaRegisterFatBinary") == "(long)slot"
    assert stubs.value_of("cudaGetDeviceCount") == "100"
