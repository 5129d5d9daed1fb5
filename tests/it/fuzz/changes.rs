//! Random changes to the inputs that fuzzing starts from: the same for the same seed.
//!
//! The bodies decide what is checked.

/// Pseudo-random numbers, the same for the same seed (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, and 0 where that is 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }

    fn one_of<'a>(&mut self, all: &'a [Vec<u8>]) -> &'a [u8] {
        &all[self.below(all.len())]
    }

    /// One of the inputs, changed in a few places.
    pub(super) fn change(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.one_of(inputs).to_vec();
        for _ in 0..=self.below(4) {
            self.change_once(&mut bytes, inputs);
        }
        bytes
    }

    fn change_once(&mut self, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        /// Bytes that have a meaning for one parser or another.
        const TELLING: &[u8] = b"\0\n\"\\{}[]():,!@$#-0129.eE~\x7f\x80\xff";
        let place = self.below(bytes.len() + 1);
        let end = place + self.below((bytes.len() - place).min(64) + 1);
        match self.below(7) {
            0 if place < bytes.len() => bytes[place] ^= 1 << self.below(8),
            1 if place < bytes.len() => bytes[place] = TELLING[self.below(TELLING.len())],
            2 => bytes.insert(place, TELLING[self.below(TELLING.len())]),
            3 => drop(bytes.drain(place..end)),
            4 => {
                let again = bytes[place..end].to_vec();
                drop(bytes.splice(place..place, again));
            }
            5 => {
                let other = self.one_of(inputs).to_vec();
                let from = self.below(other.len());
                let part = &other[from..from + self.below((other.len() - from).min(64) + 1)];
                drop(bytes.splice(place..end, part.iter().copied()));
            }
            _ => bytes.truncate(place),
        }
    }
}
