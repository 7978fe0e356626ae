//! The client of a Blyan chain.
//!
//! # Overview
//!
//! [`Chain`] is a connection to one node; it is cheap to clone and dials anew when it breaks.
//! [`View`] is the chain at one block: everything that is read through one view belongs together.
//!
//! | module | what |
//! |---|---|
//! | `api` | what the macro of subxt makes of the chain's metadata |
//! | [`types`] | what the chain stores, read by the names of fields |
//! | `data` | what can be read: the methods of [`View`], and fetching by hash |
//! | [`calls`] | what can be asked of the chain |
//! | `submit` | how it is asked: [`Chain::submit`], [`Chain::submit_bare`], [`Chain::store`] |
//! | [`history`] | updates of rounds that have ended |
//! | [`tiles`] | what the node is asked to offer to other nodes, and to fetch from them |
//!
//! # Invariants
//!
//! - Transactions of one account that this process sends have consecutive numbers, whichever task
//!   sends them: one queue for each account.
//! - Data that was asked for by its hash has that hash.
//! - Waiting ends: every request, every subscription and every transaction has a time limit.

#![deny(missing_docs)]

pub mod calls;
pub mod history;
pub mod tiles;
pub mod types;

mod connection;
mod data;
mod error;
mod submit;

pub use data::{cid_text, Parameter, View};
pub use error::{ChainError, ChainError as Error, Fate, Unsuccessful};
pub use submit::Submitted;
pub use subxt::tx::Signer;

use blyan_primitives::H256;
use codec::{Decode, Encode};
use connection::Connection;
use error::{from_rpc, wrap};
use std::{
	collections::HashMap,
	sync::{Arc, Mutex, PoisonError},
	time::Duration,
};
use submit::Lane;
use subxt::{
	backend::LegacyBackend,
	config::SubstrateConfig,
	rpcs::client::{rpc_params, RpcClient},
	OnlineClient, OnlineClientAtBlock,
};
use tokio::time::{sleep, timeout};

// The macro below reads the file without telling cargo, which must build again when it changes.
const _: &[u8] = include_bytes!("../metadata.scale");

/// What this program says to the chain, and the chain to it, as the chain's metadata describes it.
///
/// Made from `metadata.scale`, which a node of the same version wrote. Its thousands of pages repeat what
/// wallets show of every chain, so they are left out of this documentation.
#[doc(hidden)]
#[subxt::subxt(
	runtime_metadata_path = "metadata.scale",
	substitute_type(
		path = "blyan_primitives::recipe::Recipe",
		with = "::subxt::utils::Static<::blyan_primitives::recipe::Recipe>"
	),
	substitute_type(
		path = "blyan_primitives::record::Manifest",
		with = "::subxt::utils::Static<::blyan_primitives::record::Manifest>"
	),
	substitute_type(
		path = "blyan_primitives::update::Update",
		with = "::subxt::utils::Static<::blyan_primitives::update::Update>"
	),
	substitute_type(path = "sp_runtime::MultiSignature", with = "::subxt::utils::MultiSignature")
)]
pub mod api {}

/// How transactions look on this chain: as on any Substrate chain.
pub type Config = SubstrateConfig;

/// Silence after which a stream of blocks asks whether the chain still moves.
const SILENCE: Duration = Duration::from_secs(60);
/// Failures in a row after which a stream of blocks gives up; each one takes 16 s if nobody answers.
const MAX_FAILURES: u32 = 20;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(2);

/// A block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId {
	/// Its height.
	pub number: u32,
	/// Its hash.
	pub hash: H256,
}

/// A connection to a node of a Blyan chain.
#[derive(Clone)]
pub struct Chain {
	inner: Arc<Inner>,
}

struct Inner {
	url: String,
	rpc: RpcClient,
	client: OnlineClient<Config>,
	/// The newest view: most questions are about the same block.
	newest: Mutex<Option<View>>,
	/// One for each account that signs.
	lanes: Mutex<HashMap<[u8; 32], Arc<Lane>>>,
}

impl std::fmt::Debug for Chain {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.debug_struct("Chain").field("url", &self.inner.url).finish()
	}
}

/// The value of one type as the other, which has the same encoding.
pub fn recode<T: Decode>(value: &impl Encode) -> Result<T, ChainError> {
	T::decode(&mut &value.encode()[..]).map_err(|error| ChainError::Incompatible(error.to_string()))
}

impl Chain {
	/// Connects to the node at `url`. Tries for 16 s; afterwards the connection is made anew
	/// whenever it breaks.
	pub async fn connect(url: &str) -> Result<Self, ChainError> {
		Self::connect_any(&[url.to_owned()]).await
	}

	/// Connects to the first of these nodes that answers, and to another one of the same chain
	/// whenever it falls silent.
	pub async fn connect_any(urls: &[String]) -> Result<Self, ChainError> {
		let none = || ChainError::Unsuitable(String::from("no address of a node is given"));
		let first = urls.first().ok_or_else(none)?;
		let is_url = |url: &&String| url.starts_with("ws://") || url.starts_with("wss://");
		if let Some(url) = urls.iter().find(|url| !is_url(url)) {
			return Err(ChainError::Unsuitable(format!(
				"{url} is no address of a node; write one like ws://127.0.0.1:9944"
			)));
		}
		let rpc = RpcClient::new(Connection::new(urls));
		// Asked first, since it tells best what is wrong with a node.
		let _: String =
			rpc.request("system_chain", rpc_params![]).await.map_err(|error| from_rpc(&error))?;
		let backend = LegacyBackend::<Config>::builder().build(rpc.clone());
		let client =
			OnlineClient::from_backend_with_config(SubstrateConfig::new(), Arc::new(backend))
				.await
				.map_err(wrap)?;
		let inner = Inner {
			url: first.clone(),
			rpc,
			client,
			newest: Mutex::new(None),
			lanes: Mutex::new(HashMap::new()),
		};
		let chain = Self { inner: Arc::new(inner) };
		let view = chain.view().await?;
		if !api::is_codegen_valid_for(view.at().metadata_ref()) {
			tracing::warn!(
				"the chain's version is not the one that this program was built for; \
				 what they disagree on will be refused"
			);
		}
		Ok(chain)
	}

	/// Where the node is reached that is called first.
	pub fn url(&self) -> &str {
		&self.inner.url
	}

	/// The hash of the chain's first block, which tells chains apart.
	pub fn genesis(&self) -> H256 {
		self.inner.client.genesis_hash()
	}

	/// The client of the library, for what is not wrapped here.
	pub fn client(&self) -> &OnlineClient<Config> {
		&self.inner.client
	}

	/// The newest block of the best chain.
	pub async fn best_block(&self) -> Result<BlockId, ChainError> {
		let view = self.view().await?;
		Ok(BlockId { number: view.number(), hash: view.hash() })
	}

	/// The newest finalised block.
	pub async fn finalised_block(&self) -> Result<BlockId, ChainError> {
		let view = self.finalised_view().await?;
		Ok(BlockId { number: view.number(), hash: view.hash() })
	}

	/// The hash of the block at this height of the best chain, if there is one.
	pub async fn block_hash(&self, number: u32) -> Result<Option<H256>, ChainError> {
		let hash: Option<H256> = self.request("chain_getBlockHash", rpc_params![number]).await?;
		Ok(hash)
	}

	/// The chain at its newest block.
	pub async fn view(&self) -> Result<View, ChainError> {
		let hash: Option<H256> = self.request("chain_getBlockHash", rpc_params![]).await?;
		let hash =
			hash.ok_or_else(|| ChainError::Rpc(String::from("the node has no block at all")))?;
		{
			let newest = self.inner.newest.lock().unwrap_or_else(PoisonError::into_inner);
			if let Some(view) = newest.as_ref().filter(|view| view.hash() == hash) {
				return Ok(view.clone());
			}
		}
		let view = self.view_at(hash).await?;
		*self.inner.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(view.clone());
		Ok(view)
	}

	/// The chain at its newest finalised block: what is there is never taken back. It trails
	/// [`Self::view`] by a few blocks, or by many while too few validators vote.
	pub async fn finalised_view(&self) -> Result<View, ChainError> {
		// What the library calls the current block is the newest finalised one.
		let at = self.inner.client.at_current_block().await.map_err(wrap)?;
		Ok(View::new(at))
	}

	/// The chain at this block.
	pub async fn view_at(&self, hash: H256) -> Result<View, ChainError> {
		let at: OnlineClientAtBlock<Config> =
			self.inner.client.at_block(hash).await.map_err(wrap)?;
		Ok(View::new(at))
	}

	/// The chain at this height of its best chain. Fails if the node has forgotten that state.
	pub async fn view_at_number(&self, number: u32) -> Result<View, ChainError> {
		let hash = self.block_hash(number).await?;
		let hash = hash.ok_or_else(|| ChainError::unknown("block", number))?;
		let at = self.inner.client.at_block_hash_and_number(hash, u64::from(number)).await;
		at.map(View::new).map_err(|error| forgotten(number, wrap(error)))
	}

	/// Blocks of the best chain as they come, beginning with the newest. Some may be left out, and
	/// one may take the place of another at the same height.
	pub fn blocks(&self) -> Blocks {
		Blocks { chain: self.clone(), stream: None, finalised: false, last: None, failures: 0 }
	}

	/// Finalised blocks as they come.
	pub fn finalised_blocks(&self) -> Blocks {
		Blocks { finalised: true, ..self.blocks() }
	}

	/// Asks the node. Asks again if the connection broke meanwhile.
	async fn request<R: serde::de::DeserializeOwned>(
		&self,
		method: &str,
		params: subxt::rpcs::client::RpcParams,
	) -> Result<R, ChainError> {
		let first = self.inner.rpc.request(method, params.clone()).await;
		match first {
			Err(error) if error.is_disconnected_will_reconnect() => {
				let again = self.inner.rpc.request(method, params).await;
				again.map_err(|error| from_rpc(&error))
			}
			result => result.map_err(|error| from_rpc(&error)),
		}
	}
}

/// Makes the node's words for a state that it has deleted one error.
fn forgotten(block: u32, error: ChainError) -> ChainError {
	const WORDS: [&str; 3] = ["State already discarded", "unknown Block", "UnknownBlock"];
	match &error {
		ChainError::Rpc(text) if WORDS.iter().any(|words| text.contains(words)) => {
			ChainError::Pruned { block }
		}
		_ => error,
	}
}

/// A stream of blocks that survives broken connections.
pub struct Blocks {
	chain: Chain,
	stream: Option<subxt::client::Blocks<Config>>,
	finalised: bool,
	last: Option<H256>,
	failures: u32,
}

impl Blocks {
	/// The next block. Fails if the node cannot be reached for long.
	pub async fn next(&mut self) -> Result<BlockId, ChainError> {
		loop {
			let Some(stream) = self.stream.as_mut() else {
				self.subscribe().await?;
				continue;
			};
			match timeout(SILENCE, stream.next()).await {
				Ok(Some(Ok(block))) => {
					let number = u32::try_from(block.number()).unwrap_or(u32::MAX);
					let id = BlockId { number, hash: block.hash() };
					self.failures = 0;
					if self.last.replace(id.hash) != Some(id.hash) {
						return Ok(id);
					}
				}
				Ok(Some(Err(error))) => self.fail(wrap(error)).await?,
				Ok(None) => {
					self.fail(ChainError::Rpc(String::from("a stream of blocks ended"))).await?;
				}
				// Either the chain stands still or the connection is dead without saying so.
				Err(_) => {
					self.stream = None;
					let newest = match self.finalised {
						true => self.chain.finalised_block().await,
						false => self.chain.best_block().await,
					};
					match newest {
						Ok(id) if self.last.replace(id.hash) != Some(id.hash) => return Ok(id),
						Ok(_) => {}
						Err(error) => self.fail(error).await?,
					}
				}
			}
		}
	}

	async fn subscribe(&mut self) -> Result<(), ChainError> {
		let client = self.chain.client();
		let stream = match self.finalised {
			true => client.stream_blocks().await,
			false => client.stream_best_blocks().await,
		};
		match stream {
			Ok(stream) => {
				self.stream = Some(stream);
				Ok(())
			}
			Err(error) => self.fail(wrap(error)).await,
		}
	}

	/// Notes that the stream broke, and waits a little; gives up if it breaks again and again.
	async fn fail(&mut self, error: ChainError) -> Result<(), ChainError> {
		self.stream = None;
		self.failures = self.failures.saturating_add(1);
		if self.failures >= MAX_FAILURES {
			return Err(error);
		}
		tracing::debug!("no blocks: {error}");
		sleep(PAUSE).await;
		Ok(())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[tokio::test]
	async fn address_without_websocket_is_refused_before_it_is_dialled() {
		let error = Chain::connect("http://127.0.0.1:9944").await.map(|_| ()).unwrap_err();
		assert!(error.to_string().contains("ws://"), "{error}");
		assert!(Chain::connect_any(&[]).await.is_err());
	}

	#[test]
	fn deleted_state_is_told_apart() {
		let said = "Client error: Api called for an unknown Block: State already discarded for 0x1";
		let error = forgotten(7, ChainError::Rpc(said.to_owned()));
		assert_eq!(error, ChainError::Pruned { block: 7 });
		let other = ChainError::Rpc(String::from("busy"));
		assert_eq!(forgotten(7, other.clone()), other);
	}

	#[test]
	fn values_change_their_type_and_keep_their_encoding() {
		let account: types::AccountId = recode(&[7u8; 32]).unwrap();
		assert_eq!(account, types::AccountId::from([7; 32]));
		assert!(recode::<[u8; 33]>(&[7u8; 32]).is_err());
	}
}
