//! Values that several commands read: hashes and accounts.

use blyan_primitives::H256;
use std::str::FromStr;
use subxt::utils::AccountId32;

/// 32 bytes as 64 hexadecimal digits, with or without `0x`.
pub fn parse_hash(text: &str) -> Result<H256, String> {
	let digits = text.strip_prefix("0x").unwrap_or(text);
	let wrong = || format!("write 64 hexadecimal digits; these are {}", digits.chars().count());
	if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
		return Err(wrong());
	}
	let mut bytes = [0u8; 32];
	for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
		let pair = digits.get(place..place + 2).ok_or_else(wrong)?;
		*byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
	}
	Ok(H256(bytes))
}

/// An account: an SS58 address, or 64 hexadecimal digits.
pub fn parse_account(text: &str) -> Result<AccountId32, String> {
	if let Ok(hash) = parse_hash(text) {
		return Ok(AccountId32(hash.0));
	}
	AccountId32::from_str(text)
		.map_err(|error| format!("this is neither an address ({error}) nor 64 hexadecimal digits"))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn hashes_need_64_digits() {
		let digits = "ab".repeat(32);
		assert_eq!(parse_hash(&digits), Ok(H256([0xab; 32])));
		assert_eq!(parse_hash(&format!("0x{digits}")), Ok(H256([0xab; 32])));
		for wrong in ["", "0x", "ab", "zz", &"a".repeat(63), &"ä".repeat(32), &"+1".repeat(32)] {
			assert!(parse_hash(wrong).is_err(), "{wrong}");
		}
	}

	#[test]
	fn accounts_are_addresses_or_digits() {
		let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
		let account = parse_account(alice).unwrap();
		assert_eq!(account.to_string(), alice);
		assert_eq!(parse_account(&"11".repeat(32)).unwrap(), AccountId32([0x11; 32]));
		assert!(parse_account("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ").is_err());
	}
}
