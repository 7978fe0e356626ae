//! From nothing, or from an older version, to a version of a model: the cheapest way that can be
//! verified.
//!
//! # Overview
//!
//! A version is a snapshot of the chain. A *way* to it begins with the weights of some version,
//! [`Start`], and replays the rounds behind it:
//!
//! | start | what it costs |
//! |---|---|
//! | a version on this disk | nothing |
//! | a version that other nodes offer as tile files | all bytes of the model |
//! | the first weights, which follow from the seed | the work of making them |
//!
//! A replayed round costs the bytes of its deltas and the work of merging them ([`Costs`]).
//! [`catch_up`] tries the ways, the cheapest first. Other nodes are asked what they offer only if
//! that may be worth it. A failure is told, and the next way is tried; where the deltas of a round
//! are nowhere to be had, no way that needs them is tried again.
//!
//! # Published versions
//!
//! Who seems to offer a version need not send all of it, and may seem to offer every one. So others
//! are asked for 32 versions at a time, the newest first; when two fetches of those that were found
//! have failed, the rest is put off and they are asked for older ones, as long as that may be worth
//! it. What was put off has its turn when nothing else is to be asked for. All fetches, 8 at most,
//! share one time: four times what 128 KiB a second and 60 s take. Each may take an equal part of
//! what is left of it, so that whoever is slow leaves enough to others.
//!
//! Where things come from is for a [`Sources`] to know: a worker has a store and notes of what was
//! merged, `blyan model pull` has a folder.
//!
//! # Invariants
//!
//! - Weights count only if the list of their roots has the root that the chain has of their version.
//!   That holds for the start and for every version that is replayed. [`Found`] computes the roots
//!   from the weights.
//! - Costs decide the order and nothing else.
//! - It ends: each way is tried once, and others are asked once for each of
//!   [`published::MAX_VERSIONS_APART`] versions at most, of which 8 are fetched at most.

mod probe;
pub mod published;

pub use probe::{PROBE_GRACE, PROBE_PATIENCE};

use crate::{chain::types::Snapshot, worker::merging::Candidate};
use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, tree::list_root, H256};
use published::MAX_VERSIONS_APART;
use std::{
	fmt::Display,
	future::Future,
	ops::RangeInclusive,
	time::{Duration, Instant},
};

/// Merging a round and hashing what comes out takes as long as fetching this part of the weights:
/// some GB a second against some 10 MB.
const WORK_PARTS: u64 = 64;
/// How many times smaller than the weights the deltas of one update are, where nobody knows better.
const DELTA_PARTS: u64 = 16;
/// Versions that others are asked for at a time; a node fetches 64 payloads at most.
const ASKED_AT_ONCE: u32 = 32;
/// Fetches of published versions that may fail until others are asked for older ones.
const FAILURES_AT_ONCE: u32 = 2;
/// Published versions that are fetched at most.
const MAX_FETCHES: u32 = FAILURES_AT_ONCE * MAX_VERSIONS_APART.div_ceil(ASKED_AT_ONCE);
/// So many times a version could come at [`LEAST_RATE`] in the time that all fetches share.
const WHOLE_FETCHES: u32 = 4;
/// Bytes a second that make a version worth waiting for.
const LEAST_RATE: u64 = 128 << 10;
/// What a fetch may take beside that.
const PATIENCE: Duration = Duration::from_secs(60);

/// A version of a model, as the chain has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
	/// Number of the snapshot.
	pub number: u32,
	/// Root of the list of the components' roots.
	pub heads_root: H256,
	/// The round that made it; none for the first.
	pub round: Option<u32>,
}

impl Version {
	/// The version of a snapshot.
	pub fn new(number: u32, snapshot: &Snapshot) -> Self {
		Self { number, heads_root: snapshot.heads_root, round: snapshot.round }
	}

	/// Whether these are the roots of its components.
	pub fn has(&self, roots: &[H256]) -> bool {
		list_root(roots).as_ref() == Ok(&self.heads_root)
	}
}

/// Weights that were found somewhere, and the roots that they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
	weights: Weights,
	roots: Vec<H256>,
}

impl Found {
	/// Hashes weights.
	pub fn new(weights: Weights) -> Self {
		let roots = weights.roots();
		Self { weights, roots }
	}

	/// The weights.
	pub fn weights(&self) -> &Weights {
		&self.weights
	}

	/// The roots of their components, in order.
	pub fn roots(&self) -> &[H256] {
		&self.roots
	}

	/// The weights alone.
	pub fn into_weights(self) -> Weights {
		self.weights
	}
}

impl From<Candidate> for Found {
	fn from(candidate: Candidate) -> Self {
		// The roots were computed from the weights.
		Self { weights: candidate.weights, roots: candidate.roots }
	}
}

/// Where a way begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
	/// With a version on this disk.
	Here(u32),
	/// With a version that other nodes offer.
	Published(u32),
	/// With the first weights.
	First,
}

impl Start {
	/// Number of the version that it begins with.
	pub fn number(self) -> u32 {
		match self {
			Self::Here(number) | Self::Published(number) => number,
			Self::First => 0,
		}
	}

	/// Whether it is a version of others.
	fn is_published(self) -> bool {
		matches!(self, Self::Published(_))
	}
}

impl Display for Start {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		match self {
			Self::Here(number) => write!(f, "version {number} on this disk"),
			Self::Published(number) => write!(f, "published version {number}"),
			Self::First => f.write_str("the first weights"),
		}
	}
}

/// What ways cost, in bytes over a link. They are estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
	/// Bytes of all components.
	pub full_bytes: u64,
	/// Bytes of the deltas of one round.
	pub delta_bytes: u64,
}

impl Costs {
	/// The costs for a model, in whose rounds `updates` updates are merged.
	pub fn new(architecture: &Architecture, updates: u32) -> Self {
		let full_bytes: u64 =
			architecture.components().iter().map(|component| component.bytes).sum();
		let delta_bytes = (full_bytes / DELTA_PARTS).saturating_mul(u64::from(updates));
		Self { full_bytes, delta_bytes }
	}

	/// What it costs to get to `target` from a start at or below it.
	pub fn of(&self, start: Start, target: u32) -> u64 {
		let work = self.full_bytes / WORK_PARTS;
		let begin = match start {
			Start::Here(_) => 0,
			Start::Published(_) => self.full_bytes,
			Start::First => work,
		};
		let rounds = u64::from(target.saturating_sub(start.number()));
		begin.saturating_add(rounds.saturating_mul(self.delta_bytes.saturating_add(work)))
	}
}

/// Why a way does not lead on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
	/// The chain has forgotten what to compare with.
	#[error(
		"the chain does not keep version {number} any more, so nothing can be compared with it"
	)]
	Forgotten {
		/// Number of the version.
		number: u32,
	},
	/// What should be on this disk is not there, or is damaged.
	#[error("version {number} is not whole on this disk")]
	Absent {
		/// Number of the version.
		number: u32,
	},
	/// Weights are not those that the chain has agreed on.
	#[error("what was found is not version {number}: its root is not the one on chain")]
	Root {
		/// Number of the version.
		number: u32,
	},
	/// Nothing is left to be tried.
	#[error("no way leads to version {target}: {}; ask a node that keeps more (--blocks-pruning archive), or fetch a published version with a node that has --tiles-dir", .tried.join("; "))]
	NoWay {
		/// Number of the version.
		target: u32,
		/// What was tried, and why it did not lead there.
		tried: Vec<String>,
	},
}

/// Where weights and deltas come from.
///
/// What a source hands out is verified by whoever asked; a source that keeps something compares it
/// with the version's root before.
pub trait Sources: Sync {
	/// What can go wrong.
	type Error: Display + From<Obstacle> + Send;

	/// The version with this number, if the chain keeps it.
	fn version(
		&self,
		number: u32,
	) -> impl Future<Output = Result<Option<Version>, Self::Error>> + Send;

	/// Numbers of the versions that are on this disk, perhaps damaged.
	fn here(&self) -> Result<Vec<u32>, Self::Error>;

	/// The weights of a version on this disk; none if they are not whole.
	fn load(
		&self,
		version: &Version,
	) -> impl Future<Output = Result<Option<Found>, Self::Error>> + Send;

	/// Numbers of those of these versions that other nodes seem to offer.
	fn offered(
		&self,
		versions: RangeInclusive<u32>,
	) -> impl Future<Output = Result<Vec<u32>, Self::Error>> + Send;

	/// The weights of a version from other nodes, if they come in this time.
	fn fetch(
		&self,
		version: &Version,
		within: Duration,
	) -> impl Future<Output = Result<Found, Self::Error>> + Send;

	/// The first weights.
	fn first(&self, version: &Version) -> impl Future<Output = Result<Found, Self::Error>> + Send;

	/// The weights of a version from those of the version before it.
	fn replay(
		&self,
		version: &Version,
		parent: &Weights,
	) -> impl Future<Output = Result<Found, Self::Error>> + Send;

	/// Whether nothing else is to be tried after this error.
	fn is_final(error: &Self::Error) -> bool;

	/// The time by which fetches are measured.
	fn now(&self) -> Instant {
		Instant::now()
	}
}

/// Weights of the version that was asked for, and the way on which they were reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
	/// The weights.
	pub found: Found,
	/// Where the way began.
	pub start: Start,
	/// Ways that were tried before, each with the reason why it did not lead there.
	pub tried: Vec<String>,
}

/// Ways that were not tried yet.
struct Ways {
	starts: Vec<Start>,
	/// Those whose turn comes when others need not be asked for more.
	put_off: Vec<Start>,
	costs: Costs,
	target: u32,
	/// The least version that a way may begin with: behind it, deltas are gone.
	least: u32,
}

impl Ways {
	fn add(&mut self, start: Start) {
		let is_useful = (self.least..=self.target).contains(&start.number());
		if is_useful && !self.starts.contains(&start) {
			self.starts.push(start);
		}
	}

	/// Whether there is one that begins with a published version, and was not put off.
	fn has_published(&self) -> bool {
		self.starts.iter().any(|start| start.is_published())
	}

	/// What the cheapest one costs that needs nobody else's version.
	fn least_own_cost(&self) -> Option<u64> {
		let own = self.starts.iter().filter(|start| !start.is_published());
		own.map(|start| self.costs.of(*start, self.target)).min()
	}

	/// Puts off what others offer.
	fn put_off_published(&mut self) {
		self.put_off.extend(self.starts.extract_if(.., |start| start.is_published()));
	}

	/// Tries what was put off after all.
	fn bring_back(&mut self) {
		self.starts.append(&mut self.put_off);
	}

	/// Gives up what others offer; whether there was anything.
	fn drop_published(&mut self) -> bool {
		let count = self.starts.len() + self.put_off.len();
		self.starts.retain(|start| !start.is_published());
		self.put_off.clear();
		self.starts.len() < count
	}

	/// Takes the cheapest one out; of equals the one with fewer rounds to replay.
	fn take_cheapest(&mut self) -> Option<Start> {
		let (costs, target) = (self.costs, self.target);
		let key = |start: &Start| (costs.of(*start, target), target.saturating_sub(start.number()));
		let place = (0..self.starts.len()).min_by_key(|place| key(&self.starts[*place]))?;
		Some(self.starts.remove(place))
	}

	/// Gives up all ways that replay version `number`.
	fn give_up(&mut self, number: u32) {
		self.least = self.least.max(number);
		self.starts.retain(|start| start.number() >= number);
		self.put_off.retain(|start| start.number() >= number);
	}
}

/// The search for published versions: what others were not asked for yet, and what time is left.
struct Search {
	/// The oldest version that they may be asked for.
	oldest: u32,
	/// The newest version that they were not asked for; less than `oldest` if there is none.
	newest: u32,
	/// Versions that were fetched since they were asked last.
	fetches_of_these: u32,
	/// Versions that were fetched.
	fetches: u32,
	/// The time that is left for all fetches.
	left: Duration,
}

impl Search {
	/// For a version whose components have so many bytes.
	fn new(target: u32, full_bytes: u64) -> Self {
		// The first weights need not be fetched.
		let oldest = target.saturating_sub(MAX_VERSIONS_APART - 1).max(1);
		Self {
			oldest,
			newest: target,
			fetches_of_these: 0,
			fetches: 0,
			left: time_for(full_bytes).saturating_mul(WHOLE_FETCHES),
		}
	}

	/// Whether nothing is to be fetched any more.
	fn is_over(&self) -> bool {
		self.fetches >= MAX_FETCHES || self.left.is_zero()
	}

	/// The versions that others are to be asked for now, if that may be worth it.
	fn group(&self, ways: &Ways) -> Option<RangeInclusive<u32>> {
		let (oldest, newest) = (self.oldest.max(ways.least), self.newest);
		if self.is_over() || newest < oldest {
			return None;
		}
		// None of them costs less than the newest.
		let cost = ways.costs.of(Start::Published(newest), ways.target);
		let is_worth_it = ways.least_own_cost().is_none_or(|own| own > cost);
		let oldest = oldest.max(newest.saturating_sub(ASKED_AT_ONCE - 1));
		is_worth_it.then_some(oldest..=newest)
	}

	/// Whether what others were asked for has led nowhere.
	fn is_spent(&self, ways: &Ways) -> bool {
		self.fetches_of_these >= FAILURES_AT_ONCE || !ways.has_published()
	}

	/// Asks for a group of versions.
	async fn ask<S: Sources>(
		&mut self,
		sources: &S,
		group: RangeInclusive<u32>,
	) -> Result<Vec<u32>, S::Error> {
		self.fetches_of_these = 0;
		self.newest = group.start().saturating_sub(1);
		match sources.offered(group.clone()).await {
			Ok(mut numbers) => {
				numbers.retain(|number| group.contains(number));
				Ok(numbers)
			}
			Err(error) => {
				// What is in the way of this is in the way of asking for older ones.
				self.newest = 0;
				Err(error)
			}
		}
	}

	/// Fetches a version, with an equal part of the time that is left.
	async fn fetch<S: Sources>(
		&mut self,
		sources: &S,
		version: &Version,
	) -> Result<Found, S::Error> {
		let within = self.left / MAX_FETCHES.saturating_sub(self.fetches).max(1);
		self.fetches_of_these = self.fetches_of_these.saturating_add(1);
		self.fetches = self.fetches.saturating_add(1);
		let begun = sources.now();
		let fetched = sources.fetch(version, within).await;
		self.left = self.left.saturating_sub(sources.now().saturating_duration_since(begun));
		fetched
	}
}

/// How long it takes to fetch so many bytes at the least rate.
fn time_for(bytes: u64) -> Duration {
	PATIENCE.saturating_add(Duration::from_secs(bytes / LEAST_RATE))
}

/// Why a way ended.
struct Stuck<E> {
	/// The version that could not be replayed; none if the way did not even begin.
	replaying: Option<u32>,
	error: E,
}

/// The weights of version `target`, by the cheapest way that leads there.
pub async fn catch_up<S: Sources>(
	sources: &S,
	target: u32,
	costs: Costs,
) -> Result<Reached, S::Error> {
	let mut ways = Ways { starts: Vec::new(), put_off: Vec::new(), costs, target, least: 0 };
	for number in sources.here()? {
		ways.add(Start::Here(number));
	}
	ways.add(Start::First);
	let mut search = Search::new(target, costs.full_bytes);
	let mut tried = Vec::new();
	loop {
		if search.is_spent(&ways) {
			if let Some(group) = search.group(&ways) {
				ways.put_off_published();
				match search.ask(sources, group).await {
					Ok(numbers) => numbers.into_iter().for_each(|n| ways.add(Start::Published(n))),
					Err(error) if S::is_final(&error) => return Err(error),
					Err(error) => tried.push(format!("published versions: {error}")),
				}
				continue;
			}
			ways.bring_back();
		}
		let Some(start) = ways.take_cheapest() else {
			return Err(Obstacle::NoWay { target, tried }.into());
		};
		match follow(sources, start, target, &mut search).await {
			Ok(found) => return Ok(Reached { found, start, tried }),
			Err(stuck) if S::is_final(&stuck.error) => return Err(stuck.error),
			Err(Stuck { replaying, error }) => {
				tracing::warn!("{start} does not lead to version {target}: {error}");
				tried.push(format!("{start}: {error}"));
				if let Some(number) = replaying {
					ways.give_up(number);
				}
				if search.is_over() && ways.drop_published() {
					tried.push(String::from(
						"other published versions: no time is left for them, since those that were \
						 fetched did not come",
					));
				}
			}
		}
	}
}

/// Goes one way to its end.
async fn follow<S: Sources>(
	sources: &S,
	start: Start,
	target: u32,
	search: &mut Search,
) -> Result<Found, Stuck<S::Error>> {
	let at_start = |error| Stuck { replaying: None, error };
	let version = kept(sources, start.number()).await.map_err(at_start)?;
	let begun: Result<Found, S::Error> = match start {
		Start::Here(number) => match sources.load(&version).await {
			Ok(found) => found.ok_or_else(|| Obstacle::Absent { number }.into()),
			Err(error) => Err(error),
		},
		Start::Published(_) => search.fetch(sources, &version).await,
		Start::First => sources.first(&version).await,
	};
	let mut found = begun.and_then(|found| verified(found, &version)).map_err(at_start)?;
	for number in start.number().saturating_add(1)..=target {
		let on_the_way = |error| Stuck { replaying: Some(number), error };
		let version = kept(sources, number).await.map_err(on_the_way)?;
		let replayed = sources.replay(&version, &found.weights).await;
		found = replayed.and_then(|found| verified(found, &version)).map_err(on_the_way)?;
	}
	Ok(found)
}

/// The version with this number, which the chain must keep.
async fn kept<S: Sources>(sources: &S, number: u32) -> Result<Version, S::Error> {
	sources.version(number).await?.ok_or_else(|| Obstacle::Forgotten { number }.into())
}

/// What was found, if it is this version.
fn verified<E: From<Obstacle>>(found: Found, version: &Version) -> Result<Found, E> {
	match version.has(&found.roots) {
		true => Ok(found),
		false => Err(Obstacle::Root { number: version.number }.into()),
	}
}

#[cfg(test)]
mod tests;
