//! A connection to a node that is made anew when it breaks.

use std::{sync::Arc, time::Duration};
use subxt::{
	ext::{
		futures::StreamExt as _,
		jsonrpsee::{
			client_transport::ws::{Url, WsTransportClientBuilder},
			core::client::Client,
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

/// A connection to one node. Requests that fail because it broke are reported as such, so that
/// whoever asked may ask again; the next request dials anew.
pub(super) struct Connection {
	url: String,
	client: Mutex<Option<Arc<Client>>>,
}

impl Connection {
	/// A connection to the node at `url`, which is dialled with the first request.
	pub(super) fn new(url: &str) -> Self {
		Self { url: url.to_owned(), client: Mutex::new(None) }
	}

	/// The open connection, or a new one.
	async fn client(&self) -> Result<Arc<Client>, RpcError> {
		let mut client = self.client.lock().await;
		if let Some(open) = client.as_ref().filter(|open| open.is_connected()) {
			return Ok(open.clone());
		}
		let fresh = Arc::new(self.dial_patiently().await?);
		*client = Some(fresh.clone());
		Ok(fresh)
	}

	async fn dial_patiently(&self) -> Result<Client, RpcError> {
		let mut pause = FIRST_PAUSE;
		let mut reason = String::new();
		for attempt in 1..=ATTEMPTS {
			match self.dial().await {
				Ok(client) => return Ok(client),
				Err(error) => reason = error,
			}
			if attempt < ATTEMPTS {
				tracing::debug!("attempt {attempt} to reach {}: {reason}", self.url);
				sleep(pause).await;
				pause = pause.saturating_mul(2);
			}
		}
		Err(RpcError::Client(Box::new(Unreachable { url: self.url.clone(), reason })))
	}

	async fn dial(&self) -> Result<Client, String> {
		let url = Url::parse(&self.url).map_err(|error| error.to_string())?;
		let (sender, receiver) = WsTransportClientBuilder::default()
			.max_request_size(MAX_MESSAGE_BYTES)
			.max_response_size(MAX_MESSAGE_BYTES)
			.connection_timeout(CONNECTION_TIMEOUT)
			.build(url)
			.await
			.map_err(|error| error.to_string())?;
		Ok(Client::builder()
			.request_timeout(REQUEST_TIMEOUT)
			.max_buffer_capacity_per_subscription(BUFFERED_NOTIFICATIONS)
			.build_with_tokio(sender, receiver))
	}
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
		let connection = Connection::new("not an address");
		let error = connection.dial().await.map(|_| ()).unwrap_err();
		assert!(!error.is_empty());
		let shown = Unreachable { url: connection.url, reason: error }.to_string();
		assert!(shown.contains("not an address"), "{shown}");
	}
}
