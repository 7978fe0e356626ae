//! `blyan worker`: the roles that a bonded account plays.
//!
//! # Overview
//!
//! A worker registers, keeps itself alive with heartbeats, follows the best chain, and in each block
//! looks at what there is to do ([`mod@look`], [`mod@plan`]). Each task runs by itself; what computes for
//! long does so on a thread of its own, one at a time, so that everything else goes on meanwhile.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | `worker.toml` |
//! | [`files`] | the worker's folder, sealed values |
//! | [`mod@look`], [`mod@plan`] | the chain at one block; what there is to do |
//! | [`data`], `fetch` | records, shards and blobs on this disk |
//! | [`state`] | the weights of a snapshot |
//! | [`publish`], [`storage`] | snapshots for others; how much disk everything takes |
//! | [`training`] | steps with their trace |
//! | [`trainer`], [`residual`] | updates, and what compression leaves out |
//! | [`demands`], [`alignment`] | what is asked of deltas: how far they go, and where |
//! | [`verifier`], [`evidence`] | re-running others, and proving fraud |
//! | [`merging`], [`candidate`], [`aggregator`], [`evaluator`] | merging and measuring |
//! | [`auditor`] | judging datasets |
//! | [`renewal`] | paying for data that ends soon |
//! | [`report`] | one line for each event |
//!
//! # Invariants
//!
//! - What to do follows from the chain and the files; a worker that is killed at any moment goes on
//!   where it was.
//! - What a commitment hides is on disk before the commitment is sent.
//! - Nobody is found guilty for something that this machine did wrong: what cannot be fetched or
//!   computed here is an error that is tried again, never a verdict.
//! - Everything is bounded: rounds and audits that are looked at, tries, disk; and memory, by having
//!   the weights, blobs and records of one task at a time, and by what a dataset and an audit may
//!   have of records.
//! - Secrets are neither logged nor told: verdicts, losses and reports only after they are revealed.
//!
//! # One at a time
//!
//! Long computations wait for one another in the order in which they begin. A worker with several
//! roles may therefore miss a deadline where one with a single role would not.

pub mod aggregator;
pub mod alignment;
pub mod auditor;
pub mod candidate;
pub mod config;
pub mod data;
pub mod demands;
pub mod error;
pub mod evaluator;
pub mod evidence;
mod fetch;
pub mod files;
pub mod look;
pub mod merging;
pub mod plan;
pub mod publish;
pub mod renewal;
pub mod report;
pub mod residual;
pub mod state;
pub mod storage;
pub mod trainer;
pub mod training;
pub mod verifier;

use crate::{
	catch_up::published::Published,
	chain::{
		calls,
		types::{
			bly, AccountId, Device as DeviceOnChain, Profile, Worker as Registered, WorkerState,
		},
		Chain, ChainError, View,
	},
	context::Context,
	keystore::Key,
};
use blyan_engine::{Device, FloatRecipe};
use blyan_primitives::{recipe::Recipe, H256};
use blyan_tiles::Store;
use clap::{Args, ValueEnum, ValueHint};
use config::{Config, DeviceKind};
use data::Cache;
use error::{Error, Result};
use files::{DataDir, Files};
use look::{look, Slow, SLOW_BLOCKS};
use plan::{plan, Account, Board, Task};
use report::Report;
use serde_json::json;
use std::{
	collections::HashSet,
	path::PathBuf,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc, PoisonError,
	},
	time::Duration,
};
use subxt::tx::Payload;
use tokio::{
	sync::{watch, Mutex, MutexGuard, Notify, Semaphore},
	task::{spawn_blocking, JoinSet},
	time::{sleep, timeout},
};

/// How long running tasks may take to come to a point where they can be taken up again.
const FAREWELL: Duration = Duration::from_secs(60);
/// How long it is waited for a chain that has no block yet.
const FIRST_BLOCK_PAUSE: Duration = Duration::from_secs(1);
/// How often a chain is asked for its first block.
const FIRST_BLOCK_TRIES: u32 = 120;
/// The pause before a node is called again that could not be reached for minutes.
const REDIAL_PAUSE: Duration = Duration::from_secs(10);
/// Parts of the disk's limit, of which blobs get one and shards the rest.
const DISK_PARTS: u64 = 4;
/// Name of the variable with which the engine is told how many threads to use.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";

/// How a worker cheats, for tests of those who must catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cheat {
	/// Train on the record after the one that the round's seed names, each time. It is found out
	/// and slashed.
	Data,
}

/// Arguments of `worker`.
#[derive(Clone, Debug, Args)]
pub struct Options {
	/// The worker's configuration; worker.example.toml explains every field.
	#[arg(
		long,
		value_name = "FILE",
		default_value = "worker.toml",
		value_hint = ValueHint::FilePath
	)]
	pub config: PathBuf,
	/// Do what there is to do now, and stop.
	#[arg(long)]
	pub once: bool,
	/// Stop when this round is over and settled.
	#[arg(long, value_name = "ROUND")]
	pub until_round: Option<u32>,
	/// Cheat, to see it caught; for tests only, since it costs the bond.
	#[arg(long, value_enum, value_name = "HOW")]
	pub cheat: Option<Cheat>,
}

/// Asks a worker to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
	inner: Arc<(AtomicBool, Notify)>,
}

impl Stop {
	/// Asks it.
	pub fn request(&self) {
		self.inner.0.store(true, Ordering::SeqCst);
		self.inner.1.notify_one();
	}

	/// Whether it was asked.
	pub fn is_requested(&self) -> bool {
		self.inner.0.load(Ordering::SeqCst)
	}

	/// Fails if it was asked.
	pub fn check(&self) -> Result<()> {
		if self.is_requested() {
			return Err(Error::Stopped);
		}
		Ok(())
	}

	/// Waits until it is asked. Only one may wait.
	async fn requested(&self) {
		while !self.is_requested() {
			self.inner.1.notified().await;
		}
	}
}

/// A worker: what all of its tasks share.
pub struct Worker {
	/// The way to the chain.
	pub(crate) chain: Chain,
	/// What `worker.toml` says.
	pub(crate) config: Config,
	/// The account.
	pub(crate) me: Account,
	/// The files of this chain.
	pub(crate) files: Files,
	/// Tells what happens.
	pub(crate) report: Report,
	/// Tile files.
	pub(crate) store: Store,
	/// By how much record numbers are shifted. Zero, unless it cheats.
	pub(crate) shift: u32,
	/// Records that can be fetched again.
	pub(crate) shards: Cache,
	/// Pieces of blobs that can be fetched again.
	pub(crate) blobs: Cache,
	/// Asks all tasks to stop.
	pub(crate) stop: Stop,
	/// Held while a snapshot is rebuilt.
	pub(crate) building: Mutex<()>,
	/// Held while files are put into the folder of the node's tiles or taken out of it, and while that
	/// is noted. Whoever has it waits for [`Worker::compute`] alone.
	pub(crate) sharing: Mutex<()>,
	/// Held by whoever has weights, blobs and records of a round in memory, see
	/// [`Worker::begin_work`].
	working: Mutex<()>,
	/// Tasks that run though nobody wants what comes out of them any more.
	stale: std::sync::Mutex<HashSet<Task>>,
	key: Key,
	computing: Semaphore,
	/// Locked as long as the worker lives.
	_folder: DataDir,
}

impl Worker {
	/// Signs and sends a call, and waits until it is in a block.
	pub(crate) async fn submit<C: Payload>(&self, call: &C) -> Result<()> {
		self.chain.submit(call, &self.key).await?;
		Ok(())
	}

	/// Stores a blob on the chain, as far as it is not there.
	pub(crate) async fn store_blob(&self, blob: &[u8]) -> Result<()> {
		self.chain.store(blob, &self.key).await?;
		Ok(())
	}

	/// The node's tiles, if `worker.toml` says where they are.
	pub(crate) fn published(&self) -> Option<Published> {
		let folder = self.config.storage.tiles_dir.clone()?;
		Some(Published::new(self.chain.clone(), folder))
	}

	/// Fails if a task must not go on: because the worker stops, or because it is too late for it.
	pub(crate) fn go_on(&self, task: Task) -> Result<()> {
		self.stop.check()?;
		let stale = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
		if stale.contains(&task) {
			return Err(Error::Stopped);
		}
		Ok(())
	}

	/// Waits for its turn to have the weights, blobs and records of a round in memory. Whoever waits
	/// has none yet, so that memory does not grow with the number of tasks.
	///
	/// It is the first thing that a task waits for: whoever has its turn may wait for
	/// [`Worker::building`], then for [`Worker::sharing`], then for [`Worker::compute`], and nobody who
	/// has one of those waits for a turn.
	pub(crate) async fn begin_work(&self, task: Task) -> Result<MutexGuard<'_, ()>> {
		let turn = self.working.lock().await;
		self.go_on(task)?;
		Ok(turn)
	}

	/// Computes on a thread of its own, after whatever computes already.
	pub(crate) async fn compute<T, F>(self: &Arc<Self>, work: F) -> Result<T>
	where
		T: Send + 'static,
		F: FnOnce(&Worker) -> Result<T> + Send + 'static,
	{
		// Never closed, so waiting cannot fail.
		let _turn = self.computing.acquire().await;
		self.stop.check()?;
		let worker = self.clone();
		let done = spawn_blocking(move || work(&worker)).await;
		done.map_err(|error| Error::Panicked(error.to_string()))?
	}

	/// The engine on the configured device.
	pub(crate) fn engine(&self, recipe: Recipe) -> Result<FloatRecipe> {
		let device = Device::named(&self.config.hardware.device)?;
		Ok(FloatRecipe::new(recipe, device)?)
	}
}

/// Runs a worker until it is asked to stop, or until what `options` ask for is done.
pub async fn run(options: &Options, context: &Context) -> anyhow::Result<()> {
	let config = Config::load(&options.config)?;
	if let Some(threads) = config.threads {
		// Read by the engine's pool of threads when it computes for the first time, which is later.
		std::env::set_var(THREADS_VARIABLE, threads.to_string());
	}
	let worker = Arc::new(start(config, options, context).await?);
	spawn_signals(worker.stop.clone());
	register(&worker).await?;
	follow(&worker, options).await?;
	worker.report.event("stopped", json!({}));
	Ok(())
}

/// Opens everything that a worker needs.
async fn start(config: Config, options: &Options, context: &Context) -> Result<Worker> {
	// What is wrong with the configuration shows before anything is changed.
	Device::named(&config.hardware.device)?;
	config.hardware.hardware_id()?;
	let name = config.dev.as_deref().or(config.key.as_deref()).unwrap_or_default();
	let key = context.keystore.key(name)?;
	let folder = DataDir::open(&config.data_dir)?;
	// What the command line names counts more than the file.
	let urls = context.url.as_ref().map_or(config.urls.clone(), |url| vec![url.clone()]);
	let chain = Chain::connect_any(&urls).await?;
	let first = first_block(&chain).await?;
	let files = folder.chain(&chain.genesis(), &first)?;
	let disk = config.disk_limit();
	let for_blobs = disk / DISK_PARTS;
	let worker = Worker {
		me: key.account().0,
		report: Report::new(context.output.is_json()),
		store: Store::open(files.weights())?,
		shards: Cache::open(folder.shards(), disk - for_blobs)?,
		blobs: Cache::open(folder.blobs(), for_blobs)?,
		shift: u32::from(options.cheat == Some(Cheat::Data)),
		stop: Stop::default(),
		building: Mutex::new(()),
		sharing: Mutex::new(()),
		working: Mutex::new(()),
		stale: std::sync::Mutex::default(),
		computing: Semaphore::new(1),
		_folder: folder,
		chain,
		config,
		files,
		key,
	};
	let fields = json!({
		"account": AccountId(worker.me).to_string(),
		"node": worker.chain.url(),
		"device": worker.config.hardware.device,
	});
	worker.report.event("started", fields);
	if options.cheat.is_some() {
		tracing::warn!("this worker cheats, and will be slashed for it");
	}
	Ok(worker)
}

/// The hash of the first block after the genesis, which tells a development chain that was started
/// anew from the one before.
async fn first_block(chain: &Chain) -> Result<H256> {
	for _ in 0..FIRST_BLOCK_TRIES {
		if let Some(hash) = chain.block_hash(1).await? {
			return Ok(hash);
		}
		sleep(FIRST_BLOCK_PAUSE).await;
	}
	Err(Error::missing(String::from("the first block of the chain"), "nobody makes blocks"))
}

/// Passes signals of the operating system on. The second one ends the process at once.
fn spawn_signals(stop: Stop) {
	tokio::spawn(async move {
		signal().await;
		tracing::info!("stopping; once more to stop at once");
		stop.request();
		signal().await;
		std::process::exit(130);
	});
}

/// Waits for SIGINT, or SIGTERM where there is one.
async fn signal() {
	#[cfg(unix)]
	{
		use tokio::signal::unix::{signal, SignalKind};
		if let Ok(mut terminate) = signal(SignalKind::terminate()) {
			tokio::select! {
				_ = terminate.recv() => {}
				_ = tokio::signal::ctrl_c() => {}
			}
			return;
		}
	}
	if tokio::signal::ctrl_c().await.is_err() {
		// Without signals there is nothing to wait for, ever.
		std::future::pending::<()>().await;
	}
}

/// What the chain is told about the machine.
fn profile(config: &Config) -> Profile {
	let hardware = &config.hardware;
	Profile {
		device: match hardware.kind() {
			DeviceKind::Cpu => DeviceOnChain::Cpu,
			DeviceKind::Cuda => DeviceOnChain::Cuda,
			DeviceKind::Metal => DeviceOnChain::Metal,
			DeviceKind::Vulkan => DeviceOnChain::Vulkan,
		},
		vram_mib: hardware.memory_mib(),
		tflops_milli: hardware.tflops_milli,
		memory_mib_per_s: hardware.memory_mib_per_s,
		pcie_mib_per_s: hardware.pcie_mib_per_s,
		region: hardware.region_bytes(),
	}
}

/// What the chain is to be told about the machine, if it was told something else.
fn news(config: &Config, told: &Profile) -> Option<Profile> {
	let profile = profile(config);
	(profile != *told).then_some(profile)
}

/// Registers the worker if it is none, and brings its description and its roles up to date.
async fn register(worker: &Worker) -> Result<()> {
	let view = worker.chain.view().await?;
	let who = AccountId(worker.me);
	let roles = worker.config.roles();
	let hardware_id = worker.config.hardware.hardware_id()?;
	let Some(known) = view.worker(who).await? else {
		return register_new(worker, &view, hardware_id).await;
	};
	if let WorkerState::Unbonding { until } = known.state {
		return Err(Error::refused(
			format!("the account {who}"),
			format!(
				"it is leaving; `blyan account withdraw` gives its bond back from block {until} on; \
				 or use another key"
			),
		));
	}
	if known.state == WorkerState::Suspended {
		tracing::warn!(
			"{who} is suspended: a heartbeat brings it back if its bond of {} BLY still suffices",
			bly(known.bond)
		);
	}
	if known.bond < worker.config.bond() {
		tracing::warn!(
			"the bond of {who} is {} BLY and not the {} of worker.toml; `blyan account bond` adds to it",
			bly(known.bond),
			bly(worker.config.bond())
		);
	}
	if known.hardware_id != hardware_id {
		tracing::warn!("{who} is registered with another hardware id, which stays");
	}
	describe(worker, &known).await;
	if known.roles.0 == roles {
		return Ok(());
	}
	match worker.submit(&calls::set_roles(roles)).await {
		Ok(()) => {
			worker.report.event("roles_set", json!({ "roles": role_names(worker) }));
			Ok(())
		}
		Err(Error::Chain(error)) if error.is("Workers::Engaged") => {
			tracing::warn!("roles stay as they are while a round goes on: {error}");
			Ok(())
		}
		Err(error) => Err(error),
	}
}

/// Describes the machine anew if `worker.toml` says something else than the chain. Neither draws
/// nor pay depend on it, so a worker that cannot pay for it works all the same.
async fn describe(worker: &Worker, known: &Registered) {
	let Some(profile) = news(&worker.config, &known.profile) else { return };
	let fields = json!({
		"device": worker.config.hardware.device,
		"vram_mib": profile.vram_mib,
		"tflops_milli": profile.tflops_milli,
		"memory_mib_per_s": profile.memory_mib_per_s,
		"pcie_mib_per_s": profile.pcie_mib_per_s,
		"region": worker.config.hardware.region,
	});
	// Addresses are in no configuration: whoever has set them keeps them.
	let call = calls::update_worker(profile, known.addresses.clone());
	match worker.submit(&call).await {
		Ok(()) => worker.report.event("hardware_set", fields),
		Err(error) => tracing::warn!(
			"the chain keeps its old description of this machine until the next start: {error}"
		),
	}
}

async fn register_new(worker: &Worker, view: &View, hardware_id: H256) -> Result<()> {
	if let Some(other) = view.worker_of_hardware(hardware_id).await? {
		return Err(Error::refused(
			String::from("this machine"),
			format!("{other} is registered on it; set another hardware.label in worker.toml"),
		));
	}
	let (roles, bond) = (worker.config.roles(), worker.config.bond());
	let profile = profile(&worker.config);
	// Neither peer id nor addresses: nobody needs them, either tells where the owner of the bond is,
	// the nodes of `urls` may be somebody else's, and no call could correct a peer id.
	let call = calls::register_worker(roles, profile, hardware_id, Vec::new(), Vec::new(), bond);
	worker.submit(&call).await?;
	let fields = json!({ "roles": role_names(worker), "bond": bly(bond) });
	worker.report.event("registered", fields);
	Ok(())
}

fn role_names(worker: &Worker) -> Vec<String> {
	worker.config.roles().iter().map(|role| format!("{role:?}").to_lowercase()).collect()
}

/// A block's height, or why there are no more blocks.
type Tick = std::result::Result<u32, ChainError>;

/// Follows the best chain on a task of its own, so that no block's arrival is cut off. A node that
/// cannot be reached is called for ever: the worker has work on its disk, and may be needed still.
fn spawn_blocks(chain: &Chain) -> watch::Receiver<Option<Tick>> {
	let (sender, receiver) = watch::channel(None);
	let chain = chain.clone();
	let mut blocks = chain.blocks();
	tokio::spawn(async move {
		loop {
			let tick = blocks.next().await.map(|block| block.number);
			let (failed, is_end) = match &tick {
				Ok(_) => (false, false),
				Err(error) => (true, !error.is_passing()),
			};
			if sender.send(Some(tick)).is_err() || is_end {
				break;
			}
			if failed {
				// It has given up; another one has not.
				blocks = chain.blocks();
				sleep(REDIAL_PAUSE).await;
			}
		}
	});
	receiver
}

/// Looks at each block and does what there is to do.
async fn follow(worker: &Arc<Worker>, options: &Options) -> Result<()> {
	let mut ticks = spawn_blocks(&worker.chain);
	let mut state = Following::default();
	let mut result = Ok(());
	loop {
		tokio::select! {
			_ = worker.stop.requested() => break,
			changed = ticks.changed() => {
				if changed.is_err() {
					break;
				}
				let tick = ticks.borrow_and_update().clone();
				let begun = match tick {
					Some(Ok(number)) => {
						state.now = number;
						state.begin(worker).await
					}
					Some(Err(error)) if error.is_passing() => Err(error.into()),
					Some(Err(error)) => {
						result = Err(error.into());
						break;
					}
					None => continue,
				};
				if options.once {
					result = begun;
					break;
				}
				if let Err(error) = begun {
					// The next block is another chance.
					tracing::warn!("block {}: {error}", state.now);
				}
			}
			Some(done) = state.tasks.join_next() => state.end(worker, done.ok()),
		}
		if state.is_over(worker, options).await {
			worker.stop.request();
		}
	}
	// Whatever happened, what runs comes to a point from which it can be taken up again.
	state.finish(worker, options).await;
	result
}

/// What is known while blocks are followed.
#[derive(Default)]
struct Following {
	now: u32,
	slow: Slow,
	/// Block of the last look at the disk.
	tidied_at: Option<u32>,
	/// Whether the disk was full then.
	is_full: bool,
	board: Board,
	tasks: JoinSet<(Task, Result<()>)>,
}

impl Following {
	/// Looks at the newest block, and begins what can be begun.
	async fn begin(&mut self, worker: &Arc<Worker>) -> Result<()> {
		let situation = self.look(worker).await?;
		self.now = situation.now;
		let live = situation.rounds.iter().map(|round| round.id);
		let kept: Vec<u32> = live.chain(situation.unsettled.iter().copied()).collect();
		if let Err(error) = worker.files.prune(&kept) {
			tracing::warn!("{error}");
		}
		// Before anything is begun that takes disk.
		let is_full = match self.tidy(worker, &kept).await {
			Ok(()) => self.is_full,
			// Then nobody knows how much more fits.
			Err(error) => {
				tracing::warn!("the disk counts as full until it can be measured: {error}");
				true
			}
		};
		let tasks = plan(&situation, worker.config.roles(), is_full);
		let stale = self.board.stale(&tasks);
		*worker.stale.lock().unwrap_or_else(PoisonError::into_inner) = stale;
		for task in self.board.startable(&tasks, self.now) {
			tracing::debug!("block {}: {} {:?}", self.now, task.name(), task.round());
			self.board.started(task);
			let worker = worker.clone();
			self.tasks.spawn(async move {
				// By itself, so that a panic ends this task only.
				let result = tokio::spawn(act(worker, task)).await;
				(task, result.unwrap_or_else(|error| Err(Error::Panicked(error.to_string()))))
			});
		}
		Ok(())
	}

	/// Makes room on the disk every few blocks, or as soon as nobody is in the way. The folders of the
	/// rounds in `kept` stay.
	async fn tidy(&mut self, worker: &Arc<Worker>, kept: &[u32]) -> Result<()> {
		let now = self.now;
		let is_fresh = self.tidied_at.is_some_and(|at| now >= at && now - at < SLOW_BLOCKS);
		if is_fresh {
			return Ok(());
		}
		let view = worker.chain.view().await?;
		let Some(usage) = storage::tidy(worker, &view, kept).await? else { return Ok(()) };
		storage::tell(worker, &usage, self.is_full, now);
		self.is_full = usage.is_full();
		self.tidied_at = Some(now);
		Ok(())
	}

	async fn look(&mut self, worker: &Worker) -> Result<plan::Situation> {
		let view = worker.chain.view().await?;
		look(worker, &view, &mut self.slow).await
	}

	/// Notes how a task ended.
	fn end(&mut self, worker: &Worker, done: Option<(Task, Result<()>)>) {
		// The tasks themselves do not panic, and nobody aborts them before the end.
		let Some((task, result)) = done else { return };
		let failures = self.board.ended(task, self.now, result.is_ok());
		if matches!(task, Task::Claim { .. } | Task::Publish { .. }) {
			self.slow.expire();
		}
		if task == Task::Renew && result.is_ok() {
			self.slow.note_renewal(self.now);
		}
		match result {
			Ok(()) | Err(Error::Stopped) => {}
			Err(error) => {
				let fields = json!({
					"task": task.name(),
					"round": task.round(),
					"error": error.to_string(),
					"failures": failures,
				});
				worker.report.event("failed", fields);
			}
		}
	}

	/// Whether the round that is waited for is over and settled.
	async fn is_over(&self, worker: &Worker, options: &Options) -> bool {
		let Some(round) = options.until_round else { return false };
		if self.board.running() > 0 {
			return false;
		}
		let unsettled = worker.files.rounds_with(residual::PROPOSED_FILE).unwrap_or_default();
		if unsettled.contains(&round) {
			return false;
		}
		match worker.chain.view().await {
			Ok(view) => matches!(view.summary(round).await, Ok(Some(_))),
			Err(_) => false,
		}
	}

	/// Lets running tasks come to an end: with `--once` to their own, else to the next point from
	/// which they can be taken up again.
	async fn finish(&mut self, worker: &Arc<Worker>, options: &Options) {
		if options.once {
			loop {
				tokio::select! {
					_ = worker.stop.requested() => break,
					done = self.tasks.join_next() => match done {
						Some(done) => self.end(worker, done.ok()),
						None => return,
					},
				}
			}
		}
		worker.stop.request();
		let all = async {
			while let Some(done) = self.tasks.join_next().await {
				self.end(worker, done.ok());
			}
		};
		if timeout(FAREWELL, all).await.is_err() {
			tracing::warn!("some tasks did not stop in time; they are taken up again next time");
		}
	}
}

/// Does one task.
async fn act(worker: Arc<Worker>, task: Task) -> Result<()> {
	let view = worker.chain.view().await?;
	match task {
		Task::Register => register(&worker).await,
		Task::Heartbeat => {
			worker.submit(&calls::heartbeat()).await?;
			worker.report.event("heartbeat", json!({ "block": view.number() }));
			Ok(())
		}
		Task::RevealUpdate { round } => trainer::reveal(&worker, &view, round).await,
		Task::RevealVerdict { round, trainer } => {
			verifier::reveal(&worker, &view, round, trainer).await
		}
		Task::RevealEvaluation { round } => evaluator::reveal(&worker, &view, round).await,
		Task::RevealReport { dataset } => auditor::reveal(&worker, &view, dataset).await,
		Task::Join { round } => trainer::join(&worker, round).await,
		Task::Remember { round } => state::remember(&worker, &view, round).await,
		Task::Settle { round } => trainer::settle(&worker, &view, round).await,
		Task::Claim { epoch } => {
			worker.submit(&calls::claim(AccountId(worker.me), epoch)).await?;
			worker.report.event("claimed", json!({ "epoch": epoch }));
			Ok(())
		}
		Task::Merge { round } => aggregator::merge(&worker, &view, round).await,
		Task::Evaluate { round } => evaluator::evaluate(&worker, &view, round).await,
		Task::Verify { round, trainer } => verifier::verify(&worker, &view, round, trainer).await,
		Task::Audit { dataset } => auditor::judge(&worker, &view, dataset).await,
		Task::Train { round } => trainer::train(&worker, &view, round).await,
		Task::Publish { model, snapshot } => {
			publish::publish(&worker, &view, model, snapshot).await
		}
		Task::Renew => renewal::renew(&worker, &view).await,
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[tokio::test]
	async fn stop_is_noticed_before_and_after_it_is_waited_for() {
		let stop = Stop::default();
		assert!(stop.check().is_ok());
		let waiting = tokio::spawn({
			let stop = stop.clone();
			async move { stop.requested().await }
		});
		stop.request();
		waiting.await.unwrap();
		stop.requested().await;
		assert!(matches!(stop.check(), Err(Error::Stopped)));
	}

	/// A configuration whose table `[hardware]` ends in `line`.
	fn configured(line: &str) -> Config {
		let text = format!(
			r#"
			urls = ["ws://127.0.0.1:9944"]
			dev = "//Alice"
			roles = ["trainer"]
			data_dir = "data"
			[hardware]
			device = "cuda:1"
			vram_mib = 8192
			{line}
			"#
		);
		Config::parse(&text, std::path::Path::new("worker.toml")).unwrap()
	}

	#[test]
	fn profile_is_that_of_the_configuration() {
		let profile = profile(&configured(r#"region = "DE""#));
		assert_eq!(profile.device, DeviceOnChain::Cuda);
		assert_eq!(profile.vram_mib, 8_192);
		assert_eq!(profile.region, *b"DE");
	}

	#[test]
	fn chain_is_told_about_the_machine_if_it_was_told_something_else() {
		let told = profile(&configured(r#"region = "DE""#));
		assert_eq!(news(&configured(r#"region = "DE""#), &told), None);
		let lines = ["", r#"region = "FR""#, "tflops_milli = 1", "pcie_mib_per_s = 1"];
		for line in lines {
			let config = configured(line);
			assert_eq!(news(&config, &told), Some(profile(&config)), "{line}");
		}
	}
}
