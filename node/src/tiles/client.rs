//! Fetches what workers want: sends what [`super::transfers`] says, and tells it what came.
//!
//! One task owns the transfers. It sends requests, and hands every answer to a thread that may
//! block, which verifies and stores it. At most as many answers are in memory as requests are in
//! flight.

use super::{
	transfers::{Command, Done, Order, Transfers},
	LOG_TARGET,
};
use blyan_primitives::transfer;
use futures::{stream::BoxStream, StreamExt};
use polkadot_sdk::{
	sc_network::{
		service::traits::NetworkService, IfDisconnected, NetworkPeers, NetworkRequest,
		ReputationChange,
	},
	sc_network_sync::SyncEvent,
};
use std::{
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// What bytes that do not verify cost their sender: the connection.
const LIED: ReputationChange = ReputationChange::new_fatal("sent tile bytes that do not verify");
/// How long to wait for something to happen when nothing is planned. So often, at least, it is seen
/// whether somebody still asks about what is fetched.
const IDLE: Duration = Duration::from_secs(60);

/// Fetches what workers want.
pub struct Client {
	network: Arc<dyn NetworkService>,
	commands: mpsc::Receiver<Command>,
	transfers: Transfers,
	started: Instant,
}

impl Client {
	/// Does what `commands` say.
	pub fn new(
		network: Arc<dyn NetworkService>,
		commands: mpsc::Receiver<Command>,
		transfers: Transfers,
	) -> Self {
		Self { network, commands, transfers, started: Instant::now() }
	}

	/// Runs until the node stops. `peers` tells who comes and goes.
	pub async fn run(mut self, mut peers: BoxStream<'static, SyncEvent>) {
		loop {
			let now_ms = self.now_ms();
			self.transfers.expire(now_ms);
			while let Some(order) = self.transfers.next(now_ms) {
				self.ask(order);
			}
			let wake_ms = self.transfers.wake_ms(now_ms);
			let pause = wake_ms.map_or(IDLE, |at_ms| Duration::from_millis(at_ms - now_ms));
			tokio::select! {
				command = self.commands.recv() => match command {
					Some(command) => self.transfers.obey(command),
					None => return,
				},
				event = peers.next() => match event {
					Some(SyncEvent::PeerConnected { peer_id, .. }) => {
						self.transfers.connected(peer_id);
					}
					Some(SyncEvent::PeerDisconnected(peer)) => self.transfers.disconnected(peer),
					None => return,
				},
				done = self.transfers.done() => self.settle(done),
				() = tokio::time::sleep(pause) => {}
			}
		}
	}

	/// Milliseconds since this was made.
	fn now_ms(&self) -> u64 {
		// The clock does not run for longer than a u64 of milliseconds can count.
		self.started.elapsed().as_millis() as u64
	}

	/// Sends a request, and has its answer verified and stored.
	fn ask(&mut self, order: Order) {
		let network = self.network.clone();
		self.transfers.start(async move {
			let (peer, request) = (order.ask.peer, order.ask.request.encode());
			let protocol = transfer::PROTOCOL.into();
			let connected = IfDisconnected::ImmediateError;
			let sent = network.request(peer, protocol, request, None, connected);
			let response = match sent.await {
				Ok((response, _)) => Some(response),
				Err(error) => {
					log::debug!(target: LOG_TARGET, "{peer} did not answer: {error}");
					None
				}
			};
			order.close(response).await
		});
	}

	fn settle(&mut self, done: Done) {
		let now_ms = self.now_ms();
		if let Some(liar) = self.transfers.settle(done, now_ms) {
			self.network.report_peer(liar, LIED);
		}
	}
}
