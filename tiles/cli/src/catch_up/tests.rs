//! Ways through a history that is made up, whose weights are real.

use super::*;
use crate::worker::training::tests::{architecture, base};
use proptest::{collection::btree_set, prelude::*};
use std::{
	collections::BTreeSet,
	sync::{Mutex, PoisonError},
};

/// The weights of version `number`: each moves every weight by one more.
fn weights(number: u32) -> Weights {
	let by = number as i32;
	let increments: Vec<Vec<i32>> =
		base().components().iter().map(|weights| vec![by; weights.len()]).collect();
	base().moved(&increments).unwrap()
}

/// A history, and who has what of it.
struct World {
	versions: Vec<Version>,
	/// The oldest version that the chain keeps.
	oldest: u32,
	here: BTreeSet<u32>,
	published: BTreeSet<u32>,
	/// Rounds whose deltas can be had, by the version that they made.
	deltas: BTreeSet<u32>,
	/// Versions whose published files are those of another version.
	wrong: BTreeSet<u32>,
	/// Published versions that come so slowly that the time for them ends before.
	slow: BTreeSet<u32>,
	begun: Instant,
	passed: Mutex<Duration>,
	/// What was asked for, in order.
	log: Mutex<Vec<String>>,
}

impl World {
	/// `count` versions after the first, all of whose deltas can be had.
	fn new(count: u32) -> Self {
		let version = |number: u32| Version {
			number,
			heads_root: list_root(&weights(number).roots()).unwrap(),
			round: number.checked_sub(1),
		};
		Self {
			versions: (0..=count).map(version).collect(),
			oldest: 0,
			here: BTreeSet::new(),
			published: BTreeSet::new(),
			deltas: (1..=count).collect(),
			wrong: BTreeSet::new(),
			slow: BTreeSet::new(),
			begun: Instant::now(),
			passed: Mutex::default(),
			log: Mutex::default(),
		}
	}

	fn target(&self) -> u32 {
		self.versions.len() as u32 - 1
	}

	fn note(&self, what: String) {
		self.log.lock().unwrap_or_else(PoisonError::into_inner).push(what);
	}

	fn log(&self) -> Vec<String> {
		self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
	}

	fn passed(&self) -> Duration {
		*self.passed.lock().unwrap_or_else(PoisonError::into_inner)
	}

	async fn reach(&self, costs: Costs) -> Result<Reached, Trouble> {
		catch_up(self, self.target(), costs).await
	}
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
	#[error(transparent)]
	Obstacle(#[from] Obstacle),
	#[error("gone")]
	Gone,
	#[error("slow")]
	Slow,
	#[error("stopped")]
	Stopped,
}

impl Sources for World {
	type Error = Trouble;

	async fn version(&self, number: u32) -> Result<Option<Version>, Trouble> {
		Ok(self.versions.get(number as usize).copied().filter(|_| number >= self.oldest))
	}

	fn here(&self) -> Result<Vec<u32>, Trouble> {
		Ok(self.here.iter().copied().collect())
	}

	async fn load(&self, version: &Version) -> Result<Option<Found>, Trouble> {
		self.note(format!("load {}", version.number));
		let number = version.number;
		Ok((!self.wrong.contains(&number)).then(|| Found::new(weights(number))))
	}

	async fn offered(&self, versions: RangeInclusive<u32>) -> Result<Vec<u32>, Trouble> {
		self.note(format!("ask {} to {}", versions.start(), versions.end()));
		Ok(self.published.iter().copied().filter(|number| versions.contains(number)).collect())
	}

	async fn fetch(&self, version: &Version, within: Duration) -> Result<Found, Trouble> {
		self.note(format!("fetch {}", version.number));
		if self.slow.contains(&version.number) {
			*self.passed.lock().unwrap_or_else(PoisonError::into_inner) += within;
			return Err(Trouble::Slow);
		}
		let is_wrong = self.wrong.contains(&version.number);
		Ok(Found::new(weights(version.number + u32::from(is_wrong))))
	}

	async fn first(&self, _: &Version) -> Result<Found, Trouble> {
		self.note(String::from("first"));
		Ok(Found::new(weights(0)))
	}

	async fn replay(&self, version: &Version, parent: &Weights) -> Result<Found, Trouble> {
		self.note(format!("replay {}", version.number));
		if !self.deltas.contains(&version.number) {
			return Err(Trouble::Gone);
		}
		// What comes out follows from the parent, as in a merge.
		let by: Vec<Vec<i32>> =
			parent.components().iter().map(|weights| vec![1; weights.len()]).collect();
		Ok(Found::new(parent.moved(&by).unwrap()))
	}

	fn is_final(error: &Trouble) -> bool {
		matches!(error, Trouble::Stopped)
	}

	fn now(&self) -> Instant {
		self.begun + self.passed()
	}
}

/// A published version costs as much as the deltas of about eight rounds.
fn costs() -> Costs {
	Costs { full_bytes: 1_024, delta_bytes: 112 }
}

#[tokio::test]
async fn nearest_version_on_disk_is_taken_and_nobody_is_asked() {
	let world = World { here: BTreeSet::from([1, 4]), ..World::new(6) };
	let reached = world.reach(costs()).await.unwrap();
	assert_eq!(reached.start, Start::Here(4));
	assert_eq!(reached.found.weights(), &weights(6));
	assert_eq!(world.log(), ["load 4", "replay 5", "replay 6"]);
	assert!(reached.tried.is_empty());
}

#[tokio::test]
async fn short_history_is_replayed_and_a_long_one_is_not() {
	let world = World { published: BTreeSet::from([3]), ..World::new(3) };
	assert_eq!(world.reach(costs()).await.unwrap().start, Start::First);
	assert_eq!(world.log(), ["first", "replay 1", "replay 2", "replay 3"]);

	let world = World { published: BTreeSet::from([8, 16]), ..World::new(20) };
	assert_eq!(world.reach(costs()).await.unwrap().start, Start::Published(16));
	let expected = ["ask 1 to 20", "fetch 16", "replay 17", "replay 18", "replay 19", "replay 20"];
	assert_eq!(world.log(), expected);
}

#[tokio::test]
async fn wrong_roots_are_refused_and_the_next_way_is_taken() {
	let mut world = World { published: BTreeSet::from([16, 19]), ..World::new(20) };
	world.wrong = BTreeSet::from([19]);
	let reached = world.reach(costs()).await.unwrap();
	assert_eq!(reached.start, Start::Published(16));
	assert_eq!(reached.found.weights(), &weights(20));
	let expected =
		"published version 19: what was found is not version 19: its root is not the one \
	                on chain";
	assert_eq!(reached.tried, [expected]);
}

#[tokio::test]
async fn damaged_version_on_disk_is_passed_over() {
	let mut world = World { here: BTreeSet::from([2, 4]), ..World::new(4) };
	world.wrong = BTreeSet::from([4]);
	let reached = world.reach(costs()).await.unwrap();
	assert_eq!(reached.start, Start::Here(2));
	assert_eq!(world.log(), ["load 4", "load 2", "replay 3", "replay 4"]);
}

#[tokio::test]
async fn ways_that_need_deltas_which_are_gone_are_not_tried_twice() {
	let mut world = World { here: BTreeSet::from([1]), ..World::new(6) };
	world.published = BTreeSet::from([2, 5]);
	world.deltas.remove(&4);
	let reached = world.reach(costs()).await.unwrap();
	assert_eq!(reached.start, Start::Published(5));
	// Neither the first weights nor version 2 can get beyond version 3.
	let expected =
		["load 1", "replay 2", "replay 3", "replay 4", "ask 4 to 6", "fetch 5", "replay 6"];
	assert_eq!(world.log(), expected);
}

/// What was asked for and fetched, in order.
fn searched(world: &World) -> Vec<String> {
	let is_search = |what: &String| what.starts_with("ask") || what.starts_with("fetch");
	world.log().into_iter().filter(is_search).collect()
}

#[tokio::test]
async fn older_version_is_found_behind_many_that_do_not_come() {
	let mut world = World { slow: (69..=100).collect(), ..World::new(100) };
	world.published = world.slow.iter().copied().chain([20]).collect();
	// Nobody gets there without a published version.
	world.deltas.remove(&10);
	let reached = world.reach(costs()).await.unwrap();
	assert_eq!(reached.start, Start::Published(20));
	assert_eq!(reached.found.weights(), &weights(100));
	let expected =
		["ask 69 to 100", "fetch 100", "fetch 99", "ask 37 to 68", "ask 5 to 36", "fetch 20"];
	assert_eq!(searched(&world), expected);
	assert_eq!(world.passed(), time_for(costs().full_bytes));
}

#[tokio::test]
async fn versions_that_do_not_come_share_one_time_and_the_search_ends() {
	let mut world = World { slow: (1..=130).collect(), ..World::new(130) };
	world.published = world.slow.clone();
	world.deltas.remove(&1);
	let error = world.reach(costs()).await.unwrap_err().to_string();
	assert!(error.contains("no time is left for them"), "{error}");
	let expected = [
		["ask 99 to 130", "fetch 130", "fetch 129"],
		["ask 67 to 98", "fetch 98", "fetch 97"],
		["ask 35 to 66", "fetch 66", "fetch 65"],
		["ask 3 to 34", "fetch 34", "fetch 33"],
	];
	let expected: Vec<&str> = expected.into_iter().flatten().collect();
	assert_eq!(searched(&world), expected);
	assert_eq!(world.passed(), time_for(costs().full_bytes) * WHOLE_FETCHES);
}

#[tokio::test]
async fn what_was_put_off_is_fetched_when_nobody_has_anything_older() {
	let mut world = World { published: BTreeSet::from([38, 39, 40]), ..World::new(40) };
	world.wrong = BTreeSet::from([39, 40]);
	let reached = world.reach(costs()).await.unwrap();
	assert_eq!(reached.start, Start::Published(38));
	let expected = ["ask 9 to 40", "fetch 40", "fetch 39", "ask 1 to 8", "fetch 38"];
	assert_eq!(searched(&world), expected);
}

#[tokio::test]
async fn others_are_not_asked_for_versions_that_cost_more_than_what_is_here() {
	let mut world = World { published: BTreeSet::from([39, 40]), ..World::new(40) };
	world.wrong = world.published.clone();
	// It costs less than any version up to 8 of others.
	world.here = BTreeSet::from([4]);
	let reached = world.reach(costs()).await.unwrap();
	assert_eq!(reached.start, Start::Here(4));
	assert_eq!(searched(&world), ["ask 9 to 40", "fetch 40", "fetch 39"]);
}

#[test]
fn every_fetch_has_an_equal_part_of_the_time() {
	let mib = 1 << 20;
	assert_eq!(time_for(10 * mib), PATIENCE + Duration::from_secs(80));
	assert_eq!(Search::new(5, 10 * mib).left / MAX_FETCHES, Duration::from_secs(70));
	assert!(time_for(u64::MAX).saturating_mul(WHOLE_FETCHES) > time_for(mib));
}

#[tokio::test]
async fn newcomer_after_the_oldest_versions_were_forgotten_needs_a_published_one() {
	let mut world = World { oldest: 5, ..World::new(9) };
	let error = world.reach(costs()).await.unwrap_err().to_string();
	assert!(error.starts_with("no way leads to version 9: the first weights:"), "{error}");
	assert!(error.contains("does not keep version 0 any more"), "{error}");
	world.published = BTreeSet::from([6]);
	assert_eq!(world.reach(costs()).await.unwrap().start, Start::Published(6));
}

#[tokio::test]
async fn whoever_is_asked_to_stop_tries_nothing_else() {
	struct Stopped(World);
	impl Sources for Stopped {
		type Error = Trouble;
		async fn version(&self, number: u32) -> Result<Option<Version>, Trouble> {
			self.0.version(number).await
		}
		fn here(&self) -> Result<Vec<u32>, Trouble> {
			self.0.here()
		}
		async fn load(&self, _: &Version) -> Result<Option<Found>, Trouble> {
			Err(Trouble::Stopped)
		}
		async fn offered(&self, versions: RangeInclusive<u32>) -> Result<Vec<u32>, Trouble> {
			self.0.offered(versions).await
		}
		async fn fetch(&self, version: &Version, within: Duration) -> Result<Found, Trouble> {
			self.0.fetch(version, within).await
		}
		async fn first(&self, version: &Version) -> Result<Found, Trouble> {
			self.0.first(version).await
		}
		async fn replay(&self, version: &Version, parent: &Weights) -> Result<Found, Trouble> {
			self.0.replay(version, parent).await
		}
		fn is_final(error: &Trouble) -> bool {
			World::is_final(error)
		}
	}
	let world = Stopped(World { here: BTreeSet::from([1]), ..World::new(2) });
	let error = catch_up(&world, 2, costs()).await.unwrap_err();
	assert!(matches!(error, Trouble::Stopped));
	assert!(world.0.log().is_empty());
}

#[test]
fn costs_follow_from_the_architecture() {
	let costs = Costs::new(&architecture(), 2);
	let full: u64 = architecture().components().iter().map(|component| component.bytes).sum();
	assert_eq!(costs, Costs { full_bytes: full, delta_bytes: full / 16 * 2 });
	assert_eq!(costs.of(Start::Here(7), 7), 0);
	assert_eq!(costs.of(Start::Published(7), 7), full);
	assert!(costs.of(Start::Here(6), 7) < costs.of(Start::Here(5), 7));
	let most = Costs { full_bytes: u64::MAX, delta_bytes: u64::MAX };
	assert_eq!(most.of(Start::First, u32::MAX), u64::MAX);
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(32))]

	/// Whatever is missing: the target is reached if and only if some whole version has all deltas
	/// behind it, and what is reached is the target.
	#[test]
	fn target_is_reached_if_there_is_a_way(
		here in btree_set(0u32..=8, 0..4),
		published in btree_set(1u32..=8, 0..4),
		wrong in btree_set(0u32..=8, 0..4),
		gone in btree_set(1u32..=8, 0..4),
		oldest in 0u32..=8,
	) {
		let mut world = World { here, published, wrong, oldest, ..World::new(8) };
		for number in gone {
			world.deltas.remove(&number);
		}
		let is_whole = |number: u32| {
			let has_files = world.here.contains(&number) || world.published.contains(&number);
			number >= oldest && (number == 0 || (has_files && !world.wrong.contains(&number)))
		};
		let leads = |start: u32| (start + 1..=8).all(|number| world.deltas.contains(&number));
		let is_reachable = (0..=8).any(|start| is_whole(start) && leads(start));
		let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
		match runtime.block_on(world.reach(costs())) {
			Ok(reached) => {
				prop_assert!(is_reachable);
				prop_assert_eq!(reached.found.weights(), &weights(8));
			}
			Err(_) => prop_assert!(!is_reachable),
		}
		let asked = world.log().iter().filter(|what| what.starts_with("ask")).count();
		prop_assert!(asked <= 1);
	}
}
