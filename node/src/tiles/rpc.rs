//! What workers ask their node: to offer payloads, and to fetch them.
//!
//! Files are named by root, in the folder that the operator gave the node: no method takes a path.
//! Methods that make the node read, write or ask are refused to strangers, like other unsafe
//! methods.

use super::{
	blocking,
	board::Status,
	error::{Error, Result},
	transfers::Command,
	Handle,
};
use blyan_primitives::H256;
use futures::{channel::oneshot, stream, Stream};
use jsonrpsee::{
	core::{async_trait, RpcResult},
	proc_macros::rpc,
	Extensions, PendingSubscriptionSink,
};
use polkadot_sdk::{
	sc_rpc::{
		utils::{spawn_subscription_task, PendingSubscription, RingBuffer},
		SubscriptionTaskExecutor,
	},
	sc_rpc_api::check_if_safe,
};
use std::sync::Arc;
use tokio::sync::watch;

/// What workers ask their node. The codes of errors are those of [`Error::code`].
#[rpc(server)]
pub trait TilesApi {
	/// Verifies `ROOT.blyt` in the node's folder and offers it to other nodes. Returns the
	/// payload's size in bytes when that is done.
	#[method(name = "tiles_offer", with_extensions)]
	async fn offer(&self, root: H256) -> RpcResult<u64>;

	/// Offers a payload no more, and returns whether it was offered. Its file stays, and is offered
	/// again when the node starts, unless it is removed.
	#[method(name = "tiles_withdraw", with_extensions)]
	fn withdraw(&self, root: H256) -> RpcResult<bool>;

	/// The roots of all payloads that are offered.
	#[method(name = "tiles_offered")]
	fn offered(&self) -> RpcResult<Vec<H256>>;

	/// Begins to fetch a payload of this root and size in bytes from other nodes, or goes on with
	/// it. When it is there, it is `ROOT.blyt` in the node's folder, and is offered. A file that is
	/// there already is verified, and fetched again only if it is damaged.
	///
	/// Whoever wants it must ask about it now and then: `tiles_want` once more, `tiles_status`, or
	/// an open `tiles_subscribeStatus`. A transfer about which nobody asks for ten minutes is
	/// dropped and is `expired` then; what came of it stays on the disk, and is not fetched again.
	#[method(name = "tiles_want", with_extensions)]
	async fn want(&self, root: H256, size_bytes: u64) -> RpcResult<()>;

	/// Stops fetching a payload and removes what has come of it, also of an earlier attempt that is
	/// over. Fails while its files are being opened, finished or removed.
	#[method(name = "tiles_cancel", with_extensions)]
	async fn cancel(&self, root: H256) -> RpcResult<()>;

	/// How the transfer of a payload stands that was asked for since the node started. It goes on
	/// for another ten minutes, unless it is a stranger who asks.
	#[method(name = "tiles_status", with_extensions)]
	fn status(&self, root: H256) -> RpcResult<Status>;

	/// How the transfer stands now, and again whenever that changes. Slow readers get the latest.
	/// It does not expire as long as anybody but strangers is subscribed.
	#[subscription(
		name = "tiles_subscribeStatus" => "tiles_statusChanged",
		unsubscribe = "tiles_unsubscribeStatus",
		item = Status,
		with_extensions
	)]
	fn subscribe_status(&self, root: H256);
}

/// Keeps a transfer from expiring, if there is one.
type Listener = Option<Arc<()>>;

/// Answers workers.
pub struct Tiles {
	/// Nothing if the node moves no tiles.
	handle: Option<Handle>,
	executor: SubscriptionTaskExecutor,
}

impl Tiles {
	/// Answers for this node.
	pub fn new(handle: Option<Handle>, executor: SubscriptionTaskExecutor) -> Self {
		Self { handle, executor }
	}

	fn handle(&self) -> Result<&Handle> {
		self.handle.as_ref().ok_or(Error::Off)
	}

	/// Has the client do something.
	async fn command(
		&self,
		command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command,
	) -> Result<()> {
		let (reply, answer) = oneshot::channel();
		let sent = self.handle()?.commands.send(command(reply)).await;
		sent.map_err(|_| Error::Stopping)?;
		answer.await.unwrap_or(Err(Error::Stopping))
	}

	/// News of a transfer, and what keeps it from expiring as long as somebody has that. A stranger
	/// gets news alone: otherwise anybody could keep the places of what a dead worker has left.
	fn watch(&self, root: H256, is_stranger: bool) -> Result<(watch::Receiver<Status>, Listener)> {
		let board = &self.handle()?.board;
		let watch = board.watch(&root).ok_or(Error::NotWanted { root })?;
		let listener = if is_stranger { None } else { board.listen(&root) };
		Ok((watch, listener))
	}
}

#[async_trait]
impl TilesApiServer for Tiles {
	async fn offer(&self, ext: &Extensions, root: H256) -> RpcResult<u64> {
		check_if_safe(ext)?;
		let offers = self.handle()?.offers.clone();
		Ok(blocking::hash(move || offers.offer(root)).await?)
	}

	fn withdraw(&self, ext: &Extensions, root: H256) -> RpcResult<bool> {
		check_if_safe(ext)?;
		Ok(self.handle()?.offers.withdraw(&root))
	}

	fn offered(&self) -> RpcResult<Vec<H256>> {
		Ok(self.handle()?.offers.roots())
	}

	async fn want(&self, ext: &Extensions, root: H256, size_bytes: u64) -> RpcResult<()> {
		check_if_safe(ext)?;
		Ok(self.command(|reply| Command::Want { root, size: size_bytes, reply }).await?)
	}

	async fn cancel(&self, ext: &Extensions, root: H256) -> RpcResult<()> {
		check_if_safe(ext)?;
		Ok(self.command(|reply| Command::Cancel { root, reply }).await?)
	}

	fn status(&self, ext: &Extensions, root: H256) -> RpcResult<Status> {
		let board = &self.handle()?.board;
		if check_if_safe(ext).is_ok() {
			board.note_asked(&root);
		}
		Ok(board.status(&root).ok_or(Error::NotWanted { root })?)
	}

	fn subscribe_status(&self, pending: PendingSubscriptionSink, ext: &Extensions, root: H256) {
		let watch = self.watch(root, check_if_safe(ext).is_err());
		spawn_subscription_task(&self.executor, async move {
			match watch {
				Ok((watch, listener)) => {
					let pending = PendingSubscription::from(pending);
					let changes = changes(watch, listener);
					pending.pipe_from_stream(changes, RingBuffer::new(1)).await;
				}
				Err(error) => pending.reject(error).await,
			}
		});
	}
}

/// What is watched now, and what it is after each change, with the listener until it ends.
fn changes(
	watch: watch::Receiver<Status>,
	listener: Listener,
) -> impl Stream<Item = Status> + Send + Unpin {
	let first = (watch, listener, true);
	Box::pin(stream::unfold(first, |(mut watch, listener, is_first)| async move {
		if !is_first {
			watch.changed().await.ok()?;
		}
		let status = watch.borrow_and_update().clone();
		Some((status, (watch, listener, false)))
	}))
}
