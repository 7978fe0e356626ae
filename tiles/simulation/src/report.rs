//! What came of all steps, and what other ways to send the same would have cost.

use super::{
	cuts::cuts,
	draws::Draws,
	network::{assumptions, jitter},
	owners::Owners,
	samples::{Samples, SAMPLE_LEARNERS, SAMPLE_PLACES},
	step::{run, LeafTimes, Outcome, Traffic, World, ENVELOPE_BYTES},
	times::Times,
	Assumption, Error, Sample, Setup, Share, MAX_LOSSES,
};
use serde::Serialize;

/// Nanoseconds in a microsecond.
const MICROSECOND: u64 = 1_000;
/// Bytes of a weight that is not compressed.
const FLOAT_BYTES: u64 = 4;
/// Goals are for a network of so many learners.
const GOAL_LEARNERS: u32 = 100;
/// What a step may take in wide-area bytes: our goal, and what the seed asks for.
const MAX_WAN_BYTES: u64 = 5_000_000;
const SEED_WAN_BYTES: u64 = 50_000_000;
/// What a message may take within a region, at p95, in microseconds.
const MAX_REGIONAL_US: u64 = 20_000;
/// Numbers of learners for which wide-area traffic is compared, besides the one that is simulated.
const SCALES: [u32; 5] = [100, 300, 1_000, 3_000, 10_000];

/// Ways to send updates, as [`Scale`] has them.
pub(super) const SCHEMES: [&str; 3] = [
	"compressed, through regional aggregators",
	"compressed, straight to the primaries",
	"f32, all to one",
];

/// Everything that a simulation tells. Bytes are exact. Microseconds are too large by less than a
/// thousandth, or too small by less than one. Whoever prints them rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
	/// What was simulated.
	pub setup: Setup,
	/// Weights of the model.
	pub weights: u64,
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
	/// How merged components come back to all learners, first without losses.
	pub broadcasts: Vec<Broadcast>,
	/// The mean step beside other ways to send the same.
	pub schemes: Vec<Scheme>,
	/// Wide-area bytes of a step for other numbers of learners.
	pub scaling: Vec<Scale>,
	/// What is asked of a network of 100 learners, beside what came out without losses. Nothing
	/// with another number of learners.
	pub goals: Vec<Goal>,
	/// Distributions behind [`Report::latencies`], for a plot.
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
	/// Bytes that crossed the border of a region, with merges in their wire form.
	pub wan_bytes: u64,
	/// The same for each learner.
	pub wan_bytes_per_learner: u64,
	/// The same of all, with merges as they are hashed.
	pub wan_bytes_as_hashed: u64,
	/// Bytes that stayed in a region.
	pub in_region_bytes: u64,
	/// Wide-area bytes of sending the merged result to all regions, which is apart.
	pub broadcast_wan_bytes: u64,
	/// The same with merges as they are hashed.
	pub broadcast_wan_bytes_as_hashed: u64,
	/// Bytes of handing that to every learner, within regions; apart as well.
	pub broadcast_in_region_bytes: u64,
	/// When the last component was merged, from the beginning of the step.
	pub merged_us: u64,
	/// When the last learner had all merged components, from the beginning of the step.
	pub returned_us: u64,
}

/// How long messages took. Nothing if there were none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
	/// From where to where.
	pub way: &'static str,
	/// The part of aggregators that is gone.
	pub lost: String,
	/// How many messages, batches or updates.
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
	/// Components whose merge another than their primary made, in all steps.
	pub components_taken_over: u64,
	/// Components that lack somebody's update in the end, in all steps.
	pub components_lost: u64,
	/// Wide-area bytes of the mean step, with what was lost.
	pub wan_bytes: u64,
	/// The same with merges as they are hashed.
	pub wan_bytes_as_hashed: u64,
	/// Bytes that were sent once more, in the mean step.
	pub resent_bytes: u64,
	/// By when half of the updates were with their primaries.
	pub p50_us: Option<u64>,
	/// The same for 95 of 100.
	pub p95_us: Option<u64>,
	/// By how much that is later than without losses.
	pub extra_p95_us: Option<u64>,
}

/// How merged components come back to all learners when a part of the aggregators is gone. A step
/// in which a component is lost has no times: nobody has all of them then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broadcast {
	/// The part that is gone.
	pub lost: String,
	/// Wide-area bytes of the mean step's way back.
	pub wan_bytes: u64,
	/// The same with merges as they are hashed.
	pub wan_bytes_as_hashed: u64,
	/// Its bytes that stayed in a region.
	pub in_region_bytes: u64,
	/// How long after the last merge half of the learners had all merged components.
	pub p50_us: Option<u64>,
	/// The same for 95 of 100.
	pub p95_us: Option<u64>,
	/// The same for the last.
	pub max_us: Option<u64>,
	/// How long after they began half of the learners had all merged components: the step's whole
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

/// Something that is asked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Goal {
	/// What is meant.
	pub goal: &'static str,
	/// What it may take.
	pub asked: String,
	/// What it took: bytes of the dearest step, or p95 of a time.
	pub simulated: String,
	/// p95 of bytes by the bandwidth of the learner's uplink alone: those of the message, or, from
	/// when the update is ready, with all that leave before it. Nothing can be there sooner.
	pub uplink_alone: Option<String>,
	/// Whether it is met.
	pub verdict: &'static str,
}

/// A distribution of latencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve {
	/// What they are.
	pub name: String,
	/// What 0, 1 and so on up to 100 of 100 took at most, in nanoseconds.
	pub percentiles: Vec<u64>,
}

/// What came of the steps with one share of losses.
#[derive(Debug, Default)]
struct Scenario {
	share: Share,
	traffic: Traffic,
	broadcast: Traffic,
	leaves: LeafTimes,
	to_aggregator: Times,
	to_primary: Times,
	end_to_end: Times,
	to_learner: Times,
	there_and_back: Times,
	taken_over: u64,
	lost: u64,
}

impl Scenario {
	fn add(&mut self, outcome: Outcome, owners: &Owners, learners: u32) {
		self.traffic.add(&outcome.traffic);
		self.broadcast.add(&outcome.broadcast);
		self.leaves.add_all(&outcome.leaves);
		self.to_aggregator.extend(outcome.to_aggregator);
		self.to_primary.extend(outcome.to_primary);
		self.end_to_end.extend(outcome.end_to_end);
		self.to_learner.extend(outcome.to_learner);
		self.there_and_back.extend(outcome.there_and_back);
		for ((component, primary), merged) in (0..).zip(&outcome.primaries).zip(&outcome.merged) {
			let first = owners.owners(component).first();
			self.taken_over += u64::from(primary.is_some() && primary.as_ref() != first);
			self.lost += u64::from(*merged < learners);
		}
	}
}

/// Simulates the steps of a setup without losses and then with each of `losses`.
pub fn simulate(setup: &Setup, losses: &[Share]) -> Result<Report, Error> {
	setup.check()?;
	if losses.len() > MAX_LOSSES {
		return Err(Error::Losses { found: losses.len() });
	}
	let samples = Samples::draw(setup, SAMPLE_PLACES, SAMPLE_LEARNERS)?;
	let world = World::new(*setup, &samples)?;
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
	// The first is the one without losses.
	let whole = &scenarios[0];
	let alone = leaf_alone(&world)?;
	let goals = if setup.learners == GOAL_LEARNERS {
		goals(&steps, &alone, &whole.leaves, &whole.to_aggregator)
	} else {
		Vec::new()
	};
	Ok(Report {
		setup: *setup,
		weights: setup.weights(),
		assumptions: assumptions(setup),
		samples: samples.rows.clone(),
		latencies: latencies(&alone, &scenarios),
		losses: scenarios.iter().map(|scenario| loss(&world, scenario, whole)).collect(),
		broadcasts: scenarios.iter().map(|scenario| broadcast(setup, scenario, whole)).collect(),
		schemes: schemes(&world, &whole.traffic, &direct),
		scaling: scaling(&world)?,
		goals,
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
		wan_bytes_as_hashed: traffic.wan_hashed,
		in_region_bytes: traffic.regional,
		broadcast_wan_bytes: broadcast.wan,
		broadcast_wan_bytes_as_hashed: broadcast.wan_hashed,
		broadcast_in_region_bytes: broadcast.regional,
		merged_us: outcome.merged_at / MICROSECOND,
		returned_us: outcome.returned_at / MICROSECOND,
	}
}

/// What a step costs if learners send their compressed updates to the primaries themselves.
fn straight(world: &World<'_>, owners: &Owners) -> Traffic {
	let network = &world.network;
	// The same messages as to regional aggregators.
	let bytes: u64 = world.cuts.iter().map(|cut| world.message_bytes(cut, 0)).sum();
	let mut traffic = Traffic::default();
	for component in 0..owners.components() {
		let Some(primary) = owners.owners(component).first() else { continue };
		let near = network.learners_in[usize::from(network.region_of(*primary))];
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
fn scaling(world: &World<'_>) -> Result<Vec<Scale>, Error> {
	let all = world.setup.learners;
	let mut counts: Vec<u32> = SCALES.into_iter().filter(|count| *count < all).collect();
	counts.push(all);
	let scale = |learners: u32| -> Result<Scale, Error> {
		let setup = Setup { learners, ..world.setup };
		let world = World::new(setup, world.samples)?;
		let owners = Owners::of_step(&setup, &world.network, 0);
		let nobody = vec![false; world.network.weights.len()];
		Ok(Scale {
			learners,
			regional_wan_bytes: run(&world, &owners, 0, &nobody).traffic.wan,
			direct_wan_bytes: straight(&world, &owners).wan,
			plain_wan_bytes: plain(&world).wan,
		})
	};
	counts.into_iter().map(scale).collect()
}

/// One leaf alone, with all links idle.
struct LeafAlone {
	/// How long it takes from each learner to each aggregator of its region.
	times: Times,
	/// How long of that it is on the uplink.
	on_uplink: Times,
}

fn leaf_alone(world: &World<'_>) -> Result<LeafAlone, Error> {
	let network = &world.network;
	let draws = Draws::new(world.setup.seed, "leaves alone");
	let cuts = cuts(&Setup { message_leaves: 1, ..world.setup })?;
	let mut alone = LeafAlone { times: Times::default(), on_uplink: Times::default() };
	for (learner, node) in network.learners() {
		let mut draws = draws.stream(u64::from(learner));
		let first = node.region * world.setup.aggregators;
		for aggregator in first..first + world.setup.aggregators {
			let to = network.aggregator_node(aggregator);
			// A component has at least one leaf.
			let cut = &cuts[draws.below(cuts.len() as u64) as usize];
			let bytes = world.message_bytes(cut, draws.bits());
			let on_links = node.up_ns(bytes) + network.node(to).down_ns(bytes);
			alone.times.add(on_links + network.delay(learner, to) + jitter(&mut draws));
			alone.on_uplink.add(node.up_ns(bytes));
		}
	}
	Ok(alone)
}

/// The name of a way, and how long it took.
type Way<'a> = (&'static str, &'a Times);

/// What [`leaf_alone`] is called.
const LEAF_ALONE: &str = "one leaf, idle links, in the region";
/// What messages from learners are called, in their region unless all aggregators are gone there.
pub(super) const LEAF_FROM_UPLINK: &str = "a leaf message, from its first byte on the uplink";
pub(super) const LEAF_FROM_READY: &str = "a leaf message, from when the update is ready";
/// What all messages of a learner to an aggregator are called.
const BATCH: &str = "a batch (all leaves for an aggregator), from when the update is ready";
/// What all of a learner's update is called, and all communication of a step.
pub(super) const UPDATE: &str = "whole update to all primaries";
pub(super) const STEP: &str = "whole step, there and back";

/// The latencies of a scenario.
fn ways(scenario: &Scenario) -> [Way<'_>; 7] {
	[
		(LEAF_FROM_UPLINK, &scenario.leaves.from_uplink),
		(LEAF_FROM_READY, &scenario.leaves.from_ready),
		(BATCH, &scenario.to_aggregator),
		("regional aggregator to primary", &scenario.to_primary),
		(UPDATE, &scenario.end_to_end),
		("merged components back to a learner", &scenario.to_learner),
		(STEP, &scenario.there_and_back),
	]
}

fn latencies(alone: &LeafAlone, scenarios: &[Scenario]) -> Vec<Latency> {
	let mut rows = vec![latency(LEAF_ALONE, Share::NONE, &alone.times)];
	for scenario in scenarios {
		let rows_of = ways(scenario).map(|(way, times)| latency(way, scenario.share, times));
		rows.extend(rows_of);
	}
	rows
}

fn latency(way: &'static str, share: Share, times: &Times) -> Latency {
	Latency {
		way,
		lost: share.to_string(),
		count: times.count(),
		p50_us: quantile(times, 50),
		p95_us: quantile(times, 95),
		max_us: quantile(times, 100),
	}
}

/// What `percent` of 100 are at most, in microseconds.
fn quantile(times: &Times, percent: u64) -> Option<u64> {
	times.quantile(percent).map(|nanoseconds| nanoseconds / MICROSECOND)
}

/// What is asked for, beside what came out. There are steps, and each has messages.
fn goals(steps: &[StepRow], alone: &LeafAlone, leaves: &LeafTimes, batches: &Times) -> Vec<Goal> {
	let most = |bytes: fn(&StepRow) -> u64| steps.iter().map(bytes).max().unwrap_or(0);
	let sent = most(|step| step.wan_bytes + step.broadcast_wan_bytes);
	let hashed = most(|step| step.wan_bytes_as_hashed + step.broadcast_wan_bytes_as_hashed);
	let as_sent = "WAN bytes of a step, there and back, merges in their wire form";
	let as_hashed = "the same, merges as they are hashed, which is all that nodes know today";
	vec![
		bytes_goal(as_sent, MAX_WAN_BYTES, sent),
		bytes_goal(as_hashed, MAX_WAN_BYTES, hashed),
		bytes_goal("the seed's goal for the wire form", SEED_WAN_BYTES, sent),
		bytes_goal("the seed's goal as they are hashed", SEED_WAN_BYTES, hashed),
		time_goal(LEAF_ALONE, &alone.times, &alone.on_uplink),
		time_goal(LEAF_FROM_UPLINK, &leaves.from_uplink, &leaves.on_uplink),
		time_goal(LEAF_FROM_READY, &leaves.from_ready, &leaves.off_uplink),
		time_goal(BATCH, batches, &leaves.batch_off_uplink),
	]
}

fn verdict(is_met: bool) -> &'static str {
	if is_met {
		"met"
	} else {
		"missed"
	}
}

fn bytes_goal(goal: &'static str, most: u64, found: u64) -> Goal {
	Goal {
		goal,
		asked: format!("at most {} MB", most / 1_000_000),
		simulated: format!("{found} bytes"),
		uplink_alone: None,
		verdict: verdict(found <= most),
	}
}

fn time_goal(goal: &'static str, times: &Times, on_uplink: &Times) -> Goal {
	let found = quantile(times, 95);
	Goal {
		goal,
		asked: format!("p95 below {} ms", MAX_REGIONAL_US / 1_000),
		simulated: milliseconds(found),
		uplink_alone: Some(milliseconds(quantile(on_uplink, 95))),
		verdict: verdict(found.is_some_and(|found| found < MAX_REGIONAL_US)),
	}
}

/// Microseconds as milliseconds with two decimals, rounded down.
fn milliseconds(microseconds: Option<u64>) -> String {
	microseconds.map_or(String::from("nothing was sent"), |microseconds| {
		format!("{}.{:02} ms", microseconds / 1_000, microseconds % 1_000 / 10)
	})
}

fn loss(world: &World<'_>, scenario: &Scenario, whole: &Scenario) -> Loss {
	let steps = u64::from(world.setup.steps);
	let p95_us = quantile(&scenario.end_to_end, 95);
	let usual = quantile(&whole.end_to_end, 95);
	Loss {
		lost: scenario.share.to_string(),
		aggregators_lost: scenario.share.of(world.network.weights.len()),
		components_taken_over: scenario.taken_over,
		components_lost: scenario.lost,
		wan_bytes: scenario.traffic.wan / steps,
		wan_bytes_as_hashed: scenario.traffic.wan_hashed / steps,
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
		wan_bytes_as_hashed: broadcast.wan_hashed / steps,
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
/// There is no curve of nothing.
fn curves(alone: &LeafAlone, scenarios: &[Scenario]) -> Vec<Curve> {
	let curve = |name: String, times: &Times| {
		let percentiles: Option<Vec<u64>> = (0..=100).map(|part| times.quantile(part)).collect();
		percentiles.map(|percentiles| Curve { name, percentiles })
	};
	let mut curves = vec![curve(String::from(LEAF_ALONE), &alone.times)];
	for scenario in scenarios {
		if scenario.share == Share::NONE {
			let ways = ways(scenario);
			curves.extend(ways.map(|(way, times)| curve(String::from(way), times)));
		} else {
			let name = format!("whole step, {} lost", scenario.share);
			curves.push(curve(name, &scenario.there_and_back));
		}
	}
	curves.into_iter().flatten().collect()
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
		assert_eq!((none.components_taken_over, none.components_lost), (0, 0));
		assert_eq!(none.aggregators_lost, 0);
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
		assert_eq!((few.components_lost, half.components_lost), (0, 0));
		assert!(half.components_taken_over > 0);
		assert!(half.components_taken_over >= few.components_taken_over);
		assert!(half.resent_bytes > 0);
		assert_eq!(all.components_lost, 2 * 12);
		assert_eq!((all.components_taken_over, all.p50_us, all.extra_p95_us), (0, None, None));
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
		// The budget is used, and each component crosses three borders each way.
		let merge = report.samples.last().unwrap();
		assert!(merge.leaf_bytes > 15 * u64::from(setup.merged_bytes_per_chunk), "{merge:?}");
		let leaves = 6 * u64::from(setup.components) * u64::from(setup.leaves);
		assert!(4 * both_ways > 3 * leaves * merge.sent_bytes, "{step:?} {merge:?}");
		// As they are hashed, they are more.
		let hashed = step.wan_bytes_as_hashed + step.broadcast_wan_bytes_as_hashed;
		let verdicts: Vec<&str> = report.goals.iter().map(|goal| goal.verdict).collect();
		assert_eq!(verdicts[..4], ["met", "missed", "met", "met"], "{hashed}");
		assert_eq!(report.goals[0].simulated, format!("{both_ways} bytes"));
		assert_eq!(report.goals[1].simulated, format!("{hashed} bytes"));
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
			// A merge of each component from each region at most.
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
	fn goals_are_met_up_to_what_is_asked() {
		let verdict = |found| bytes_goal("", 5_000_000, found).verdict;
		assert_eq!([verdict(5_000_000), verdict(5_000_001)], ["met", "missed"]);
		let goal = |nanoseconds: u64| {
			let mut times = Times::default();
			times.add(nanoseconds);
			time_goal("", &times, &times)
		};
		assert_eq!(goal(19_999_999).verdict, "met");
		assert_eq!(goal(19_999_999).simulated, "19.99 ms");
		assert_eq!(goal(20_000_000).verdict, "missed");
		let nothing = time_goal("", &Times::default(), &Times::default());
		assert_eq!((nothing.verdict, nothing.simulated.as_str()), ("missed", "nothing was sent"));
	}

	#[test]
	fn goals_are_for_a_hundred_learners_only() {
		let goals = |learners| {
			let setup = Setup { learners, components: 2, leaves: 1, steps: 1, ..small() };
			simulate(&setup, &[]).unwrap().goals.len()
		};
		assert_eq!([99, 100, 101].map(goals), [0, 8, 0]);
	}

	#[test]
	fn goals_say_how_long_a_message_waits_for_its_turn() {
		let report = simulate(&Setup { learners: 100, ..small() }, &[]).unwrap();
		let milliseconds = |text: &str| -> f64 {
			text.strip_suffix(" ms").and_then(|number| number.parse().ok()).unwrap()
		};
		let times: Vec<(f64, f64)> = report.goals[4..]
			.iter()
			.map(|goal| {
				let uplink = goal.uplink_alone.as_deref().map(milliseconds);
				(milliseconds(&goal.simulated), uplink.unwrap())
			})
			.collect();
		let [alone, from_uplink, from_ready, batch] = times[..] else { panic!("{times:?}") };
		for (simulated, uplink) in [alone, from_uplink, from_ready, batch] {
			assert!(uplink < simulated, "{times:?}");
		}
		// Others wait in the same queue, and a message for those of its own update before it.
		assert!(from_uplink.0 <= from_ready.0 && from_uplink.1 < from_ready.1, "{times:?}");
	}

	#[test]
	fn larger_loss_includes_the_smaller_one() {
		let setup = small();
		let samples = Samples::draw(&setup, 1, 1).unwrap();
		let world = World::new(setup, &samples).unwrap();
		let few = dead(&world, 0, share("0.2"));
		let many = dead(&world, 0, share("0.6"));
		assert_eq!(few.iter().filter(|dead| **dead).count(), 4);
		assert_eq!(many.iter().filter(|dead| **dead).count(), 10);
		assert!(few.iter().zip(&many).all(|(few, many)| !few || *many));
	}
}
