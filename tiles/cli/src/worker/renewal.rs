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
//! - What ends first is paid first. What cannot be paid is told once a day. A shard that alone is
//!   dearer than the limit of a day is told, too, and holds nobody up.
//!
//! # What was sent and never heard of
//!
//! Where the connection breaks, or the worker is killed, a transaction may or may not be in a
//! block. It stays noted as *open*, and counts as paid, until a block is final behind the last one
//! that takes it. If the shard is then still where it was, nobody has renewed it, and what the
//! renewal would have cost is given back; the fee of the transaction is not, since one that failed
//! has paid it. If the shard was renewed, be it by somebody else, all of it stays paid. A day that
//! begins meanwhile begins with what is open.
//!
//! A shard of which a renewal is open is left alone, unless it would end before it is tried again.
//! The chain renews a place once, so another try costs the fee of its transaction and no more.

use super::{
	config::{Datasets, Renewal},
	error::{Error, Result},
	files::{read_note_or, write_note},
	plan::{Account, Task},
	Worker,
};
use crate::{
	chain::{
		types::{bly, AccountId, Balance, BlockNumber, Dataset, Location, Status, BLY},
		View,
	},
	renewal::{self, Ending, Outcome, Price, Window, AT_ONCE},
};
use blyan_primitives::H256;
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
/// The most renewals that are open: the note has 80 bytes for each.
const MAX_OPEN: usize = 1_024;
/// What to do about a note that cannot be read.
const REMEDY: &str = "nothing is renewed, since nobody knows what was paid today; delete it 24 h \
	after it was written, or now if it does not matter that twice renewal.max_fee_per_day may be \
	paid on one day";

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
	/// Shards are dearer than the day's limit.
	Dear,
	/// As many renewals are open as may be.
	Open,
}

/// Renewals of a shard that were sent, or were about to be, and of which nothing else is known.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Open {
	/// Where the shard was stored or renewed last: the block, and the place among its items.
	place: (BlockNumber, u32),
	/// Hash of the shard.
	cid: H256,
	/// What the chain takes for the shard, in the smallest unit: of one of them, since only the
	/// first finds it in this place.
	fees: Balance,
	/// The fees of the transactions together, in the smallest unit.
	transactions: Balance,
	/// How many transactions these are.
	count: u32,
	/// No block after this one takes any of them.
	until: BlockNumber,
}

impl Open {
	fn is_of(&self, shard: &Ending) -> bool {
		self.place == place_of(shard) && self.cid == shard.cid
	}

	/// The most that the renewals can have cost, in the smallest unit.
	fn charge(&self) -> Balance {
		self.fees.saturating_add(self.transactions)
	}
}

/// Where a shard was stored or renewed last, as it is noted.
fn place_of(shard: &Ending) -> (BlockNumber, u32) {
	(shard.place.block, shard.place.index)
}

/// What was paid on a day, and what was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
struct Note {
	/// Number of the day.
	day: u64,
	/// What was paid, in the smallest unit, without what is open.
	paid: Balance,
	/// What was told, each once. As long as the list of datasets at most.
	told: Vec<Told>,
	/// What may have been paid, or may still be. At most [`MAX_OPEN`], each place once.
	open: Vec<Open>,
}

impl Note {
	/// The note of this day, or of a later one that has begun: a day does not come again when
	/// blocks are taken back. What is open may be paid on the new day.
	fn on(self, day: u64) -> Self {
		match day > self.day {
			true => Self { day, open: self.open, ..Self::default() },
			false => self,
		}
	}

	/// What counts as paid, in the smallest unit.
	fn charged(&self) -> Balance {
		let open = self.open.iter().map(Open::charge);
		open.fold(self.paid, Balance::saturating_add)
	}

	/// The place among what is open of the renewals of a shard.
	fn open_of(&self, shard: &Ending) -> Option<usize> {
		self.open.iter().position(|open| open.is_of(shard))
	}

	/// Whether a shard is left alone in block `now`: a renewal is open, and there is time for another
	/// look, `pause` blocks after it can be known what became of that.
	fn leaves_alone(&self, shard: &Ending, now: BlockNumber, pause: u32) -> bool {
		let open = self.open.iter().find(|open| open.is_of(shard));
		open.is_some_and(|open| open.until.max(now).saturating_add(pause) < shard.end)
	}

	/// What renewing a shard adds to what counts as paid, in the smallest unit.
	fn cost(&self, shard: &Ending, price: &Price) -> Balance {
		match self.open_of(shard) {
			Some(_) => price.transaction,
			None => price.of(&[*shard]),
		}
	}

	/// Notes that a shard is about to be renewed, by a transaction that no block after `until`
	/// takes.
	fn begin(&mut self, shard: &Ending, price: &Price, until: BlockNumber) {
		if let Some(open) = self.open.iter_mut().find(|open| open.is_of(shard)) {
			open.transactions = open.transactions.saturating_add(price.transaction);
			open.count = open.count.saturating_add(1);
			open.until = open.until.max(until);
			return;
		}
		self.open.push(Open {
			place: place_of(shard),
			cid: shard.cid,
			fees: price.fees_of(&[*shard]),
			transactions: price.transaction,
			count: 1,
			until,
		});
	}

	/// Notes what became of shards that were begun at this price.
	fn end(&mut self, outcome: &Outcome, price: &Price) {
		for shard in &outcome.renewed {
			if let Some(place) = self.open_of(shard) {
				// Others that are open fail, for their fees.
				let charge = self.open.remove(place).charge();
				self.paid = self.paid.saturating_add(charge);
			}
		}
		for shard in &outcome.refused {
			self.paid = self.paid.saturating_add(price.transaction);
			self.take_back(shard, price);
		}
		for shard in &outcome.unsent {
			self.take_back(shard, price);
		}
	}

	/// Notes that the last renewal of a shard that was begun is not open any more.
	fn take_back(&mut self, shard: &Ending, price: &Price) {
		let Some(place) = self.open_of(shard) else { return };
		let Some(open) = self.open.get_mut(place) else { return };
		open.transactions = open.transactions.saturating_sub(price.transaction);
		open.count = open.count.saturating_sub(1);
		if open.count == 0 {
			self.open.remove(place);
		}
	}

	/// Notes that no block takes these renewals any more, and whether the shard is where it was.
	fn close(&mut self, open: &Open, is_there: bool) {
		let cost = match is_there {
			// Nobody has renewed it. Transactions may have got into blocks and failed.
			true => open.transactions,
			false => open.charge(),
		};
		self.paid = self.paid.saturating_add(cost);
		self.open.retain(|other| other != open);
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
		let note: Note = read_note_or(&path, REMEDY)?.unwrap_or_default();
		Ok(Self { path, note: note.on(day) })
	}

	/// Notes shards that are about to be renewed, see [`Note::begin`].
	fn begin(&mut self, shards: &[Ending], price: &Price, until: BlockNumber) -> Result<()> {
		for shard in shards {
			self.note.begin(shard, price, until);
		}
		write_note(&self.path, &self.note)
	}

	/// Notes what became of them.
	fn end(&mut self, outcome: &Outcome, price: &Price) -> Result<()> {
		self.note.end(outcome, price);
		write_note(&self.path, &self.note)
	}

	/// Notes what became of renewals of which nothing was heard.
	fn close(&mut self, open: &Open, is_there: bool) -> Result<()> {
		self.note.close(open, is_there);
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
	/// The day's limit, in the smallest unit.
	day: Balance,
	/// What is left of it, in the smallest unit.
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
	/// What both cost together, in the smallest unit.
	cost: Balance,
	/// What stands in the way of the others.
	short: Option<Told>,
	/// What no day has enough for. It is in nobody's way.
	dear: Vec<Ending>,
}

/// Takes as much of what is due, the first to end first, as can be paid.
fn choose(due: Vec<Ending>, cost: impl Fn(&Ending) -> Balance, means: Means) -> Choice {
	let is_dear = |shard: &Ending| cost(shard) > means.day;
	let (dear, mut due): (Vec<Ending>, Vec<Ending>) = due.into_iter().partition(is_dear);
	let (mut room, mut count) = (means.limit.min(means.balance), 0);
	for shard in &due {
		let Some(left) = room.checked_sub(cost(shard)) else { break };
		(room, count) = (left, count + 1);
	}
	let all = due.iter().map(&cost).fold(0, Balance::saturating_add);
	let others = due.len() - count;
	due.truncate(count);
	let short = match means.balance < means.limit {
		true => Told::Balance,
		false => Told::Limit,
	};
	Choice { now: due, others, cost: all, short: (others > 0).then_some(short), dear }
}

/// Renews what ends soon of the datasets of the policy, as far as it can be paid.
pub async fn renew(worker: &Worker, view: &View) -> Result<()> {
	let Some(policy) = &worker.config.renewal else { return Ok(()) };
	let mut ledger = Ledger::open(worker.files.renewal(), day_at(view).await?)?;
	find_out(worker, &mut ledger).await?;
	let due = due(worker, view, policy, &mut ledger).await?;
	if due.is_empty() {
		return Ok(());
	}
	let price = Price::now(&worker.chain, view, &worker.key).await?;
	let account = view.account(AccountId(worker.me)).await?.data;
	let spare = account.free.saturating_sub(account.frozen).saturating_sub(RESERVE);
	let (day, charged) = (policy.limit(), ledger.note.charged());
	let left = day.saturating_sub(charged);
	let means = Means { day, limit: left, balance: spare };
	let choice = choose(due, |shard| ledger.note.cost(shard, &price), means);
	if !choice.dear.is_empty() && ledger.tells(Told::Dear)? {
		tell_dear(worker, &choice.dear, &price, day);
	}
	if let Some(short) = choice.short {
		if ledger.tells(short)? {
			tell_short(worker, short, choice.others, choice.cost, charged, spare);
		}
	}
	pay_all(worker, &mut ledger, &choice.now, &price).await
}

/// Finds out what became of renewals of which nothing was heard, once no block takes them any more.
async fn find_out(worker: &Worker, ledger: &mut Ledger) -> Result<()> {
	if ledger.note.open.is_empty() {
		return Ok(());
	}
	// What is told by a block that is taken back is no proof.
	let view = worker.chain.finalised_view().await?;
	let over = |open: &&Open| open.until <= view.number();
	let over: Vec<Open> = ledger.note.open.iter().filter(over).cloned().collect();
	for open in over {
		worker.go_on(Task::Renew)?;
		let (block, index) = open.place;
		let is_there = view.location(open.cid).await? == Some(Location { block, index });
		ledger.close(&open, is_there)?;
	}
	Ok(())
}

/// What ends soon of the datasets of the policy and is not left alone, the first to end first.
/// Tells what is wrong with the policy.
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
	let pause = pause_for(window.within);
	ending.retain(|shard| !ledger.note.leaves_alone(shard, view.number(), pause));
	Ok(ending)
}

/// Tells that shards are let go which cost more than a day's limit each, and what to do about it.
fn tell_dear(worker: &Worker, dear: &[Ending], price: &Price, day: Balance) {
	let datasets: BTreeSet<u32> = dear.iter().map(|shard| shard.dataset).collect();
	let most = dear.iter().map(|shard| price.of(&[*shard])).max().unwrap_or_default();
	let why = format!(
		"one of these shards alone costs up to {} BLY, and renewal.max_fee_per_day is {}, so they \
		 are passed over; raise it to {} BLY at least, or run `blyan dataset renew`",
		bly(most),
		bly(day),
		bly(most)
	);
	let fields = json!({ "shards": dear.len(), "datasets": datasets, "why": why });
	worker.report.event("renewal_short", fields);
}

/// Tells that shards are let go, and what to raise so that they are not. `charged` is what was paid
/// today, or may have been.
fn tell_short(
	worker: &Worker,
	short: Told,
	shards: usize,
	cost: Balance,
	charged: Balance,
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
			"{} BLY were paid today, or may have been; raise renewal.max_fee_per_day to {} BLY, or \
			 run `blyan dataset renew`",
			bly(charged),
			bly(cost.saturating_add(charged))
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
		if ledger.note.open.len() + group.len() > MAX_OPEN {
			if ledger.tells(Told::Open)? {
				tracing::warn!(
					"no more shards are renewed until finalised blocks tell what became of {} \
					 renewals; look whether the connection to the node is stable",
					ledger.note.open.len()
				);
			}
			return Ok(());
		}
		ledger.begin(group, price, view.last_to_take())?;
		let outcome = renewal::renew(&worker.chain, &view, &worker.key, group).await;
		renewed.extend(&outcome.renewed);
		ledger.end(&outcome, price)?;
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

	/// The last block that takes a renewal of these tests.
	const UNTIL: BlockNumber = 64;

	fn means(limit: Balance, balance: Balance) -> Means {
		Means { day: 5 * EACH, limit, balance }
	}

	fn cost(shard: &Ending) -> Balance {
		PRICE.of(&[*shard])
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
		let all = choose(due.clone(), cost, means(3 * EACH, 9 * EACH));
		assert_eq!(all.now, [ending(10), ending(20), ending(30)]);
		assert_eq!((all.others, all.cost, all.short), (0, 3 * EACH, None));
		let limited = choose(due.clone(), cost, means(3 * EACH - 1, 9 * EACH));
		assert_eq!(limited.now, [ending(10), ending(20)]);
		assert_eq!((limited.others, limited.short), (1, Some(Told::Limit)));
		let poor = choose(due.clone(), cost, means(3 * EACH, EACH));
		assert_eq!(poor.now, [ending(10)]);
		assert_eq!((poor.others, poor.short), (2, Some(Told::Balance)));
		let none = choose(due, cost, means(0, 0));
		assert_eq!((none.now.len(), none.others, none.short), (0, 3, Some(Told::Limit)));
		assert_eq!(choose(Vec::new(), cost, means(0, 0)), Choice::default());
	}

	#[test]
	fn small_shard_does_not_overtake_one_that_ends_first() {
		let large = Ending { bytes: 500, ..ending(10) };
		let choice = choose(vec![large, ending(20)], cost, means(2 * EACH, 2 * EACH));
		assert!(choice.now.is_empty() && choice.dear.is_empty());
		assert_eq!(choice.others, 2);
	}

	#[test]
	fn shard_that_no_day_has_enough_for_holds_nobody_up() {
		let dear = Ending { bytes: 1_000, ..ending(10) };
		assert!(cost(&dear) > 5 * EACH);
		let choice = choose(vec![dear, ending(20), ending(30)], cost, means(EACH, 9 * EACH));
		assert_eq!((choice.now, choice.dear), (vec![ending(20)], vec![dear]));
		assert_eq!((choice.others, choice.cost), (1, 2 * EACH));
		assert_eq!(choice.short, Some(Told::Limit));
		let alone = choose(vec![dear], cost, means(5 * EACH, 9 * EACH));
		assert_eq!((alone.now.len(), alone.others, alone.short), (0, 0, None));
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
		let shards = [ending(10), ending(20), ending(30)];
		ledger.begin(&shards, &PRICE, UNTIL).unwrap();
		// It may be killed now.
		assert_eq!(Ledger::open(path.clone(), 7).unwrap().note.charged(), 3 * EACH);
		let outcome = Outcome {
			renewed: vec![ending(10)],
			refused: vec![ending(20)],
			unsent: vec![ending(30)],
			error: None,
		};
		ledger.end(&outcome, &PRICE).unwrap();
		let known = Ledger::open(path.clone(), 7).unwrap().note;
		// The refused one has paid its transaction.
		assert_eq!((known.paid, known.charged()), (EACH + 10, EACH + 10));
		// Blocks were taken back.
		assert_eq!(Ledger::open(path.clone(), 6).unwrap().note, ledger.note);
		assert_eq!(Ledger::open(path, 8).unwrap().note, Note { day: 8, ..Note::default() });
	}

	#[test]
	fn damaged_note_says_that_nothing_is_paid_and_what_deleting_it_costs() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("note");
		std::fs::write(&path, [1u8]).unwrap();
		let error = Ledger::open(path, 7).map(|_| ()).unwrap_err().to_string();
		for part in ["is damaged; nothing is renewed", "24 h after", "renewal.max_fee_per_day"] {
			assert!(error.contains(part), "{error}");
		}
		assert!(!error.contains("round"), "{error}");
	}

	/// A note with a renewal of `ending(10)` that was sent and never heard of.
	fn unheard() -> Note {
		let mut note = Note::default();
		note.begin(&ending(10), &PRICE, UNTIL);
		note.end(&Outcome::default(), &PRICE);
		note
	}

	#[test]
	fn tries_of_which_nothing_is_heard_are_charged_as_one_renewal() {
		let mut note = unheard();
		assert_eq!((note.paid, note.charged()), (0, EACH));
		// The chain renews a place once: only its transaction is added by another try.
		assert_eq!(note.cost(&ending(10), &PRICE), 10);
		assert_eq!(note.cost(&ending(20), &PRICE), EACH);
		note.begin(&ending(10), &PRICE, UNTIL + 9);
		note.end(&Outcome::default(), &PRICE);
		assert_eq!((note.open.len(), note.charged()), (1, EACH + 10));
		assert_eq!(note.open[0].until, UNTIL + 9);
	}

	#[test]
	fn renewal_that_took_no_effect_is_given_back_and_one_that_may_have_is_not() {
		let mut note = unheard();
		let open = note.open[0].clone();
		note.close(&open, true);
		assert_eq!((note.paid, note.charged(), note.open.len()), (10, 10, 0));
		let mut note = unheard();
		note.close(&open, false);
		assert_eq!((note.paid, note.charged(), note.open.len()), (EACH, EACH, 0));
	}

	#[test]
	fn refusal_of_another_try_does_not_hide_that_the_first_may_have_been_taken() {
		let refused = Outcome { refused: vec![ending(10)], ..Outcome::default() };
		let mut note = unheard();
		note.begin(&ending(10), &PRICE, UNTIL);
		note.end(&refused, &PRICE);
		assert_eq!((note.paid, note.charged()), (10, EACH + 10));
		let unsent = Outcome { unsent: vec![ending(10)], ..Outcome::default() };
		note.begin(&ending(10), &PRICE, UNTIL);
		note.end(&unsent, &PRICE);
		assert_eq!((note.paid, note.charged()), (10, EACH + 10));
		let renewed = Outcome { renewed: vec![ending(10)], ..Outcome::default() };
		note.begin(&ending(10), &PRICE, UNTIL);
		note.end(&renewed, &PRICE);
		assert_eq!((note.charged(), note.open.len()), (EACH + 20, 0));
	}

	#[test]
	fn day_begins_with_what_is_open() {
		let next = unheard().on(1);
		assert_eq!((next.day, next.paid, next.charged()), (1, 0, EACH));
	}

	#[test]
	fn shard_with_an_open_renewal_is_left_alone_while_there_is_time() {
		let note = unheard();
		// It ends in block 110.
		assert!(note.leaves_alone(&ending(10), 0, 45));
		assert!(!note.leaves_alone(&ending(10), 0, 46));
		assert!(!note.leaves_alone(&ending(20), 0, 0));
		// What became of it is not known although it could be, because no block becomes final.
		assert!(note.leaves_alone(&ending(10), 100, 9));
		assert!(!note.leaves_alone(&ending(10), 100, 10));
		// Renewed meanwhile: it has another place.
		assert!(!note.leaves_alone(&Ending { end: 500, ..ending(70) }, 0, 0));
	}

	#[test]
	fn note_of_all_that_may_be_open_is_read_again() {
		let folder = tempfile::tempdir().unwrap();
		let mut ledger = Ledger::open(folder.path().join("note"), 7).unwrap();
		let shards: Vec<Ending> = (0..MAX_OPEN as u32).map(ending).collect();
		ledger.begin(&shards, &PRICE, UNTIL).unwrap();
		let read = Ledger::open(ledger.path.clone(), 7).unwrap().note;
		assert_eq!((read.open.len(), &read), (MAX_OPEN, &ledger.note));
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

	/// Finds out what became of everything that is open, where shards of these blocks were renewed.
	fn close_all(note: &mut Note, renewed: &BTreeSet<u32>) {
		for open in note.open.clone() {
			note.close(&open, !renewed.contains(&open.place.0));
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
				let means = Means { day: limit, limit: limit - paid, balance: Balance::MAX };
				let choice = choose(due.clone(), cost, means);
				prop_assert!(choice.dear.iter().all(|shard| cost(shard) > limit));
				let left = due.iter().filter(|shard| cost(shard) <= limit);
				let left: Vec<&Ending> = left.collect();
				let spent = PRICE.of(&choice.now);
				read.paid += spent;
				note = read.encode();
				paid += spent;
				prop_assert!(paid <= limit);
				prop_assert_eq!(choice.now.len() + choice.others, left.len());
				if let Some(first) = left.get(choice.now.len()) {
					prop_assert!(paid + cost(first) > limit);
				}
			}
		}

		/// Whatever becomes of renewals and however much of that is heard, what counts as paid is
		/// never less than what was paid; and what took no effect costs its transactions at most.
		#[test]
		fn what_was_paid_always_counts(
			tries in prop::collection::vec((0u32..3, any::<bool>(), any::<bool>(), 0u8..4), 1..40),
		) {
			let (mut note, mut real) = (Note::default(), 0);
			let mut renewed = BTreeSet::new();
			let count = tries.len() as Balance;
			for (block, is_included, is_heard, look) in tries {
				let shard = ending(block);
				note.begin(&shard, &PRICE, UNTIL);
				let mut outcome = Outcome::default();
				// What the chain does.
				let list = match (is_included, is_included && renewed.insert(block)) {
					(true, true) => {
						real += EACH;
						&mut outcome.renewed
					}
					(true, false) => {
						real += PRICE.transaction;
						&mut outcome.refused
					}
					(false, _) => &mut outcome.unsent,
				};
				if is_heard {
					list.push(shard);
				}
				note.end(&outcome, &PRICE);
				prop_assert!(note.charged() >= real);
				if look == 0 {
					close_all(&mut note, &renewed);
					prop_assert!(note.charged() >= real);
				}
			}
			close_all(&mut note, &renewed);
			prop_assert!(note.open.is_empty() && note.charged() >= real);
			if renewed.is_empty() {
				prop_assert!(note.charged() <= count * PRICE.transaction);
			}
		}
	}
}
