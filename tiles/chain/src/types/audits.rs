//! How a dataset is judged: what its auditors report and find together, and who votes on it.

use super::{AccountId, Balance, BlockNumber, Tier};
use blyan_primitives::H256;
use subxt::ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsType};

/// What an auditor found, from 0 (as bad as can be) to 1000 (nothing to object to).
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Scores {
	/// Records decode, are complete and are what the manifest says.
	pub format: u16,
	/// Records do not repeat each other, nor what other datasets have.
	pub duplicates: u16,
	/// No personal data.
	pub personal_data: u16,
	/// No abuse, and no instructions hidden in the text.
	pub toxicity: u16,
	/// The licence is what the texts themselves say.
	pub licence: u16,
	/// The language is the declared one.
	pub language: u16,
	/// A model finds the text neither noise nor trivial. `None` without a model to ask.
	pub perplexity: Option<u16>,
}

/// An auditor's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType, EncodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
#[encode_as_type(crate_path = "::subxt::ext::scale_encode")]
pub struct Report {
	/// The findings in numbers.
	pub scores: Scores,
	/// Hash of the full report.
	pub report_hash: H256,
}

impl Report {
	/// What an auditor of `dataset` commits to, with what the dataset's `appealed` and `draws` are:
	/// the SCALE encoding of all of it.
	pub fn payload(&self, dataset: u32, appealed: bool, draw: u8) -> Vec<u8> {
		use codec::Encode;
		let Scores { format, duplicates, personal_data, toxicity, licence, language, perplexity } =
			self.scores;
		let scores = (format, duplicates, personal_data, toxicity, licence, language, perplexity);
		(dataset, appealed, draw, scores, self.report_hash).encode()
	}
}

/// An auditor drawn for a dataset.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct AuditorSeat {
	/// The auditor.
	pub who: AccountId,
	/// Hash of its report, posted first.
	pub commitment: Option<H256>,
	/// Its report, revealed afterwards.
	pub report: Option<Report>,
}

/// What the auditors are to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum AuditPhase {
	/// Post the hash of the report.
	Commit,
	/// Reveal the report.
	Reveal,
}

/// An audit of a dataset that is going on.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct DatasetAudit {
	/// What the auditors are to do now.
	pub phase: AuditPhase,
	/// The auditors.
	pub seats: Vec<AuditorSeat>,
}

/// How an audit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct AuditResult {
	/// The median of each score.
	pub scores: Scores,
	/// How many reports there were.
	pub reports: u32,
	/// The proposed tier; `None` if the dataset failed.
	pub tier: Option<Tier>,
}

/// The votes on a dataset so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Tally {
	/// The tier that the auditors proposed.
	pub tier: Tier,
	/// Votes for it.
	pub ayes: u32,
	/// Votes against it.
	pub nays: u32,
}

/// An account that may vote.
#[derive(Clone, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct Voter {
	/// The machine that it votes from.
	pub hardware_id: H256,
	/// When it registered.
	pub since: BlockNumber,
	/// First block in which it may leave.
	pub bound_until: BlockNumber,
	/// What is held of it.
	pub deposit: Balance,
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn commitments_are_over_what_the_chain_encodes() {
		let scores = Scores {
			format: 1,
			duplicates: 2,
			personal_data: 3,
			toxicity: 4,
			licence: 5,
			language: 6,
			perplexity: Some(7),
		};
		let report = Report { scores, report_hash: H256([8; 32]) };
		let draw = vec![9, 0, 0, 0, 1, 2];
		let scores = vec![1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 1, 7, 0];
		assert_eq!(report.payload(9, true, 2), [draw, scores, vec![8; 32]].concat());
	}
}
