//! Which shards end soon, and paying for another period of theirs: what `dataset renew` and the
//! workers that renew by policy share.
//!
//! The chain keeps what was stored for one retention period, counted from when it was stored or
//! renewed last, and renews nothing by itself. Anybody may renew anything.

use crate::{
	chain::{
		calls,
		types::{Balance, BlockNumber, ItemFees, Location},
		Chain, ChainError, Fate, Parameter, Unsuccessful, View,
	},
	keystore::Key,
};
use blyan_primitives::{record::ShardInfo, H256};
use tokio::task::JoinSet;

/// Shards are renewed in their last quarter of the retention period, if nobody says otherwise.
const LAST_PARTS: u32 = 4;
/// Transactions that are on their way at once. A block has room for 64 items of all accounts.
pub const AT_ONCE: usize = 4;

/// Why shards were not renewed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The chain, or the way to it.
	#[error(transparent)]
	Chain(#[from] ChainError),
	/// A part of the program panicked.
	#[error("a part of the program broke off: {0}; this is a bug, please report it")]
	Panicked(String),
}

/// When shards end, and from when on that is soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
	/// Blocks for which the chain keeps what was stored or renewed.
	pub retention: u32,
	/// What ends within so many blocks ends soon.
	pub within: u32,
}

impl Window {
	/// The window of the chain at this block: `within` blocks, or a quarter of the retention period.
	pub async fn new(view: &View, within: Option<u32>) -> Result<Self, ChainError> {
		let retention = view.parameter(Parameter::RETENTION_PERIOD).await?;
		let retention = u32::try_from(retention).unwrap_or(u32::MAX);
		Ok(Self { retention, within: within.unwrap_or(retention / LAST_PARTS) })
	}
}

/// A shard that ends soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
	/// The dataset that it belongs to.
	pub dataset: u32,
	/// The block in which it ends.
	pub end: BlockNumber,
	/// Where it was stored or renewed last.
	pub place: Location,
	/// Its hash.
	pub cid: H256,
	/// Its size in bytes.
	pub bytes: u32,
}

/// Puts those first that end first, and leaves out what is there twice: it would be paid twice.
pub fn sort(ending: &mut Vec<Ending>) {
	let key = |ending: &Ending| (ending.end, ending.place.block, ending.place.index);
	ending.sort_by_key(|ending| (key(ending), ending.dataset));
	ending.dedup_by(|later, first| key(later) == key(first));
}

/// What of a dataset ends soon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
	/// How many shards the dataset has.
	pub shards: usize,
	/// Those that end soon, the first to end first.
	pub ending: Vec<Ending>,
	/// How many the chain does not keep any more.
	pub expired: usize,
	/// The block in which the first of the others ends.
	pub next: Option<BlockNumber>,
}

impl Due {
	/// Of the shards of a dataset, each with its place, those that end soon.
	pub fn new(
		dataset: u32,
		shards: &[(ShardInfo, Option<Location>)],
		now: BlockNumber,
		window: Window,
	) -> Self {
		let mut due = Self { shards: shards.len(), ..Self::default() };
		for (ShardInfo { cid, bytes, .. }, place) in shards {
			let Some(place) = *place else {
				due.expired += 1;
				continue;
			};
			let end = place.block.saturating_add(window.retention);
			if end.saturating_sub(now) <= window.within {
				due.ending.push(Ending { dataset, end, place, cid: *cid, bytes: *bytes });
			} else {
				due.next = Some(due.next.map_or(end, |next| next.min(end)));
			}
		}
		sort(&mut due.ending);
		due
	}
}

/// What of a dataset ends soon; nothing if the chain has no manifest of it. Asks for each of its
/// shards, of which a manifest has 1,024 at most.
pub async fn due(view: &View, dataset: u32, window: Window) -> Result<Option<Due>, ChainError> {
	let Some(manifest) = view.manifest(dataset).await? else { return Ok(None) };
	let mut shards = Vec::with_capacity(manifest.shards.len());
	for shard in &manifest.shards {
		shards.push((*shard, view.location(shard.cid).await?));
	}
	Ok(Some(Due::new(dataset, &shards, view.number(), window)))
}

/// What renewing costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
	/// What the chain takes for an item.
	pub items: ItemFees,
	/// The fee of the transaction that renews one, in the smallest unit.
	pub transaction: Balance,
}

impl Price {
	/// The price for an account with this key now. It changes slowly with how full blocks are.
	pub async fn now(chain: &Chain, view: &View, key: &Key) -> Result<Self, ChainError> {
		// All of these transactions have the same length and the same weight.
		let transaction = chain.fee_of(&calls::renew(u32::MAX, u32::MAX), key).await?;
		Ok(Self { items: view.item_fees()?, transaction })
	}

	/// What renewing these shards costs, in the smallest unit.
	pub fn of(&self, ending: &[Ending]) -> Balance {
		let transactions = self.transaction.saturating_mul(ending.len() as Balance);
		self.fees_of(ending).saturating_add(transactions)
	}

	/// The same without the fees of the transactions, which even those pay that fail.
	pub fn fees_of(&self, ending: &[Ending]) -> Balance {
		let bytes = ending.iter().map(|ending| u64::from(ending.bytes)).sum();
		self.items.of(ending.len() as u64, bytes)
	}
}

/// What became of shards that were to be renewed. Of those in none of the lists it is not known:
/// their transactions may get into a block for a while yet.
#[derive(Debug, Default)]
pub struct Outcome {
	/// Those that were renewed.
	pub renewed: Vec<Ending>,
	/// Those that the chain refused to renew, which has cost the fee of the transaction alone.
	pub refused: Vec<Ending>,
	/// Those whose transaction is in no block and gets into none, which costs nothing.
	pub unsent: Vec<Ending>,
	/// What went wrong first.
	pub error: Option<Error>,
}

impl Outcome {
	/// Notes a renewal that did not do what it should.
	fn fail(&mut self, shard: Ending, Unsuccessful { fate, error }: Unsuccessful) {
		match fate {
			Fate::Failed => self.refused.push(shard),
			Fate::Unsent => self.unsent.push(shard),
			Fate::Unknown => {}
		}
		// Or else somebody has renewed it meanwhile, or it has just expired.
		if !error.is("Shards::NotFound") {
			self.error.get_or_insert(error.into());
		}
	}
}

/// Renews shards, all at once: whoever has more than [`AT_ONCE`] calls it again and again. No block
/// after the last one that the view tells ([`View::last_to_take`]) takes one of the transactions.
pub async fn renew(chain: &Chain, view: &View, key: &Key, ending: &[Ending]) -> Outcome {
	let mut tasks = JoinSet::new();
	for shard in ending.iter().copied() {
		let (chain, view, key) = (chain.clone(), view.clone(), key.clone());
		tasks.spawn(async move {
			let call = calls::renew(shard.place.block, shard.place.index);
			(shard, chain.submit_from(&view, &call, &key).await)
		});
	}
	let mut outcome = Outcome::default();
	while let Some(done) = tasks.join_next().await {
		match done {
			Ok((shard, Ok(_))) => outcome.renewed.push(shard),
			Ok((shard, Err(unsuccessful))) => outcome.fail(shard, unsuccessful),
			Err(error) => {
				outcome.error.get_or_insert(Error::Panicked(error.to_string()));
			}
		}
	}
	outcome
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use proptest::prelude::*;

	/// A shard of dataset 3 of 100 bytes that was stored in this block and ends 100 blocks later.
	pub(crate) fn ending(block: u32) -> Ending {
		let place = Location { block, index: 3 };
		Ending { dataset: 3, end: block + 100, place, cid: H256([7; 32]), bytes: 100 }
	}

	/// A shard of so many bytes, with the hash of [`ending`].
	fn shard(bytes: u32) -> ShardInfo {
		ShardInfo { cid: H256([7; 32]), bytes, records: 64 }
	}

	/// What is easy to count with.
	pub(crate) const PRICE: Price =
		Price { items: ItemFees { entry: 200, byte: 2 }, transaction: 10 };

	#[test]
	fn only_what_ends_soon_is_due() {
		let at = |block: u32| Some(Location { block, index: 3 });
		let shards =
			[(shard(100), at(40)), (shard(100), at(10)), (shard(300), None), (shard(400), at(60))];
		let window = Window { retention: 100, within: 40 };
		// They end in blocks 140, 110 and 160.
		let due = Due::new(3, &shards, 100, window);
		assert_eq!(due.ending, [ending(10), ending(40)]);
		assert_eq!((due.shards, due.expired, due.next), (4, 1, Some(160)));
		let none = Due::new(3, &shards[..1], 20, window);
		assert_eq!((none.ending.len(), none.next), (0, Some(140)));
		// What should have ended is due for as long as the chain has it.
		assert_eq!(Due::new(3, &shards[..1], 500, window).ending, [ending(40)]);
		assert_eq!(Due::new(3, &[], 0, window), Due::default());
	}

	#[test]
	fn only_what_is_known_to_cost_less_is_told_apart() {
		let lost = ChainError::Rpc(String::from("the connection was lost"));
		let not_found = ChainError::Refused {
			error: String::from("Shards::NotFound"),
			docs: String::from("There is no such item."),
		};
		let mut outcome = Outcome::default();
		outcome.fail(ending(1), Unsuccessful { fate: Fate::Failed, error: not_found });
		assert!(outcome.error.is_none());
		outcome.fail(ending(2), Unsuccessful { fate: Fate::Unsent, error: lost.clone() });
		outcome.fail(ending(3), Unsuccessful { fate: Fate::Unknown, error: lost });
		assert_eq!((outcome.refused, outcome.unsent), (vec![ending(1)], vec![ending(2)]));
		assert!(outcome.renewed.is_empty() && outcome.error.is_some());
	}

	#[test]
	fn what_two_datasets_share_is_paid_once() {
		let other = Ending { dataset: 4, ..ending(10) };
		let mut both = vec![ending(40), other, ending(10), ending(10)];
		sort(&mut both);
		assert_eq!(both, [ending(10), ending(40)]);
	}

	#[test]
	fn price_is_that_of_items_bytes_and_transactions() {
		assert_eq!(PRICE.of(&[]), 0);
		assert_eq!(PRICE.of(&[ending(1), ending(2)]), 2 * (200 + 200 + 10));
		assert_eq!(PRICE.fees_of(&[ending(1), ending(2)]), 2 * (200 + 200));
	}

	proptest! {
		/// Every shard is due, expired or counted as ending later, and what is due ends soon.
		#[test]
		fn every_shard_is_accounted_for(
			blocks in prop::collection::vec(prop::option::of(0u32..1_000), 0..50),
			now in 0u32..2_000,
			retention in 1u32..1_000,
			within in 0u32..1_000,
		) {
			let place = |block: u32, index: usize| Location { block, index: index as u32 };
			let shards: Vec<(ShardInfo, Option<Location>)> = blocks
				.iter()
				.enumerate()
				.map(|(index, block)| (shard(1), block.map(|block| place(block, index))))
				.collect();
			let window = Window { retention, within };
			let due = Due::new(0, &shards, now, window);
			let later = shards.iter().filter(|(_, place)| {
				place.is_some_and(|place| (place.block + retention).saturating_sub(now) > within)
			});
			prop_assert_eq!(due.ending.len() + due.expired + later.count(), shards.len());
			prop_assert!(due.ending.windows(2).all(|pair| pair[0].end <= pair[1].end));
			prop_assert!(due.next.is_none_or(|next| next.saturating_sub(now) > within));
		}
	}
}
