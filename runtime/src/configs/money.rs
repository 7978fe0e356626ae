//! BLY: balances and fees.

use crate::*;
use constants::{BLY, EXISTENTIAL_DEPOSIT, MICRO_BLY, MILLI_BLY};
use frame_support::{
	parameter_types,
	traits::{ConstU32, ConstU8, VariantCountOf},
	weights::{
		ConstantMultiplier, WeightToFeeCoefficient, WeightToFeeCoefficients, WeightToFeePolynomial,
	},
};
use pallet_transaction_payment::{FungibleAdapter, Multiplier, TargetedFeeAdjustment};
use sp_runtime::{traits::Bounded, FixedPointNumber, Perbill, Perquintill};

parameter_types! {
	pub const ExistentialDeposit: Balance = EXISTENTIAL_DEPOSIT;
	/// A byte of a transaction costs a millionth of a BLY: a shard of 1 MiB about one BLY.
	pub const TransactionByteFee: Balance = MICRO_BLY;
	pub const TargetBlockFullness: Perquintill = Perquintill::from_percent(25);
	pub AdjustmentVariable: Multiplier = Multiplier::saturating_from_rational(75, 1_000_000);
	pub MinimumMultiplier: Multiplier = Multiplier::saturating_from_rational(1, 1_000);
	pub MaximumMultiplier: Multiplier = Bounded::max_value();
}

impl pallet_balances::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeHoldReason = RuntimeHoldReason;
	type RuntimeFreezeReason = RuntimeFreezeReason;
	type WeightInfo = pallet_balances::weights::SubstrateWeight<Runtime>;
	type Balance = Balance;
	type DustRemoval = pallet_bly::BurnDust<Runtime>;
	type ExistentialDeposit = ExistentialDeposit;
	type AccountStore = System;
	type ReserveIdentifier = [u8; 8];
	type FreezeIdentifier = RuntimeFreezeReason;
	type MaxLocks = ConstU32<0>;
	type MaxReserves = ConstU32<0>;
	type MaxFreezes = VariantCountOf<RuntimeFreezeReason>;
	type DoneSlashHandler = ();
}

/// The base weight of an extrinsic (about 0.1 ms) costs one thousandth of a BLY.
pub struct WeightToFee;
impl WeightToFeePolynomial for WeightToFee {
	type Balance = Balance;

	fn polynomial() -> WeightToFeeCoefficients<Self::Balance> {
		let base =
			Balance::from(frame_support::weights::constants::ExtrinsicBaseWeight::get().ref_time());
		[WeightToFeeCoefficient {
			degree: 1,
			negative: false,
			coeff_frac: Perbill::from_rational(MILLI_BLY % base, base),
			coeff_integer: MILLI_BLY / base,
		}]
		.into_iter()
		.collect()
	}
}

impl pallet_transaction_payment::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type OnChargeTransaction = FungibleAdapter<Balances, pallet_bly::BurnFees<Runtime>>;
	type WeightToFee = WeightToFee;
	type LengthToFee = ConstantMultiplier<Balance, TransactionByteFee>;
	type FeeMultiplierUpdate = TargetedFeeAdjustment<
		Self,
		TargetBlockFullness,
		AdjustmentVariable,
		MinimumMultiplier,
		MaximumMultiplier,
	>;
	type OperationalFeeMultiplier = ConstU8<5>;
	type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
}

parameter_types! {
	/// No call can make the issuance exceed this.
	pub const Cap: Balance = 1_000_000_000 * BLY;
	/// What the first emission epoch mints. With a day's epoch, halving every two years, at most
	/// 547.75 million BLY are ever minted; the rest of the cap is what genesis may give.
	pub const InitialEmission: Balance = 500_000 * BLY;
	/// Emission halves every two years of daily epochs.
	pub const HalvingEpochs: u32 = 730;
	/// Epochs within which rewards are claimed; what is left goes to the treasury.
	pub const ClaimPeriod: u32 = 84;
	pub const BlyPalletId: frame_support::PalletId = frame_support::PalletId(*b"blyan/po");
	pub InitialSplit: pallet_bly::Split = pallet_bly::Split {
		trainers: Perbill::from_percent(40),
		owners: Perbill::from_percent(20),
		verifiers: Perbill::from_percent(15),
		auditors: Perbill::from_percent(5),
		authors: Perbill::from_percent(10),
	};
}

impl pallet_bly::Config for Runtime {
	type Currency = Balances;
	type AdminOrigin = frame_system::EnsureRoot<AccountId>;
	type EpochLength = params::EmissionEpoch;
	type InitialEmission = InitialEmission;
	type HalvingEpochs = HalvingEpochs;
	type ClaimPeriod = ClaimPeriod;
	type InitialSplit = InitialSplit;
	type Cap = Cap;
	type PalletId = BlyPalletId;
	type MaxClear = ConstU32<100>;
	type WeightInfo = crate::weights::pallet_bly::WeightInfo<Runtime>;
}
