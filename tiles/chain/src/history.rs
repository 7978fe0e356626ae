//! Updates of rounds that have ended.
//!
//! The chain's state forgets a round when it ends, and nodes forget old states; block bodies they
//! keep. So what was merged is read from the state in which the round ended, if the node still has
//! it, and else from the transactions of the round: who revealed which update. The latter does not
//! say which of the updates verifiers accepted, only how many, so whoever merges them must compare
//! the result with the roots on chain.
//!
//! Transactions inside of batches are not looked into: this program sends none.

use super::{
	error::wrap,
	types::{AccountId, RoundSummary, Static},
	Chain, ChainError, Config, View,
};
use blyan_primitives::{recipe::Recipe, update::Update, H256};
use codec::Decode;
use std::collections::{BTreeMap, BTreeSet};
use subxt::{
	config::RpcConfigFor, ext::scale_decode::DecodeAsType, rpcs::methods::LegacyRpcMethods,
	utils::MultiAddress,
};

/// An update that was revealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastUpdate {
	/// Whose it is.
	pub trainer: AccountId,
	/// Its weight in the merge.
	pub samples: u32,
	/// The update.
	pub update: Update,
}

/// What is to be known about a round that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRound {
	/// What is kept of it.
	pub summary: RoundSummary,
	/// How it trained. Several only if it is not known which of them it was.
	pub recipes: Vec<Recipe>,
	/// Updates that were revealed, in ascending order of trainer account.
	pub updates: Vec<PastUpdate>,
	/// How many of `updates` were merged. If it is all of them, there is nothing to find out.
	pub accepted: usize,
}

/// Arguments of `Rounds::open`.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
struct Open {
	model: u32,
	recipe: Static<Recipe>,
}

/// Arguments of `Podl::commit_update`.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
struct CommitUpdate {
	round: u32,
	hash: H256,
}

/// Arguments of `Podl::reveal_update`.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
struct RevealUpdate {
	round: u32,
	update: Static<Update>,
	salt: H256,
}

/// What the transactions of a round say, as they are read.
#[derive(Default)]
struct Found {
	recipes: Vec<Recipe>,
	commitments: BTreeSet<(AccountId, H256)>,
	updates: BTreeMap<AccountId, Update>,
}

impl Chain {
	/// What was merged in a round that has ended.
	///
	/// `progress` is told how many blocks of how many were read, if it takes reading them.
	pub async fn past_round(
		&self,
		id: u32,
		progress: impl Fn(u32, u32) + Send,
	) -> Result<PastRound, ChainError> {
		let view = self.view().await?;
		let summary = view.summary(id).await?;
		let summary = summary.ok_or_else(|| ChainError::unknown("round that has ended", id))?;
		let read = self.by_state(id, &summary).await;
		match read {
			Err(error @ (ChainError::Pruned { .. } | ChainError::Unknown(_))) => {
				tracing::debug!("reading transactions of round {id}: {error}");
				self.by_transactions(&view, id, summary, progress).await
			}
			result => result,
		}
	}

	/// Reads the state of the last block in which the round was live.
	async fn by_state(&self, id: u32, summary: &RoundSummary) -> Result<PastRound, ChainError> {
		let last = self.view_at_number(summary.ended.saturating_sub(1)).await?;
		let round = last.round(id).await?;
		let round = round.ok_or_else(|| ChainError::unknown("live round", id))?;
		let updates: Vec<PastUpdate> = last
			.accepted_updates(id)
			.await?
			.into_iter()
			.map(|(trainer, samples, update)| PastUpdate { trainer, samples, update })
			.collect();
		Ok(PastRound {
			summary: summary.clone(),
			recipes: vec![round.round.recipe.0],
			accepted: updates.len(),
			updates,
		})
	}

	/// Reads all blocks from the first to the last of the round.
	async fn by_transactions(
		&self,
		view: &View,
		id: u32,
		summary: RoundSummary,
		progress: impl Fn(u32, u32) + Send,
	) -> Result<PastRound, ChainError> {
		let total = summary.ended.saturating_sub(summary.opened).saturating_add(1);
		let mut found = Found::default();
		for (done, number) in (0u32..).zip(summary.opened..=summary.ended) {
			progress(done, total);
			let body = self.body(number).await?;
			let opening = (number == summary.opened).then_some(summary.model);
			found.read(view, body, id, opening).await?;
		}
		progress(total, total);
		let accepted = usize::try_from(summary.accepted).unwrap_or(usize::MAX);
		let updates: Vec<PastUpdate> = found
			.updates
			.into_iter()
			.map(|(trainer, update)| PastUpdate { trainer, samples: update.samples, update })
			.collect();
		if found.recipes.is_empty() || updates.len() < accepted {
			return Err(ChainError::Rpc(format!(
				"it does not keep all transactions of round {id}"
			)));
		}
		Ok(PastRound { summary, recipes: found.recipes, updates, accepted })
	}

	/// The transactions of a block of the best chain.
	async fn body(&self, number: u32) -> Result<Vec<Vec<u8>>, ChainError> {
		let hash = self.block_hash(number).await?;
		let hash = hash.ok_or_else(|| ChainError::unknown("block", number))?;
		let methods = LegacyRpcMethods::<RpcConfigFor<Config>>::new(self.inner.rpc.clone());
		let block = methods.chain_get_block(Some(hash)).await.map_err(wrap)?;
		let block = block.ok_or(ChainError::Pruned { block: number })?;
		Ok(block.block.extrinsics.into_iter().map(|extrinsic| extrinsic.0).collect())
	}
}

impl Found {
	/// Reads the transactions of a block. `opening` is the model of the round, if the round was
	/// opened in this block.
	async fn read(
		&mut self,
		view: &View,
		body: Vec<Vec<u8>>,
		id: u32,
		opening: Option<u32>,
	) -> Result<(), ChainError> {
		let extrinsics = view.at().extrinsics().from_bytes(body).await;
		for extrinsic in extrinsics.iter() {
			// What today's metadata does not understand is of another version of the chain.
			let Ok(extrinsic) = extrinsic else { continue };
			let Some(who) = extrinsic.address_bytes().and_then(signer) else { continue };
			match (extrinsic.pallet_name(), extrinsic.call_name()) {
				("Rounds", "open") => {
					let open: Open =
						extrinsic.decode_call_data_fields_unchecked_as().map_err(wrap)?;
					self.note_opening(open.model, open.recipe.0, opening);
				}
				("Podl", "commit_update") => {
					let commit: CommitUpdate =
						extrinsic.decode_call_data_fields_unchecked_as().map_err(wrap)?;
					if commit.round == id {
						self.commitments.insert((who, commit.hash));
					}
				}
				("Podl", "reveal_update") => {
					let reveal: RevealUpdate =
						extrinsic.decode_call_data_fields_unchecked_as().map_err(wrap)?;
					if reveal.round == id {
						self.note_update(who, reveal.update.0, &reveal.salt);
					}
				}
				_ => {}
			}
		}
		Ok(())
	}

	fn note_opening(&mut self, model: u32, recipe: Recipe, opening: Option<u32>) {
		if opening == Some(model) && !self.recipes.contains(&recipe) {
			self.recipes.push(recipe);
		}
	}

	/// Notes an update if it is what its trainer committed to; the chain takes no other.
	fn note_update(&mut self, trainer: AccountId, update: Update, salt: &H256) {
		let commitment = update.commitment(salt, &trainer.0);
		if self.commitments.contains(&(trainer, commitment)) {
			self.updates.entry(trainer).or_insert(update);
		}
	}
}

/// The account that an address names.
fn signer(address: &[u8]) -> Option<AccountId> {
	match MultiAddress::<AccountId, ()>::decode(&mut &address[..]) {
		Ok(MultiAddress::Id(account)) => Some(account),
		_ => None,
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_primitives::BoundedVec;
	use codec::Encode;

	fn update(samples: u32) -> Update {
		Update {
			round: 3,
			deltas: BoundedVec::new(),
			delta_cids: BoundedVec::new(),
			trace_root: H256::zero(),
			trace_cids: BoundedVec::new(),
			trace_entries: 1,
			samples,
			loss_before: 2,
			loss_after: 1,
		}
	}

	#[test]
	fn only_what_was_committed_to_counts_and_only_once() {
		let (alice, bob, salt) =
			(AccountId::from([1; 32]), AccountId::from([2; 32]), H256([7; 32]));
		let mut found = Found::default();
		found.commitments.insert((alice, update(5).commitment(&salt, &alice.0)));
		found.note_update(alice, update(6), &salt);
		assert!(found.updates.is_empty());
		found.note_update(bob, update(5), &salt);
		assert!(found.updates.is_empty());
		found.note_update(alice, update(5), &salt);
		found.note_update(alice, update(5), &salt);
		assert_eq!(found.updates.len(), 1);
	}

	#[test]
	fn signer_is_the_account_of_the_address() {
		let account = AccountId::from([3; 32]);
		let address = MultiAddress::<AccountId, ()>::Id(account).encode();
		assert_eq!(signer(&address), Some(account));
		assert_eq!(signer(&[]), None);
		assert_eq!(signer(&[2, 0]), None);
	}
}
