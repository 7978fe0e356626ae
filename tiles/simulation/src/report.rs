//! What came of all steps, and what other ways to send the same would have cost.

use super::{
	draws::Draws,
	network::{assumptions, jitter, Network},
	owners::Owners,
	samples::{Samples, SAMPLE_LEARNERS, SAMPLE_PLACES},
	step::{run, Outcome, Traffic, World, ENVELOPE_BYTES},
	Assumption, Error, Sample, Setup, Share, MAX_LOSSES,
};
use serde::Serialize;

/// Nanoseconds in a microsecond.
const MICROSECOND: u64 = 1_000;
/// Bytes of a weight that is not compressed.
const FLOAT_BYTES: u64 = 4;
/// Numbers of learners for which wide-area traffic is compared, besides the one that is simulated.
const SCALES: [u32; 5] = [100, 300, 1_000, 3_000, 10_000];

/// Ways to send updates, as [`Scale`] has them.
pub(super) const SCHEMES: [&str; 3] = [
	"compressed, through regional aggregators",
	"compressed, straight to the primaries",
	"f32, all to one",
];

/// Everything that a simulation tells. Bytes and microseconds are exact; whoever prints them
/// rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
	/// What was simulated.
	pub setup: Setup,
	/// Weights of the model.
	pub weights: u64,
	/// Tiles of the model.
	pub tiles: u16,
	/// The distributions that the network was drawn from.
	pub assumptions: Vec<Assumption>,
	/// What the encoder made of sample leaves.
	pub samples: Vec<Sample>,
	/// Each step without losses.
	pub steps: Vec<StepRow>,
	/// How long messages took.
	pub latencies: Vec<Latency>,
	/// What losing aggregators costs, first without losses.
	pub losses: Vec<Loss>,
	/// How merged tiles come back to all learners, first without losses.
	pub broadcasts: Vec<Broadcast>,
	/// The mean step beside other ways to send the same.
	pub schemes: Vec<Scheme>,
	/// Wide-area bytes of a step for other numbers of learners.
	pub scaling: Vec<Scale>,
	/// All latencies behind [`Report::latencies`], for a plot.
	#[serde(skip)]
	pub curves: Vec<Curve>,
}

/// A step without losses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepRow {
	/// Its number, from 1 on.
	pub step: u32,
	/// Messages.
	pub messages: u64,
	/// Bytes that crossed the border of a region.
	pub wan_bytes: u64,
	/// The same for each learner.
	pub wan_bytes_per_learner: u64,
	/// Bytes that stayed in a region.
	pub in_region_bytes: u64,
	/// Wide-area bytes of sending the merged result to all regions, which is apart.
	pub broadcast_wan_bytes: u64,
	/// Bytes of handing that to every learner, within regions; apart as well.
	pub broadcast_in_region_bytes: u64,
	/// When the last tile was merged, from the beginning of the step.
	pub merged_us: u64,
	/// When the last learner had all merged tiles, from the beginning of the step.
	pub returned_us: u64,
}

/// How long messages took. Nothing if there were none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
	/// From where to where.
	pub way: &'static str,
	/// The part of aggregators that is gone.
	pub lost: String,
	/// How many messages, or updates.
	pub count: u64,
	/// Half of them took at most this.
	pub p50_us: Option<u64>,
	/// 95 of 100 took at most this.
	pub p95_us: Option<u64>,
	/// All took at most this.
	pub max_us: Option<u64>,
}

/// What losing a part of the aggregators costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
	/// The part that is gone.
	pub lost: String,
	/// How many that are in each step.
	pub aggregators_lost: usize,
	/// Tiles whose merge another than their primary made, in all steps.
	pub tiles_taken_over: u64,
	/// Tiles that lack somebody's update in the end, in all steps.
	pub tiles_lost: u64,
	/// Wide-area bytes of the mean step, with what was lost.
	pub wan_bytes: u64,
	/// Bytes that were sent once more, in the mean step.
	pub resent_bytes: u64,
	/// By when half of the updates were with their primaries.
	pub p50_us: Option<u64>,
	/// The same for 95 of 100.
	pub p95_us: Option<u64>,
	/// By how much that is later than without losses.
	pub extra_p95_us: Option<u64>,
}

/// How merged tiles come back to all learners when a part of the aggregators is gone. A step in
/// which a tile is lost has no times: nobody has all tiles then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broadcast {
	/// The part that is gone.
	pub lost: String,
	/// Wide-area bytes of the mean step's way back.
	pub wan_bytes: u64,
	/// Its bytes that stayed in a region.
	pub in_region_bytes: u64,
	/// How long after the last merge half of the learners had all merged tiles.
	pub p50_us: Option<u64>,
	/// The same for 95 of 100.
	pub p95_us: Option<u64>,
	/// The same for the last.
	pub max_us: Option<u64>,
	/// How long after they began half of the learners had all merged tiles: the step's whole
	/// communication, there and back.
	pub step_p50_us: Option<u64>,
	/// The same for 95 of 100.
	pub step_p95_us: Option<u64>,
	/// The same for the last.
	pub step_max_us: Option<u64>,
	/// By how much the step's p95 is later than without losses.
	pub extra_step_p95_us: Option<u64>,
}

/// A way to send updates, in the mean step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scheme {
	/// What it is.
	pub scheme: &'static str,
	/// Bytes that cross the border of a region.
	pub wan_bytes: u64,
	/// The same for each learner.
	pub wan_bytes_per_learner: u64,
	/// Bytes that stay in a region.
	pub in_region_bytes: u64,
}

/// Wide-area bytes of the first step for a number of learners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Scale {
	/// How many learners.
	pub learners: u32,
	/// With regional aggregators.
	pub regional_wan_bytes: u64,
	/// Compressed, but straight to the primaries.
	pub direct_wan_bytes: u64,
	/// As f32, all to one.
	pub plain_wan_bytes: u64,
}

/// Latencies of one kind, ascending, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
	/// What they are.
	pub name: String,
	/// The latencies.
	pub nanoseconds: Vec<u64>,
}

/// What came of the steps with one share of losses.
#[derive(Debug, Default)]
struct Scenario {
	share: Share,
	traffic: Traffic,
	broadcast: Traffic,
	to_aggregator: Vec<u64>,
	to_primary: Vec<u64>,
	end_to_end: Vec<u64>,
	to_learner: Vec<u64>,
	there_and_back: Vec<u64>,
	taken_over: u64,
	lost: u64,
}

impl Scenario {
	fn add(&mut self, outcome: Outcome, owners: &Owners, learners: u32) {
		self.traffic.add(&outcome.traffic);
		self.broadcast.add(&outcome.broadcast);
		self.to_aggregator.extend(outcome.to_aggregator);
		self.to_primary.extend(outcome.to_primary);
		self.end_to_end.extend(outcome.end_to_end);
		self.to_learner.extend(outcome.to_learner);
		self.there_and_back.extend(outcome.there_and_back);
		for ((tile, primary), merged) in (0..).zip(&outcome.primaries).zip(&outcome.merged) {
			let first = owners.owners(tile).first();
			self.taken_over += u64::from(primary.is_some() && primary.as_ref() != first);
			self.lost += u64::from(*merged < learners);
		}
	}

	fn sort(&mut self) {
		self.to_aggregator.sort_unstable();
		self.to_primary.sort_unstable();
		self.end_to_end.sort_unstable();
		self.to_learner.sort_unstable();
		self.there_and_back.sort_unstable();
	}
}

/// Simulates the steps of a setup without losses and then with each of `losses`.
pub fn simulate(setup: &Setup, losses: &[Share]) -> Result<Report, Error> {
	setup.check()?;
	if losses.len() > MAX_LOSSES {
		return Err(Error::Losses { found: losses.len() });
	}
	let samples = Samples::draw(setup, SAMPLE_PLACES, SAMPLE_LEARNERS)?;
	let world = World { setup: *setup, network: Network::draw(setup), samples: &samples };
	let mut scenarios = vec![Scenario::default()];
	let lossy = losses.iter().filter(|share| **share != Share::NONE);
	scenarios.extend(lossy.map(|share| Scenario { share: *share, ..Scenario::default() }));
	let mut steps = Vec::new();
	let mut direct = Traffic::default();
	for step in 0..setup.steps {
		let owners = Owners::of_step(setup, &world.network, step);
		for scenario in &mut scenarios {
			let dead = dead(&world, step, scenario.share);
			let outcome = run(&world, &owners, step, &dead);
			if scenario.share == Share::NONE {
				steps.push(step_row(setup, step, &outcome));
			}
			scenario.add(outcome, &owners, setup.learners);
		}
		direct.add(&straight(&world, &owners));
	}
	scenarios.iter_mut().for_each(Scenario::sort);
	// The first is the one without losses.
	let whole = &scenarios[0];
	let alone = leaf_alone(&world);
	Ok(Report {
		setup: *setup,
		weights: setup.weights(),
		tiles: Owners::of_step(setup, &world.network, 0).tiles(),
		assumptions: assumptions(setup),
		samples: samples.rows.clone(),
		latencies: latencies(&alone, &scenarios),
		losses: scenarios.iter().map(|scenario| loss(&world, scenario, whole)).collect(),
		broadcasts: scenarios.iter().map(|scenario| broadcast(setup, scenario, whole)).collect(),
		schemes: schemes(&world, &whole.traffic, &direct),
		scaling: scaling(&world),
		curves: curves(&alone, &scenarios),
		steps,
	})
}

/// Which aggregators are gone in a step: more for a larger share, and never fewer of the same.
fn dead(world: &World<'_>, step: u32, share: Share) -> Vec<bool> {
	let count = world.network.weights.len();
	let mut draws = Draws::new(world.setup.seed, &format!("losses of step {step}"));
	let mut shuffled: Vec<usize> = (0..count).collect();
	for end in (1..count).rev() {
		// At most `end`.
		shuffled.swap(end, draws.below(end as u64 + 1) as usize);
	}
	let mut dead = vec![false; count];
	for place in shuffled.into_iter().take(share.of(count)) {
		dead[place] = true;
	}
	dead
}

fn step_row(setup: &Setup, step: u32, outcome: &Outcome) -> StepRow {
	let Outcome { traffic, broadcast, .. } = outcome;
	StepRow {
		step: step + 1,
		messages: traffic.messages,
		wan_bytes: traffic.wan,
		wan_bytes_per_learner: traffic.wan / u64::from(setup.learners),
		in_region_bytes: traffic.regional,
		broadcast_wan_bytes: broadcast.wan,
		broadcast_in_region_bytes: broadcast.regional,
		merged_us: outcome.merged_at / MICROSECOND,
		returned_us: outcome.returned_at / MICROSECOND,
	}
}

/// What a step costs if learners send their compressed updates to the primaries themselves.
fn straight(world: &World<'_>, owners: &Owners) -> Traffic {
	let network = &world.network;
	// For each aggregator the leaves that it is the primary of.
	let mut leaves = vec![0u64; network.weights.len()];
	for tile in 0..owners.tiles() {
		if let Some(primary) = owners.owners(tile).first() {
			leaves[usize::from(*primary)] += owners.leaves(tile);
		}
	}
	let mut traffic = Traffic::default();
	for (aggregator, leaves) in (0..).zip(leaves).filter(|(_, leaves)| *leaves > 0) {
		let bytes = ENVELOPE_BYTES + world.samples.update_bytes(0, leaves);
		let near = network.learners_in[usize::from(network.region_of(aggregator))];
		traffic.regional += bytes * u64::from(near);
		traffic.wan += bytes * u64::from(world.setup.learners - near);
	}
	traffic
}

/// What a step costs if every learner sends all weights as f32 to one place, in the region of most
/// of them.
fn plain(world: &World<'_>) -> Traffic {
	let bytes = ENVELOPE_BYTES + world.setup.weights() * FLOAT_BYTES;
	let near = world.network.learners_in.iter().copied().max().unwrap_or(0);
	let wan = bytes * u64::from(world.setup.learners - near);
	Traffic { wan, regional: bytes * u64::from(near), ..Traffic::default() }
}

fn schemes(world: &World<'_>, whole: &Traffic, direct: &Traffic) -> Vec<Scheme> {
	let Setup { learners, steps, .. } = world.setup;
	let row = |scheme, traffic: &Traffic, steps: u32| {
		let wan_bytes = traffic.wan / u64::from(steps);
		Scheme {
			scheme,
			wan_bytes,
			wan_bytes_per_learner: wan_bytes / u64::from(learners),
			in_region_bytes: traffic.regional / u64::from(steps),
		}
	};
	let [through, straight, to_one] = SCHEMES;
	vec![row(through, whole, steps), row(straight, direct, steps), row(to_one, &plain(world), 1)]
}

/// Wide-area bytes of the first step for other numbers of learners.
fn scaling(world: &World<'_>) -> Vec<Scale> {
	let all = world.setup.learners;
	let mut counts: Vec<u32> = SCALES.into_iter().filter(|count| *count < all).collect();
	counts.push(all);
	let scale = |learners: u32| {
		let setup = Setup { learners, ..world.setup };
		let world = World { setup, network: Network::draw(&setup), samples: world.samples };
		let owners = Owners::of_step(&setup, &world.network, 0);
		let nobody = vec![false; world.network.weights.len()];
		Scale {
			learners,
			regional_wan_bytes: run(&world, &owners, 0, &nobody).traffic.wan,
			direct_wan_bytes: straight(&world, &owners).wan,
			plain_wan_bytes: plain(&world).wan,
		}
	};
	counts.into_iter().map(scale).collect()
}

/// How long one leaf takes alone, with all links idle: from each learner to each aggregator of its
/// region. Ascending, in nanoseconds.
fn leaf_alone(world: &World<'_>) -> Vec<u64> {
	let network = &world.network;
	let draws = Draws::new(world.setup.seed, "leaves alone");
	let mut latencies = Vec::new();
	for (learner, node) in network.learners() {
		let mut draws = draws.stream(u64::from(learner));
		let first = node.region * world.setup.aggregators;
		for aggregator in first..first + world.setup.aggregators {
			let to = network.aggregator_node(aggregator);
			let bytes = ENVELOPE_BYTES + world.samples.update_bytes(draws.bits(), 1);
			let on_links = node.up_ns(bytes) + network.node(to).down_ns(bytes);
			latencies.push(on_links + network.delay(learner, to) + jitter(&mut draws));
		}
	}
	latencies.sort_unstable();
	latencies
}

/// The name of a way, and its latencies.
type Way<'a> = (&'static str, &'a [u64]);

/// The latencies of a scenario.
fn ways(scenario: &Scenario) -> [Way<'_>; 5] {
	[
		("learner to regional aggregator", scenario.to_aggregator.as_slice()),
		("regional aggregator to primary", scenario.to_primary.as_slice()),
		("whole update to all primaries", scenario.end_to_end.as_slice()),
		("merged tiles back to a learner", scenario.to_learner.as_slice()),
		("whole step, there and back", scenario.there_and_back.as_slice()),
	]
}

/// What [`leaf_alone`] is called.
const LEAF_ALONE: &str = "one leaf, idle links, in the region";

fn latencies(alone: &[u64], scenarios: &[Scenario]) -> Vec<Latency> {
	let mut rows = vec![latency(LEAF_ALONE, Share::NONE, alone)];
	for scenario in scenarios {
		let rows_of = ways(scenario).map(|(way, sorted)| latency(way, scenario.share, sorted));
		rows.extend(rows_of);
	}
	rows
}

fn latency(way: &'static str, share: Share, sorted: &[u64]) -> Latency {
	Latency {
		way,
		lost: share.to_string(),
		count: sorted.len() as u64,
		p50_us: quantile(sorted, 50),
		p95_us: quantile(sorted, 95),
		max_us: quantile(sorted, 100),
	}
}

/// What `percent` of 100 are at most, in microseconds.
fn quantile(sorted: &[u64], percent: usize) -> Option<u64> {
	let rank = (sorted.len() * percent).div_ceil(100).max(1);
	sorted.get(rank - 1).map(|nanoseconds| nanoseconds / MICROSECOND)
}

fn loss(world: &World<'_>, scenario: &Scenario, whole: &Scenario) -> Loss {
	let steps = u64::from(world.setup.steps);
	let p95_us = quantile(&scenario.end_to_end, 95);
	let usual = quantile(&whole.end_to_end, 95);
	Loss {
		lost: scenario.share.to_string(),
		aggregators_lost: scenario.share.of(world.network.weights.len()),
		tiles_taken_over: scenario.taken_over,
		tiles_lost: scenario.lost,
		wan_bytes: scenario.traffic.wan / steps,
		resent_bytes: scenario.traffic.resent / steps,
		p50_us: quantile(&scenario.end_to_end, 50),
		p95_us,
		// A merge that another makes may even be nearer: then nothing is extra.
		extra_p95_us: p95_us.zip(usual).map(|(lossy, usual)| lossy.saturating_sub(usual)),
	}
}

fn broadcast(setup: &Setup, scenario: &Scenario, whole: &Scenario) -> Broadcast {
	let steps = u64::from(setup.steps);
	let Scenario { share, broadcast, to_learner, there_and_back, .. } = scenario;
	let step_p95_us = quantile(there_and_back, 95);
	let usual = quantile(&whole.there_and_back, 95);
	Broadcast {
		lost: share.to_string(),
		wan_bytes: broadcast.wan / steps,
		in_region_bytes: broadcast.regional / steps,
		p50_us: quantile(to_learner, 50),
		p95_us: quantile(to_learner, 95),
		max_us: quantile(to_learner, 100),
		step_p50_us: quantile(there_and_back, 50),
		step_p95_us,
		step_max_us: quantile(there_and_back, 100),
		extra_step_p95_us: step_p95_us.zip(usual).map(|(lossy, usual)| lossy.saturating_sub(usual)),
	}
}

/// What a plot shows: one leaf alone, the ways without losses, and whole steps with each of them.
fn curves(alone: &[u64], scenarios: &[Scenario]) -> Vec<Curve> {
	let curve = |name: String, sorted: &[u64]| Curve { name, nanoseconds: sorted.to_vec() };
	let mut curves = vec![curve(String::from(LEAF_ALONE), alone)];
	for scenario in scenarios {
		if scenario.share == Share::NONE {
			let ways = ways(scenario);
			curves.extend(ways.map(|(way, sorted)| curve(String::from(way), sorted)));
		} else {
			let name = format!("whole step, {} lost", scenario.share);
			curves.push(curve(name, &scenario.there_and_back));
		}
	}
	curves.retain(|curve| !curve.nanoseconds.is_empty());
	curves
}

#[cfg(test)]
mod tests {
	use super::*;

	/// Quick: few learners and a small model.
	fn small() -> Setup {
		Setup { learners: 40, components: 12, leaves: 2, steps: 2, ..Setup::DEFAULT }
	}

	fn share(text: &str) -> Share {
		text.parse().unwrap()
	}

	#[test]
	fn same_seed_gives_the_same_report_and_another_one_does_not() {
		let report = |seed| simulate(&Setup { seed, ..small() }, &[share("0.2")]).unwrap();
		assert_eq!(report(1), report(1));
		assert_ne!(report(1).steps, report(2).steps);
	}

	#[test]
	fn losing_nobody_is_the_baseline() {
		let baseline = simulate(&small(), &[]).unwrap();
		assert_eq!(simulate(&small(), &[Share::NONE]).unwrap(), baseline);
		let lossy = simulate(&small(), &[share("0.2")]).unwrap();
		assert_eq!(lossy.losses[0], baseline.losses[0]);
		assert_eq!(lossy.steps, baseline.steps);
		assert_eq!(lossy.schemes, baseline.schemes);
		let none = &baseline.losses[0];
		assert_eq!((none.aggregators_lost, none.tiles_taken_over, none.tiles_lost), (0, 0, 0));
		assert_eq!((none.resent_bytes, none.extra_p95_us), (0, Some(0)));
		assert_eq!(lossy.broadcasts[0], baseline.broadcasts[0]);
		assert_eq!(baseline.broadcasts[0].extra_step_p95_us, Some(0));
	}

	#[test]
	fn step_is_over_when_the_last_learner_has_all_merges() {
		let report = simulate(&small(), &[share("0.3")]).unwrap();
		assert_eq!(report.broadcasts.len(), 2);
		let (whole, lossy) = (&report.broadcasts[0], &report.broadcasts[1]);
		for times in [whole, lossy] {
			assert!([times.p50_us, times.p95_us, times.max_us].is_sorted());
			assert!([times.step_p50_us, times.step_p95_us, times.step_max_us].is_sorted());
			assert!(times.step_max_us > times.max_us && times.max_us > Some(0));
		}
		assert!(lossy.step_max_us > whole.step_max_us);
		let latest = report.steps.iter().map(|step| step.returned_us).max();
		assert!(latest >= whole.step_max_us);
		for step in &report.steps {
			assert!(step.returned_us > step.merged_us);
			assert!(step.broadcast_in_region_bytes > step.broadcast_wan_bytes);
		}
		let mean = report.steps.iter().map(|step| step.broadcast_wan_bytes).sum::<u64>() / 2;
		assert_eq!(whole.wan_bytes, mean);
		let row = report.latencies.iter().find(|row| row.way.starts_with("whole step"));
		assert_eq!(row.and_then(|row| row.p95_us), whole.step_p95_us);
		// A learner is counted in each step.
		assert_eq!(row.map(|row| row.count), Some(2 * 40));
	}

	#[test]
	fn losses_are_taken_over_until_nobody_is_left() {
		let shares = [share("0.1"), share("0.5"), share("1")];
		let report = simulate(&small(), &shares).unwrap();
		let [_, few, half, all] = report.losses.as_slice() else { panic!("{:?}", report.losses) };
		assert_eq!((few.aggregators_lost, half.aggregators_lost), (2, 8));
		assert_eq!((few.tiles_lost, half.tiles_lost), (0, 0));
		assert!(half.tiles_taken_over > 0 && half.tiles_taken_over >= few.tiles_taken_over);
		assert!(half.resent_bytes > 0);
		assert_eq!(all.tiles_lost, 2 * 12);
		assert_eq!((all.tiles_taken_over, all.p50_us, all.extra_p95_us), (0, None, None));
		let back = &report.broadcasts[3];
		assert_eq!((back.wan_bytes, back.max_us, back.extra_step_p95_us), (0, None, None));
		// Of what is lost whole there is no curve.
		assert!(report.curves.iter().all(|curve| !curve.name.contains("100.0 %")));
	}

	#[test]
	fn step_of_the_default_takes_at_most_five_megabytes_there_and_back() {
		let setup = Setup { steps: 1, ..Setup::DEFAULT };
		let report = simulate(&setup, &[]).unwrap();
		let [step] = report.steps.as_slice() else { panic!("{:?}", report.steps) };
		let both_ways = step.wan_bytes + step.broadcast_wan_bytes;
		assert!(both_ways <= 5_000_000, "{step:?}");
		// The budget is used, and each tile crosses three borders each way.
		let merge = report.samples.last().unwrap();
		assert!(merge.leaf_bytes > 15 * u64::from(setup.merged_bytes_per_chunk), "{merge:?}");
		let leaves = 6 * u64::from(setup.components) * u64::from(setup.leaves);
		assert!(4 * both_ways > 3 * leaves * merge.sent_bytes, "{step:?} {merge:?}");
	}

	#[test]
	fn plain_traffic_grows_with_learners_and_regional_traffic_hardly() {
		let scale = |learners| {
			let report = simulate(&Setup { learners, steps: 1, ..small() }, &[]).unwrap();
			*report.scaling.last().unwrap()
		};
		let scales = [1, 2, 10, 50, 250].map(scale);
		for pair in scales.windows(2) {
			assert!(pair[0].plain_wan_bytes <= pair[1].plain_wan_bytes);
		}
		let merge = 2 * (16 * u64::from(small().merged_bytes_per_chunk) + 4) + ENVELOPE_BYTES;
		for scale in &scales {
			// A merge of each tile from each region at most.
			assert!(scale.regional_wan_bytes <= 4 * 12 * merge, "{scale:?}");
		}
		let last = scales[4];
		assert!(last.plain_wan_bytes > 50 * last.direct_wan_bytes, "{last:?}");
		assert!(last.direct_wan_bytes > 10 * last.regional_wan_bytes, "{last:?}");
	}

	#[test]
	fn scaling_covers_the_numbers_below_and_the_one_asked_for() {
		let setup = Setup { learners: 500, components: 2, leaves: 1, steps: 1, ..small() };
		let report = simulate(&setup, &[]).unwrap();
		let learners: Vec<u32> = report.scaling.iter().map(|scale| scale.learners).collect();
		assert_eq!(learners, [100, 300, 500]);
		assert_eq!(report.scaling[2].regional_wan_bytes, report.steps[0].wan_bytes);
	}

	#[test]
	fn more_losses_are_refused_than_are_simulated() {
		let losses = [share("0.1"); MAX_LOSSES + 1];
		assert_eq!(simulate(&small(), &losses), Err(Error::Losses { found: 5 }));
		let none = Setup { learners: 0, ..small() };
		assert!(matches!(simulate(&none, &[]), Err(Error::Bounds { option: "learners", .. })));
	}

	#[test]
	fn quantiles_are_of_the_nearest_rank() {
		let sorted: Vec<u64> = (1..=100).map(|number| number * MICROSECOND).collect();
		let of = |percent| quantile(&sorted, percent);
		assert_eq!([of(50), of(95), of(100)], [Some(50), Some(95), Some(100)]);
		assert_eq!(quantile(&sorted[..1], 50), Some(1));
		assert_eq!(quantile(&[], 50), None);
	}

	#[test]
	fn larger_loss_includes_the_smaller_one() {
		let setup = small();
		let samples = Samples::draw(&setup, 1, 1).unwrap();
		let world = World { setup, network: Network::draw(&setup), samples: &samples };
		let few = dead(&world, 0, share("0.2"));
		let many = dead(&world, 0, share("0.6"));
		assert_eq!(few.iter().filter(|dead| **dead).count(), 4);
		assert_eq!(many.iter().filter(|dead| **dead).count(), 10);
		assert!(few.iter().zip(&many).all(|(few, many)| !few || *many));
	}
}
