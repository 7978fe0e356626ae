//! What can go wrong between this program and a chain.

use super::connection::Unreachable;
use blyan_primitives::H256;
use std::ops::RangeInclusive;
use subxt::{
	error::{
		BackendError, DispatchError, ExtrinsicError, OnlineClientAtBlockError,
		RpcError as BackendRpcError, RuntimeApiError, StorageError,
	},
	rpcs::Error as RpcError,
};

/// The node's number for a transaction that is not valid.
const INVALID_TRANSACTION: i32 = 1010;
/// The node's numbers for what does not need to be told twice: it has the transaction already, or
/// had it a moment ago.
const KNOWN_TRANSACTION: [i32; 2] = [1012, 1013];
/// The node's number for a transaction whose place another one has.
const PLACE_TAKEN: i32 = 1014;
/// The node's numbers for why its pool does not take a transaction.
const POOL_ANSWERS: RangeInclusive<i32> = 1000..=1099;

/// Why the chain was not asked, or what it answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
	/// Nobody answers.
	#[error("{0}")]
	Unreachable(String),
	/// The chain refused what was asked of it. The transaction has cost its fee.
	#[error("the chain refuses: {error}: {docs}")]
	Refused {
		/// Name of the error, such as `Rounds::WrongPhase`.
		error: String,
		/// What the chain's documentation says about it.
		docs: String,
	},
	/// The transaction is not valid, so it got into no block and cost nothing.
	#[error("the node does not take the transaction: {0}")]
	Invalid(String),
	/// The transaction got into no block in time.
	#[error("the transaction got into no block within {seconds} s; the chain may stand still: look at its newest block, then try again")]
	TimedOut {
		/// How long it was waited for.
		seconds: u64,
	},
	/// The node does not keep what was asked for.
	#[error("the node does not keep the data with hash {0:?}; it was never stored or has expired: ask a node that keeps more, or whoever owns it")]
	NotStored(H256),
	/// The node has forgotten what the chain was like then.
	#[error("the node has forgotten the state of block {block}; ask one that keeps all states (--state-pruning archive)")]
	Pruned {
		/// Number of the block.
		block: u32,
	},
	/// The chain runs another version of what this program knows.
	#[error("the chain does not understand this program ({0}); install the version of blyan that belongs to the chain")]
	Incompatible(String),
	/// The node answered something else than it should.
	#[error("the node did not answer: {0}; try again, or another node")]
	Rpc(String),
	/// The node does not offer or fetch tiles, or nobody sends them.
	#[error("tiles: {0}")]
	Tiles(String),
	/// There is no such thing on the chain.
	#[error("the chain has no {0}")]
	Unknown(String),
	/// What was to be sent is too large, or the like.
	#[error("{0}")]
	Unsuitable(String),
}

/// What is known of a transaction that did not do what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
	/// It is in no block and will get into none, so it costs nothing: it was not sent, or the node
	/// did not take it.
	Unsent,
	/// It is in a block, where its call failed: it has cost its fee, and no more.
	Failed,
	/// It may be in a block, or get into one as long as it is valid.
	Unknown,
}

/// A transaction that did not do what it should, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Unsuccessful {
	/// What is known of it.
	pub fate: Fate,
	/// What went wrong.
	pub error: ChainError,
}

impl Unsuccessful {
	pub(super) fn unsent(error: ChainError) -> Self {
		Self { fate: Fate::Unsent, error }
	}

	pub(super) fn failed(error: ChainError) -> Self {
		Self { fate: Fate::Failed, error }
	}

	pub(super) fn unknown(error: ChainError) -> Self {
		Self { fate: Fate::Unknown, error }
	}
}

impl From<Unsuccessful> for ChainError {
	fn from(unsuccessful: Unsuccessful) -> Self {
		unsuccessful.error
	}
}

impl ChainError {
	/// Whether the chain refused with this error, such as `Rounds::WrongPhase`.
	pub fn is(&self, name: &str) -> bool {
		matches!(self, Self::Refused { error, .. } if error == name)
	}

	/// Whether it may help to try again later: nothing was refused.
	pub fn is_passing(&self) -> bool {
		matches!(self, Self::Unreachable(_) | Self::TimedOut { .. } | Self::Rpc(_))
	}

	/// There is no `what` with this number.
	pub fn unknown(what: &str, id: u32) -> Self {
		Self::Unknown(format!("{what} {id}"))
	}

	/// What a dispatch error says.
	pub(super) fn dispatch(error: &DispatchError) -> Self {
		if let DispatchError::Module(module) = error {
			if let Ok(details) = module.details() {
				return Self::Refused {
					error: format!("{}::{}", details.pallet.name(), details.variant.name),
					docs: sentence(&details.variant.docs),
				};
			}
		}
		Self::Refused { error: String::from("the call failed"), docs: error.to_string() }
	}
}

/// Lines of documentation as one sentence.
pub(super) fn sentence(docs: &[String]) -> String {
	let lines: Vec<&str> =
		docs.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
	match lines.is_empty() {
		true => String::from("it does not say why"),
		false => lines.join(" "),
	}
}

/// What any error of the library means to the user.
pub(super) fn wrap(error: impl Into<subxt::Error>) -> ChainError {
	let error: subxt::Error = error.into();
	if let Some(said) = rpc_error(&error) {
		return from_rpc(said);
	}
	let text = error.to_string();
	match error {
		subxt::Error::StorageError(
			StorageError::IncompatibleCodegen
			| StorageError::PalletNameNotFound(_)
			| StorageError::StorageEntryNotFound { .. }
			| StorageError::StorageInfoError(_)
			| StorageError::StorageKeyEncodeError(_),
		)
		| subxt::Error::StorageValueError(_)
		| subxt::Error::StorageKeyError(_)
		| subxt::Error::RuntimeApiError(
			RuntimeApiError::IncompatibleCodegen
			| RuntimeApiError::TraitNotFound(_)
			| RuntimeApiError::MethodNotFound { .. }
			| RuntimeApiError::CouldNotEncodeInputs(_)
			| RuntimeApiError::CouldNotDecodeResponse(_),
		)
		| subxt::Error::ExtrinsicError(
			ExtrinsicError::IncompatibleCodegen
			| ExtrinsicError::EncodeError(_)
			| ExtrinsicError::PalletNameNotFound(_)
			| ExtrinsicError::CallNameNotFound { .. }
			| ExtrinsicError::UnsupportedVersion
			| ExtrinsicError::Params(_)
			| ExtrinsicError::CannotDecodeFeeInfo(_)
			| ExtrinsicError::CannotDecodeFields { .. },
		)
		| subxt::Error::ConstantError(_) => ChainError::Incompatible(text),
		_ => ChainError::Rpc(text),
	}
}

/// What the node or the connection to it said, if that is what the error is about.
fn rpc_error(error: &subxt::Error) -> Option<&RpcError> {
	let backend = match error {
		subxt::Error::OtherRpcClientError(said) => return Some(said),
		subxt::Error::BackendError(backend) => backend,
		subxt::Error::OnlineClientAtBlockError(
			OnlineClientAtBlockError::CannotGetCurrentBlock { reason }
			| OnlineClientAtBlockError::CannotGetBlockHash { reason, .. }
			| OnlineClientAtBlockError::CannotGetBlockHeader { reason, .. }
			| OnlineClientAtBlockError::CannotGetSpecVersion { reason, .. },
		) => reason,
		subxt::Error::ExtrinsicError(
			ExtrinsicError::ErrorSubmittingTransaction(backend)
			| ExtrinsicError::CannotGetBlockBody(backend)
			| ExtrinsicError::CannotGetFeeInfo(backend)
			| ExtrinsicError::CannotGetValidationInfo(backend),
		) => backend,
		subxt::Error::StorageError(
			StorageError::CannotFetchValue(backend)
			| StorageError::CannotIterateValues(backend)
			| StorageError::StreamFailure(backend),
		) => backend,
		subxt::Error::RuntimeApiError(RuntimeApiError::CannotCallApi(backend)) => backend,
		_ => return None,
	};
	match backend {
		BackendError::Rpc(BackendRpcError::ClientError(said)) => Some(said),
		_ => None,
	}
}

/// What an answer of the node means.
pub(super) fn from_rpc(error: &RpcError) -> ChainError {
	match error {
		RpcError::User(said) if said.code == INVALID_TRANSACTION => {
			ChainError::Invalid(details(said))
		}
		RpcError::Client(reason) if reason.is::<Unreachable>() => {
			ChainError::Unreachable(reason.to_string())
		}
		other => ChainError::Rpc(other.to_string()),
	}
}

/// The data that a node's answer carries, without quotation marks, or else its message.
fn details(said: &subxt::rpcs::UserError) -> String {
	let data = said.data.as_ref().map(|data| data.get().trim_matches('"').to_owned());
	data.filter(|data| !data.is_empty()).unwrap_or_else(|| said.message.clone())
}

/// How a node answered a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
	/// It has it already.
	Known,
	/// Another one with the same number is there, or the number is used up.
	Outdated,
	/// Something else.
	Other,
}

/// What the node or the connection to it said to a transaction that was to be sent.
fn said_to(error: &ExtrinsicError) -> Option<&RpcError> {
	match error {
		ExtrinsicError::ErrorSubmittingTransaction(BackendError::Rpc(
			BackendRpcError::ClientError(said),
		)) => Some(said),
		_ => None,
	}
}

/// What is known of a transaction that could not be sent for this reason. Where neither the pool has
/// said that it does not take it nor the node could be reached at all, it may have got there.
pub(super) fn fate(error: &ExtrinsicError) -> Fate {
	match said_to(error) {
		Some(RpcError::User(said)) if POOL_ANSWERS.contains(&said.code) => Fate::Unsent,
		Some(RpcError::Client(reason)) if reason.is::<Unreachable>() => Fate::Unsent,
		_ => Fate::Unknown,
	}
}

/// How the node answered a transaction that it did not take.
pub(super) fn answer(error: &ExtrinsicError) -> Answer {
	let Some(RpcError::User(said)) = said_to(error) else { return Answer::Other };
	if KNOWN_TRANSACTION.contains(&said.code) {
		return Answer::Known;
	}
	let text = details(said);
	let stale = text.contains("outdated") || text.contains("will be valid in the future");
	match said.code == PLACE_TAKEN || (said.code == INVALID_TRANSACTION && stale) {
		true => Answer::Outdated,
		false => Answer::Other,
	}
}

/// The number in a node's `Custom error: 7`.
pub(super) fn custom_code(text: &str) -> Option<u8> {
	let (_, rest) = text.split_once("Custom error: ")?;
	let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
	digits.parse().ok()
}

#[cfg(test)]
mod tests {
	use super::*;
	use subxt::rpcs::UserError;

	fn said(code: i32, message: &str, data: Option<&str>) -> RpcError {
		let data = data
			.map(|data| serde_json::value::to_raw_value(data).expect("a string is always JSON"));
		RpcError::User(UserError { code, message: message.to_owned(), data })
	}

	fn refused(error: RpcError) -> ExtrinsicError {
		ExtrinsicError::ErrorSubmittingTransaction(BackendError::from(error))
	}

	#[test]
	fn invalid_transaction_shows_the_reason_and_not_the_number() {
		let error = said(1010, "Invalid Transaction", Some("Inability to pay some fees"));
		let shown = wrap(refused(error)).to_string();
		assert!(shown.ends_with("Inability to pay some fees"), "{shown}");
		let error = said(1010, "Invalid Transaction", None);
		assert_eq!(wrap(error), ChainError::Invalid(String::from("Invalid Transaction")));
	}

	#[test]
	fn answers_to_transactions_are_told_apart() {
		let kind = |code, data| answer(&refused(said(code, "", Some(data))));
		assert_eq!(kind(1013, ""), Answer::Known);
		assert_eq!(kind(1014, ""), Answer::Outdated);
		assert_eq!(kind(1010, "Transaction is outdated"), Answer::Outdated);
		assert_eq!(kind(1010, "Inability to pay some fees"), Answer::Other);
		assert_eq!(kind(-32000, "Transaction is outdated"), Answer::Other);
	}

	#[test]
	fn only_what_the_pool_refused_or_nobody_got_is_known_to_be_unsent() {
		let refusal = |code| fate(&refused(said(code, "", None)));
		assert_eq!(refusal(1010), Fate::Unsent);
		assert_eq!(refusal(1014), Fate::Unsent);
		assert_eq!(refusal(1016), Fate::Unsent);
		// An answer, but none of the pool.
		assert_eq!(refusal(-32603), Fate::Unknown);
		let lost = RpcError::DisconnectedWillReconnect(String::from("gone"));
		assert_eq!(fate(&refused(lost)), Fate::Unknown);
		let silent = RpcError::Client("request timeout".into());
		assert_eq!(fate(&refused(silent)), Fate::Unknown);
		let away = Unreachable::of("ws://127.0.0.1:1", "refused");
		assert_eq!(fate(&refused(RpcError::Client(Box::new(away)))), Fate::Unsent);
	}

	#[test]
	fn node_that_cannot_be_reached_is_told_apart() {
		let error = RpcError::DisconnectedWillReconnect(String::from("gone"));
		assert!(matches!(wrap(error), ChainError::Rpc(_)));
		assert!(wrap(said(-32601, "Method not found", None)).is_passing());
		assert!(!ChainError::unknown("dataset", 3).is_passing());
	}

	#[test]
	fn numbers_of_custom_errors_are_read() {
		assert_eq!(custom_code("Custom error: 3"), Some(3));
		assert_eq!(custom_code("Invalid: Custom error: 12."), Some(12));
		assert_eq!(custom_code("Custom error: 300"), None);
		assert_eq!(custom_code("Transaction is outdated"), None);
	}

	#[test]
	fn refusals_are_known_by_name() {
		let error = ChainError::Refused {
			error: String::from("Rounds::WrongPhase"),
			docs: sentence(&[String::from(" The round is"), String::new(), String::from("x.")]),
		};
		assert!(error.is("Rounds::WrongPhase") && !error.is("Rounds::Full"));
		assert_eq!(error.to_string(), "the chain refuses: Rounds::WrongPhase: The round is x.");
	}
}
