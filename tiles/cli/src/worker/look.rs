//! From the chain at one block to the [`Situation`] that tasks follow from.
//!
//! The parts that decide something are pure; the rest asks for what they need. All of one situation
//! is read at one block.

use super::{
	error::Result,
	plan::{Account, AuditState, Own, RoundState, Seat, Situation, Stage},
	publish, renewal,
	residual::PROPOSED_FILE,
	state, Worker,
};
use crate::chain::{
	types::{AccountId, AuditPhase, Phase, RoundView, Standing, UpdateAudit, WorkerState, BLY},
	Parameter, View,
};
use blyan_primitives::{ownership, roles::Role};

/// Live rounds that are looked at, oldest first; the chain allows about as many.
pub const MAX_ROUNDS: usize = 64;
/// Audits that are looked at in one block.
pub const MAX_AUDITS: usize = 16;
/// Blocks between two looks at what changes slowly: parameters and rewards.
pub const SLOW_BLOCKS: u32 = 8;
/// Rewards below this are left until there are more: a claim costs a fee.
pub const LEAST_CLAIM: u128 = BLY / 100;

/// What changes slowly, so that it is not asked for in every block.
#[derive(Clone, Debug, Default)]
pub struct Slow {
	/// Block of the last look; none before the first.
	looked_at: Option<u32>,
	/// Blocks within which a heartbeat must come.
	heartbeat_interval: u64,
	/// Epochs with something to claim.
	claimable: Vec<u32>,
	/// Snapshots to publish.
	unpublished: Vec<(u32, u32)>,
	/// Blocks from one look at data that ends soon to the next; none if nothing is renewed.
	renewal_pause: Option<u32>,
	/// Block of the last such look; none before the first.
	renewed_at: Option<u32>,
	/// Whether the worker was seen leaving. Nobody registers it again then.
	has_left: bool,
}

impl Slow {
	/// Forgets that there was a look, so that the next one is fresh.
	pub fn expire(&mut self) {
		self.looked_at = None;
	}

	/// Notes that all was done at block `now` about data that ends soon.
	pub fn note_renewal(&mut self, now: u32) {
		self.renewed_at = Some(now);
	}

	/// Whether it is time to look for data that ends soon.
	fn is_renewal_due(&self, now: u32) -> bool {
		let is_fresh = |pause| self.renewed_at.is_some_and(|at| now >= at && now - at < pause);
		self.renewal_pause.is_some_and(|pause| !is_fresh(pause))
	}
}

/// Where a round stands, as far as tasks depend on it.
pub fn stage_of(phase: Phase, drawing: bool, disturbed: bool) -> Stage {
	match phase {
		_ if drawing || disturbed => Stage::Wait,
		Phase::Open => Stage::Open,
		Phase::Train => Stage::Train,
		Phase::Reveal => Stage::Reveal,
		Phase::Audit => Stage::Audit,
		Phase::Merge => Stage::Merge,
		Phase::Evaluate => Stage::Evaluate,
		Phase::Challenge | Phase::Final | Phase::Rejected | Phase::Abandoned => Stage::Wait,
	}
}

/// Turns of a merge that have begun `elapsed` blocks after the first one did.
fn turns_begun(elapsed: u32, turn: u32) -> usize {
	(elapsed / turn.max(1)) as usize + 1
}

/// The components that `me` may post in the block after `now`.
pub fn components_to_merge(
	view: &RoundView,
	aggregators: &[(Account, u64)],
	me: &Account,
	now: u32,
) -> Vec<u16> {
	let round = &view.round;
	let Some(seed) = round.seed else { return Vec::new() };
	let elapsed = now.saturating_add(1).saturating_sub(round.since);
	let turns = turns_begun(elapsed, round.limits.merge_turn).min(ownership::MAX_OWNERS);
	let is_mine = |component: u16| {
		let key = ownership::component_key(&seed, round.model, component);
		ownership::order(&key, aggregators)
			.into_iter()
			.take(turns)
			.any(|place| aggregators.get(place).is_some_and(|(account, _)| account == me))
	};
	let is_posted = |component: u16| view.posts.iter().any(|(posted, _, _)| *posted == component);
	view.needed
		.iter()
		.copied()
		.filter(|component| !is_posted(*component) && is_mine(*component))
		.collect()
}

/// The seat of `me` in the audit of an update, if it may still act.
pub fn verifier_seat(audit: &UpdateAudit, me: &Account) -> Option<Seat> {
	let acting = || audit.seats.iter().filter(|seat| seat.stage == audit.stage);
	let seat = acting().find(|seat| seat.verifier.0 == *me).filter(|_| audit.waiting)?;
	Some(Seat {
		committed: seat.commitment.is_some(),
		revealed: seat.verdict.is_some(),
		all_committed: acting().all(|seat| seat.commitment.is_some()),
	})
}

/// The seat of `me` among a round's evaluators.
pub fn evaluator_seat(view: &RoundView, me: &Account) -> Option<Seat> {
	let seat = view.evaluators.iter().find(|evaluator| evaluator.who.0 == *me)?;
	Some(Seat {
		committed: seat.commitment.is_some(),
		revealed: seat.losses.is_some(),
		all_committed: view.evaluators.iter().all(|evaluator| evaluator.commitment.is_some()),
	})
}

/// What became of the own update, from its standing.
fn own_of(standing: Standing) -> Own {
	match standing {
		Standing::Silent => Own::Silent,
		Standing::Committed => Own::Committed,
		Standing::Revealed
		| Standing::Accepted
		| Standing::Unverified
		| Standing::Unavailable
		| Standing::Refuted => Own::Revealed,
	}
}

/// Whether a heartbeat sent now is due when it arrives: half of the interval has passed.
fn is_heartbeat_due(now: u32, heartbeat_at: u32, interval: u64) -> bool {
	let silence = now.saturating_add(1).saturating_sub(heartbeat_at);
	u64::from(silence) >= interval / 2
}

/// Looks at everything that tasks follow from.
pub async fn look(worker: &Worker, view: &View, slow: &mut Slow) -> Result<Situation> {
	let now = view.number();
	let roles = worker.config.roles();
	look_slowly(worker, view, slow).await?;
	let mut live = view.live_rounds().await?;
	let all_live = live.clone();
	live.truncate(MAX_ROUNDS);
	let mut found = Vec::with_capacity(live.len());
	for id in live {
		// A round that ended between two questions is no round any more.
		let Some(round) = view.round(id).await? else { continue };
		if worker.config.serves(round.round.model) {
			found.push((id, round));
		}
	}
	let in_phase = |phase| found.iter().any(|(_, view)| view.round.phase == phase);
	let aggregates = roles.contains(Role::Aggregator) && in_phase(Phase::Merge);
	let aggregators: Vec<(Account, u64)> = match aggregates {
		true => view.active(Role::Aggregator).await?.into_iter().map(|(w, n)| (w.0, n)).collect(),
		false => Vec::new(),
	};
	let verifies = roles.contains(Role::Verifier) && in_phase(Phase::Audit);
	let duties = if verifies { view.tasks(AccountId(worker.me)).await? } else { Vec::new() };

	let mut rounds = Vec::with_capacity(found.len());
	for (id, round) in &found {
		let own = own_update(worker, view, *id, round).await?;
		let verdicts = verdicts(worker, view, *id, &duties).await?;
		rounds.push(RoundState {
			id: *id,
			stage: stage_of(round.round.phase, round.round.drawing, round.round.disturbed),
			since: round.round.since,
			deadline: round.round.deadline,
			has_room: (round.trainers.len() as u64) < u64::from(round.round.limits.max_trainers),
			own,
			verdicts,
			to_merge: components_to_merge(round, &aggregators, &worker.me, now),
			evaluator: evaluator_seat(round, &worker.me),
			// What the challenge did not undo stays.
			merge_is_final: round.round.phase == Phase::Evaluate,
			remembered: state::is_remembered(&worker.files, round.round.model, *id),
		});
	}
	let unsettled = worker.files.rounds_with(PROPOSED_FILE)?;
	let registered = view.worker(AccountId(worker.me)).await?;
	let state = registered.as_ref().map(|registered| registered.state);
	let is_leaving = matches!(state, Some(WorkerState::Unbonding { .. }));
	slow.has_left |= is_leaving;
	Ok(Situation {
		now,
		rounds,
		audits: audits(worker, view).await?,
		claimable: slow.claimable.clone(),
		unpublished: slow.unpublished.clone(),
		unsettled: unsettled.into_iter().filter(|round| !all_live.contains(round)).collect(),
		renewal_due: slow.is_renewal_due(now),
		heartbeat_due: !is_leaving
			&& registered.as_ref().is_some_and(|registered| {
				is_heartbeat_due(now, registered.heartbeat_at, slow.heartbeat_interval)
			}),
		unregistered: registered.is_none() && !slow.has_left,
	})
}

async fn look_slowly(worker: &Worker, view: &View, slow: &mut Slow) -> Result<()> {
	let now = view.number();
	let fresh = slow.looked_at.is_some_and(|at| now >= at && now - at < SLOW_BLOCKS);
	if fresh {
		return Ok(());
	}
	slow.heartbeat_interval = view.parameter(Parameter::HEARTBEAT_INTERVAL).await?;
	let claimable = view.claimable(AccountId(worker.me)).await?;
	slow.claimable = claimable
		.into_iter()
		.filter(|(_, amount)| *amount >= LEAST_CLAIM)
		.map(|(epoch, _)| epoch)
		.collect();
	// Bonds hang on everything else, and nothing on this.
	slow.unpublished = publish::due(worker, view).await.unwrap_or_else(|error| {
		tracing::warn!("it is not known which snapshots are to be published: {error}");
		Vec::new()
	});
	slow.renewal_pause = renewal::pause(worker, view).await?;
	slow.looked_at = Some(now);
	Ok(())
}

async fn own_update(worker: &Worker, view: &View, id: u32, round: &RoundView) -> Result<Own> {
	if !round.trainers.iter().any(|trainer| trainer.0 == worker.me) {
		return Ok(Own::Stranger);
	}
	match round.round.phase {
		Phase::Open => return Ok(Own::Silent),
		Phase::Train | Phase::Reveal => {}
		_ => return Ok(Own::Revealed),
	}
	let standings = view.standings(id).await?;
	let own = standings.into_iter().find(|(trainer, _)| trainer.0 == worker.me);
	Ok(own.map_or(Own::Silent, |(_, standing)| own_of(standing)))
}

async fn verdicts(
	worker: &Worker,
	view: &View,
	id: u32,
	duties: &[(u32, AccountId, u32)],
) -> Result<Vec<(Account, Seat)>> {
	// One entry for each segment; neighbours belong to the same update.
	let mut trainers: Vec<Account> =
		duties.iter().filter(|(round, _, _)| *round == id).map(|(_, who, _)| who.0).collect();
	trainers.dedup();
	let mut verdicts = Vec::with_capacity(trainers.len());
	for trainer in trainers {
		let update = view.update(id, AccountId(trainer)).await?;
		let audit = update.and_then(|update| update.audit);
		if let Some(seat) = audit.and_then(|audit| verifier_seat(&audit, &worker.me)) {
			verdicts.push((trainer, seat));
		}
	}
	Ok(verdicts)
}

async fn audits(worker: &Worker, view: &View) -> Result<Vec<AuditState>> {
	if !worker.config.roles().contains(Role::Auditor) {
		return Ok(Vec::new());
	}
	let mut open = view.open_audits(AccountId(worker.me)).await?;
	open.sort_unstable();
	open.truncate(MAX_AUDITS);
	let mut audits = Vec::with_capacity(open.len());
	for dataset in open {
		if let Some(audit) = view.dataset_audit(dataset).await? {
			audits.push(AuditState { dataset, reveals: audit.phase == AuditPhase::Reveal });
		}
	}
	Ok(audits)
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use crate::chain::types::{
		Evaluator, Limits, Losses, MixtureDataset, Round, Static, Verdict, VerifierSeat,
	};
	use blyan_engine::demo;
	use blyan_primitives::H256;

	/// A round of model 3 in its merge, which began in block 100.
	pub(crate) fn round_view() -> RoundView {
		let limits = Limits {
			min_updates: 1,
			max_trainers: 4,
			evaluators: 1,
			open: 10,
			train: 10,
			reveal: 10,
			audit: 10,
			merge_turn: 5,
			merge_turns: 3,
			challenge: 10,
			evaluate: 10,
		};
		let round = Round {
			model: 3,
			opener: AccountId([1; 32]),
			base_snapshot: 0,
			base_root: H256::zero(),
			architecture: Static(demo::ARCHITECTURE),
			recipe: Static(demo::RECIPE),
			limits,
			opened: 50,
			phase: Phase::Merge,
			since: 100,
			deadline: 115,
			drawing: false,
			widened: false,
			disturbed: false,
			seed: Some(H256([7; 32])),
			audit_seed: None,
			evaluation_seed: None,
		};
		let dataset = MixtureDataset {
			id: 0,
			owner: AccountId([2; 32]),
			records: 100,
			records_root: H256::zero(),
			weight: 1,
			held_out_seed: H256::zero(),
		};
		RoundView {
			round,
			datasets: vec![dataset],
			base_roots: Vec::new(),
			trainers: vec![AccountId([9; 32])],
			accepted: vec![(AccountId([9; 32]), 48)],
			needed: (0..20).collect(),
			posts: Vec::new(),
			evaluators: Vec::new(),
		}
	}

	#[test]
	fn draws_and_disturbed_merges_are_waited_for() {
		assert_eq!(stage_of(Phase::Open, false, false), Stage::Open);
		assert_eq!(stage_of(Phase::Open, true, false), Stage::Wait);
		assert_eq!(stage_of(Phase::Merge, false, true), Stage::Wait);
		assert_eq!(stage_of(Phase::Challenge, false, false), Stage::Wait);
		assert_eq!(stage_of(Phase::Evaluate, false, false), Stage::Evaluate);
	}

	#[test]
	fn every_component_has_exactly_one_owner_in_the_first_turn() {
		let aggregators = [([1; 32], 5), ([2; 32], 5), ([3; 32], 5)];
		let view = round_view();
		let mut all: Vec<u16> = aggregators
			.iter()
			.flat_map(|(me, _)| components_to_merge(&view, &aggregators, me, 100))
			.collect();
		all.sort_unstable();
		assert_eq!(all, view.needed);
		assert!(components_to_merge(&view, &aggregators, &[4; 32], 100).is_empty());
	}

	#[test]
	fn successors_may_merge_when_their_turn_has_come() {
		let aggregators = [([1; 32], 5), ([2; 32], 5), ([3; 32], 5)];
		let mut view = round_view();
		let count = |view: &RoundView, now| -> usize {
			let mine =
				|(me, _): &(Account, u64)| components_to_merge(view, &aggregators, me, now).len();
			aggregators.iter().map(mine).sum()
		};
		// What is sent at 103 arrives at 104, in the first turn; at 104, in the second.
		assert_eq!(count(&view, 103), 20);
		assert_eq!(count(&view, 104), 40);
		assert_eq!(count(&view, 109), 60);
		view.posts.push((4, H256::zero(), AccountId([1; 32])));
		assert_eq!(count(&view, 103), 19);
	}

	#[test]
	fn verifier_acts_in_its_own_draw_only_and_while_it_is_waited_for() {
		let seat = |who: u8, stage, committed: bool| VerifierSeat {
			verifier: AccountId([who; 32]),
			stage,
			commitment: committed.then_some(H256::zero()),
			verdict: None,
			earned: false,
		};
		let audit = UpdateAudit {
			segments: vec![0, 2],
			wanted: 1,
			seats: vec![seat(1, 1, false), seat(2, 2, true), seat(3, 2, true)],
			stage: 2,
			waiting: true,
		};
		assert_eq!(verifier_seat(&audit, &[1; 32]), None);
		let own = Seat { committed: true, revealed: false, all_committed: true };
		assert_eq!(verifier_seat(&audit, &[2; 32]), Some(own));
		let over = UpdateAudit { waiting: false, ..audit.clone() };
		assert_eq!(verifier_seat(&over, &[2; 32]), None);
		let mut revealed = audit;
		revealed.seats[1].verdict = Some(Verdict::Match);
		assert!(verifier_seat(&revealed, &[2; 32]).unwrap().revealed);
	}

	#[test]
	fn evaluator_finds_its_seat() {
		let mut view = round_view();
		let evaluator = |who: u8, committed: bool| Evaluator {
			who: AccountId([who; 32]),
			commitment: committed.then_some(H256::zero()),
			losses: None,
		};
		view.evaluators = vec![evaluator(1, true), evaluator(2, false)];
		let own = Seat { committed: true, revealed: false, all_committed: false };
		assert_eq!(evaluator_seat(&view, &[1; 32]), Some(own));
		assert_eq!(evaluator_seat(&view, &[3; 32]), None);
		view.evaluators[0].losses = Some(Losses { base: 2, candidate: 1 });
		assert!(evaluator_seat(&view, &[1; 32]).unwrap().revealed);
	}

	#[test]
	fn data_is_looked_at_first_and_after_each_pause() {
		let mut slow = Slow::default();
		assert!(!slow.is_renewal_due(100));
		slow.renewal_pause = Some(8);
		assert!(slow.is_renewal_due(100));
		slow.note_renewal(100);
		assert!(!slow.is_renewal_due(100) && !slow.is_renewal_due(107));
		assert!(slow.is_renewal_due(108));
		// Blocks were taken back.
		assert!(slow.is_renewal_due(99));
	}

	#[test]
	fn heartbeat_is_due_when_half_of_the_interval_has_passed_on_arrival() {
		assert!(!is_heartbeat_due(128, 100, 60));
		assert!(is_heartbeat_due(129, 100, 60));
		assert!(!is_heartbeat_due(100, 100, 60));
	}
}
