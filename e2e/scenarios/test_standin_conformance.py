"""The stand-in engine is trusted in the other scenarios because it behaves as the real one does here."""

from e2e.support.conformance import differences, profile


def test_the_stand_in_behaves_as_the_real_engine(real_vllm_url: str, standin_url: str) -> None:
    assert differences(profile(real_vllm_url), profile(standin_url)) == []
