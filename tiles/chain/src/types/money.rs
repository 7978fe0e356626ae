//! Amounts of BLY, as numbers and as text; what accounts have, and among whom an emission is
//! divided.

use std::fmt;
use subxt::ext::scale_decode::DecodeAsType;

/// An amount of BLY in its smallest unit, 10^−18 BLY.
pub type Balance = u128;

/// The smallest units of one BLY.
pub const BLY: Balance = 1_000_000_000_000_000_000;

/// The parties among whom the emission of an epoch is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub enum Share {
	/// Accounts whose updates were merged into a model.
	Trainers,
	/// Owners of the datasets that an improvement was learned from.
	Owners,
	/// Accounts that checked training or measured candidates.
	Verifiers,
	/// Accounts that audited datasets.
	Auditors,
	/// Accounts that authored blocks.
	Authors,
}

impl fmt::Display for Share {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Trainers => "trainers",
			Self::Owners => "owners",
			Self::Verifiers => "verifiers",
			Self::Auditors => "auditors",
			Self::Authors => "authors",
		})
	}
}

/// What an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct AccountBalance {
	/// What it may spend, except for what is frozen.
	pub free: Balance,
	/// What is held from it: bonds and deposits.
	pub reserved: Balance,
	/// What of `free` it must keep.
	pub frozen: Balance,
}

/// What the chain knows about an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, DecodeAsType)]
#[decode_as_type(crate_path = "::subxt::ext::scale_decode")]
pub struct AccountInfo {
	/// How many transactions it has signed.
	pub nonce: u32,
	/// What it has.
	pub data: AccountBalance,
}

/// An amount in BLY, with as many decimals as it needs.
pub fn bly(amount: Balance) -> String {
	let whole = amount / BLY;
	let rest = amount % BLY;
	if rest == 0 {
		return whole.to_string();
	}
	let digits = format!("{rest:018}");
	format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// An amount of BLY with up to 18 decimals, in the smallest unit; nothing if it is none.
pub fn parse_bly(text: &str) -> Option<Balance> {
	let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
	let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
	if !plain(whole) || !plain(decimals) || decimals.len() > 18 {
		return None;
	}
	let rest: Balance = format!("{decimals:0<18}").parse().ok()?;
	whole.parse::<Balance>().ok()?.checked_mul(BLY)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn amounts_are_read_to_the_last_decimal() {
		assert_eq!(parse_bly("0"), Some(0));
		assert_eq!(parse_bly("12.5"), Some(12 * BLY + BLY / 2));
		assert_eq!(parse_bly("0.000000000000000001"), Some(1));
		assert_eq!(parse_bly("1000000000"), Some(1_000_000_000 * BLY));
		let wrong = ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000000000000000001"];
		for wrong in wrong {
			assert_eq!(parse_bly(wrong), None, "{wrong}");
		}
		assert_eq!(parse_bly(&"9".repeat(39)), None);
		for amount in [0, 1, BLY, 123 * BLY + 45] {
			assert_eq!(parse_bly(&bly(amount)), Some(amount));
		}
	}

	#[test]
	fn amounts_have_the_decimals_that_they_need() {
		assert_eq!(bly(0), "0");
		assert_eq!(bly(1), "0.000000000000000001");
		assert_eq!(bly(BLY), "1");
		assert_eq!(bly(1_500 * BLY / 1_000), "1.5");
		assert_eq!(bly(1_000_000_000 * BLY), "1000000000");
	}
}
