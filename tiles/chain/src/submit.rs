//! How the chain is asked to do something.

use super::{
	calls,
	error::{answer, custom_code, fate, sentence, wrap, Answer, Unsuccessful},
	types::{AccountId, Balance, BlockNumber},
	Chain, ChainError, Config, View,
};
use blyan_primitives::{
	hash::blake2b_256,
	update::{pieces, PIECE_BYTES},
	H256,
};
use std::{
	sync::{Arc, PoisonError},
	time::{Duration, Instant},
};
use subxt::{
	client::OnlineClientAtBlockImpl,
	config::{DefaultExtrinsicParamsBuilder, RpcConfigFor},
	error::{DispatchError, ExtrinsicError},
	events::DecodeAsEvent,
	extrinsics::ExtrinsicEvents,
	rpcs::methods::LegacyRpcMethods,
	tx::{Payload, Signer, SubmittableTransaction, TransactionProgress, TransactionStatus},
};
use tokio::{
	sync::Mutex,
	time::{sleep, timeout},
};

/// Blocks for which a transaction is valid. A power of two.
const VALID_BLOCKS: u32 = 64;
/// So many blocks before the one at which it is signed a transaction begins to be valid. The pool of a
/// busy node may be some blocks behind the newest, and refuses what is valid from later ones on only.
const BLOCKS_BEFORE: u32 = 4;
/// How long it is waited for a transaction to get into a block.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long it is waited before blocks are searched for a transaction whose trace was lost.
const PAUSE: Duration = Duration::from_secs(2);
/// How often a transaction is made anew because another one has its number.
const ATTEMPTS: u32 = 4;
/// Pieces of data that are on their way at once.
const PIECES_AT_ONCE: usize = 4;

/// A transaction as the library makes it.
type Transaction = SubmittableTransaction<Config, OnlineClientAtBlockImpl<Config>>;
/// The fate of a transaction as the library reports it.
type Progress = TransactionProgress<Config, OnlineClientAtBlockImpl<Config>>;

/// The queue of one account's transactions: the number of the next one, as far as this process
/// knows more than the node.
#[derive(Default)]
pub(super) struct Lane {
	next: Mutex<Option<u64>>,
}

/// A transaction that is in a block and did what it should.
#[derive(Debug)]
pub struct Submitted {
	/// Hash of the block, which is on the best chain but need not be final.
	pub block_hash: H256,
	/// Hash of the transaction.
	pub hash: H256,
	/// What happened.
	pub events: ExtrinsicEvents<Config>,
}

impl Submitted {
	/// The first event of this kind, such as `api::rounds::events::Opened`.
	pub fn event<E: DecodeAsEvent>(&self) -> Result<Option<E>, ChainError> {
		self.events.find_first::<E>().transpose().map_err(wrap)
	}

	/// An event that cannot be missing.
	pub fn expected<E: DecodeAsEvent>(&self) -> Result<E, ChainError> {
		self.event()?.ok_or_else(|| {
			ChainError::Incompatible(String::from("a transaction did not report what it did"))
		})
	}
}

/// A transaction that the node has taken, and where to look for it.
struct Sent {
	hash: H256,
	/// All of it, in case the node loses it.
	bytes: Vec<u8>,
	progress: Option<Progress>,
	/// Height of the chain when it was sent.
	since: u32,
	/// Whose number it has, if it is signed.
	account: Option<AccountId>,
}

impl View {
	/// The last block that takes a transaction that is signed at this one, see
	/// [`Chain::submit_from`].
	pub fn last_to_take(&self) -> BlockNumber {
		last_of(first_of(self.number()))
	}
}

/// The first block for which a transaction is valid that is signed at `number`.
fn first_of(number: BlockNumber) -> BlockNumber {
	number.saturating_sub(BLOCKS_BEFORE)
}

/// The last block of those for which a transaction is valid of which `first` is the first.
fn last_of(first: BlockNumber) -> BlockNumber {
	first.saturating_add(VALID_BLOCKS - 1)
}

impl Chain {
	/// Signs a call, sends it and waits until it is in a block of the best chain. Fails if the chain
	/// refuses the call.
	///
	/// May be called from several tasks at once with the same signer.
	pub async fn submit<C, S>(&self, call: &C, signer: &S) -> Result<Submitted, ChainError>
	where
		C: Payload,
		S: Signer<Config>,
	{
		let sent = self.send(call, signer, None).await?;
		Ok(self.outcome(sent).await?)
	}

	/// As [`Self::submit`], for a transaction that is signed at the view's block, however long
	/// it takes to send it: no block after [`View::last_to_take`] takes it. Where it does not do what
	/// it should, the error says what is known of it.
	pub async fn submit_from<C, S>(
		&self,
		view: &View,
		call: &C,
		signer: &S,
	) -> Result<Submitted, Unsuccessful>
	where
		C: Payload,
		S: Signer<Config>,
	{
		let sent = self.send(call, signer, Some(view)).await?;
		self.outcome(sent).await
	}

	/// The fee of a transaction with this call at the newest block, in the smallest unit, without
	/// what the call itself takes. It follows from weight and length, and changes slowly with how
	/// full blocks are.
	pub async fn fee_of<C, S>(&self, call: &C, signer: &S) -> Result<Balance, ChainError>
	where
		C: Payload,
		S: Signer<Config>,
	{
		let view = self.view().await?;
		// No number that the account can have makes it longer.
		let birth = (view.number(), view.hash());
		let transaction = signed(&view, birth, call, signer, u64::from(u32::MAX))?;
		transaction.partial_fee_estimate().await.map_err(|error| view.fail(error))
	}

	/// Sends a call that needs no signature and waits until it is in a block of the best chain.
	pub async fn submit_bare<C: Payload>(&self, call: &C) -> Result<Submitted, ChainError> {
		let sent = self.send_bare(call).await?;
		Ok(self.outcome(sent).await?)
	}

	/// As [`Self::submit_bare`], for a call that stores data: does not ask for what happened, since
	/// that takes the whole block with all the data in it. Returns the block; whether the data is
	/// stored in it is for the caller to see.
	pub async fn store_bare<C: Payload>(&self, call: &C) -> Result<H256, ChainError> {
		let sent = self.send_bare(call).await?;
		self.included(sent).await.map(|(block, _)| block)
	}

	/// Stores data of any length up to that of a blob, in pieces of at most 1 MiB, and returns their
	/// hashes in order. Pieces that the chain keeps already are left out.
	pub async fn store<S: Signer<Config>>(
		&self,
		data: &[u8],
		signer: &S,
	) -> Result<Vec<H256>, ChainError> {
		if data.is_empty() {
			return Err(ChainError::Unsuitable(String::from("there is nothing to store")));
		}
		let parts = pieces(data);
		let cids: Vec<H256> = parts.iter().map(|part| blake2b_256(part)).collect();
		let view = self.view().await?;
		let mut missing = Vec::new();
		for (part, cid) in parts.into_iter().zip(&cids) {
			if !missing.iter().any(|(_, other)| other == cid) && !view.is_stored(*cid).await? {
				missing.push((part, *cid));
			}
		}
		for group in missing.chunks(PIECES_AT_ONCE) {
			let mut sent = Vec::with_capacity(group.len());
			for (part, cid) in group {
				let call = calls::store(part.to_vec());
				sent.push((self.send(&call, signer, None).await?, *cid));
			}
			for (transaction, cid) in sent {
				self.stored(transaction, cid).await?;
			}
		}
		Ok(cids)
	}

	/// Waits for a transaction that stores the data with this hash.
	async fn stored(&self, sent: Sent, cid: H256) -> Result<(), ChainError> {
		let hash = sent.hash;
		let (block, _) = self.included(sent).await?;
		if self.view_at(block).await?.is_stored(cid).await? {
			return Ok(());
		}
		// The chain must have refused it: let it say why.
		let events = self.events_of(block, hash).await?;
		self.check(block, hash, events).await?;
		Err(ChainError::NotStored(cid))
	}

	/// The block from which on a transaction is valid that is signed at this view.
	async fn birth(&self, view: &View) -> Result<(BlockNumber, H256), ChainError> {
		let number = first_of(view.number());
		let hash = self.block_hash(number).await?;
		let unknown = || ChainError::Rpc(format!("the node does not know block {number}"));
		Ok((number, hash.ok_or_else(unknown)?))
	}

	/// Signs a call at the block of `first`, or at the newest, and hands it to the node.
	async fn send<C, S>(
		&self,
		call: &C,
		signer: &S,
		first: Option<&View>,
	) -> Result<Sent, Unsuccessful>
	where
		C: Payload,
		S: Signer<Config>,
	{
		let account = signer.account_id();
		let lane = self.lane(&account);
		// Held until the node has the transaction, so that the next one gets the next number.
		let mut next = lane.next.lock().await;
		for attempt in 1..=ATTEMPTS {
			let view = match first {
				Some(view) => view.clone(),
				None => self.view().await.map_err(Unsuccessful::unsent)?,
			};
			let known = self.next_number(&account).await.map_err(Unsuccessful::unsent)?;
			let nonce = next.map_or(known, |next| next.max(known));
			let birth = self.birth(&view).await.map_err(Unsuccessful::unsent)?;
			let transaction =
				signed(&view, birth, call, signer, nonce).map_err(Unsuccessful::unsent)?;
			match transaction.submit_and_watch().await {
				Ok(progress) => {
					*next = Some(nonce.saturating_add(1));
					return Ok(Sent {
						hash: transaction.hash(),
						bytes: transaction.into_encoded(),
						progress: Some(progress),
						since: view.number(),
						account: Some(account),
					});
				}
				Err(error) => {
					*next = None;
					match answer(&error) {
						// Sent twice, because the connection broke in between.
						Answer::Known => {
							return Ok(Sent {
								hash: transaction.hash(),
								bytes: transaction.into_encoded(),
								progress: None,
								since: view.number(),
								account: Some(account),
							});
						}
						Answer::Outdated if attempt < ATTEMPTS => sleep(PAUSE).await,
						_ => {
							let fate = fate(&error);
							let error = self.explain(&view, call.pallet_name(), error);
							return Err(Unsuccessful { fate, error });
						}
					}
				}
			}
		}
		Err(Unsuccessful::unsent(ChainError::Invalid(String::from(
			"other transactions of the account always come first; is it used elsewhere, too?",
		))))
	}

	/// The number of an account's next transaction, as far as the node knows.
	async fn next_number(&self, account: &AccountId) -> Result<u64, ChainError> {
		let params = subxt::rpcs::client::rpc_params![account.to_string()];
		self.request("system_accountNextIndex", params).await
	}

	/// Hands a call without a signature to the node.
	async fn send_bare<C: Payload>(&self, call: &C) -> Result<Sent, ChainError> {
		let view = self.view().await?;
		let transaction = view.at().tx().create_unsigned(call).map_err(|error| view.fail(error))?;
		let hash = transaction.hash();
		let progress = match transaction.submit_and_watch().await {
			Ok(progress) => Some(progress),
			Err(error) if answer(&error) == Answer::Known => None,
			Err(error) => return Err(self.explain(&view, call.pallet_name(), error)),
		};
		let bytes = transaction.into_encoded();
		Ok(Sent { hash, bytes, progress, since: view.number(), account: None })
	}

	/// The queue of an account.
	fn lane(&self, account: &AccountId) -> Arc<Lane> {
		let mut lanes = self.inner.lanes.lock().unwrap_or_else(PoisonError::into_inner);
		lanes.entry(account.0).or_default().clone()
	}

	/// Forgets what number an account's next transaction has, since one of them was lost.
	async fn forget_number(&self, account: Option<AccountId>) {
		if let Some(account) = account {
			*self.lane(&account).next.lock().await = None;
		}
	}

	/// Why the node did not take a transaction. A number of the pallet becomes its words.
	fn explain(&self, view: &View, pallet: &str, error: ExtrinsicError) -> ChainError {
		let error = view.fail(error);
		let ChainError::Invalid(text) = &error else { return error };
		let Some(code) = custom_code(text) else { return error };
		let metadata = view.at().metadata_ref();
		let variant =
			metadata.pallet_by_name(pallet).and_then(|pallet| pallet.error_variant_by_index(code));
		match variant {
			Some(variant) => ChainError::Refused {
				error: format!("{pallet}::{}", variant.name),
				docs: sentence(&variant.docs),
			},
			None => error,
		}
	}

	/// Waits until a transaction is in a block, and says what happened.
	async fn outcome(&self, sent: Sent) -> Result<Submitted, Unsuccessful> {
		let hash = sent.hash;
		// What has left the pool of one node may be in that of another.
		let (block, found) = self.included(sent).await.map_err(Unsuccessful::unknown)?;
		let events = match found {
			Some(events) => events,
			None => self.events_of(block, hash).await.map_err(Unsuccessful::unknown)?,
		};
		self.check(block, hash, events).await
	}

	/// Fails if what happened is that the call failed.
	async fn check(
		&self,
		block_hash: H256,
		hash: H256,
		events: ExtrinsicEvents<Config>,
	) -> Result<Submitted, Unsuccessful> {
		let mut failure = None;
		for event in events.iter() {
			let event = event.map_err(|error| Unsuccessful::unknown(wrap(error)))?;
			if event.pallet_name() == "System" && event.event_name() == "ExtrinsicFailed" {
				failure = Some(event.field_bytes().to_vec());
			}
		}
		let Some(bytes) = failure else { return Ok(Submitted { block_hash, hash, events }) };
		let view = self.view_at(block_hash).await.map_err(Unsuccessful::failed)?;
		let error = match DispatchError::decode_from(bytes, view.at().metadata()) {
			Ok(error) => ChainError::dispatch(&error),
			Err(error) => ChainError::Incompatible(error.to_string()),
		};
		Err(Unsuccessful::failed(error))
	}

	/// Waits until a transaction is in a block of the best chain. If it had to be searched for, its
	/// events are known as well.
	async fn included(
		&self,
		sent: Sent,
	) -> Result<(H256, Option<ExtrinsicEvents<Config>>), ChainError> {
		let Sent { hash, bytes, progress, since, account } = sent;
		let begun = Instant::now();
		let seen = match progress {
			Some(progress) => watch(progress).await,
			None => Seen::Lost,
		};
		match seen {
			Seen::In(block) => Ok((block, None)),
			Seen::Out(why) => {
				self.forget_number(account).await;
				Err(ChainError::Invalid(why))
			}
			Seen::Lost => match self.search(hash, &bytes, since, begun).await {
				Ok((block, events)) => Ok((block, Some(events))),
				Err(error) => {
					self.forget_number(account).await;
					Err(error)
				}
			},
		}
	}

	/// Looks for a transaction in all blocks from `since` on, as they come, and keeps handing it to
	/// the node: one that was started anew has forgotten what waited for a block. Without it, what
	/// the account sends next would wait for its number in vain.
	async fn search(
		&self,
		hash: H256,
		bytes: &[u8],
		since: u32,
		begun: Instant,
	) -> Result<(H256, ExtrinsicEvents<Config>), ChainError> {
		let mut next = since;
		while begun.elapsed() < PATIENCE {
			let newest = self.view().await?.number();
			while next <= newest {
				if let Some(block) = self.block_hash(next).await? {
					if let Some(events) = self.find(block, hash).await? {
						return Ok((block, events));
					}
				}
				next = next.saturating_add(1);
			}
			// It cannot get into two blocks; if it is known or too late, the node says so, and what
			// became of it is in the blocks.
			let methods = LegacyRpcMethods::<RpcConfigFor<Config>>::new(self.inner.rpc.clone());
			if let Err(error) = methods.author_submit_extrinsic(bytes).await {
				tracing::debug!("transaction {hash:?} handed over again: {error}");
			}
			sleep(PAUSE).await;
		}
		Err(ChainError::TimedOut { seconds: PATIENCE.as_secs() })
	}

	/// The events of a transaction of a block.
	async fn events_of(
		&self,
		block: H256,
		hash: H256,
	) -> Result<ExtrinsicEvents<Config>, ChainError> {
		let found = self.find(block, hash).await?;
		found.ok_or_else(|| ChainError::Rpc(String::from("a transaction left its block again")))
	}

	/// The events of a transaction, if it is in this block.
	async fn find(
		&self,
		block: H256,
		hash: H256,
	) -> Result<Option<ExtrinsicEvents<Config>>, ChainError> {
		let view = self.view_at(block).await?;
		let fetched = view.at().extrinsics().fetch().await;
		let extrinsics = fetched.map_err(|error| view.fail(error))?;
		let mut place = None;
		for extrinsic in extrinsics.iter() {
			let extrinsic = extrinsic.map_err(wrap)?;
			if extrinsic.hash() == hash {
				place = Some(extrinsic.into_owned());
				break;
			}
		}
		let Some(extrinsic) = place else { return Ok(None) };
		extrinsic.events().await.map(Some).map_err(|error| view.fail(error))
	}
}

/// A signed transaction with this number, valid from the block `birth` on.
fn signed<C, S>(
	view: &View,
	birth: (BlockNumber, H256),
	call: &C,
	signer: &S,
	nonce: u64,
) -> Result<Transaction, ChainError>
where
	C: Payload,
	S: Signer<Config>,
{
	let params = DefaultExtrinsicParamsBuilder::<Config>::new()
		.nonce(nonce)
		.mortal_from_unchecked(u64::from(VALID_BLOCKS), u64::from(birth.0), birth.1)
		.build();
	let mut signable =
		view.at().tx().create_signable_offline(call, params).map_err(|error| view.fail(error))?;
	signable.sign(signer).map_err(|error| view.fail(error))
}

/// What was seen of a transaction.
enum Seen {
	/// It is in this block.
	In(H256),
	/// It will get into no block.
	Out(String),
	/// Nothing more will be heard of it, whatever became of it.
	Lost,
}

/// Follows a transaction until it is in a block.
async fn watch(mut progress: Progress) -> Seen {
	let begun = Instant::now();
	loop {
		let left = PATIENCE.saturating_sub(begun.elapsed());
		let status = match timeout(left, progress.next()).await {
			Ok(Some(Ok(status))) => status,
			Ok(Some(Err(_)) | None) => return Seen::Lost,
			Err(_) => return Seen::Out(String::from("it got into no block in ten minutes")),
		};
		match status {
			TransactionStatus::InBestBlock(place) | TransactionStatus::InFinalizedBlock(place) => {
				return Seen::In(place.block_hash());
			}
			TransactionStatus::Error { message }
			| TransactionStatus::Invalid { message }
			| TransactionStatus::Dropped { message } => return Seen::Out(message),
			TransactionStatus::Validated
			| TransactionStatus::Broadcasted
			| TransactionStatus::NoLongerInBestBlock => {}
		}
	}
}

// A piece is one item of the chain's store.
const _: () = assert!(PIECE_BYTES == 1 << 20);
// Or else a transaction would be valid for longer than it says.
const _: () = assert!(VALID_BLOCKS.is_power_of_two());

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn transaction_is_valid_for_64_blocks_its_first_one_included() {
		assert_eq!(last_of(0), 63);
		assert_eq!(last_of(1_000), 1_063);
		assert_eq!(last_of(u32::MAX - 1), u32::MAX);
		assert_eq!([0, 3, 4, 1_000].map(first_of), [0, 0, 0, 996]);
	}
}
