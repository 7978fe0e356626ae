//! Plain data of the pallet.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use polkadot_sdk::sp_runtime::Perbill;
use scale_info::TypeInfo;

/// An amount of BLY in its smallest unit, 10^−18 BLY.
pub type Balance = u128;

/// The parties among whom the emission of an epoch is divided. The treasury is not one of them:
/// it receives what the shares leave.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Debug,
)]
pub enum Share {
	/// Accounts whose updates were merged into a model.
	#[codec(index = 0)]
	Trainers,
	/// Owners of the datasets that an improvement was learned from.
	#[codec(index = 1)]
	Owners,
	/// Accounts that checked training or measured candidates.
	#[codec(index = 2)]
	Verifiers,
	/// Accounts that audited datasets.
	#[codec(index = 3)]
	Auditors,
	/// Accounts that authored blocks.
	#[codec(index = 4)]
	Authors,
}

impl Share {
	/// Every share, in the order of its index.
	pub const ALL: [Share; 5] =
		[Share::Trainers, Share::Owners, Share::Verifiers, Share::Auditors, Share::Authors];
}

/// One value for each [`Share`].
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Default,
)]
pub struct Shares<V> {
	/// Value of [`Share::Trainers`].
	pub trainers: V,
	/// Value of [`Share::Owners`].
	pub owners: V,
	/// Value of [`Share::Verifiers`].
	pub verifiers: V,
	/// Value of [`Share::Auditors`].
	pub auditors: V,
	/// Value of [`Share::Authors`].
	pub authors: V,
}

impl<V: Copy> Shares<V> {
	/// The values that `value` gives for each share.
	pub fn from_fn(mut value: impl FnMut(Share) -> V) -> Self {
		Self {
			trainers: value(Share::Trainers),
			owners: value(Share::Owners),
			verifiers: value(Share::Verifiers),
			auditors: value(Share::Auditors),
			authors: value(Share::Authors),
		}
	}

	/// The value of one share.
	pub fn get(&self, share: Share) -> V {
		match share {
			Share::Trainers => self.trainers,
			Share::Owners => self.owners,
			Share::Verifiers => self.verifiers,
			Share::Auditors => self.auditors,
			Share::Authors => self.authors,
		}
	}

	/// Replaces the value of one share.
	pub fn set(&mut self, share: Share, value: V) {
		let slot = match share {
			Share::Trainers => &mut self.trainers,
			Share::Owners => &mut self.owners,
			Share::Verifiers => &mut self.verifiers,
			Share::Auditors => &mut self.auditors,
			Share::Authors => &mut self.authors,
		};
		*slot = value;
	}
}

impl Shares<Balance> {
	/// Sum over all shares. Saturates, which an amount under the cap never reaches.
	pub fn total(&self) -> Balance {
		Share::ALL.iter().fold(0, |sum, share| sum.saturating_add(self.get(*share)))
	}
}

/// The part of an epoch's emission that goes to each share.
pub type Split = Shares<Perbill>;

/// Points that were credited, by share. Points have no unit: a share is divided pro rata.
pub type Points = Shares<u64>;

/// What an ended epoch has to pay.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Default,
)]
pub struct Pot {
	/// Amount of each share when the epoch ended.
	pub amounts: Shares<Balance>,
	/// Part of each share that nobody has claimed yet.
	pub remaining: Shares<Balance>,
	/// Points of all accounts together when the epoch ended.
	pub points: Points,
}

/// The running epoch.
#[derive(
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Default,
)]
pub struct EpochInfo<BlockNumber> {
	/// Number of the epoch, counted from zero at genesis.
	pub index: u32,
	/// Block in which the epoch started.
	pub started: BlockNumber,
}
