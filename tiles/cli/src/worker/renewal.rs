//! Renewal by policy: a worker pays for datasets whose shards end soon, if `worker.toml` says so.
//!
//! Which shards end soon, what they cost and how they are renewed is one module for workers and
//! `blyan dataset renew` ([`crate::renewal`]). This one decides what a worker pays for, and how
//! much.
//!
//! # When
//!
//! Every few blocks ([`pause`]), and only in quiet moments: when there is nothing else that has to
//! be sent, and no round that the worker takes part in is about to ask for something (`plan`). A few
//! transactions are sent at a time. As soon as there is something urgent, no more are sent, so
//! nothing ever waits for more than those.
//!
//! # Limits
//!
//! - On one day, which is as many blocks as come in 24 h, at most `max_fee_per_day` is paid, with
//!   the fees of the transactions as they are when the worker looks. What is about to be paid is
//!   noted before it is sent: a worker that is killed pays too little that day, never too much.
//!   Nothing is paid while the note cannot be read or written, and nothing on a day for which it
//!   was not noted.
//! - One BLY stays in the account: bonds hang on calls that cost fees.
//! - What was renewed is left alone for a quarter of the retention period, whatever `before_blocks`
//!   says: nobody means to pay for the same shard at every look.
//! - What ends first is paid first. What cannot be paid is told once a day.

use super::{
	config::{Datasets, Renewal},
	error::{Error, Result},
	files::{read_note, write_note},
	plan::{Account, Task},
	Worker,
};
use crate::{
	chain::{
		types::{bly, AccountId, Balance, Dataset, Status, BLY},
		View,
	},
	renewal::{self, Ending, Price, Window, AT_ONCE},
};
use codec::{Decode, Encode};
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf};

/// So often it is looked in the time in which shards end soon: what fails is tried again in time.
const LOOKS: u32 = 8;
/// The fewest blocks between two looks.
const MIN_PAUSE_BLOCKS: u32 = 8;
/// The most blocks between two looks: an hour.
const MAX_PAUSE_BLOCKS: u32 = 600;
/// Parts of the retention period, of which one passes before what was renewed is due again.
const UNTOUCHED_PARTS: u32 = 4;
/// What stays in the account, in the smallest unit: some hundred transactions.
const RESERVE: Balance = BLY;
/// Milliseconds of a day.
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// Something that a worker tells once a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
enum Told {
	/// The day's limit is too low.
	Limit,
	/// The account has too little.
	Balance,
	/// The chain has no manifest of a dataset.
	Absent(u32),
	/// The chain does not have shards of a dataset.
	Expired(u32),
	/// Shards would be renewed too early.
	Early,
}

/// What was paid on a day, and what was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Note {
	/// Number of the day.
	day: u64,
	/// What was paid, or was about to be, in the smallest unit.
	paid: Balance,
	/// What was told, each once. As long as the list of datasets at most.
	told: Vec<Told>,
}

impl Note {
	/// The note of this day, or of a later one that has begun: a day does not come again when
	/// blocks are taken back.
	fn on(self, day: u64) -> Self {
		match day > self.day {
			true => Self { day, ..Self::default() },
			false => self,
		}
	}

	/// Whether something has not been told yet. It has now.
	fn tells(&mut self, what: Told) -> bool {
		let is_new = !self.told.contains(&what);
		if is_new {
			self.told.push(what);
		}
		is_new
	}
}

/// The note on the disk.
struct Ledger {
	path: PathBuf,
	note: Note,
}

impl Ledger {
	/// The note of this day.
	fn open(path: PathBuf, day: u64) -> Result<Self> {
		let note: Note = read_note(&path)?.unwrap_or_default();
		Ok(Self { path, note: note.on(day) })
	}

	/// Notes what is about to be paid.
	fn spend(&mut self, amount: Balance) -> Result<()> {
		self.note.paid = self.note.paid.saturating_add(amount);
		write_note(&self.path, &self.note)
	}

	/// Notes that something was not taken after all.
	fn give_back(&mut self, amount: Balance) -> Result<()> {
		self.note.paid = self.note.paid.saturating_sub(amount);
		write_note(&self.path, &self.note)
	}

	/// Whether something is to be told now. Noted before, so that it is told once.
	fn tells(&mut self, what: Told) -> Result<bool> {
		let tells = self.note.tells(what);
		if tells {
			write_note(&self.path, &self.note)?;
		}
		Ok(tells)
	}
}

/// Number of the day in which a block is: as many blocks as come in 24 h.
fn day_of(block: u32, block_millis: u64) -> u64 {
	u64::from(block).saturating_mul(block_millis) / DAY_MILLIS
}

/// Number of the day in which the block of a view is.
async fn day_at(view: &View) -> Result<u64> {
	Ok(day_of(view.number(), view.block_millis().await?))
}

/// Blocks from one look to the next, if shards are renewed `within` blocks of their end.
fn pause_for(within: u32) -> u32 {
	(within / LOOKS).clamp(MIN_PAUSE_BLOCKS, MAX_PAUSE_BLOCKS)
}

/// Blocks from one look at what ends soon to the next; none if nothing is renewed.
pub async fn pause(worker: &Worker, view: &View) -> Result<Option<u32>> {
	let Some(policy) = &worker.config.renewal else { return Ok(None) };
	let window = bounded(Window::new(view, policy.before_blocks).await?);
	Ok(Some(pause_for(window.within)))
}

/// A window in which nothing is due again right after it was renewed.
fn bounded(window: Window) -> Window {
	let most = window.retention - window.retention / UNTOUCHED_PARTS;
	Window { within: window.within.min(most), ..window }
}

/// The datasets that an account has submitted and that are, or may still be, trained on.
fn own(datasets: &[(u32, Dataset)], me: &Account) -> Vec<u32> {
	let is_over = |status: Status| matches!(status, Status::Rejected(_) | Status::Revoked);
	let own = datasets.iter().filter(|(_, dataset)| dataset.owner.0 == *me);
	own.filter(|(_, dataset)| !is_over(dataset.status)).map(|(id, _)| *id).collect()
}

/// The datasets that the policy names.
async fn named(worker: &Worker, view: &View, policy: &Renewal) -> Result<Vec<u32>> {
	Ok(match &policy.datasets {
		Some(Datasets::These(ids)) => ids.clone(),
		Some(Datasets::Own) => own(&view.datasets().await?, &worker.me),
		// Refused when the file was read.
		None => Vec::new(),
	})
}

/// What can be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Means {
	/// What is left of the day's limit, in the smallest unit.
	limit: Balance,
	/// What the account can spare, in the smallest unit.
	balance: Balance,
}

/// What is renewed now, and why not all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choice {
	/// What is renewed, the first to end first.
	now: Vec<Ending>,
	/// How many others are due.
	others: usize,
	/// What stands in their way.
	short: Option<Told>,
}

/// Takes as much of what is due, the first to end first, as can be paid.
fn choose(mut due: Vec<Ending>, price: &Price, means: Means) -> Choice {
	let (mut room, mut count) = (means.limit.min(means.balance), 0);
	for shard in &due {
		let Some(left) = room.checked_sub(price.of(&[*shard])) else { break };
		(room, count) = (left, count + 1);
	}
	let others = due.len() - count;
	due.truncate(count);
	let short = match means.balance < means.limit {
		true => Told::Balance,
		false => Told::Limit,
	};
	Choice { now: due, others, short: (others > 0).then_some(short) }
}

/// Renews what ends soon of the datasets of the policy, as far as it can be paid.
pub async fn renew(worker: &Worker, view: &View) -> Result<()> {
	let Some(policy) = &worker.config.renewal else { return Ok(()) };
	let mut ledger = Ledger::open(worker.files.renewal(), day_at(view).await?)?;
	let due = due(worker, view, policy, &mut ledger).await?;
	if due.is_empty() {
		return Ok(());
	}
	let price = Price::now(&worker.chain, view, &worker.key).await?;
	let account = view.account(AccountId(worker.me)).await?.data;
	let spare = account.free.saturating_sub(account.frozen).saturating_sub(RESERVE);
	let paid = ledger.note.paid;
	let means = Means { limit: policy.limit().saturating_sub(paid), balance: spare };
	let cost = price.of(&due);
	let choice = choose(due, &price, means);
	if let Some(short) = choice.short {
		if ledger.tells(short)? {
			tell_short(worker, short, choice.others, cost, paid, spare);
		}
	}
	pay_all(worker, &mut ledger, &choice.now, &price).await
}

/// What ends soon of the datasets of the policy, the first to end first. Tells what is wrong with
/// the policy.
async fn due(
	worker: &Worker,
	view: &View,
	policy: &Renewal,
	ledger: &mut Ledger,
) -> Result<Vec<Ending>> {
	let window = bounded(Window::new(view, policy.before_blocks).await?);
	let is_early = policy.before_blocks.is_some_and(|blocks| blocks > window.within);
	if is_early && ledger.tells(Told::Early)? {
		tracing::warn!(
			"the chain keeps data for {} blocks, so it is renewed {} blocks before its end at the \
			 earliest; lower renewal.before_blocks",
			window.retention,
			window.within
		);
	}
	let mut ending = Vec::new();
	for dataset in named(worker, view, policy).await? {
		worker.go_on(Task::Renew)?;
		let Some(due) = renewal::due(view, dataset, window).await? else {
			if ledger.tells(Told::Absent(dataset))? {
				tracing::warn!(
					"the chain has no manifest of dataset {dataset}; take it out of \
					 renewal.datasets"
				);
			}
			continue;
		};
		if due.expired > 0 && ledger.tells(Told::Expired(dataset))? {
			tracing::warn!(
				"{} of {} shards of dataset {dataset} are not on the chain: they have expired, or \
				 were never stored; rounds cannot train on it until whoever has them stores them",
				due.expired,
				due.shards
			);
		}
		ending.extend(due.ending);
	}
	renewal::sort(&mut ending);
	Ok(ending)
}

/// Tells that shards are let go, and what to raise so that they are not.
fn tell_short(
	worker: &Worker,
	short: Told,
	shards: usize,
	cost: Balance,
	paid: Balance,
	spare: Balance,
) {
	let why = match short {
		Told::Balance => format!(
			"the account can spare {} BLY; send {} at least {} BLY",
			bly(spare),
			AccountId(worker.me),
			bly(cost.saturating_sub(spare))
		),
		_ => format!(
			"{} BLY were paid today; raise renewal.max_fee_per_day to {} BLY, or run \
			 `blyan dataset renew`",
			bly(paid),
			bly(cost.saturating_add(paid))
		),
	};
	worker.report.event("renewal_short", json!({ "shards": shards, "why": why }));
}

/// Renews these shards, a few at a time, and tells what was paid.
async fn pay_all(
	worker: &Worker,
	ledger: &mut Ledger,
	shards: &[Ending],
	price: &Price,
) -> Result<()> {
	let before = ledger.note.paid;
	let mut renewed = Vec::with_capacity(shards.len());
	let result = pay_some(worker, ledger, shards, price, &mut renewed).await;
	if !renewed.is_empty() {
		let datasets: BTreeSet<u32> = renewed.iter().map(|shard| shard.dataset).collect();
		let fields = json!({
			"datasets": datasets,
			"shards": renewed.len(),
			"paid_bly": bly(ledger.note.paid.saturating_sub(before)),
			"paid_today_bly": bly(ledger.note.paid),
		});
		worker.report.event("shards_renewed", fields);
	}
	result
}

async fn pay_some(
	worker: &Worker,
	ledger: &mut Ledger,
	shards: &[Ending],
	price: &Price,
	renewed: &mut Vec<Ending>,
) -> Result<()> {
	for group in shards.chunks(AT_ONCE) {
		worker.go_on(Task::Renew)?;
		// The next day has a limit of its own, and a look of its own.
		let view = worker.chain.view().await?;
		if day_at(&view).await? > ledger.note.day {
			return Err(Error::Stopped);
		}
		ledger.spend(price.of(group))?;
		let outcome = renewal::renew(&worker.chain, &worker.key, group).await;
		renewed.extend(&outcome.renewed);
		// What is not known to have been refused may have been taken.
		if !outcome.refused.is_empty() {
			ledger.give_back(price.fees_of(&outcome.refused))?;
		}
		if let Some(error) = outcome.error {
			return Err(Error::from(error));
		}
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		chain::types::{Reason, Tier},
		renewal::tests::{ending, PRICE},
	};
	use blyan_primitives::H256;
	use proptest::prelude::*;

	/// What one of the shards of [`ending`] costs.
	const EACH: Balance = 410;

	fn means(limit: Balance, balance: Balance) -> Means {
		Means { limit, balance }
	}

	fn dataset(owner: u8, status: Status) -> Dataset {
		Dataset {
			owner: AccountId([owner; 32]),
			manifest_hash: H256::zero(),
			records_root: H256::zero(),
			records: 64,
			shards: 1,
			status,
			deadline: None,
			draws: 0,
			appealed: false,
			held_out_seed: None,
		}
	}

	#[test]
	fn own_datasets_are_those_that_may_still_be_trained_on() {
		let all = [
			(0, dataset(1, Status::Approved(Tier::Gold))),
			(1, dataset(2, Status::Approved(Tier::Gold))),
			(2, dataset(1, Status::Rejected(Reason::NoQuorum))),
			(3, dataset(1, Status::Revoked)),
			(4, dataset(1, Status::Voting)),
			(5, dataset(1, Status::Flagged(Tier::Silver))),
		];
		assert_eq!(own(&all, &[1; 32]), [0, 4, 5]);
		assert_eq!(own(&all, &[2; 32]), [1]);
		assert!(own(&all, &[3; 32]).is_empty());
	}

	#[test]
	fn what_ends_first_is_paid_first_and_as_much_as_can_be_paid() {
		assert_eq!(PRICE.of(&[ending(1)]), EACH);
		let due = vec![ending(10), ending(20), ending(30)];
		let all = choose(due.clone(), &PRICE, means(3 * EACH, 9 * EACH));
		assert_eq!(all.now, [ending(10), ending(20), ending(30)]);
		assert_eq!((all.others, all.short), (0, None));
		let limited = choose(due.clone(), &PRICE, means(3 * EACH - 1, 9 * EACH));
		assert_eq!(limited.now, [ending(10), ending(20)]);
		assert_eq!((limited.others, limited.short), (1, Some(Told::Limit)));
		let poor = choose(due.clone(), &PRICE, means(3 * EACH, EACH));
		assert_eq!(poor.now, [ending(10)]);
		assert_eq!((poor.others, poor.short), (2, Some(Told::Balance)));
		let none = choose(due, &PRICE, means(0, 0));
		assert_eq!((none.now.len(), none.others, none.short), (0, 3, Some(Told::Limit)));
		assert_eq!(choose(Vec::new(), &PRICE, means(0, 0)), Choice::default());
	}

	#[test]
	fn small_shard_does_not_overtake_one_that_ends_first() {
		let large = Ending { bytes: 1_000, ..ending(10) };
		let choice = choose(vec![large, ending(20)], &PRICE, means(2 * EACH, 2 * EACH));
		assert!(choice.now.is_empty());
		assert_eq!(choice.others, 2);
	}

	#[test]
	fn day_has_the_blocks_of_24_hours() {
		assert_eq!(day_of(14_399, 6_000), 0);
		assert_eq!(day_of(14_400, 6_000), 1);
		assert_eq!(day_of(86_400, 1_000), 1);
		assert_eq!(day_of(u32::MAX, u64::MAX), u64::MAX / DAY_MILLIS);
	}

	#[test]
	fn what_was_renewed_is_not_due_again_at_once() {
		let within = |retention, within| bounded(Window { retention, within }).within;
		assert_eq!(within(100, 25), 25);
		assert_eq!(within(100, 75), 75);
		assert_eq!(within(100, 76), 75);
		assert_eq!(within(201_600, u32::MAX), 151_200);
		assert_eq!(within(u32::MAX, u32::MAX), u32::MAX - u32::MAX / 4);
		assert_eq!(within(0, 5), 0);
	}

	#[test]
	fn looks_are_often_enough_and_not_more() {
		assert_eq!(pause_for(50_400), MAX_PAUSE_BLOCKS);
		assert_eq!(pause_for(800), 100);
		assert_eq!(pause_for(25), MIN_PAUSE_BLOCKS);
		assert_eq!(pause_for(0), MIN_PAUSE_BLOCKS);
	}

	#[test]
	fn what_was_paid_is_known_after_a_restart_and_forgotten_on_the_next_day() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("renewal").join("note");
		let mut ledger = Ledger::open(path.clone(), 7).unwrap();
		assert_eq!(ledger.note, Note { day: 7, ..Note::default() });
		ledger.spend(900).unwrap();
		ledger.give_back(200).unwrap();
		assert_eq!(Ledger::open(path.clone(), 7).unwrap().note.paid, 700);
		// Blocks were taken back.
		assert_eq!(Ledger::open(path.clone(), 6).unwrap().note, ledger.note);
		assert_eq!(Ledger::open(path.clone(), 8).unwrap().note.paid, 0);
		std::fs::write(&path, [1u8]).unwrap();
		assert!(Ledger::open(path, 7).is_err());
	}

	#[test]
	fn what_cannot_be_paid_is_told_once_a_day() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("note");
		for day in [3, 4] {
			let mut ledger = Ledger::open(path.clone(), day).unwrap();
			assert!(ledger.tells(Told::Limit).unwrap());
			assert!(!ledger.tells(Told::Limit).unwrap());
			let mut again = Ledger::open(path.clone(), day).unwrap();
			assert!(!again.tells(Told::Limit).unwrap());
			assert!(again.tells(Told::Balance).unwrap());
			assert!(again.tells(Told::Expired(1)).unwrap());
			assert!(again.tells(Told::Expired(2)).unwrap());
			assert!(again.tells(Told::Absent(2)).unwrap());
		}
	}

	proptest! {
		/// However much is due, whatever it costs and however often the worker is started anew, no
		/// day costs more than its limit, and nothing is left that could have been paid.
		#[test]
		fn no_day_costs_more_than_its_limit(
			looks in prop::collection::vec(prop::collection::vec(0u32..5_000, 0..9), 1..20),
			limit in 0u128..30_000,
			per_day in 1usize..6,
		) {
			let (mut day, mut paid) = (0, 0);
			let mut note = Note::default().encode();
			for (look, sizes) in looks.into_iter().enumerate() {
				if (look / per_day) as u64 > day {
					(day, paid) = ((look / per_day) as u64, 0);
				}
				// As it is read from the disk.
				let mut read = Note::decode(&mut &note[..]).unwrap().on(day);
				prop_assert_eq!(read.paid, paid);
				let sized = |(bytes, block): (&u32, u32)| Ending { bytes: *bytes, ..ending(block) };
				let due: Vec<Ending> = sizes.iter().zip(0u32..).map(sized).collect();
				let choice = choose(due.clone(), &PRICE, means(limit - paid, Balance::MAX));
				let cost = PRICE.of(&choice.now);
				read.paid += cost;
				note = read.encode();
				paid += cost;
				prop_assert!(paid <= limit);
				prop_assert_eq!(choice.now.len() + choice.others, due.len());
				if let Some(first) = due.get(choice.now.len()) {
					prop_assert!(paid + PRICE.of(&[*first]) > limit);
				}
			}
		}
	}
}
