//! Tile files between nodes: what a node with `--tiles-dir` is asked to offer and to fetch.
//!
//! A file is known by the root of its payload, and is `ROOT.blyt` in the node's folder. No method
//! takes a path, so whoever asks must be told that folder, and must be able to read it. What the
//! node has fetched it has verified; whoever uses it verifies it again.

use super::{error::from_rpc, Chain, ChainError};
use blyan_primitives::H256;
use serde::{de::DeserializeOwned, Deserialize};
use subxt::rpcs::{
	client::{rpc_params, RpcParams},
	Error as RpcError,
};

/// The node's number for a payload of which there is nothing to forget.
const NOT_WANTED: i32 = 9207;

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TransferState {
	/// What is on the node's disk is being hashed.
	Opening,
	/// Leaves are asked for, or there is nobody to ask.
	Running,
	/// The file is there, and is offered.
	Done,
	/// It could not be stored.
	Failed,
	/// Somebody cancelled it.
	Cancelled,
	/// Nobody asked about it for ten minutes.
	Expired,
}

/// How a transfer stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
	/// What it is doing.
	pub state: TransferState,
	/// Bytes that are verified and stored.
	pub verified_bytes: u64,
	/// Other nodes that could be asked.
	pub peers: u32,
	/// Other nodes that sent bytes which did not verify, and were banned.
	pub liars: u32,
	/// Why it failed.
	pub error: Option<String>,
}

impl Chain {
	/// Has the node verify the file of this root and offer it to others. Returns the payload's size
	/// in bytes.
	pub async fn offer_tiles(&self, root: &H256) -> Result<u64, ChainError> {
		self.ask_tiles("tiles_offer", rpc_params![root]).await
	}

	/// Has the node offer a payload no more; whether it was offered.
	pub async fn withdraw_tiles(&self, root: &H256) -> Result<bool, ChainError> {
		self.ask_tiles("tiles_withdraw", rpc_params![root]).await
	}

	/// Has the node fetch a payload of this size from other nodes. It gives up what nobody asks
	/// about for ten minutes.
	pub async fn want_tiles(&self, root: &H256, bytes: u64) -> Result<(), ChainError> {
		self.ask_tiles("tiles_want", rpc_params![root, bytes]).await
	}

	/// Has the node forget what it did not fetch to the end; whether there was anything. Fails
	/// while the files are being opened, finished or removed.
	pub async fn cancel_tiles(&self, root: &H256) -> Result<bool, ChainError> {
		was_cancelled(self.request_tiles("tiles_cancel", rpc_params![root]).await)
	}

	/// The roots of all payloads that the node offers. Fails if it moves no tiles.
	pub async fn offered_tiles(&self) -> Result<Vec<H256>, ChainError> {
		self.ask_tiles("tiles_offered", rpc_params![]).await
	}

	/// How the transfer of a payload stands.
	pub async fn tiles_status(&self, root: &H256) -> Result<Transfer, ChainError> {
		self.ask_tiles("tiles_status", rpc_params![root]).await
	}

	async fn ask_tiles<R: DeserializeOwned>(
		&self,
		method: &str,
		params: RpcParams,
	) -> Result<R, ChainError> {
		self.request_tiles(method, params).await.map_err(|error| from_node(&error))
	}

	async fn request_tiles<R: DeserializeOwned>(
		&self,
		method: &str,
		params: RpcParams,
	) -> Result<R, RpcError> {
		// Each of them may be asked twice.
		let mut answer = self.inner.rpc.request(method, params.clone()).await;
		if matches!(&answer, Err(error) if error.is_disconnected_will_reconnect()) {
			answer = self.inner.rpc.request(method, params).await;
		}
		answer
	}
}

fn from_node(error: &RpcError) -> ChainError {
	match error {
		// The node's own sentences say what to do.
		RpcError::User(said) => ChainError::Tiles(said.message.clone()),
		error => from_rpc(error),
	}
}

/// Whether there was anything to forget.
fn was_cancelled(answer: Result<(), RpcError>) -> Result<bool, ChainError> {
	match answer {
		Ok(()) => Ok(true),
		Err(RpcError::User(said)) if said.code == NOT_WANTED => Ok(false),
		Err(error) => Err(from_node(&error)),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use subxt::rpcs::UserError;

	#[test]
	fn nothing_to_forget_is_no_failure_of_cancelling() {
		let said = |code| {
			let message = String::from("call again when that is done");
			Err(RpcError::User(UserError { code, message, data: None }))
		};
		assert_eq!(was_cancelled(Ok(())), Ok(true));
		assert_eq!(was_cancelled(said(9_207)), Ok(false));
		let working = ChainError::Tiles(String::from("call again when that is done"));
		assert_eq!(was_cancelled(said(9_210)), Err(working));
	}

	#[test]
	fn states_are_read_as_nodes_write_them() {
		let states = [
			("opening", TransferState::Opening),
			("running", TransferState::Running),
			("done", TransferState::Done),
			("failed", TransferState::Failed),
			("cancelled", TransferState::Cancelled),
			("expired", TransferState::Expired),
		];
		for (word, state) in states {
			let read: TransferState = serde_json::from_str(&format!("\"{word}\"")).unwrap();
			assert_eq!(read, state);
		}
		assert!(serde_json::from_str::<TransferState>("\"paused\"").is_err());
	}

	#[test]
	fn status_is_read_as_nodes_write_it() {
		let text = r#"{
			"root": "0x0000000000000000000000000000000000000000000000000000000000000000",
			"sizeBytes": 512, "state": "running", "verifiedBytes": 256, "peers": 2,
			"sources": { "12D3": 256 }, "liars": 1, "error": null
		}"#;
		let expected = Transfer {
			state: TransferState::Running,
			verified_bytes: 256,
			peers: 2,
			liars: 1,
			error: None,
		};
		assert_eq!(serde_json::from_str::<Transfer>(text).unwrap(), expected);
	}
}
