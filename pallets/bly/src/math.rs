//! Emission and division, as pure functions on integers.
//!
//! Every division rounds down and says who gains by it: what an emission loses is never minted,
//! what a share or a payout loses stays in the pot and ends in the treasury.

use crate::types::{Balance, Points, Pot, Share, Shares, Split};
use polkadot_sdk::sp_runtime::{
	helpers_128bit::multiply_by_rational_with_rounding, Perbill, Rounding,
};

/// Largest part of an emission that a single share may have.
pub const MAX_SHARE: Perbill = Perbill::from_percent(60);

/// Why a [`Split`] is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SplitError {
	/// One share is above [`MAX_SHARE`].
	ShareTooLarge,
	/// The shares together are above one.
	TotalTooLarge,
}

/// What epoch number `epoch` emits, before the cap is applied.
///
/// With `h = epoch / halving_epochs`, `k = epoch % halving_epochs` and `a = initial >> h`, the
/// emission is `a − ⌈(a − (a >> 1)) · k / halving_epochs⌉`: it halves every `halving_epochs`
/// epochs and falls in a straight line in between, so that there is no cliff to speculate on.
/// The sum over all epochs is at most [`emission_bound`]. A period of zero emits nothing.
pub fn emission(initial: Balance, halving_epochs: u32, epoch: u32) -> Balance {
	let (Some(halvings), Some(position)) =
		(epoch.checked_div(halving_epochs), epoch.checked_rem(halving_epochs))
	else {
		return 0;
	};
	// A shift by all bits or more leaves nothing.
	let start = initial.checked_shr(halvings).unwrap_or(0);
	let fall = start.saturating_sub(start >> 1);
	// Rounded up, against the receivers: the closed form of the sum needs it.
	let fallen = multiply_by_rational_with_rounding(
		fall,
		position.into(),
		halving_epochs.into(),
		Rounding::Up,
	)
	.unwrap_or(fall);
	start.saturating_sub(fallen)
}

/// An upper bound of the sum of [`emission`] over all epochs: `initial · (3 · halving_epochs + 1)
/// / 2`, or `None` where that does not fit.
///
/// A period that starts at `a` loses at least `a / 2 · k / halving_epochs` in its epoch `k`, so it
/// emits at most `a · (3 · halving_epochs + 1) / 4`; and the starts of all periods add up to less
/// than `2 · initial`.
pub fn emission_bound(initial: Balance, halving_epochs: u32) -> Option<Balance> {
	let factor = Balance::from(halving_epochs).checked_mul(3)?.checked_add(1)?;
	// Rounded up: it is a bound.
	initial.checked_mul(factor).map(|twice| twice.div_ceil(2))
}

/// Whether `split` may be used: every share at most [`MAX_SHARE`], all of them at most one.
pub fn check_split(split: &Split) -> Result<(), SplitError> {
	let mut total: u64 = 0;
	for share in Share::ALL {
		let part = split.get(share);
		if part > MAX_SHARE {
			return Err(SplitError::ShareTooLarge);
		}
		total = total.saturating_add(u64::from(part.deconstruct()));
	}
	if total > u64::from(Perbill::one().deconstruct()) {
		return Err(SplitError::TotalTooLarge);
	}
	Ok(())
}

/// Divides `amount` by `split`. A share that nobody earned points in gets nothing; it and the
/// remainder of the rounding are left for the treasury.
pub fn divide(amount: Balance, split: &Split, points: &Points) -> Shares<Balance> {
	Shares::from_fn(|share| match points.get(share) {
		0 => 0,
		_ => split.get(share).mul_floor(amount),
	})
}

/// `amount · points / total`, rounded down; zero where nobody has points.
pub fn pro_rata(amount: Balance, points: u64, total: u64) -> Balance {
	multiply_by_rational_with_rounding(amount, points.into(), total.into(), Rounding::Down)
		.unwrap_or(0)
}

/// What an account with `points` receives from `pot`, by share. It depends on the amounts at the
/// end of the epoch only, so the order of claims does not matter.
pub fn payout(pot: &Pot, points: &Points) -> Shares<Balance> {
	Shares::from_fn(|share| {
		pro_rata(pot.amounts.get(share), points.get(share), pot.points.get(share))
	})
}
