//! A trainer that trains on something else than it is told to, and the proof of that.

use super::director::{recipe, record_hashes};
use blyan_primitives::{
	sampling::sample,
	trace::{Checkpoint, Step},
	tree::{list_root, Kind, Tree},
	H256,
};
use blyan_runtime::{AccountId, Runtime};
use pallet_podl::{DataMisuse, ListLeaf, TraceLeaf};
use polkadot_sdk::*;

use sp_keyring::Sr25519Keyring as Key;

/// Who cheats in every round that it gets into.
pub const CHEAT: Key = Key::FerdieStash;
/// The record that the cheat always uses: one that is in no dataset.
const FAVOURITE: H256 = H256([99; 32]);

/// The root of the cheat's trace.
pub fn trace_root() -> H256 {
	trace().root()
}

/// What proves that the cheat used a record in a round that it was not told to use, if the records
/// are of one of the first `tags` datasets of the director.
pub fn evidence(round: u32, tags: u32) -> Option<DataMisuse> {
	let (place, position) = (0, 1);
	let seed = pallet_rounds::Rounds::<Runtime>::get(round)?.seed?;
	let mixture = pallet_rounds::Mixtures::<Runtime>::get(round);
	let entries: Vec<_> = mixture.iter().map(|dataset| dataset.entry()).collect();
	let trainer: AccountId = CHEAT.to_account_id();
	let (dataset, record) = sample(&seed, trainer.as_ref(), place, position, &entries)?;
	let root = mixture.get(dataset)?.records_root;
	let records = (0..tags).map(record_hashes).find(|records| list_root(records) == Ok(root))?;
	let leaf = TraceLeaf {
		index: place,
		step: step(place),
		proof: trace().prove(place as usize).expect("there is such a step"),
	};
	let claimed = list_leaf(batch(), position);
	Some(DataMisuse { leaf, position, claimed, told: list_leaf(records, record) })
}

fn batch() -> Vec<H256> {
	vec![FAVOURITE; recipe().batch.into()]
}

fn step(step: u32) -> Step {
	Step { step, batch_root: list(batch()).root(), loss_micronats: 1_000 }
}

fn trace() -> Tree {
	let recipe = recipe();
	let steps = (0..recipe.steps).map(|place| step(place).hash());
	let checkpoints = (0..recipe.checkpoints()).map(|i| {
		let step = recipe.checkpoint_step(i).expect("there is such a checkpoint");
		Checkpoint { step, state_root: FAVOURITE, sketch_root: FAVOURITE }.hash()
	});
	list(steps.chain(checkpoints).collect())
}

fn list(hashes: Vec<H256>) -> Tree {
	Tree::from_leaf_hashes(Kind::List, hashes.len() as u64, hashes).expect("there are hashes")
}

fn list_leaf(hashes: Vec<H256>, index: u32) -> ListLeaf {
	let hash = hashes[index as usize];
	let proof = list(hashes).prove(index as usize).expect("there is such a hash");
	ListLeaf { hash, proof }
}
