//! What it takes to catch up with many versions of a model, for several rules of when a snapshot is
//! published.
//!
//! What is measured is what workers and `blyan model pull` run: [`catch_up`] chooses the way and
//! verifies every version on it, [`merge`] merges rounds, [`load`] opens published files, and [`Rule`]
//! says when a version is published, of which the newest [`KEPT`] stay. Only the chain is made up:
//! versions come from the real encoder, two updates each, chunks or low rank for each component, as
//! in rounds. Every second component learns something of low rank, the others increments
//! with a heavy tail. Files lie in a temporary folder, about 0.6 MB a version.
//!
//! A newcomer with nothing reads everything from there. A rule is measured where it is worst: just
//! before the next snapshot is due.
//!
//! ```text
//! cargo run --example catch_up -- [VERSIONS]
//! ```
//!
//! Bytes are what comes over a link; time is reading, merging and hashing, without the link, which the
//! column after it adds at 100 Mbit/s. Nodes are left out, and so is the time in which they are asked
//! for published versions. What that is at most is computed: how often they are asked is counted,
//! and each time it is waited for [`PROBE_PATIENCE`] until something of any version comes, and for
//! [`PROBE_GRACE`] behind that. Where others have the same node fetch, it may be longer.
//! *Written* are the deltas and all snapshots that were ever published, *on disk* the deltas and those
//! snapshots that stay.

use anyhow::Context as _;
use blyan_cli::{
	catch_up::{
		catch_up,
		published::{load, tile_path, wanted, MAX_VERSIONS_APART},
		Costs, Found, Reached, Sources, Version, PROBE_GRACE, PROBE_PATIENCE,
	},
	worker::{
		data::hex,
		merging::{join, merge, Accepted},
		publish::{Rule, KEPT},
	},
};
use blyan_engine::{
	delta::{self, Delta, Residual},
	demo, Weights,
};
use blyan_primitives::{
	model::Architecture,
	recipe::Recipe,
	tree::list_root,
	update::{cids, pieces, DeltaKind, Update},
	BoundedVec, H256,
};
use blyan_tiles::TileFile;
use std::{
	collections::{BTreeMap, BTreeSet},
	env, fs,
	ops::RangeInclusive,
	path::{Path, PathBuf},
	sync::atomic::{AtomicU32, AtomicU64, Ordering},
	time::{Duration, Instant},
};

const VERSIONS: u32 = 1_000;
/// Updates of a round.
const TRAINERS: u8 = 2;
/// As in the demonstration, but that no update is left out for its norm.
const RECIPE: Recipe = Recipe { max_delta_norm: u64::MAX, ..demo::RECIPE };
const SEED: H256 = H256([1; 32]);
const LINK_BYTES_PER_S: f64 = 12.5e6;

/// What is measured, by what `worker.toml` says.
const RULES: [(&str, Rule); 7] = [
	("snapshot_after_versions = 8", by_length(8)),
	("snapshot_after_versions = 16", by_length(16)),
	("snapshot_after_versions = 64", by_length(64)),
	("snapshot_after_versions = 128", by_length(128)),
	("as many bytes of deltas as the weights have", by_bytes(None)),
	("snapshot_after_mib = 16", by_bytes(Some(16 << 20))),
	("snapshot_after_mib = 64", by_bytes(Some(64 << 20))),
];

const fn by_length(versions: u32) -> Rule {
	Rule { versions, delta_bytes: Some(u64::MAX) }
}

/// No rule leaves versions further apart than those who look for snapshots look back.
const fn by_bytes(delta_bytes: Option<u64>) -> Rule {
	Rule { versions: MAX_VERSIONS_APART, delta_bytes }
}

/// Who publishes by a rule.
struct Publisher {
	rule: Rule,
	/// Bytes of deltas since the last published version.
	delta_bytes: u64,
	/// Versions that were published.
	count: u32,
	/// Those of them that stay, the oldest first.
	kept: Vec<u32>,
}

impl Publisher {
	fn new(rule: Rule) -> Self {
		Self { rule, delta_bytes: 0, count: 0, kept: Vec::new() }
	}

	/// Sees a new version, and says whether it is published.
	fn see(&mut self, number: u32, delta_bytes: u64, full_bytes: u64) -> bool {
		self.delta_bytes += delta_bytes;
		let last = self.kept.last().copied().unwrap_or(0);
		if !self.rule.is_due(last, number, self.delta_bytes, full_bytes) {
			return false;
		}
		self.delta_bytes = 0;
		self.count += 1;
		self.kept.push(number);
		if self.kept.len() > KEPT {
			self.kept.remove(0);
		}
		true
	}

	/// The version before the last published one, and what was published until then: nowhere is there
	/// more to replay. `head` where nothing was published.
	fn worst(&self, head: u32) -> (u32, &[u32]) {
		match self.kept.split_last() {
			Some((newest, older)) => (newest - 1, older),
			None => (head, &[]),
		}
	}
}

/// The increments of one update.
fn increments(base: &Weights, seed: u64) -> Vec<Vec<i32>> {
	let mut state = seed;
	let mut next = || {
		state =
			state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
		(state >> 40) as i64 - (1 << 23)
	};
	let components = base.architecture().components();
	let mut all = Vec::with_capacity(components.len());
	for (place, (component, weights)) in components.iter().zip(base.components()).enumerate() {
		let mut increments = vec![0; weights.len()];
		for tensor in &component.tensors {
			let row: Vec<i64> = (0..tensor.shape[1]).map(|_| next() >> 12).collect();
			let first = tensor.offset_bytes as usize / size_of::<i32>();
			let own = &mut increments[first..first + tensor.weights() as usize];
			for (increment, column) in own.iter_mut().zip(row.iter().cycle()) {
				let learned = match place.is_multiple_of(2) {
					// All rows are nearly the same one.
					true => column + (next() >> 16),
					// The product of three has a heavy tail.
					false => (((next() * next()) >> 23) * next()) >> 32,
				};
				// Below 2^15.
				*increment = learned as i32;
			}
		}
		all.push(increments);
	}
	all
}

/// A model, its rounds and what was published of it, on disk.
struct History {
	architecture: Architecture,
	folder: PathBuf,
	versions: Vec<Version>,
	/// The updates that each round has merged.
	rounds: Vec<Vec<Accepted>>,
	/// Versions that somebody publishes, with the roots of their components.
	published: BTreeMap<u32, Vec<H256>>,
	publishers: Vec<Publisher>,
	full_bytes: u64,
	/// Bytes of the deltas of each round.
	delta_bytes: Vec<u64>,
}

impl History {
	/// Makes versions up to `count` in `folder`, and publishes by `rules`.
	fn make(
		folder: &Path,
		architecture: Architecture,
		count: u32,
		rules: impl IntoIterator<Item = Rule>,
	) -> anyhow::Result<Self> {
		let mut weights = Weights::initial(&architecture, SEED)?;
		let heads_root = list_root(&weights.roots())?;
		let mut history = Self {
			architecture,
			folder: folder.to_path_buf(),
			versions: vec![Version { number: 0, heads_root, round: None }],
			rounds: Vec::new(),
			published: BTreeMap::new(),
			publishers: rules.into_iter().map(Publisher::new).collect(),
			full_bytes: architecture.components().iter().map(|component| component.bytes).sum(),
			delta_bytes: Vec::new(),
		};
		fs::create_dir_all(history.pieces())?;
		fs::create_dir_all(history.tiles())?;
		let mut residuals = Vec::new();
		for _ in 0..TRAINERS {
			residuals.push(Residual::zero(&architecture)?);
		}
		for number in 1..=count {
			let round = number - 1;
			let mut updates = Vec::new();
			for (trainer, residual) in (0..TRAINERS).zip(&mut residuals) {
				let seed = u64::from(number) * u64::from(TRAINERS) + u64::from(trainer);
				let learned = increments(&weights, seed);
				let deltas = delta::encode(&learned, residual, RECIPE.delta_bytes_per_chunk)?;
				let blob = delta::blob(&deltas);
				let update = history.store(round, &deltas, &blob)?;
				let accepted =
					Accepted { trainer: [trainer; 32], samples: RECIPE.samples(), update };
				updates.push((accepted, blob));
			}
			let delta_bytes: u64 = updates.iter().map(|(_, blob)| blob.len() as u64).sum();
			let candidate = merge(&weights, &RECIPE, &updates)?;
			anyhow::ensure!(candidate.dropped.is_empty(), "round {round} left out an update");
			weights = candidate.weights;
			let heads_root = list_root(&candidate.roots)?;
			history.versions.push(Version { number, heads_root, round: Some(round) });
			history.rounds.push(updates.into_iter().map(|(accepted, _)| accepted).collect());
			history.delta_bytes.push(delta_bytes);
			history.publish(number, delta_bytes, &weights, &candidate.roots)?;
		}
		Ok(history)
	}

	/// Where the pieces of blobs are.
	fn pieces(&self) -> PathBuf {
		self.folder.join("pieces")
	}

	/// The folder of a node's tiles.
	fn tiles(&self) -> PathBuf {
		self.folder.join("tiles")
	}

	fn piece(&self, cid: &H256) -> PathBuf {
		self.pieces().join(hex(cid.as_bytes()))
	}

	/// Stores the blob of an update; the update.
	fn store(&self, round: u32, deltas: &[Delta], blob: &[u8]) -> anyhow::Result<Update> {
		let delta_cids = cids(blob).context("the blob is empty, or too large")?;
		for (cid, piece) in delta_cids.iter().zip(pieces(blob)) {
			fs::write(self.piece(cid), piece)?;
		}
		let entries: Vec<_> = deltas.iter().map(Delta::entry).collect();
		Ok(Update {
			round,
			deltas: BoundedVec::truncate_from(entries),
			delta_cids,
			trace_root: H256::zero(),
			trace_cids: BoundedVec::default(),
			trace_entries: RECIPE.trace_entries(),
			samples: RECIPE.samples(),
			loss_before: 2,
			loss_after: 1,
		})
	}

	/// The updates of a round with their blobs, whose pieces must have their hashes.
	fn updates(&self, round: u32) -> anyhow::Result<Vec<(Accepted, Vec<u8>)>> {
		let accepted = self.rounds.get(round as usize).context("there is no such round")?;
		let mut updates = Vec::with_capacity(accepted.len());
		for accepted in accepted {
			let cids = &accepted.update.delta_cids;
			let pieces: Vec<Vec<u8>> =
				cids.iter().map(|cid| fs::read(self.piece(cid))).collect::<Result<_, _>>()?;
			updates.push((accepted.clone(), join(cids, &pieces)?));
		}
		Ok(updates)
	}

	/// Publishes a version if a rule asks for it, and removes what no publisher keeps.
	fn publish(
		&mut self,
		number: u32,
		delta_bytes: u64,
		weights: &Weights,
		roots: &[H256],
	) -> anyhow::Result<()> {
		let mut is_due = false;
		for publisher in &mut self.publishers {
			is_due |= publisher.see(number, delta_bytes, self.full_bytes);
		}
		if !is_due {
			return Ok(());
		}
		let folder = self.tiles();
		for (root, weights) in roots.iter().zip(weights.components()) {
			TileFile::create(tile_path(&folder, root), weights)?;
		}
		self.published.insert(number, roots.to_vec());
		let is_kept = |number: &u32| self.publishers.iter().any(|one| one.kept.contains(number));
		let all = std::mem::take(&mut self.published);
		let (kept, old): (BTreeMap<_, _>, BTreeMap<_, _>) =
			all.into_iter().partition(|(number, _)| is_kept(number));
		let used: BTreeSet<&H256> = kept.values().flatten().collect();
		let unused: BTreeSet<&H256> =
			old.values().flatten().filter(|root| !used.contains(root)).collect();
		for root in unused {
			fs::remove_file(tile_path(&folder, root))?;
		}
		self.published = kept;
		Ok(())
	}

	/// Gets from nothing to version `target`, while others offer the versions in `offered`.
	fn reach(&self, target: u32, offered: &[u32]) -> anyhow::Result<Arrival> {
		let newcomer = Newcomer {
			history: self,
			offered,
			bytes: AtomicU64::new(0),
			probes: AtomicU32::new(0),
			finds: AtomicU32::new(0),
		};
		let costs = Costs::new(&self.architecture, u32::from(TRAINERS));
		let runtime = tokio::runtime::Builder::new_current_thread().build()?;
		let reached = runtime.block_on(catch_up(&newcomer, target, costs))?;
		Ok(Arrival {
			reached,
			bytes: newcomer.bytes.into_inner(),
			search: PROBE_PATIENCE * newcomer.probes.into_inner()
				+ PROBE_GRACE * newcomer.finds.into_inner(),
		})
	}
}

/// How a newcomer got to a version.
#[derive(Debug)]
struct Arrival {
	reached: Reached,
	/// What came over a link.
	bytes: u64,
	/// The most that asking others for versions takes.
	search: Duration,
}

/// Somebody with nothing, who counts what comes.
struct Newcomer<'a> {
	history: &'a History,
	offered: &'a [u32],
	bytes: AtomicU64,
	/// How often others were asked for versions.
	probes: AtomicU32,
	/// How often of these they had one.
	finds: AtomicU32,
}

impl Newcomer<'_> {
	fn count(&self, bytes: u64) {
		self.bytes.fetch_add(bytes, Ordering::Relaxed);
	}
}

impl Sources for Newcomer<'_> {
	type Error = anyhow::Error;

	async fn version(&self, number: u32) -> anyhow::Result<Option<Version>> {
		Ok(self.history.versions.get(number as usize).copied())
	}

	fn here(&self) -> anyhow::Result<Vec<u32>> {
		Ok(Vec::new())
	}

	async fn load(&self, _: &Version) -> anyhow::Result<Option<Found>> {
		Ok(None)
	}

	async fn offered(&self, versions: RangeInclusive<u32>) -> anyhow::Result<Vec<u32>> {
		let found: Vec<u32> =
			self.offered.iter().copied().filter(|number| versions.contains(number)).collect();
		self.probes.fetch_add(1, Ordering::Relaxed);
		self.finds.fetch_add(u32::from(!found.is_empty()), Ordering::Relaxed);
		Ok(found)
	}

	async fn fetch(&self, version: &Version, _: Duration) -> anyhow::Result<Found> {
		let history = self.history;
		let roots = history.published.get(&version.number).context("nobody publishes it")?;
		let components = wanted(&history.architecture, roots);
		self.count(components.iter().map(|component| component.bytes).sum());
		Ok(Found::new(load(&history.tiles(), &history.architecture, &components)?))
	}

	async fn first(&self, _: &Version) -> anyhow::Result<Found> {
		Ok(Found::new(Weights::initial(&self.history.architecture, SEED)?))
	}

	async fn replay(&self, version: &Version, parent: &Weights) -> anyhow::Result<Found> {
		let round = version.round.context("no round made it")?;
		let updates = self.history.updates(round)?;
		self.count(updates.iter().map(|(_, blob)| blob.len() as u64).sum());
		Ok(merge(parent, &RECIPE, &updates)?.into())
	}

	fn is_final(_: &anyhow::Error) -> bool {
		false
	}
}

/// How many deltas there are of a kind.
fn count_of(history: &History, kind: DeltaKind) -> usize {
	let updates = history.rounds.iter().flatten();
	updates.flat_map(|accepted| &accepted.update.deltas).filter(|delta| delta.kind == kind).count()
}

fn mib(bytes: f64) -> String {
	format!("{:.2} MiB", bytes / f64::from(1 << 20))
}

fn main() -> anyhow::Result<()> {
	let count = env::args().nth(1).map_or(Ok(VERSIONS), |text| text.parse())?;
	let place = tempfile::tempdir()?;
	let began = Instant::now();
	let rules = RULES.map(|(_, rule)| rule);
	let history = History::make(place.path(), demo::ARCHITECTURE, count, rules)?;
	let versions = f64::from(count.max(1));
	let full = history.full_bytes as f64;
	let delta = history.delta_bytes.iter().sum::<u64>() as f64 / versions;
	println!(
		"{count} versions of {}, deltas of {} a version, {} of them in chunks and {} of low rank, \
		 made in {:.1} s",
		mib(full),
		mib(delta),
		count_of(&history, DeltaKind::Chunks),
		count_of(&history, DeltaKind::LowRank),
		began.elapsed().as_secs_f64()
	);
	println!(
		"| a snapshot is published by | to version | begins with | rounds replayed | bytes to fetch | \
		 time | with the link | search, at most | written a version | on disk a version |"
	);
	println!("|---|---|---|---|---|---|---|---|---|---|");
	let none: &[u32] = &[];
	let all = std::iter::once(("nobody", count, none, 0));
	let published = RULES.iter().zip(&history.publishers).map(|((name, _), publisher)| {
		let (target, offered) = publisher.worst(count);
		(*name, target, offered, publisher.count)
	});
	for (name, target, offered, snapshots) in all.chain(published) {
		let began = Instant::now();
		let Arrival { reached, bytes, search } = history.reach(target, offered)?;
		let seconds = began.elapsed().as_secs_f64();
		println!(
			"| {name} | {target} | {} | {} | {} | {seconds:.2} s | {:.2} s | {} s | {} | {} |",
			reached.start,
			target - reached.start.number(),
			mib(bytes as f64),
			seconds + bytes as f64 / LINK_BYTES_PER_S,
			search.as_secs(),
			mib(delta + full * f64::from(snapshots) / versions),
			mib(delta + full * f64::from(snapshots.min(KEPT as u32)) / versions)
		);
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_cli::catch_up::Start;

	const COUNT: u32 = 20;

	fn small() -> Architecture {
		Architecture {
			d_model: 16,
			layers: 1,
			heads: 2,
			context: 16,
			experts: 2,
			d_ff: 32,
			..demo::ARCHITECTURE
		}
	}

	fn history(folder: &Path) -> History {
		History::make(folder, small(), COUNT, [by_length(5), by_bytes(None)]).unwrap()
	}

	/// Bytes of the deltas that lead from one version to another.
	fn deltas(history: &History, from: u32, to: u32) -> u64 {
		history.delta_bytes[from as usize..to as usize].iter().sum()
	}

	#[test]
	fn newcomer_takes_the_snapshot_that_either_rule_has_published_and_the_deltas_behind_it() {
		let place = tempfile::tempdir().unwrap();
		let history = history(place.path());
		assert!(count_of(&history, DeltaKind::Chunks) > 0);
		assert!(count_of(&history, DeltaKind::LowRank) > 0);
		for publisher in &history.publishers {
			let (target, offered) = publisher.worst(COUNT);
			let Arrival { reached, bytes, search } = history.reach(target, offered).unwrap();
			let [start] = offered else { panic!("{offered:?} is not one version") };
			assert_eq!(reached.start, Start::Published(*start));
			assert!(reached.tried.is_empty(), "{:?}", reached.tried);
			assert_eq!(bytes, history.full_bytes + deltas(&history, *start, target));
			// All versions are asked for at once.
			assert_eq!(search, PROBE_PATIENCE + PROBE_GRACE);

			let replayed = history.reach(target, &[]).unwrap();
			assert_eq!(replayed.reached.start, Start::First);
			assert_eq!(replayed.bytes, deltas(&history, 0, target));
			assert_eq!(replayed.search, PROBE_PATIENCE);
			assert_eq!(replayed.reached.found, reached.found);
		}
	}

	#[test]
	fn snapshots_are_as_far_apart_as_the_rules_say_and_old_ones_are_gone() {
		let place = tempfile::tempdir().unwrap();
		let history = history(place.path());
		let [by_length, by_bytes] = &history.publishers[..] else { panic!("there are two rules") };
		assert_eq!(by_length.kept, [15, 20]);
		let [older, newer] = by_bytes.kept[..] else { panic!("{:?} were kept", by_bytes.kept) };
		assert!(deltas(&history, older, newer) >= history.full_bytes);
		assert!(deltas(&history, older, newer - 1) < history.full_bytes);

		let kept: BTreeSet<u32> = [15, 20, older, newer].into();
		assert!(history.published.keys().eq(&kept));
		let files: BTreeSet<PathBuf> =
			fs::read_dir(history.tiles()).unwrap().map(|entry| entry.unwrap().path()).collect();
		let roots = history.published.values().flatten();
		let expected: BTreeSet<PathBuf> =
			roots.map(|root| tile_path(&history.tiles(), root)).collect();
		assert_eq!(files, expected);
	}

	#[test]
	fn snapshot_that_was_changed_is_refused_and_everything_is_replayed() {
		let place = tempfile::tempdir().unwrap();
		let history = history(place.path());
		let (target, offered) = history.publishers[0].worst(COUNT);
		let path = tile_path(&history.tiles(), &history.published[&offered[0]][0]);
		let mut bytes = fs::read(&path).unwrap();
		*bytes.last_mut().unwrap() ^= 1;
		fs::write(&path, bytes).unwrap();
		let Arrival { reached, .. } = history.reach(target, offered).unwrap();
		assert_eq!((reached.start, reached.tried.len()), (Start::First, 1));
		assert_eq!(list_root(reached.found.roots()), Ok(history.versions[19].heads_root));
	}

	#[test]
	fn delta_that_was_changed_leads_nowhere_unless_a_snapshot_lies_behind_it() {
		let place = tempfile::tempdir().unwrap();
		let history = history(place.path());
		let path = history.piece(&history.rounds[2][0].update.delta_cids[0]);
		let mut bytes = fs::read(&path).unwrap();
		bytes[0] ^= 1;
		fs::write(&path, bytes).unwrap();
		let error = history.reach(COUNT, &[]).unwrap_err().to_string();
		assert!(error.contains("no way leads to version 20: the first weights"), "{error}");
		assert!(error.contains("one of them has another hash"), "{error}");
		let Arrival { reached, .. } = history.reach(COUNT, &[15]).unwrap();
		assert_eq!(reached.start, Start::Published(15));
	}
}
