//! A connection to a node that is made anew when it breaks, with another node if that one is silent.

use std::{sync::Arc, time::Duration};
use subxt::{
	ext::{
		futures::StreamExt as _,
		jsonrpsee::{
			client_transport::ws::{Url, WsTransportClientBuilder},
			core::client::{async_client::PingConfig, Client},
		},
	},
	rpcs::{
		client::{RawRpcFuture, RawRpcSubscription, RawValue, RpcClientT},
		Error as RpcError,
	},
};
use tokio::{sync::Mutex, time::sleep};

/// The largest request and response: a full block of shards in hexadecimal digits is 12 MiB.
const MAX_MESSAGE_BYTES: u32 = 32 << 20;
/// How long a node may think about a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often an open connection is tried. One whose other end went away without a word, be it a
/// machine or a router, would count as open until the kernel gives up after a quarter of an hour.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// How long nothing may be heard before that counts as a failure.
const INACTIVE_LIMIT: Duration = Duration::from_secs(30);
/// Failures after which a connection is closed.
const MAX_PINGS_MISSED: usize = 2;
/// How long a node may take to answer the phone.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a node is called before it counts as unreachable.
const ATTEMPTS: u32 = 6;
/// The pause after the first attempt; it doubles with each one, so that all together take 16 s.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Notifications of a subscription that may wait to be read.
const BUFFERED_NOTIFICATIONS: usize = 4_096;

/// A node that could not be reached.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
	"cannot reach the node at {url}: {reason}; check that it runs and that the address is right"
)]
pub(super) struct Unreachable {
	url: String,
	reason: String,
}

#[cfg(test)]
impl Unreachable {
	/// A node that could not be reached for this reason.
	pub(super) fn of(url: &str, reason: &str) -> Self {
		Self { url: url.to_owned(), reason: reason.to_owned() }
	}
}

/// A connection to one of several nodes of one chain. Requests that fail because it broke are
/// reported as such, so that whoever asked may ask again; the next request dials anew, beginning with
/// the node that answered last.
pub(super) struct Connection {
	urls: Vec<String>,
	line: Mutex<Line>,
}

/// What is open, and to whom.
#[derive(Default)]
struct Line {
	client: Option<Arc<Client>>,
	/// Place among the addresses of the node that is called first.
	place: usize,
	/// The hash of the first block of the first node's chain, as it was sent: another node must have
	/// the same.
	genesis: Option<String>,
}

impl Connection {
	/// A connection to the first of the nodes at `urls` that answers; they are dialled with the first
	/// request.
	pub(super) fn new(urls: &[String]) -> Self {
		Self { urls: urls.to_vec(), line: Mutex::new(Line::default()) }
	}

	/// The open connection, or a new one.
	async fn client(&self) -> Result<Arc<Client>, RpcError> {
		let mut line = self.line.lock().await;
		if let Some(open) = line.client.as_ref().filter(|open| open.is_connected()) {
			return Ok(open.clone());
		}
		let fresh = Arc::new(self.dial_patiently(&mut line).await?);
		line.client = Some(fresh.clone());
		Ok(fresh)
	}

	/// Calls one node after another, all of them several times.
	async fn dial_patiently(&self, line: &mut Line) -> Result<Client, RpcError> {
		let mut pause = FIRST_PAUSE;
		let mut failed = (String::new(), String::from("no address of a node is given"));
		for attempt in 1..=ATTEMPTS {
			for further in 0..self.urls.len() {
				// There is one at least.
				let place = (line.place + further) % self.urls.len();
				let Some(url) = self.urls.get(place) else { continue };
				match dial_chain(url, &mut line.genesis).await {
					Ok(client) => {
						if place != line.place {
							tracing::warn!("the node at {url} takes over: {}", failed.1);
						}
						line.place = place;
						return Ok(client);
					}
					Err(reason) => {
						tracing::debug!("attempt {attempt} to reach {url}: {reason}");
						failed = (url.clone(), reason);
					}
				}
			}
			if attempt < ATTEMPTS {
				sleep(pause).await;
				pause = pause.saturating_mul(2);
			}
		}
		let (url, reason) = failed;
		Err(RpcError::Client(Box::new(Unreachable { url, reason })))
	}
}

/// Calls a node, which must be of the chain with this first block; of any, if that is not known yet.
async fn dial_chain(url: &str, genesis: &mut Option<String>) -> Result<Client, String> {
	let client = dial(url).await?;
	let first = RawValue::from_string(String::from("[0]")).map_err(|error| error.to_string())?;
	let found = RpcClientT::request_raw(&client, "chain_getBlockHash", Some(first)).await;
	let found = found.map_err(|error| error.to_string())?.get().to_owned();
	match genesis {
		Some(known) if *known != found => Err(String::from("it is of another chain")),
		Some(_) => Ok(client),
		None => {
			*genesis = Some(found);
			Ok(client)
		}
	}
}

async fn dial(url: &str) -> Result<Client, String> {
	let url = Url::parse(url).map_err(|error| error.to_string())?;
	let (sender, receiver) = WsTransportClientBuilder::default()
		.max_request_size(MAX_MESSAGE_BYTES)
		.max_response_size(MAX_MESSAGE_BYTES)
		.connection_timeout(CONNECTION_TIMEOUT)
		.build(url)
		.await
		.map_err(|error| error.to_string())?;
	Ok(Client::builder()
		.request_timeout(REQUEST_TIMEOUT)
		.enable_ws_ping(
			PingConfig::new()
				.ping_interval(PING_INTERVAL)
				.inactive_limit(INACTIVE_LIMIT)
				.max_failures(MAX_PINGS_MISSED),
		)
		.max_buffer_capacity_per_subscription(BUFFERED_NOTIFICATIONS)
		.build_with_tokio(sender, receiver))
}

/// What `error` means: either what the node said, or that the connection broke.
fn judge(client: &Client, error: RpcError) -> RpcError {
	if client.is_connected() || matches!(error, RpcError::User(_)) {
		return error;
	}
	RpcError::DisconnectedWillReconnect(error.to_string())
}

impl RpcClientT for Connection {
	fn request_raw<'a>(
		&'a self,
		method: &'a str,
		params: Option<Box<RawValue>>,
	) -> RawRpcFuture<'a, Box<RawValue>> {
		Box::pin(async move {
			let client = self.client().await?;
			let result = RpcClientT::request_raw(&*client, method, params).await;
			result.map_err(|error| judge(&client, error))
		})
	}

	fn subscribe_raw<'a>(
		&'a self,
		sub: &'a str,
		params: Option<Box<RawValue>>,
		unsub: &'a str,
	) -> RawRpcFuture<'a, RawRpcSubscription> {
		Box::pin(async move {
			let client = self.client().await?;
			let result = RpcClientT::subscribe_raw(&*client, sub, params, unsub).await;
			let RawRpcSubscription { stream, id } =
				result.map_err(|error| judge(&client, error))?;
			// The subscription ends with the connection; holding on to it keeps the connection open
			// as long as somebody listens.
			let stream = stream.map(move |item| item.map_err(|error| judge(&client, error)));
			Ok(RawRpcSubscription { stream: Box::pin(stream), id })
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[tokio::test]
	async fn address_that_is_none_is_named() {
		let url = String::from("not an address");
		let error = dial(&url).await.map(|_| ()).unwrap_err();
		assert!(!error.is_empty());
		let shown = Unreachable { url, reason: error }.to_string();
		assert!(shown.contains("not an address"), "{shown}");
	}
}
