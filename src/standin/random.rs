//! Chance that repeats itself: the same seed gives the same numbers on every machine.
//!
//! `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014):
//! ten lines, no dependency whose next version could draw other numbers. Not for secrets.

/// The golden ratio's step of `SplitMix64`.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Begins with what names a thing, so that the thing looks the same whenever it is drawn,
    /// whatever was drawn before it.
    pub(super) fn of(parts: &[u64]) -> Self {
        parts.iter().fold(Self(0), |random, part| Self(mixed(random.0 ^ *part)))
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mixed(self.0)
    }

    /// A number below the bound; 0 if the bound is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from 0 to just below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    pub(super) fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something with this share happens.
    pub(super) fn happens(&mut self, share: f64) -> bool {
        self.fraction() < share
    }

    /// One of the items; there must be one.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, items: &'a [&'a T]) -> &'a T {
        items[self.index(items.len())]
    }

    /// A place in a list of this length.
    #[expect(clippy::cast_possible_truncation, reason = "below the length of a list")]
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
}

/// A number that stands for a text (FNV-1a, 64 bits).
pub(super) fn number_of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // The test values of the reference implementation, <https://prng.di.unimi.it/splitmix64.c>.
        let mut random = Random(1_234_567);
        let drawn: Vec<_> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(
            drawn,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn what_has_a_share_happens_about_so_often() {
        let mut random = Random(1);
        let happened = (0..10_000).filter(|_| random.happens(0.1)).count();
        assert!((900..1_100).contains(&happened), "{happened}");
        assert!(!random.happens(0.0) && random.happens(1.0));
    }

    #[test]
    fn a_number_is_below_its_bound() {
        let mut random = Random::of(&[7, 8]);
        assert!((0..1_000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }
}
