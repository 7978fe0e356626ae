//! What follows `blyan sample`.

use super::{parse_account, parse_hash};
use blyan_primitives::{sampling::MixtureEntry, H256};
use clap::Args;
use subxt::utils::AccountId32;

/// Arguments of `sample`.
#[derive(Clone, Debug, Args)]
pub struct SampleArgs {
	/// The round's seed, 32 bytes as hexadecimal digits.
	#[arg(long, value_name = "HEX", value_parser = parse_hash)]
	pub seed: H256,
	/// A dataset of the round, in order: records, how often it is repeated, and the seed that says
	/// which of its records are held out.
	#[arg(long = "dataset", required = true, value_name = "RECORDS:WEIGHT:HEX", value_parser = parse_mixture_entry)]
	pub datasets: Vec<MixtureEntry>,
	/// The trainer: an address, or 32 bytes as hexadecimal digits.
	#[arg(
		long,
		value_name = "ACCOUNT",
		value_parser = parse_account,
		required_unless_present = "evaluation",
		conflicts_with = "evaluation"
	)]
	pub trainer: Option<AccountId32>,
	/// The step, from 0 on.
	#[arg(long, default_value_t = 0)]
	pub step: u32,
	/// Records of a step.
	#[arg(long, default_value_t = 16)]
	pub batch: u16,
	/// Draw this many held-out records for an evaluation instead.
	#[arg(long, value_name = "RECORDS")]
	pub evaluation: Option<u32>,
}

/// `RECORDS:WEIGHT:HEX`.
fn parse_mixture_entry(text: &str) -> Result<MixtureEntry, String> {
	let shape = "write RECORDS:WEIGHT:SEED, with 64 hexadecimal digits for the seed";
	let mut parts = text.splitn(3, ':');
	let (Some(records), Some(weight), Some(seed)) = (parts.next(), parts.next(), parts.next())
	else {
		return Err(shape.to_owned());
	};
	match (records.parse(), weight.parse()) {
		(Ok(records), Ok(weight)) => {
			Ok(MixtureEntry { records, weight, held_out_seed: parse_hash(seed)? })
		}
		_ => Err(shape.to_owned()),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn datasets_of_a_round_are_read() {
		let entry = parse_mixture_entry(&format!("100:2:{}", "cd".repeat(32))).unwrap();
		assert_eq!((entry.records, entry.weight), (100, 2));
		assert_eq!(entry.held_out_seed, H256([0xcd; 32]));
		for wrong in ["", "100", "100:2", "100:2:cd", "x:2:cd"] {
			assert!(parse_mixture_entry(wrong).is_err(), "{wrong}");
		}
	}
}
