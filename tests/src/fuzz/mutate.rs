//! Damage: small changes to a real input, drawn from a seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// No input grows beyond this.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// Numbers at which lengths and counts go wrong.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x00ff_ffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

/// Draws damage.
pub(super) struct Mutator {
    random: StdRng,
}

impl Mutator {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed) }
    }

    /// An input made of one or two of `corpus`.
    pub(super) fn next(&mut self, corpus: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
        let mut input = self.one_of(corpus);
        for _ in 0..1 << self.random.random_range(0..4) {
            let other = if self.random.random_ratio(1, 8) { self.one_of(corpus) } else { Vec::new() };
            self.damage(&mut input, &other, words);
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    fn one_of(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        corpus.choose(&mut self.random).cloned().unwrap_or_default()
    }

    fn damage(&mut self, input: &mut Vec<u8>, other: &[u8], words: &[&[u8]]) {
        let at = self.random.random_range(0..=input.len());
        let length = self.random.random_range(1..=16);
        let end = (at + length).min(input.len());
        match self.random.random_range(0..9) {
            0 if at < input.len() => input[at] ^= 1 << self.random.random_range(0..8),
            1 if at < input.len() => input[at] = self.random.random(),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                for _ in 0..self.random.random_range(1..64) {
                    input.splice(at..at, piece.iter().copied());
                }
            }
            4 => {
                let number = EDGES.choose(&mut self.random).copied().unwrap_or_default().to_le_bytes();
                let width = *[1, 2, 3, 4, 8].choose(&mut self.random).unwrap_or(&1);
                let end = (at + width).min(input.len());
                input[at..end].copy_from_slice(&number[..end - at]);
            }
            5 | 6 => {
                let word = words.choose(&mut self.random).copied().unwrap_or_default();
                let until = if self.random.random() { at } else { end };
                input.splice(at..until, word.iter().copied());
            }
            7 => input.truncate(at),
            _ if !other.is_empty() => {
                let from = self.random.random_range(0..other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let fresh: Vec<u8> = (0..length).map(|_| self.random.random()).collect();
                input.splice(at..at, fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_draws_one_sequence_and_no_input_is_too_large() {
        let corpus = vec![b"SELECT 1".to_vec(), vec![7; 60_000]];
        let words: &[&[u8]] = &[b"(", b"NULL"];
        let sequence = |seed| {
            let mut mutator = Mutator::new(seed);
            (0..500).map(|_| mutator.next(&corpus, words)).collect::<Vec<_>>()
        };
        assert_eq!(sequence(1), sequence(1));
        assert_ne!(sequence(1), sequence(2));
        assert!(sequence(3).iter().all(|input| input.len() <= INPUT_BYTES_MAX));
    }
}
