//! Numbers fixed for every network. What governance may move is in [`crate::params`]; what differs
//! between networks at birth is in [`crate::genesis`].

use crate::{Balance, BlockNumber};
use polkadot_sdk::{
	frame_support::weights::{constants::WEIGHT_REF_TIME_PER_SECOND, Weight},
	sp_runtime::Perbill,
};

/// One BLY in its smallest unit; 18 decimals, so that Ethereum tools show the same amounts.
pub const BLY: Balance = 1_000_000_000_000_000_000;
/// A thousandth of a BLY.
pub const MILLI_BLY: Balance = BLY / 1_000;
/// A millionth of a BLY.
pub const MICRO_BLY: Balance = BLY / 1_000_000;
/// The least an account must hold to exist. Small enough to give away, large enough that a million
/// empty accounts cost their creator 1,000 BLY.
pub const EXISTENTIAL_DEPOSIT: Balance = MILLI_BLY;

/// Milliseconds of a slot on the production network. `dev` chooses less at genesis.
pub const SLOT_MILLIS: u64 = 6_000;
/// Blocks in a minute, an hour and a day of production slots.
pub const MINUTES: BlockNumber = 60_000 / (SLOT_MILLIS as BlockNumber);
/// See [`MINUTES`].
pub const HOURS: BlockNumber = MINUTES * 60;
/// See [`MINUTES`].
pub const DAYS: BlockNumber = HOURS * 24;

/// Slots of a BABE epoch and of a session: one hour of production slots.
pub const EPOCH_SLOTS: u64 = 600;
/// Share of slots with a primary author; the others fall to a secondary author with a VRF, so that
/// every block carries fresh randomness.
pub const PRIMARY_PROBABILITY: (u64, u64) = (1, 4);

/// Compute time of a full block: 2 of 6 seconds, so that a block is imported well within a slot.
pub const MAXIMUM_BLOCK_WEIGHT: Weight =
	Weight::from_parts(WEIGHT_REF_TIME_PER_SECOND.saturating_mul(2), u64::MAX);
/// Bytes of a full block. Three shards of 1 MiB fit beside ordinary traffic, as far as the
/// author's default limit of 4 MiB lets them.
pub const MAXIMUM_BLOCK_LENGTH: u32 = 8 * 1024 * 1024;
/// Share of a block that ordinary calls may fill; the rest is for inherents and operations.
pub const NORMAL_DISPATCH_RATIO: Perbill = Perbill::from_percent(75);

/// Most validators a session can have.
pub const MAX_AUTHORITIES: u32 = 1_000;

const _: () = assert!(SLOT_MILLIS >= 1_000 && 60_000 % SLOT_MILLIS == 0);
const _: () = assert!(EXISTENTIAL_DEPOSIT > 0);
