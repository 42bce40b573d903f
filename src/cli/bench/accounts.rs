//! Which accounts a load uses: each as likely as any other, or a few of them much more than the rest.

use crate::cli::random::Random;

/// So many accounts, numbered from zero.
#[derive(Debug)]
pub struct Accounts {
    count: u64,
    skew: Option<Zipf>,
}

impl Accounts {
    /// Accounts of which the n-th most used is used in proportion to `n^-exponent`: all alike for zero.
    /// The exponent is below one.
    pub fn new(count: u64, exponent: f64) -> Self {
        Self { count, skew: (exponent > 0.0).then(|| Zipf::new(count, exponent)) }
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// One of them.
    pub fn one(&self, random: &mut Random) -> u64 {
        match &self.skew {
            Some(skew) => skew.draw(random),
            None => random.below(self.count),
        }
    }

    /// Two different ones.
    pub fn two(&self, random: &mut Random) -> (u64, u64) {
        let first = self.one(random);
        let second = self.one(random);
        if first == second { (first, (first + 1) % self.count) } else { (first, second) }
    }
}

/// Zipf's distribution, drawn in constant time (Gray and others, "Quickly generating billion-record
/// synthetic databases", 1994, section 3).
#[derive(Debug)]
struct Zipf {
    count: f64,
    exponent: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Self {
        let zeta_of = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-exponent)).sum::<f64>();
        let (zeta, two) = (zeta_of(count), zeta_of(2.min(count)));
        let n = count as f64;
        let eta = (1.0 - (2.0 / n).powf(1.0 - exponent)) / (1.0 - two / zeta);
        Self { count: n, exponent, zeta, alpha: 1.0 / (1.0 - exponent), eta }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        // 53 bits are a number from zero to below one.
        let even = (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let scaled = even * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(self.exponent) {
            return 1;
        }
        let rank = self.count * (self.eta * even - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count as u64 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(exponent: f64) -> Vec<u32> {
        let accounts = Accounts::new(100, exponent);
        let mut random = Random::new(7);
        let mut tally = vec![0; 100];
        for _ in 0..100_000 {
            tally[accounts.one(&mut random) as usize] += 1;
        }
        tally
    }

    #[test]
    fn a_skewed_load_uses_a_few_accounts_much_more() {
        let even = tally(0.0);
        assert!(even.iter().all(|count| (800..1_200).contains(count)), "{even:?}");
        let skewed = tally(0.99);
        // The sum of n^-0.99 for n up to 100 is 5.3.
        assert!((17_500..20_500).contains(&skewed[0]), "{skewed:?}");
        assert!((8_000..11_500).contains(&skewed[1]), "{skewed:?}");
        assert!(skewed[99] < 600 && skewed.iter().all(|count| *count > 0), "{skewed:?}");
    }

    #[test]
    fn two_accounts_are_two() {
        let accounts = Accounts::new(2, 0.5);
        let mut random = Random::new(3);
        assert!((0..1_000).map(|_| accounts.two(&mut random)).all(|(one, other)| one != other && one.max(other) < 2));
    }
}
