//! Standard cost, rolled up from purchase costs and operations, level by level.
//!
//! A unit's cost is a fraction: a dollar for three screws is ⅓ a screw. Costs are exact fractions,
//! rounded up once when they become money. Should the numbers of a fraction outgrow 128 bits, it is
//! rounded up to the next 2⁻⁶⁴ of the money's smallest unit and goes on from there.
//!
//! What an item is made in lots of counts: set-up times and set-up quantities are spread over the
//! smallest lot that its lot rule allows for one run. A by-product carries no cost: the product bears all.

use super::calendar::Day;
use super::item::{Overflow, Work};
use super::network::Network;
use super::order::{Explosion, Flow};
use super::situation::PlanError;
use crate::types::{Amount, AssetId, Quantity};

/// Money per smallest unit of an item, in the money's smallest unit: a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    numerator: u128,
    /// Never zero.
    denominator: u128,
}

/// What a purchase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurchaseCost {
    /// What is bought.
    pub item: AssetId,
    /// What it costs, in the money's smallest unit.
    pub amount: Amount,
    /// How much of it that is for.
    pub per: Quantity,
}

/// What a unit of an item costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandardCost {
    /// The item.
    pub item: AssetId,
    /// The lot whose cost was divided: of what is bought, what the price is for.
    pub lot: Quantity,
    /// What goes in.
    pub materials: Cost,
    /// What is done.
    pub operations: Cost,
    /// Both.
    pub total: Cost,
}

/// Why costs cannot be rolled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostError {
    /// A purchase cost names something that is no item.
    UnknownItem(AssetId),
    /// A purchase costs less than nothing, or is of nothing.
    BadPurchaseCost(AssetId),
    /// The cost or a quantity of the item's lot is too large.
    Overflow(AssetId),
}

impl std::fmt::Display for CostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownItem(id) => write!(f, "there is no item {id}"),
            Self::BadPurchaseCost(id) => write!(f, "the purchase cost of item {id} is negative, or for nothing"),
            Self::Overflow(id) => write!(f, "the cost of item {id} is too large"),
        }
    }
}

impl std::error::Error for CostError {}

impl Network {
    /// The standard cost of every item by the bills in effect on this day, ascending by item; nothing
    /// for an item that is bought, or made of something bought, without a purchase cost. Of purchase
    /// costs of one item the last counts; one of what is made is passed over.
    ///
    /// # Errors
    /// When a purchase cost is wrong or a cost is too large.
    pub fn roll_up(&self, purchases: &[PurchaseCost], day: Day) -> Result<Vec<Option<StandardCost>>, CostError> {
        let mut costs: Vec<Option<StandardCost>> = vec![None; self.nodes.len()];
        for purchase in purchases {
            let item = self.place(purchase.item).ok_or(CostError::UnknownItem(purchase.item))?;
            let bad = CostError::BadPurchaseCost(purchase.item);
            let amount = u64::try_from(purchase.amount.0).map_err(|_| bad)?;
            let materials = Cost::new(amount.into(), purchase.per.0.into()).ok_or(bad)?;
            if !self.nodes[item].is_made() {
                let (lot, operations) = (purchase.per, Cost::ZERO);
                costs[item] = Some(StandardCost { item: purchase.item, lot, materials, operations, total: materials });
            }
        }
        let mut explosion = Explosion::default();
        // What is made, behind all that goes into it.
        for &item in self.order.iter().rev().filter(|item| self.nodes[**item as usize].is_made()) {
            costs[item as usize] = self.cost_of_made(item as usize, day, &costs, &mut explosion)?;
        }
        Ok(costs)
    }

    fn cost_of_made(
        &self,
        item: usize,
        day: Day,
        costs: &[Option<StandardCost>],
        explosion: &mut Explosion,
    ) -> Result<Option<StandardCost>, CostError> {
        let id = self.nodes[item].id;
        let overflow = |Overflow| CostError::Overflow(id);
        let Some(version) = self.version(item, day) else {
            return Ok(None);
        };
        let (_, lot) = self.nodes[item].lot.orders_for(version.output).map_err(overflow)?;
        let mut materials = Some(Cost::ZERO);
        let mut too_large = false;
        let taken = explosion.each(self, version, lot, day, |flow| {
            if let Flow::Takes { item, quantity } = flow {
                let more = costs[item].map(|cost| cost.total.times(quantity.0));
                materials = match (materials, more) {
                    (Some(sum), Some(more)) => {
                        let sum = more.and_then(|more| sum.plus(more));
                        too_large |= sum.is_err();
                        sum.ok()
                    }
                    _ => None,
                };
            }
            Ok(())
        });
        taken.map_err(|_: PlanError| CostError::Overflow(id))?;
        if too_large {
            return Err(CostError::Overflow(id));
        }
        let Some(materials) = materials else {
            return Ok(None);
        };
        let mut operations = Cost::ZERO;
        for operation in &version.operations {
            let seconds = Work::of(std::slice::from_ref(operation)).seconds(lot, version.output);
            let rate = Cost { numerator: operation.cost_per_hour.0.unsigned_abs().into(), denominator: 3_600 };
            let seconds = u64::try_from(seconds).map_err(|_| CostError::Overflow(id))?;
            operations = rate.times(seconds).and_then(|cost| operations.plus(cost)).map_err(overflow)?;
        }
        let materials = materials.over(lot.0).map_err(overflow)?;
        let operations = operations.over(lot.0).map_err(overflow)?;
        let total = materials.plus(operations).map_err(overflow)?;
        Ok(Some(StandardCost { item: id, lot, materials, operations, total }))
    }
}

/// Binary places of a fraction that was rounded.
const PLACES: u32 = 64;

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    /// `numerator / denominator`, or nothing when that is no number.
    #[must_use]
    pub fn new(numerator: u128, denominator: u128) -> Option<Self> {
        (denominator > 0).then(|| Self { numerator, denominator }.reduced())
    }

    /// The numerator and denominator, in lowest terms.
    #[must_use]
    pub const fn fraction(self) -> (u128, u128) {
        (self.numerator, self.denominator)
    }

    /// What this quantity costs, rounded up to the money's smallest unit.
    ///
    /// # Errors
    /// When it does not fit 63 bits.
    pub fn of(self, quantity: Quantity) -> Result<Amount, Overflow> {
        let all = self.times(quantity.0)?;
        i64::try_from(all.numerator.div_ceil(all.denominator)).map(Amount).map_err(|_| Overflow)
    }

    fn plus(self, other: Self) -> Result<Self, Overflow> {
        fn exact(a: Cost, b: Cost) -> Option<Cost> {
            let common = gcd(a.denominator, b.denominator);
            let left = a.numerator.checked_mul(b.denominator / common)?;
            let right = b.numerator.checked_mul(a.denominator / common)?;
            Cost::new(left.checked_add(right)?, (a.denominator / common).checked_mul(b.denominator)?)
        }
        exact(self, other).or_else(|| exact(self.rounded()?, other.rounded()?)).ok_or(Overflow)
    }

    fn times(self, factor: u64) -> Result<Self, Overflow> {
        let exact = |cost: Self| {
            let common = gcd(factor.into(), cost.denominator);
            let numerator = cost.numerator.checked_mul(u128::from(factor) / common)?;
            Self::new(numerator, cost.denominator / common)
        };
        exact(self).or_else(|| exact(self.rounded()?)).ok_or(Overflow)
    }

    /// Divides by what is not zero.
    fn over(self, divisor: u64) -> Result<Self, Overflow> {
        let common = gcd(divisor.into(), self.numerator);
        let exact = self.denominator.checked_mul(u128::from(divisor) / common);
        let rounded = || {
            let places = self.rounded()?;
            Self::new(places.numerator.div_ceil(divisor.into()), places.denominator)
        };
        exact.and_then(|denominator| Self::new(self.numerator / common, denominator)).or_else(rounded).ok_or(Overflow)
    }

    fn reduced(self) -> Self {
        let common = gcd(self.numerator, self.denominator);
        Self { numerator: self.numerator / common, denominator: self.denominator / common }
    }

    /// The next fraction of [`PLACES`] binary places that is not less, not in lowest terms.
    fn rounded(self) -> Option<Self> {
        let (whole, rest) = (self.numerator / self.denominator, self.numerator % self.denominator);
        // A denominator of more bits than these loses its last ones, which makes the fraction larger.
        let surplus = (u128::BITS - self.denominator.leading_zeros()).saturating_sub(PLACES);
        let denominator = self.denominator >> surplus;
        let rest = rest.div_ceil(1 << surplus).min(denominator);
        let places = (rest << PLACES).div_ceil(denominator);
        let numerator = whole.checked_mul(1 << PLACES)?.checked_add(places)?;
        Some(Self { numerator, denominator: 1 << PLACES })
    }
}

/// The greatest common divisor; of zero and `b` it is `b`.
fn gcd(mut a: u128, mut b: u128) -> u128 {
    while a > 0 {
        (a, b) = (b % a, a);
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(numerator: u128, denominator: u128) -> Cost {
        Cost::new(numerator, denominator).expect("a number")
    }

    #[test]
    fn thirds_add_up_to_a_whole() {
        let third = cost(100, 300);
        assert_eq!(third.fraction(), (1, 3));
        assert_eq!(third.plus(third).and_then(|two| two.plus(third)), Ok(cost(1, 1)));
        assert_eq!(third.of(Quantity(3)), Ok(Amount(1)));
        assert_eq!(third.of(Quantity(4)), Ok(Amount(2)), "rounded up once");
        assert_eq!(third.over(4), Ok(cost(1, 12)));
        assert_eq!(Cost::ZERO.over(4), Ok(Cost::ZERO));
        assert_eq!(Cost::new(1, 0), None);
    }

    #[test]
    fn what_does_not_fit_is_rounded_up_a_little() {
        // Denominators without a common factor, of 89 and 61 bits.
        let (small, large) = (cost(1, (1 << 89) - 1), cost(7, (1 << 61) - 1));
        // A little more than 56 and a little more than nothing, in 2⁻⁶⁴.
        assert_eq!(small.plus(large), Ok(cost(59, 1 << 64)));
        let half = cost((1 << 125) + 1, (1 << 126) - 1);
        assert_eq!(half.times(1 << 62).and_then(|cost| cost.of(Quantity(1))), Ok(Amount((1 << 61) + 1)));
        assert_eq!(half.over(1 << 62), Ok(cost(3, 1 << 64)), "a tiny cost is not nothing");
    }

    #[test]
    fn what_is_too_large_is_said_so() {
        assert_eq!(cost(u128::MAX, 1).plus(cost(1, 1)), Err(Overflow));
        assert_eq!(cost(u128::MAX, 2).times(4), Err(Overflow));
        assert_eq!(cost(1 << 63, 1).of(Quantity(1)), Err(Overflow));
        assert_eq!(cost((1 << 63) - 1, 1).of(Quantity(1)), Ok(Amount(i64::MAX)));
    }
}
