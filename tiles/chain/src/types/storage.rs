//! Items that the chain stores for a time: where they are, and what they cost.

use super::{Balance, BlockNumber};
use subxt::ext::scale_decode::DecodeAsType;

/// Where an item was last stored or renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Location {
	/// The block.
	pub block: BlockNumber,
	/// Position among the block's items.
	pub index: u32,
}

/// What the chain takes for items that are stored or renewed, beside the fee of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemFees {
	/// For each item, in the smallest unit.
	pub entry: Balance,
	/// For each byte of an item, in the smallest unit.
	pub byte: Balance,
}

impl ItemFees {
	/// What `items` items of `bytes` bytes in all cost, in the smallest unit. Saturates, since what
	/// nobody can pay is too much either way.
	pub fn of(&self, items: u64, bytes: u64) -> Balance {
		let entries = self.entry.saturating_mul(Balance::from(items));
		entries.saturating_add(self.byte.saturating_mul(Balance::from(bytes)))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn items_cost_what_they_are_and_what_they_have() {
		let fees = ItemFees { entry: 200, byte: 2 };
		assert_eq!(fees.of(0, 0), 0);
		assert_eq!(fees.of(3, 1_000), 2_600);
		let dear = ItemFees { entry: Balance::MAX, byte: Balance::MAX };
		assert_eq!(dear.of(u64::MAX, u64::MAX), Balance::MAX);
	}
}
