//! CRC-64/XZ, which OSS material calls ECMA-182: the checksum that every object carries.
//!
//! A value is always *finalised*: the number that goes into `x-oss-hash-crc64ecma` as plain unsigned decimal. The same number
//! resumes the computation, so an append continues the stored value of the object (I8) without reading its bytes.

use crc_fast::{CrcAlgorithm, Digest};

const ALGORITHM: CrcAlgorithm = CrcAlgorithm::Crc64Xz;

/// A running CRC-64.
///
/// ```
/// use ossia_protocol::crc64::Crc64;
///
/// let mut crc = Crc64::new();
/// crc.update(b"hello");
/// let stored = crc.value();
///
/// let mut continued = Crc64::resume(stored);
/// continued.update(b" world");
/// assert_eq!(continued.value(), 5_981_764_153_023_615_706);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crc64 {
    value: u64,
}

impl Crc64 {
    /// The CRC-64 of nothing, whose value is 0.
    pub const fn new() -> Self {
        Self { value: 0 }
    }

    /// Continues after bytes whose CRC-64 is `value`.
    pub const fn resume(value: u64) -> Self {
        Self { value }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        // The stored value is finalised; undoing the final complement gives the state back.
        let mut digest = Digest::new_with_init_state(ALGORITHM, !self.value);
        digest.update(bytes);
        self.value = digest.finalize();
    }

    /// The CRC-64 of everything taken in so far.
    pub const fn value(self) -> u64 {
        self.value
    }
}

/// The CRC-64 of `bytes`.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut crc = Crc64::new();
    crc.update(bytes);
    crc.value()
}

/// The CRC-64 of two byte strings put together, from their CRC-64s and the length of the second in bytes.
///
/// Takes some 0.2 us for each bit that is set in the length, so that it may stand on a commit path.
/// (`crc_fast::checksum_combine` squares matrices: 66 us measured on the same machine.)
pub fn combine(first: u64, second: u64, second_length: u64) -> u64 {
    // Appending n bytes multiplies the polynomial of the first by x^(8n); complements at both ends cancel out.
    let mut shifted = first;
    let mut length = second_length;
    for power in &POWERS {
        if length == 0 {
            break;
        }
        if length & 1 == 1 {
            shifted = multiply(shifted, *power);
        }
        length >>= 1;
    }
    shifted ^ second
}

/// The polynomial, bit-reflected: bit 63 is the coefficient of x^0.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

/// x^(8 * 2^k) modulo the polynomial, for k of 0 to 63.
const POWERS: [u64; 64] = {
    // x^8, reflected.
    let mut power = 1 << (63 - 8);
    let mut powers = [0; 64];
    let mut k = 0;
    while k < powers.len() {
        powers[k] = power;
        power = multiply(power, power);
        k += 1;
    }
    powers
};

/// The product of two polynomials modulo ours, all bit-reflected.
const fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    let mut bit = 64;
    while bit > 0 {
        bit -= 1;
        // Masks instead of branches: the bits are as good as random.
        product ^= b & ((a >> bit) & 1).wrapping_neg();
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, one bit at a time.
    fn bitwise(bytes: &[u8]) -> u64 {
        let mut state = u64::MAX;
        for byte in bytes {
            state ^= u64::from(*byte);
            for _ in 0..8 {
                state = (state >> 1) ^ (POLYNOMIAL * (state & 1));
            }
        }
        !state
    }

    #[test]
    fn known_values_of_the_service_come_out() {
        for (bytes, value) in [
            ("", 0),
            ("123456789", 11_051_210_869_376_104_954),
            ("abc", 3_231_342_946_509_354_535),
            ("hello", 11_177_612_005_948_864_433),
            ("hello world", 5_981_764_153_023_615_706),
        ] {
            assert_eq!(checksum(bytes.as_bytes()), value, "{bytes}");
        }
        assert_eq!(checksum(b"123456789"), 0x995D_C9BB_DF19_39FA);
    }

    #[test]
    fn long_inputs_agree_with_the_definition() {
        // Lengths around the block sizes of the vector code.
        let bytes: Vec<u8> =
            (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for length in (0..600).chain([1023, 1024, 1025, 2047, 2048, 4095, 4096, 4097, 5000]) {
            let part = &bytes[..length];
            assert_eq!(checksum(part), bitwise(part), "{length}");
        }
    }

    #[test]
    fn combining_works_for_lengths_that_nobody_can_compute() {
        // Zeros only, so that the halves are known from each other: 2^40 bytes, doubled from one.
        let mut doubled = checksum(&[0]);
        for k in 0..40 {
            let length = 1u64 << k;
            let reference = crc_fast::checksum_combine(ALGORITHM, doubled, doubled, length);
            doubled = combine(doubled, doubled, length);
            assert_eq!(doubled, reference, "{length}");
        }
        assert_eq!(combine(7, 0, 0), 7);
        // However parts are grouped: (a b) c equals a (b c).
        let (b, c) = (u64::MAX - 77, 77);
        assert_eq!(combine(combine(5, 6, b), 9, c), combine(5, combine(6, 9, c), b + c));
    }

    proptest! {
        #[test]
        fn resuming_and_combining_agree_with_one_pass(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            cut in any::<prop::sample::Index>(),
        ) {
            let (a, b) = bytes.split_at(cut.index(bytes.len() + 1));
            let whole = bitwise(&bytes);
            let mut resumed = Crc64::resume(checksum(a));
            resumed.update(b);
            prop_assert_eq!(resumed.value(), whole);
            prop_assert_eq!(combine(checksum(a), checksum(b), b.len() as u64), whole);
        }
    }
}
