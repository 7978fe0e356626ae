//! What there is to do now, as a pure function of what the chain says and what is on disk.
//!
//! Nothing is remembered between two looks: whoever was killed finds the same tasks again, or fewer.
//! A task says what, not how; the modules of the roles know how. Tasks that were started, or failed a
//! moment ago, are kept apart by [`Board`].

use blyan_primitives::roles::{Role, Roles};
use std::collections::{HashMap, HashSet};

/// An account.
pub type Account = [u8; 32];

/// Blocks after which a task that failed is tried again: doubled with each failure.
const FIRST_RETRY_BLOCKS: u32 = 1;
/// The longest wait before another try, in blocks.
const LONGEST_RETRY_BLOCKS: u32 = 32;
/// Blocks before the end of a wait in which nothing is begun that can wait. What was sent before is
/// in a block by then, even if two are full.
const QUIET_BLOCKS: u32 = 4;

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
	/// Register once more: the block in which it had happened was taken back.
	Register,
	/// Tell the chain that the worker is there.
	Heartbeat,
	/// Reveal the update that was committed to.
	RevealUpdate {
		/// The round.
		round: u32,
	},
	/// Reveal the verdict that was committed to.
	RevealVerdict {
		/// The round.
		round: u32,
		/// Whose update it is about.
		trainer: Account,
	},
	/// Reveal the losses that were committed to.
	RevealEvaluation {
		/// The round.
		round: u32,
	},
	/// Reveal the report that was committed to.
	RevealReport {
		/// The dataset.
		dataset: u32,
	},
	/// Join a round as a trainer.
	Join {
		/// The round.
		round: u32,
	},
	/// Note what is merged in a round, while the chain still says it.
	Remember {
		/// The round.
		round: u32,
	},
	/// Take the residual of a round that is over on, or throw it away.
	Settle {
		/// The round.
		round: u32,
	},
	/// Claim what was earned in an epoch.
	Claim {
		/// The epoch.
		epoch: u32,
	},
	/// Merge components and post their roots.
	Merge {
		/// The round.
		round: u32,
	},
	/// Measure base and candidate, and commit to the losses.
	Evaluate {
		/// The round.
		round: u32,
	},
	/// Re-run a trainer's segments, and commit to a verdict.
	Verify {
		/// The round.
		round: u32,
		/// Whose update it is.
		trainer: Account,
	},
	/// Judge a dataset, and commit to a report.
	Audit {
		/// The dataset.
		dataset: u32,
	},
	/// Train, publish and commit to an update.
	Train {
		/// The round.
		round: u32,
	},
	/// Publish a snapshot for those who come later.
	Publish {
		/// The model.
		model: u32,
		/// Number of the snapshot.
		snapshot: u32,
	},
	/// Pay for data that ends soon.
	Renew,
}

impl Task {
	/// What the task is called in logs and events.
	pub fn name(&self) -> &'static str {
		match self {
			Self::Register => "register",
			Self::Heartbeat => "heartbeat",
			Self::RevealUpdate { .. } => "reveal_update",
			Self::RevealVerdict { .. } => "reveal_verdict",
			Self::RevealEvaluation { .. } => "reveal_evaluation",
			Self::RevealReport { .. } => "reveal_report",
			Self::Join { .. } => "join",
			Self::Remember { .. } => "remember",
			Self::Settle { .. } => "settle",
			Self::Claim { .. } => "claim",
			Self::Merge { .. } => "merge",
			Self::Evaluate { .. } => "evaluate",
			Self::Verify { .. } => "verify",
			Self::Audit { .. } => "audit",
			Self::Train { .. } => "train",
			Self::Publish { .. } => "publish",
			Self::Renew => "renew",
		}
	}

	/// The round that it belongs to, if it belongs to one.
	pub fn round(&self) -> Option<u32> {
		match self {
			Self::RevealUpdate { round }
			| Self::RevealVerdict { round, .. }
			| Self::RevealEvaluation { round }
			| Self::Join { round }
			| Self::Remember { round }
			| Self::Settle { round }
			| Self::Merge { round }
			| Self::Evaluate { round }
			| Self::Verify { round, .. }
			| Self::Train { round } => Some(*round),
			Self::Register
			| Self::Heartbeat
			| Self::RevealReport { .. }
			| Self::Claim { .. }
			| Self::Audit { .. }
			| Self::Publish { .. }
			| Self::Renew => None,
		}
	}

	/// Whether nobody is late if it is done some blocks later.
	fn can_wait(&self) -> bool {
		matches!(
			self,
			Self::Remember { .. }
				| Self::Settle { .. }
				| Self::Claim { .. }
				| Self::Publish { .. }
				| Self::Renew
		)
	}
}

/// Where a live round stands, as far as tasks depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
	/// Trainers may join.
	Open,
	/// Trainers train and commit.
	Train,
	/// Trainers reveal.
	Reveal,
	/// Verifiers commit and reveal.
	Audit,
	/// Owners post roots.
	Merge,
	/// Evaluators commit and reveal.
	Evaluate,
	/// Nothing can be done: the chain waits for a draw, for a window to pass, or to redo a merge.
	Wait,
}

/// What became of the own update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
	/// Not a trainer of the round.
	Stranger,
	/// A trainer who has committed to nothing yet.
	Silent,
	/// Committed, not revealed.
	Committed,
	/// Revealed, or too late for that.
	Revealed,
}

/// What somebody who commits and reveals has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
	/// Whether there is a commitment.
	pub committed: bool,
	/// Whether it was revealed.
	pub revealed: bool,
	/// Whether all whom the seat waits for have committed.
	pub all_committed: bool,
}

/// A live round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundState {
	/// Its number.
	pub id: u32,
	/// Where it stands.
	pub stage: Stage,
	/// Block in which the present wait began.
	pub since: u32,
	/// Block in which it ends at the latest.
	pub deadline: u32,
	/// Whether there is room for another trainer.
	pub has_room: bool,
	/// What became of the own update.
	pub own: Own,
	/// Verdicts that the account was drawn for: whose update, and the seat.
	pub verdicts: Vec<(Account, Seat)>,
	/// Components that the account may post now.
	pub to_merge: Vec<u16>,
	/// The own seat among the evaluators.
	pub evaluator: Option<Seat>,
	/// Whether what is merged cannot change any more.
	pub merge_is_final: bool,
	/// Whether what is merged has been noted on this disk.
	pub remembered: bool,
}

impl RoundState {
	/// Whether commitments are still taken in the block after `now`.
	fn takes_commitments(&self, now: u32) -> bool {
		now.saturating_add(1) < self.middle()
	}

	/// The block from which on nothing can be committed to, only revealed.
	pub fn middle(&self) -> u32 {
		self.since.saturating_add(self.deadline.saturating_sub(self.since) / 2)
	}

	/// Whether anything sent now still comes before the deadline.
	fn is_in_time(&self, now: u32) -> bool {
		now.saturating_add(1) < self.deadline
	}

	/// Whether the account has something to do in what is left of the round, as far as is known.
	fn is_awaited(&self) -> bool {
		let owes = |seat: &Seat| !seat.revealed;
		matches!(self.own, Own::Silent | Own::Committed)
			|| self.verdicts.iter().any(|(_, seat)| owes(seat))
			|| self.evaluator.as_ref().is_some_and(owes)
			|| !self.to_merge.is_empty()
	}

	/// Whether a time that matters to the account ends so soon that nothing is to be in its way.
	fn ends_soon(&self, now: u32) -> bool {
		let is_near = |block: u32| block > now && block - now <= QUIET_BLOCKS;
		self.is_awaited() && (is_near(self.middle()) || is_near(self.deadline))
	}
}

/// A dataset that the account was drawn to audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditState {
	/// The dataset.
	pub dataset: u32,
	/// Whether reports are revealed now, and not committed to.
	pub reveals: bool,
}

/// What the chain says, and what is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
	/// The best block.
	pub now: u32,
	/// Live rounds of models that the worker works for.
	pub rounds: Vec<RoundState>,
	/// Open audits with something to do.
	pub audits: Vec<AuditState>,
	/// Epochs with something to claim.
	pub claimable: Vec<u32>,
	/// Models of which a snapshot is to be published, and its number.
	pub unpublished: Vec<(u32, u32)>,
	/// Rounds that are over and whose update is not settled.
	pub unsettled: Vec<u32>,
	/// Whether it is time to look for data that ends soon, and to pay for it.
	pub renewal_due: bool,
	/// Whether a heartbeat is due.
	pub heartbeat_due: bool,
	/// Whether the chain does not know the worker, though it has not left.
	pub unregistered: bool,
}

/// What there is to do, most urgent first: what is quick comes before what takes long. If the disk
/// `is_full`, nothing new is taken on.
pub fn plan(situation: &Situation, roles: Roles, is_full: bool) -> Vec<Task> {
	let mut tasks = Vec::new();
	if situation.unregistered {
		tasks.push(Task::Register);
	}
	if situation.heartbeat_due {
		tasks.push(Task::Heartbeat);
	}
	tasks.extend(situation.unsettled.iter().map(|round| Task::Settle { round: *round }));
	tasks.extend(situation.claimable.iter().map(|epoch| Task::Claim { epoch: *epoch }));
	for round in &situation.rounds {
		plan_round(situation, round, roles, is_full, &mut tasks);
	}
	if !is_full {
		let unpublished = situation.unpublished.iter().copied();
		tasks.extend(unpublished.map(|(model, snapshot)| Task::Publish { model, snapshot }));
	}
	if roles.contains(Role::Auditor) {
		tasks.extend(situation.audits.iter().map(|audit| match (audit.dataset, audit.reveals) {
			(dataset, true) => Task::RevealReport { dataset },
			(dataset, false) => Task::Audit { dataset },
		}));
	}
	// One training at a time is what a machine can promise.
	let mut joins = false;
	tasks.retain(|task| !matches!(task, Task::Join { .. }) || !std::mem::replace(&mut joins, true));
	if situation.renewal_due && is_quiet(situation, &tasks) {
		tasks.push(Task::Renew);
	}
	tasks.sort();
	tasks
}

/// Whether nothing has to be sent now or in the next few blocks: what is sent in such a moment
/// keeps no transaction from its deadline.
fn is_quiet(situation: &Situation, tasks: &[Task]) -> bool {
	let now = situation.now;
	tasks.iter().all(Task::can_wait) && !situation.rounds.iter().any(|round| round.ends_soon(now))
}

fn plan_round(
	situation: &Situation,
	state: &RoundState,
	roles: Roles,
	is_full: bool,
	tasks: &mut Vec<Task>,
) {
	let (round, now) = (state.id, situation.now);
	if state.merge_is_final && !state.remembered && needs_weights(roles) {
		tasks.push(Task::Remember { round });
	}
	if !state.is_in_time(now) {
		return;
	}
	match state.stage {
		Stage::Open => {
			let joins = state.own == Own::Stranger && state.has_room && !is_full;
			let is_busy = situation.rounds.iter().any(|other| other.own == Own::Silent);
			if roles.contains(Role::Trainer) && joins && !is_busy {
				tasks.push(Task::Join { round });
			}
		}
		// Whoever joined trains, whatever roles are configured now.
		Stage::Train if state.own == Own::Silent => {
			// The residual of the round before must be settled first.
			if situation.unsettled.is_empty() {
				tasks.push(Task::Train { round });
			}
		}
		Stage::Reveal if state.own == Own::Committed => tasks.push(Task::RevealUpdate { round }),
		Stage::Audit => {
			for (trainer, seat) in &state.verdicts {
				let trainer = *trainer;
				if may_commit(state, seat, now) {
					tasks.push(Task::Verify { round, trainer });
				} else if may_reveal(state, seat, now) {
					tasks.push(Task::RevealVerdict { round, trainer });
				}
			}
		}
		Stage::Merge if !state.to_merge.is_empty() => tasks.push(Task::Merge { round }),
		Stage::Evaluate => {
			if let Some(seat) = &state.evaluator {
				if may_commit(state, seat, now) {
					tasks.push(Task::Evaluate { round });
				} else if may_reveal(state, seat, now) {
					tasks.push(Task::RevealEvaluation { round });
				}
			}
		}
		Stage::Train | Stage::Reveal | Stage::Merge | Stage::Wait => {}
	}
}

/// Whether a worker with these roles will have to rebuild snapshots.
fn needs_weights(roles: Roles) -> bool {
	let building = [Role::Trainer, Role::Verifier, Role::Aggregator, Role::Evaluator, Role::Server];
	building.into_iter().any(|role| roles.contains(role))
}

fn may_commit(state: &RoundState, seat: &Seat, now: u32) -> bool {
	!seat.committed && state.takes_commitments(now)
}

fn may_reveal(state: &RoundState, seat: &Seat, now: u32) -> bool {
	let open = seat.all_committed || !state.takes_commitments(now);
	seat.committed && !seat.revealed && open
}

/// Which tasks are being worked on, and which failed a moment ago.
#[derive(Debug, Default)]
pub struct Board {
	entries: HashMap<Task, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
	running: bool,
	failures: u32,
	not_before: u32,
}

impl Board {
	/// Those of `tasks` that can be started at block `now`. Forgets what is not to be done any more
	/// and is not running.
	pub fn startable(&mut self, tasks: &[Task], now: u32) -> Vec<Task> {
		self.entries.retain(|task, entry| entry.running || tasks.contains(task));
		tasks
			.iter()
			.filter(|task| match self.entries.get(task) {
				None => true,
				Some(entry) => !entry.running && entry.not_before <= now,
			})
			.copied()
			.collect()
	}

	/// Notes that a task was started.
	pub fn started(&mut self, task: Task) {
		let entry =
			self.entries.entry(task).or_insert(Entry { running: true, failures: 0, not_before: 0 });
		entry.running = true;
	}

	/// Notes that a task ended at block `now`, and returns how often it has failed in a row.
	///
	/// After a success it is left alone for one block, in which the chain may take note of it.
	pub fn ended(&mut self, task: Task, now: u32, success: bool) -> u32 {
		let Some(entry) = self.entries.get_mut(&task) else { return 0 };
		entry.running = false;
		if success {
			entry.failures = 0;
			entry.not_before = now.saturating_add(2);
			return 0;
		}
		let wait = FIRST_RETRY_BLOCKS
			.checked_shl(entry.failures)
			.unwrap_or(LONGEST_RETRY_BLOCKS)
			.clamp(FIRST_RETRY_BLOCKS, LONGEST_RETRY_BLOCKS);
		entry.failures = entry.failures.saturating_add(1);
		entry.not_before = now.saturating_add(wait);
		entry.failures
	}

	/// Those that are running though they are not among `tasks` any more: whatever comes out of them
	/// is not wanted.
	pub fn stale(&self, tasks: &[Task]) -> HashSet<Task> {
		let running = self.entries.iter().filter(|(_, entry)| entry.running);
		running.map(|(task, _)| *task).filter(|task| !tasks.contains(task)).collect()
	}

	/// How many tasks are running.
	pub fn running(&self) -> usize {
		self.entries.values().filter(|entry| entry.running).count()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	const TRAINER: Account = [3; 32];

	fn round(stage: Stage) -> RoundState {
		RoundState {
			id: 7,
			stage,
			since: 100,
			deadline: 120,
			has_room: true,
			own: Own::Stranger,
			verdicts: Vec::new(),
			to_merge: Vec::new(),
			evaluator: None,
			merge_is_final: false,
			remembered: false,
		}
	}

	fn seat(committed: bool, revealed: bool, all_committed: bool) -> Seat {
		Seat { committed, revealed, all_committed }
	}

	/// The tasks of a worker with every role at block `now`.
	fn tasks(state: RoundState, now: u32) -> Vec<Task> {
		plan(&Situation { now, rounds: vec![state], ..Situation::default() }, Roles::ALL, false)
	}

	#[test]
	fn trainer_joins_while_there_is_room_and_time() {
		let open = round(Stage::Open);
		assert_eq!(tasks(open.clone(), 105), [Task::Join { round: 7 }]);
		assert_eq!(tasks(RoundState { has_room: false, ..open.clone() }, 105), []);
		assert_eq!(tasks(RoundState { own: Own::Silent, ..open.clone() }, 105), []);
		// What is sent at 119 would come with the deadline at 120.
		assert_eq!(tasks(open.clone(), 119), []);
		let situation = Situation { now: 105, rounds: vec![open], ..Situation::default() };
		assert_eq!(plan(&situation, Roles::of(&[Role::Verifier]), false), []);
	}

	#[test]
	fn trainer_does_not_join_while_it_has_to_train_in_another_round() {
		let busy = RoundState { id: 6, own: Own::Silent, ..round(Stage::Wait) };
		let rounds = vec![busy, round(Stage::Open)];
		let situation = Situation { now: 105, rounds, ..Situation::default() };
		assert_eq!(plan(&situation, Roles::ALL, false), []);
		let done = RoundState { id: 6, own: Own::Revealed, ..round(Stage::Audit) };
		let rounds = vec![done, round(Stage::Open)];
		let situation = Situation { now: 105, rounds, ..Situation::default() };
		assert_eq!(plan(&situation, Roles::ALL, false), [Task::Join { round: 7 }]);
	}

	#[test]
	fn trainer_joins_one_of_several_open_rounds() {
		let rounds = vec![round(Stage::Open), RoundState { id: 8, ..round(Stage::Open) }];
		let situation = Situation { now: 105, rounds, ..Situation::default() };
		assert_eq!(plan(&situation, Roles::ALL, false), [Task::Join { round: 7 }]);
	}

	#[test]
	fn full_disk_takes_on_nothing_new_and_hinders_nothing_that_is_owed() {
		let seats = vec![(TRAINER, seat(false, false, false))];
		let owed = vec![
			RoundState { id: 6, own: Own::Silent, ..round(Stage::Train) },
			RoundState { id: 8, own: Own::Committed, ..round(Stage::Reveal) },
			RoundState { id: 9, verdicts: seats, ..round(Stage::Audit) },
			RoundState { id: 10, to_merge: vec![0], ..round(Stage::Merge) },
			RoundState {
				id: 11,
				evaluator: Some(seat(false, false, false)),
				..round(Stage::Evaluate)
			},
		];
		let situation = Situation {
			now: 105,
			rounds: owed.clone(),
			audits: vec![AuditState { dataset: 1, reveals: false }],
			unpublished: vec![(0, 16)],
			..Situation::default()
		};
		let publish = Task::Publish { model: 0, snapshot: 16 };
		let tasks = plan(&situation, Roles::ALL, true);
		assert_eq!(tasks.len(), owed.len() + 1);
		let with_room = plan(&situation, Roles::ALL, false);
		assert!(with_room.contains(&publish));
		assert!(with_room.into_iter().filter(|task| *task != publish).eq(tasks));

		let open = Situation { now: 105, rounds: vec![round(Stage::Open)], ..Situation::default() };
		assert_eq!(plan(&open, Roles::ALL, false), [Task::Join { round: 7 }]);
		// Nothing is sent either, so that data can be renewed meanwhile.
		let renewing = Situation { renewal_due: true, ..open };
		assert_eq!(plan(&renewing, Roles::ALL, true), [Task::Renew]);
	}

	#[test]
	fn registration_that_was_taken_back_is_repeated_before_anything_else() {
		let situation =
			Situation { unregistered: true, heartbeat_due: true, ..Situation::default() };
		assert_eq!(plan(&situation, Roles::ALL, false), [Task::Register, Task::Heartbeat]);
	}

	#[test]
	fn trainer_trains_commits_and_reveals_once() {
		let own = |stage, own| tasks(RoundState { own, ..round(stage) }, 105);
		assert_eq!(own(Stage::Train, Own::Silent), [Task::Train { round: 7 }]);
		assert_eq!(own(Stage::Train, Own::Committed), []);
		assert_eq!(own(Stage::Train, Own::Stranger), []);
		assert_eq!(own(Stage::Reveal, Own::Committed), [Task::RevealUpdate { round: 7 }]);
		assert_eq!(own(Stage::Reveal, Own::Revealed), []);
		assert_eq!(own(Stage::Reveal, Own::Silent), []);
	}

	#[test]
	fn trainer_settles_the_last_round_before_it_trains_again() {
		let state = RoundState { own: Own::Silent, ..round(Stage::Train) };
		let situation =
			Situation { now: 105, rounds: vec![state], unsettled: vec![6], ..Situation::default() };
		assert_eq!(plan(&situation, Roles::ALL, false), [Task::Settle { round: 6 }]);
	}

	#[test]
	fn verifier_commits_in_the_first_half_and_reveals_in_the_second() {
		let at = |seat, now| {
			tasks(RoundState { verdicts: vec![(TRAINER, seat)], ..round(Stage::Audit) }, now)
		};
		let verify = Task::Verify { round: 7, trainer: TRAINER };
		let reveal = Task::RevealVerdict { round: 7, trainer: TRAINER };
		assert_eq!(at(seat(false, false, false), 105), [verify]);
		// The middle is 110; what is sent at 109 comes in it.
		assert_eq!(at(seat(false, false, false), 109), []);
		assert_eq!(at(seat(true, false, false), 105), []);
		assert_eq!(at(seat(true, false, false), 109), [reveal]);
		assert_eq!(at(seat(true, false, true), 105), [reveal]);
		assert_eq!(at(seat(true, true, true), 115), []);
	}

	#[test]
	fn evaluator_commits_and_reveals_like_a_verifier() {
		let at =
			|seat, now| tasks(RoundState { evaluator: Some(seat), ..round(Stage::Evaluate) }, now);
		assert_eq!(at(seat(false, false, false), 101), [Task::Evaluate { round: 7 }]);
		assert_eq!(at(seat(true, false, true), 101), [Task::RevealEvaluation { round: 7 }]);
		assert_eq!(at(seat(true, false, false), 101), []);
		assert_eq!(tasks(round(Stage::Evaluate), 101), []);
	}

	#[test]
	fn aggregator_merges_what_is_its_turn() {
		let state = RoundState { to_merge: vec![0, 4], ..round(Stage::Merge) };
		assert_eq!(tasks(state.clone(), 105), [Task::Merge { round: 7 }]);
		assert_eq!(tasks(RoundState { to_merge: vec![], ..state.clone() }, 105), []);
		assert_eq!(tasks(RoundState { stage: Stage::Wait, ..state }, 105), []);
	}

	#[test]
	fn merge_is_remembered_once_it_is_final_even_after_the_deadline() {
		let state = RoundState { merge_is_final: true, ..round(Stage::Wait) };
		assert_eq!(tasks(state.clone(), 500), [Task::Remember { round: 7 }]);
		assert_eq!(tasks(RoundState { remembered: true, ..state.clone() }, 500), []);
		let situation = Situation { rounds: vec![state], ..Situation::default() };
		assert_eq!(plan(&situation, Roles::of(&[Role::Auditor]), false), []);
	}

	#[test]
	fn audits_are_for_auditors() {
		let audits = vec![
			AuditState { dataset: 1, reveals: false },
			AuditState { dataset: 2, reveals: true },
		];
		let situation = Situation { audits, ..Situation::default() };
		let expected = [Task::RevealReport { dataset: 2 }, Task::Audit { dataset: 1 }];
		assert_eq!(plan(&situation, Roles::of(&[Role::Auditor]), false), expected);
		assert_eq!(plan(&situation, Roles::of(&[Role::Trainer]), false), []);
	}

	#[test]
	fn data_is_renewed_in_quiet_moments() {
		let renewing = |rounds: Vec<RoundState>, now: u32| {
			let situation = Situation { now, rounds, renewal_due: true, ..Situation::default() };
			plan(&situation, Roles::ALL, false).contains(&Task::Renew)
		};
		assert!(renewing(Vec::new(), 105));
		assert_eq!(plan(&Situation::default(), Roles::ALL, false), []);
		// A round of others.
		let others = round(Stage::Audit);
		assert!(renewing(vec![others.clone()], 105) && renewing(vec![others.clone()], 119));
		// Something is to be done now.
		assert!(!renewing(vec![round(Stage::Open)], 105));
		assert!(!renewing(vec![RoundState { own: Own::Silent, ..round(Stage::Train) }], 105));
		let to_merge = vec![1];
		assert!(!renewing(vec![RoundState { to_merge, ..round(Stage::Merge) }], 105));
		// Committed: what is next is revealed when the wait ends, in block 120 at the latest.
		let committed = RoundState { own: Own::Committed, ..round(Stage::Train) };
		assert!(renewing(vec![committed.clone()], 111));
		assert!(!renewing(vec![committed.clone()], 116));
		// Verdicts can be revealed from block 110 on, or when all have committed.
		let verdicts = vec![(TRAINER, seat(true, false, false))];
		let owing = RoundState { verdicts, ..others };
		assert!(renewing(vec![owing.clone()], 102));
		assert!(!renewing(vec![owing.clone()], 106));
		assert!(!renewing(vec![owing.clone()], 111));
		let verdicts = vec![(TRAINER, seat(true, true, true))];
		assert!(renewing(vec![RoundState { verdicts, ..owing }], 117));
	}

	#[test]
	fn what_can_wait_does_not_hold_renewals_up() {
		let situation = Situation {
			now: 5,
			renewal_due: true,
			claimable: vec![3],
			unpublished: vec![(0, 2)],
			unsettled: vec![1],
			..Situation::default()
		};
		let tasks = plan(&situation, Roles::ALL, false);
		assert_eq!(tasks.last(), Some(&Task::Renew));
		assert_eq!(tasks.len(), 4);
		for urgent in [
			Situation { heartbeat_due: true, ..situation.clone() },
			Situation { unregistered: true, ..situation.clone() },
			Situation { audits: vec![AuditState { dataset: 1, reveals: false }], ..situation },
		] {
			assert!(!plan(&urgent, Roles::ALL, false).contains(&Task::Renew));
		}
	}

	#[test]
	fn what_is_quick_comes_first() {
		let train = RoundState { own: Own::Silent, ..round(Stage::Train) };
		let reveal = RoundState { id: 8, own: Own::Committed, ..round(Stage::Reveal) };
		let situation = Situation {
			now: 105,
			rounds: vec![train, reveal],
			claimable: vec![4],
			unpublished: vec![(0, 16)],
			heartbeat_due: true,
			..Situation::default()
		};
		let expected = [
			Task::Heartbeat,
			Task::RevealUpdate { round: 8 },
			Task::Claim { epoch: 4 },
			Task::Train { round: 7 },
			Task::Publish { model: 0, snapshot: 16 },
		];
		assert_eq!(plan(&situation, Roles::ALL, false), expected);
	}

	#[test]
	fn task_is_not_started_twice_and_waits_longer_after_each_failure() {
		let mut board = Board::default();
		let task = Task::Train { round: 7 };
		assert_eq!(board.startable(&[task], 10), [task]);
		board.started(task);
		assert_eq!(board.running(), 1);
		assert_eq!(board.startable(&[task], 10), []);
		// Still known while it runs, though it is not planned any more.
		assert_eq!(board.startable(&[], 11), []);
		assert!(board.stale(&[task]).is_empty());
		assert_eq!(board.stale(&[]), HashSet::from([task]));
		let mut now = 11;
		for (failures, wait) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 32)] {
			assert_eq!(board.ended(task, now, false), failures);
			assert_eq!(board.startable(&[task], now + wait - 1), []);
			assert_eq!(board.startable(&[task], now + wait), [task]);
			now += wait;
			board.started(task);
		}
		assert_eq!(board.ended(task, now, true), 0);
		assert_eq!(board.startable(&[task], now + 1), []);
		assert_eq!(board.startable(&[task], now + 2), [task]);
		assert_eq!(board.startable(&[], now), []);
		assert_eq!(board.startable(&[task], now), [task]);
	}
}
