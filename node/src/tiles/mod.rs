//! Moves tiles between nodes: `/blyan/tile/1`, see `docs/adr/0008-tile-transfer.md`.
//!
//! | module | what |
//! |---|---|
//! | [`scheduler`] | whom to ask for which leaves next |
//! | [`gate`] | how much is sent |
//! | [`folder`] | files |
//! | [`offers`] | what is served |
//! | [`board`] | how transfers stand |
//! | [`server`] | answers those who ask |
//! | [`transfers`] | fetches what workers want, as far as that needs no network |
//! | [`client`] | fetches it from the network |
//! | [`blocking`] | threads that read, write and hash |
//! | [`rpc`] | what workers ask for |
//! | [`metrics`] | what Prometheus reads |
//! | [`error`] | what can go wrong |

pub mod blocking;
pub mod board;
pub mod client;
pub mod error;
pub mod folder;
pub mod gate;
pub mod metrics;
pub mod offers;
pub mod rpc;
pub mod scheduler;
pub mod server;
pub mod transfers;

use blyan_primitives::transfer;
use blyan_runtime::opaque::Block;
use board::Board;
use client::Client;
use folder::Folder;
use metrics::Metrics;
use offers::Offers;
use polkadot_sdk::{
	sc_network::{
		request_responses::IncomingRequest, service::traits::NetworkService, NetworkBackend,
	},
	sc_network_sync::SyncEventStream,
	sc_service::{error::Error as ServiceError, SpawnTaskHandle},
	sp_runtime::traits::Block as BlockT,
	substrate_prometheus_endpoint::Registry,
};
use server::Server;
use std::{num::NonZeroU64, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use transfers::{Command, Transfers};

/// Under which name the log has what happens here.
const LOG_TARGET: &str = "tiles";
/// How many requests of other nodes may wait to be looked at. Looking takes microseconds.
const MAX_QUEUED_REQUESTS: usize = 64;
/// How many commands of workers may wait to be looked at.
const MAX_QUEUED_COMMANDS: usize = 64;
/// How long a peer may take for an answer. A leaf of 256 KiB comes in time at 10 kB/s; who is
/// slower than a tile needs is asked for fewer leaves.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What the operator says about tiles.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
	/// Moves tiles between this folder and other nodes: offers the files that are in it under the
	/// name ROOT.blyt, and fetches what workers ask for by RPC. Created if it is missing.
	#[arg(long, value_name = "DIR")]
	pub tiles_dir: Option<PathBuf>,

	/// Sends at most this many bytes of tiles per second to all other nodes together. There is no
	/// limit by default, not even for a validator, which should set one: to what its link has left
	/// besides blocks and votes.
	#[arg(long, value_name = "BYTES_PER_S", requires = "tiles_dir")]
	pub tiles_rate_limit: Option<NonZeroU64>,
}

/// What the RPC methods need.
#[derive(Clone)]
pub struct Handle {
	offers: Arc<Offers>,
	board: Arc<Board>,
	commands: mpsc::Sender<Command>,
}

/// The part of the node that moves tiles, before there is a network.
pub struct Tiles {
	folder: Folder,
	offers: Arc<Offers>,
	metrics: Metrics,
	requests: async_channel::Receiver<IncomingRequest>,
	rate: Option<NonZeroU64>,
}

impl Tiles {
	/// Opens the folder, if the operator gave one. The protocol is to be added to the network.
	pub fn open<Net: NetworkBackend<Block, <Block as BlockT>::Hash>>(
		options: &Options,
		registry: Option<&Registry>,
	) -> Result<Option<(Self, Net::RequestResponseProtocolConfig)>, ServiceError> {
		let Some(path) = &options.tiles_dir else { return Ok(None) };
		let failed = |error: error::Error| ServiceError::Other(format!("--tiles-dir: {error}"));
		let folder = Folder::open(path.clone()).map_err(failed)?;
		let offers = Arc::new(Offers::open(folder.clone()).map_err(failed)?);
		let metrics = Metrics::register(registry)?;
		let (queue, requests) = async_channel::bounded(MAX_QUEUED_REQUESTS);
		let protocol = Net::request_response_config(
			transfer::PROTOCOL.into(),
			Vec::new(),
			transfer::REQUEST_BYTES as u64,
			transfer::MAX_RESPONSE_BYTES as u64,
			REQUEST_TIMEOUT,
			Some(queue),
		);
		let rate = options.tiles_rate_limit;
		Ok(Some((Self { folder, offers, metrics, requests, rate }, protocol)))
	}

	/// Starts to answer and to ask.
	pub fn start(
		self,
		network: Arc<dyn NetworkService>,
		sync: &dyn SyncEventStream,
		spawner: &SpawnTaskHandle,
	) -> Handle {
		let Self { folder, offers, metrics, requests, rate } = self;
		let board = Arc::new(Board::default());
		let (commands, queue) = mpsc::channel(MAX_QUEUED_COMMANDS);
		let server = Server::new(requests, offers.clone(), metrics.clone(), rate);
		spawner.spawn("tile-server", Some("tiles"), server.run());
		let transfers = Transfers::new(folder, offers.clone(), board.clone(), metrics);
		let client = Client::new(network, queue, transfers);
		spawner.spawn("tile-client", Some("tiles"), client.run(sync.event_stream("tiles")));
		Handle { offers, board, commands }
	}
}
