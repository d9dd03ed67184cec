"""The CRC of two stretches of bytes that lie one after the other, from the CRCs of each. Pure.

A CRC is a remainder of polynomials over GF(2): bytes that follow multiply what came before by x^(8 x their count). So
parts that arrive in any order are checked against the checksum of the whole, without reading them again. The method is
that of zlib's crc32_combine; the polynomials are from reveng.sourceforge.io/crc-catalogue.
"""

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Polynomial:
    """A reflected CRC whose initial value and final exclusive-or are all ones: the lowest bit is the highest power."""

    width_bits: int
    reflected: int

    @property
    def one(self) -> int:
        return 1 << (self.width_bits - 1)


CRC32 = Polynomial(32, 0xEDB88320)
CRC32C = Polynomial(32, 0x82F63B78)
CRC64NVME = Polynomial(64, 0x9A6C9329AC4BC9B5)


def combine(first: int, second: int, second_bytes: int, polynomial: Polynomial) -> int:
    """The CRC of the bytes of ``first`` followed by those of ``second``, which are ``second_bytes`` many."""
    return _multiply(_power_of_x(second_bytes, polynomial), first, polynomial) ^ second


def _multiply(left: int, right: int, polynomial: Polynomial) -> int:
    """The product, modulo the polynomial."""
    product = 0
    bit = polynomial.one
    while left:
        if left & bit:
            product ^= right
            left ^= bit
        bit >>= 1
        right = (right >> 1) ^ polynomial.reflected if right & 1 else right >> 1
    return product


@lru_cache(maxsize=256)
def _power_of_x(count_bytes: int, polynomial: Polynomial) -> int:
    """x^(8 x count), by repeated squaring. Most parts of a file have one and the same size."""
    power = polynomial.one
    square = polynomial.one >> 8  # x^8
    while count_bytes:
        if count_bytes & 1:
            power = _multiply(power, square, polynomial)
        square = _multiply(square, square, polynomial)
        count_bytes >>= 1
    return power
