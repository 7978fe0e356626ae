//! The node's RPC methods beyond those every Substrate node has. What clients need of Blyan's own
//! state they ask through runtime APIs (`state_call`); ours are only those that move tiles, which
//! are no part of the state.

use crate::{
	service::{FullBackend, FullClient, FullSelectChain},
	tiles,
};
use blyan_runtime::{opaque::Block, AccountId, Balance, BlockNumber, Hash, Nonce};
use jsonrpsee::RpcModule;
use polkadot_sdk::{
	sc_consensus_babe::BabeWorkerHandle,
	sc_consensus_grandpa::{
		FinalityProofProvider, GrandpaJustificationStream, SharedAuthoritySet, SharedVoterState,
	},
	sc_rpc::SubscriptionTaskExecutor,
	sp_keystore::KeystorePtr,
	*,
};
use std::sync::Arc;

/// What the methods need.
pub struct Dependencies<P> {
	/// The client.
	pub client: Arc<FullClient>,
	/// The transaction pool.
	pub pool: Arc<P>,
	/// Which chain is best.
	pub select_chain: FullSelectChain,
	/// The node's keys.
	pub keystore: KeystorePtr,
	/// The block-production worker.
	pub babe: BabeWorkerHandle<Block>,
	/// The finality voter.
	pub grandpa: GrandpaDependencies,
	/// What moves tiles, if anything does.
	pub tiles: Option<tiles::Handle>,
}

/// What the finality methods need.
pub struct GrandpaDependencies {
	/// Where the vote stands.
	pub voter_state: SharedVoterState,
	/// Who votes.
	pub authority_set: SharedAuthoritySet<Hash, BlockNumber>,
	/// New justifications.
	pub justifications: GrandpaJustificationStream<Block>,
	/// Runs subscriptions.
	pub executor: SubscriptionTaskExecutor,
	/// Old justifications.
	pub proofs: Arc<FinalityProofProvider<FullBackend, Block>>,
}

/// Builds the module.
pub fn create<P>(
	dependencies: Dependencies<P>,
) -> Result<RpcModule<()>, Box<dyn std::error::Error + Send + Sync>>
where
	P: sc_transaction_pool_api::TransactionPool<Block = Block> + 'static,
	FullClient: sp_api::ProvideRuntimeApi<Block>,
	<FullClient as sp_api::ProvideRuntimeApi<Block>>::Api:
		substrate_frame_rpc_system::AccountNonceApi<Block, AccountId, Nonce>
			+ pallet_transaction_payment_rpc::TransactionPaymentRuntimeApi<Block, Balance>,
{
	use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
	use sc_consensus_babe_rpc::{Babe, BabeApiServer};
	use sc_consensus_grandpa_rpc::{Grandpa, GrandpaApiServer};
	use substrate_frame_rpc_system::{System, SystemApiServer};
	use tiles::rpc::{Tiles, TilesApiServer};

	let Dependencies { client, pool, select_chain, keystore, babe, grandpa, tiles } = dependencies;
	let mut module = RpcModule::new(());
	module.merge(System::new(client.clone(), pool).into_rpc())?;
	module.merge(TransactionPayment::new(client.clone()).into_rpc())?;
	module.merge(Babe::new(client, babe, keystore, select_chain).into_rpc())?;
	module.merge(Tiles::new(tiles, grandpa.executor.clone()).into_rpc())?;
	module.merge(
		Grandpa::new(
			grandpa.executor,
			grandpa.authority_set,
			grandpa.voter_state,
			grandpa.justifications,
			grandpa.proofs,
		)
		.into_rpc(),
	)?;
	Ok(module)
}
