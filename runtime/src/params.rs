//! Parameters that governance may move, each with unit, reason and bounds.
//!
//! A value outside its bounds counts as the nearest bound, so that no vote can stop the chain.

use crate::{
	constants::{DAYS, HOURS, MINUTES},
	Runtime,
};
use polkadot_sdk::{
	frame_support::{
		dynamic_params::{dynamic_pallet_params, dynamic_params},
		traits::Get,
	},
	*,
};

/// Declares the parameters once: storage, default, bounds, the name that a genesis preset uses, and
/// the `Get` that pallets are configured with.
macro_rules! parameters {
	($( $(#[$doc:meta])* $index:literal $name:ident $label:literal : $default:expr, $min:expr, $max:expr; )*) => {
		/// The values as `pallet_parameters` stores them.
		#[dynamic_params(RuntimeParameters, pallet_parameters::Parameters::<Runtime>)]
		pub mod stored {
			use super::*;

			/// Every parameter of the protocol.
			#[dynamic_pallet_params]
			#[codec(index = 0)]
			pub mod protocol {
				use super::*;
				$( $(#[$doc])* #[codec(index = $index)] pub static $name: u64 = $default; )*
			}
		}

		$(
			$(#[$doc])*
			pub struct $name;
			impl<N: TryFrom<u64> + sp_runtime::traits::Bounded> Get<N> for $name {
				fn get() -> N {
					let value = <stored::protocol::$name as Get<u64>>::get().clamp($min, $max);
					N::try_from(value).unwrap_or_else(|_| N::max_value())
				}
			}
			#[allow(unused_comparisons, clippy::absurd_extreme_comparisons, clippy::eq_op)]
			const _: () = assert!($min <= $default && $default <= $max);
		)*

		/// Names of all parameters, as genesis presets use them.
		pub const NAMES: &[&str] = &[$( $label ),*];

		/// The parameter called `name` set to `value`; none if there is no such parameter.
		pub fn by_name(name: &str, value: u64) -> Option<RuntimeParameters> {
			match name {
				$( $label => Some(RuntimeParameters::Protocol(
					stored::protocol::Parameters::$name(stored::protocol::$name, Some(value)),
				)), )*
				_ => None,
			}
		}
	};
}

const fn blocks(count: u32) -> u64 {
	count as u64
}

parameters! {
	/// Blocks that stored shards are kept and proven before they expire unless renewed.
	0 RetentionPeriod "retentionPeriod": blocks(14 * DAYS), 100, blocks(365 * DAYS);
	/// Auditors drawn for each dataset.
	1 AuditorsPerDataset "auditorsPerDataset": 3, 1, 16;
	/// Blocks to commit to an audit report, and again to reveal it: 15 + 15 minutes. Both together
	/// are all that an audit may take, the wait for auditors and further draws included.
	2 AuditPhase "auditPhase": blocks(15 * MINUTES), 4, blocks(DAYS);
	/// Blocks of a vote on a dataset, and for which a voter is bound by its last vote.
	3 VotingPeriod "votingPeriod": blocks(72 * HOURS), 2, blocks(30 * DAYS);
	/// Votes that a decision needs.
	4 VoteQuorum "voteQuorum": 10, 1, 100_000;
	/// Blocks a voter must have been registered.
	5 VoterAge "voterAge": blocks(7 * DAYS), 0, blocks(365 * DAYS);
	/// Blocks that an open round waits for trainers.
	6 OpenPeriod "openPeriod": blocks(30 * MINUTES), 2, blocks(7 * DAYS);
	/// Blocks to train and commit.
	7 TrainPeriod "trainPeriod": blocks(4 * HOURS), 2, blocks(30 * DAYS);
	/// Blocks to reveal updates.
	8 RevealPeriod "revealPeriod": blocks(30 * MINUTES), 2, blocks(7 * DAYS);
	/// Blocks for verifiers to re-run, commit and reveal.
	9 VerifyPeriod "verifyPeriod": blocks(4 * HOURS), 2, blocks(30 * DAYS);
	/// Blocks an owner of a component has to post its merge before the next in order may.
	10 MergeTurn "mergeTurn": blocks(10 * MINUTES), 2, blocks(DAYS);
	/// Blocks in which a fraud proof may still undo a merge.
	11 ChallengePeriod "challengePeriod": blocks(12 * HOURS), 2, blocks(30 * DAYS);
	/// Blocks for evaluators to commit and reveal.
	12 EvaluatePeriod "evaluatePeriod": blocks(HOURS), 2, blocks(7 * DAYS);
	/// Updates without which a round is abandoned.
	13 MinUpdates "minUpdates": 2, 1, 64;
	/// Trainers at which a round stops waiting for more.
	14 MaxTrainers "maxTrainers": 32, 1, 64;
	/// Verifiers wanted for each update: more than half of them must agree.
	15 VerifiersPerUpdate "verifiersPerUpdate": 3, 1, 7;
	/// Evaluators wanted for each round: more than half of them must measure.
	16 EvaluatorsPerRound "evaluatorsPerRound": 3, 1, 16;
	/// Blocks of an emission epoch.
	17 EmissionEpoch "emissionEpoch": blocks(DAYS), 5, blocks(30 * DAYS);
	/// Blocks within which a live worker sends a heartbeat.
	18 HeartbeatInterval "heartbeatInterval": blocks(10 * MINUTES), 5, blocks(DAYS);
	/// Blocks between leaving and getting the bond back.
	19 UnbondingPeriod "unbondingPeriod": blocks(7 * DAYS), 2, blocks(90 * DAYS);
	/// Leading zero bits of the proof of work at genesis: about 3 s of one core.
	20 InitialDifficulty "initialDifficulty": 22, 4, 40;
	/// Blocks to upload a dataset's shards after its submission.
	21 UploadPeriod "uploadPeriod": blocks(DAYS), 5, blocks(7 * DAYS);
	/// Blocks in which a rejected or revoked owner may appeal.
	22 AppealPeriod "appealPeriod": blocks(7 * DAYS), 2, blocks(30 * DAYS);
	/// Blocks between adjustments of the difficulty.
	23 AdjustPeriod "adjustPeriod": blocks(HOURS), 10, blocks(7 * DAYS);
	/// Submissions in that time at which the difficulty stays as it is.
	24 TargetSubmissions "targetSubmissions": 100, 1, 100_000;
	/// Segments that the verifiers of an update re-run, the last one always among them.
	25 SegmentsPerUpdate "segmentsPerUpdate": 2, 1, 8;
	/// Whether every model may have rounds, which are paid (1), or only those that governance has
	/// admitted (0). 1 only in networks whose BLY is worth nothing: anybody can create a model, and
	/// whoever trains a toy with their own workers would take nearly all of the emission.
	26 AnyModelEarns "anyModelEarns": 0, 0, 1;
}
