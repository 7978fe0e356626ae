//! Wires the node together: client, import queue, network, block production, finality, RPC.

use crate::{
	rpc,
	tiles::{self, Tiles},
	validator,
};
use blyan_runtime::{apis::RuntimeApi, opaque::Block, BlockNumber};
use futures::FutureExt;
use polkadot_sdk::{
	sc_client_api::BlockBackend,
	sc_consensus_babe::{BabeLink, BabeWorkerHandle, SlotProportion},
	sc_consensus_grandpa::SharedVoterState,
	sc_executor::{HeapAllocStrategy, WasmExecutor, DEFAULT_HEAP_ALLOC_STRATEGY},
	sc_network::{config::FullNetworkConfiguration, NetworkBackend},
	sc_network_sync::{strategy::warp::WarpSyncProvider, WarpSyncConfig},
	sc_service::{
		config::ExecutorConfiguration, error::Error as ServiceError, Configuration,
		PartialComponents, TaskManager,
	},
	sc_telemetry::{Telemetry, TelemetryWorker},
	sc_transaction_pool_api::OffchainTransactionPoolFactory,
	sp_runtime::traits::Block as BlockT,
	*,
};
use std::{path::Path, sync::Arc};

/// What the runtime may call in the node.
pub type HostFunctions = sp_io::SubstrateHostFunctions;

/// The client: database, executor and block import.
pub type FullClient = sc_service::TFullClient<Block, RuntimeApi, WasmExecutor<HostFunctions>>;
/// The database.
pub type FullBackend = sc_service::TFullBackend<Block>;
/// Which chain is best.
pub type FullSelectChain = sc_consensus::LongestChain<FullBackend, Block>;
type GrandpaImport =
	sc_consensus_grandpa::GrandpaBlockImport<FullBackend, Block, FullClient, FullSelectChain>;
type GrandpaLink = sc_consensus_grandpa::LinkHalf<Block, FullClient, FullSelectChain>;
type Pool = sc_transaction_pool::TransactionPoolHandle<Block, FullClient>;
type Import = sc_consensus_babe::BabeBlockImport<
	Block,
	FullClient,
	GrandpaImport,
	InherentsForCheck,
	FullSelectChain,
>;
/// What a block's inherents are checked against: the clock.
#[derive(Clone)]
pub struct InherentsForCheck {
	slot_duration: sp_consensus_babe::SlotDuration,
}

#[async_trait::async_trait]
impl sp_inherents::CreateInherentDataProviders<Block, ()> for InherentsForCheck {
	type InherentDataProviders =
		(sp_consensus_babe::inherents::InherentDataProvider, sp_timestamp::InherentDataProvider);

	async fn create_inherent_data_providers(
		&self,
		_parent: <Block as BlockT>::Hash,
		_extra: (),
	) -> Result<Self::InherentDataProviders, Box<dyn std::error::Error + Send + Sync>> {
		Ok(clock(self.slot_duration))
	}
}

/// The slot and the time now.
fn clock(
	slot_duration: sp_consensus_babe::SlotDuration,
) -> (sp_consensus_babe::inherents::InherentDataProvider, sp_timestamp::InherentDataProvider) {
	let timestamp = sp_timestamp::InherentDataProvider::from_system_time();
	let slot = sp_consensus_babe::inherents::InherentDataProvider::from_timestamp_and_slot_duration(
		*timestamp,
		slot_duration,
	);
	(slot, timestamp)
}

/// Parts that only this node has.
pub struct Extra {
	block_import: Import,
	babe_link: BabeLink<Block>,
	babe_worker: BabeWorkerHandle<Block>,
	grandpa_link: GrandpaLink,
	telemetry: Option<Telemetry>,
}

/// Blocks between finality justifications that are kept for light clients and warp sync.
const JUSTIFICATION_PERIOD: u32 = 512;

/// What runs the runtime. Compiled ones are kept in the folder `cache`, if there is one.
fn executor(
	config: &ExecutorConfiguration,
	cache: Option<&Path>,
) -> Result<WasmExecutor<HostFunctions>, ServiceError> {
	let Some(cache) = cache else {
		return Ok(sc_service::new_wasm_executor::<HostFunctions>(config));
	};
	// As `new_wasm_executor` does it, which knows of no folder.
	let pages = config.default_heap_pages.map(|pages| u32::try_from(pages).unwrap_or(u32::MAX));
	let heap = match pages {
		Some(extra_pages) => HeapAllocStrategy::Static { extra_pages },
		None => DEFAULT_HEAP_ALLOC_STRATEGY,
	};
	Ok(WasmExecutor::<HostFunctions>::builder()
		.with_execution_method(config.wasm_method)
		.with_onchain_heap_alloc_strategy(heap)
		.with_offchain_heap_alloc_strategy(heap)
		.with_max_runtime_instances(config.max_runtime_instances)
		.with_runtime_cache_size(config.runtime_cache_size)
		// The compiler takes no other paths.
		.with_cache_path(std::path::absolute(cache)?)
		.build())
}

/// Everything up to the network: enough for the maintenance commands. Compiled runtimes are kept in
/// the folder `cache`, if there is one.
pub fn new_partial(
	config: &Configuration,
	cache: Option<&Path>,
) -> Result<
	PartialComponents<
		FullClient,
		FullBackend,
		FullSelectChain,
		sc_consensus::DefaultImportQueue<Block>,
		Pool,
		Extra,
	>,
	ServiceError,
> {
	let telemetry = config
		.telemetry_endpoints
		.clone()
		.filter(|endpoints| !endpoints.is_empty())
		.map(|endpoints| -> Result<_, sc_telemetry::Error> {
			let worker = TelemetryWorker::new(16)?;
			let telemetry = worker.handle().new_telemetry(endpoints);
			Ok((worker, telemetry))
		})
		.transpose()?;
	let executor = executor(&config.executor, cache)?;
	let (client, backend, keystore_container, task_manager) =
		sc_service::new_full_parts::<Block, RuntimeApi, _>(
			config,
			telemetry.as_ref().map(|(_, telemetry)| telemetry.handle()),
			executor,
			vec![],
		)?;
	let client = Arc::new(client);
	let telemetry = telemetry.map(|(worker, telemetry)| {
		task_manager.spawn_handle().spawn("telemetry", None, worker.run());
		telemetry
	});
	let select_chain = sc_consensus::LongestChain::new(backend.clone());
	let transaction_pool = Arc::from(
		sc_transaction_pool::Builder::new(
			task_manager.spawn_essential_handle(),
			client.clone(),
			config.role.is_authority().into(),
		)
		.with_options(config.transaction_pool.clone())
		.with_prometheus(config.prometheus_registry())
		.build(),
	);
	let (grandpa_import, grandpa_link) = sc_consensus_grandpa::block_import(
		client.clone(),
		JUSTIFICATION_PERIOD,
		&client,
		select_chain.clone(),
		telemetry.as_ref().map(|t| t.handle()),
	)?;
	let justification_import = grandpa_import.clone();

	let babe_config = sc_consensus_babe::configuration(&*client)?;
	let slot_duration = babe_config.slot_duration();
	let inherents = InherentsForCheck { slot_duration };
	let (block_import, babe_link) = sc_consensus_babe::block_import(
		babe_config,
		grandpa_import,
		client.clone(),
		inherents,
		select_chain.clone(),
		OffchainTransactionPoolFactory::new(transaction_pool.clone()),
	)?;
	let (import_queue, babe_worker) =
		sc_consensus_babe::import_queue(sc_consensus_babe::ImportQueueParams {
			link: babe_link.clone(),
			block_import: block_import.clone(),
			justification_import: Some(Box::new(justification_import)),
			client: client.clone(),
			slot_duration,
			spawner: &task_manager.spawn_essential_handle(),
			registry: config.prometheus_registry(),
			telemetry: telemetry.as_ref().map(|t| t.handle()),
		})?;

	Ok(PartialComponents {
		client,
		backend,
		task_manager,
		keystore_container,
		select_chain,
		import_queue,
		transaction_pool,
		other: Extra { block_import, babe_link, babe_worker, grandpa_link, telemetry },
	})
}

/// The running node, unless it is a validator that could not do what validators must. Compiled
/// runtimes are kept in the folder `cache`, if there is one.
pub fn new_full<Net: NetworkBackend<Block, <Block as BlockT>::Hash>>(
	config: Configuration,
	tiles: &tiles::Options,
	cache: Option<&Path>,
) -> Result<TaskManager, ServiceError> {
	if config.role.is_authority() {
		// Before there is a database, which such a way to sync would begin without its genesis.
		validator::check_sync(config.network.sync_mode)?;
	}
	let PartialComponents {
		client,
		backend,
		mut task_manager,
		import_queue,
		keystore_container,
		select_chain,
		transaction_pool,
		other: Extra { block_import, babe_link, babe_worker, grandpa_link, mut telemetry },
	} = new_partial(&config, cache)?;
	if config.role.is_authority() {
		validator::check_database(&client, config.blocks_pruning)?;
	}

	// ---- network --------------------------------------------------------------------------------
	let metrics = Net::register_notification_metrics(config.prometheus_registry());
	let mut net_config = FullNetworkConfiguration::<Block, <Block as BlockT>::Hash, Net>::new(
		&config.network,
		config.prometheus_registry().cloned(),
	);
	let genesis = client
		.block_hash(0)
		.ok()
		.flatten()
		.ok_or_else(|| ServiceError::Other("the database has no genesis block".into()))?;
	let grandpa_protocol =
		sc_consensus_grandpa::protocol_standard_name(&genesis, &config.chain_spec);
	let (grandpa_protocol_config, grandpa_notifications) =
		sc_consensus_grandpa::grandpa_peers_set_config::<_, Net>(
			grandpa_protocol.clone(),
			metrics.clone(),
			net_config.peer_store_handle(),
		);
	net_config.add_notification_protocol(grandpa_protocol_config);
	let tiles =
		Tiles::open::<Net>(tiles, config.prometheus_registry())?.map(|(tiles, protocol)| {
			net_config.add_request_response_protocol(protocol);
			tiles
		});
	let warp_sync: Arc<dyn WarpSyncProvider<Block>> =
		Arc::new(sc_consensus_grandpa::warp_proof::NetworkProvider::new(
			backend.clone(),
			grandpa_link.shared_authority_set().clone(),
			Vec::new(),
		));
	let (network, system_rpc_tx, tx_handler_controller, sync_service, _bitswap) =
		sc_service::build_network(sc_service::BuildNetworkParams {
			config: &config,
			net_config,
			client: client.clone(),
			transaction_pool: transaction_pool.clone(),
			spawn_handle: task_manager.spawn_handle(),
			spawn_essential_handle: task_manager.spawn_essential_handle(),
			import_queue,
			block_announce_validator_builder: None,
			warp_sync_config: Some(WarpSyncConfig::WithProvider(warp_sync)),
			block_relay: None,
			metrics,
			gap_sync_body_policy: None,
		})?;
	let tiles = tiles
		.map(|tiles| tiles.start(network.clone(), &*sync_service, &task_manager.spawn_handle()));

	// ---- RPC ------------------------------------------------------------------------------------
	let role = config.role;
	let force_authoring = config.force_authoring;
	let name = config.network.node_name.clone();
	let enable_grandpa = !config.disable_grandpa;
	let prometheus_registry = config.prometheus_registry().cloned();
	let voter_state = SharedVoterState::empty();
	let rpc_builder = {
		let client = client.clone();
		let pool = transaction_pool.clone();
		let select_chain = select_chain.clone();
		let keystore = keystore_container.keystore();
		let justifications = grandpa_link.justification_stream();
		let authority_set = grandpa_link.shared_authority_set().clone();
		let voter_state = voter_state.clone();
		let proofs = sc_consensus_grandpa::FinalityProofProvider::new_for_service(
			backend.clone(),
			Some(authority_set.clone()),
		);
		Box::new(move |executor| {
			rpc::create(rpc::Dependencies {
				client: client.clone(),
				pool: pool.clone(),
				select_chain: select_chain.clone(),
				keystore: keystore.clone(),
				babe: babe_worker.clone(),
				grandpa: rpc::GrandpaDependencies {
					voter_state: voter_state.clone(),
					authority_set: authority_set.clone(),
					justifications: justifications.clone(),
					executor,
					proofs: proofs.clone(),
				},
				tiles: tiles.clone(),
			})
			.map_err(Into::into)
		})
	};
	sc_service::spawn_tasks(sc_service::SpawnTasksParams {
		config,
		client: client.clone(),
		backend,
		task_manager: &mut task_manager,
		keystore: keystore_container.keystore(),
		transaction_pool: transaction_pool.clone(),
		rpc_builder,
		network: network.clone(),
		system_rpc_tx,
		tx_handler_controller,
		sync_service: sync_service.clone(),
		telemetry: telemetry.as_mut(),
		tracing_execute_block: None,
	})?;

	// ---- block production -----------------------------------------------------------------------
	if role.is_authority() {
		let env = sc_basic_authorship::ProposerFactory::new(
			task_manager.spawn_handle(),
			client.clone(),
			transaction_pool.clone(),
			prometheus_registry.as_ref(),
			telemetry.as_ref().map(|t| t.handle()),
		);
		let slot_duration = babe_link.config().slot_duration();
		let storage = client.clone();
		let babe = sc_consensus_babe::start_babe(sc_consensus_babe::BabeParams {
			keystore: keystore_container.keystore(),
			client: client.clone(),
			select_chain,
			env,
			block_import,
			sync_oracle: sync_service.clone(),
			justification_sync_link: sync_service.clone(),
			create_inherent_data_providers: move |parent, ()| {
				let client = storage.clone();
				async move {
					let (slot, timestamp) = clock(slot_duration);
					// The author proves that it still holds the data stored one retention period ago.
					let storage_proof = storage_proof(&client, &parent)?;
					Ok((slot, timestamp, storage_proof))
				}
			},
			force_authoring,
			backoff_authoring_blocks: Some(
				sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging::default(),
			),
			babe_link,
			block_proposal_slot_portion: SlotProportion::new(0.5),
			max_block_proposal_slot_portion: None,
			telemetry: telemetry.as_ref().map(|t| t.handle()),
		})?;
		task_manager.spawn_essential_handle().spawn_blocking(
			"babe-proposer",
			Some("block-authoring"),
			babe,
		);
	}

	// ---- finality -------------------------------------------------------------------------------
	if enable_grandpa {
		let keystore = role.is_authority().then(|| keystore_container.keystore());
		let voter = sc_consensus_grandpa::run_grandpa_voter(sc_consensus_grandpa::GrandpaParams {
			config: sc_consensus_grandpa::Config {
				gossip_duration: std::time::Duration::from_millis(333),
				justification_generation_period: JUSTIFICATION_PERIOD,
				name: Some(name),
				observer_enabled: false,
				keystore,
				local_role: role,
				telemetry: telemetry.as_ref().map(|t| t.handle()),
				protocol_name: grandpa_protocol,
			},
			link: grandpa_link,
			network,
			sync: sync_service,
			notification_service: grandpa_notifications,
			voting_rule: sc_consensus_grandpa::VotingRulesBuilder::default().build(),
			prometheus_registry,
			shared_voter_state: voter_state,
			telemetry: telemetry.as_ref().map(|t| t.handle()),
			offchain_tx_pool_factory: OffchainTransactionPoolFactory::new(transaction_pool),
		})?;
		task_manager.spawn_essential_handle().spawn_blocking(
			"grandpa-voter",
			None,
			voter.map(|_| ()),
		);
	}
	Ok(task_manager)
}

/// Proof that this node holds the shards of the block one retention period before `parent`'s child.
fn storage_proof(
	client: &FullClient,
	parent: &<Block as BlockT>::Hash,
) -> Result<sp_transaction_storage_proof::InherentDataProvider, sp_inherents::Error> {
	use sp_api::ProvideRuntimeApi;
	use sp_transaction_storage_proof::runtime_api::TransactionStorageApi;

	let retention: BlockNumber = client
		.runtime_api()
		.retention_period(*parent)
		.map_err(|error| sp_inherents::Error::Application(Box::new(error)))?;
	sp_transaction_storage_proof::registration::new_data_provider(client, parent, retention)
}
