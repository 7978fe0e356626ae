//! Personal data and secrets in text.
//!
//! Patterns find candidates, arithmetic rejects most of what only looks like one: check digits of
//! account and card numbers, ranges of addresses. None of this is proof; it is what a first look
//! finds, the same for everybody.

use regex::Regex;
use serde::Serialize;
use std::{net::Ipv4Addr, sync::LazyLock};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Personal {
	/// An address of electronic mail, but for those that are reserved for examples.
	Mail,
	/// A telephone number, international or North American.
	Phone,
	/// A bank account number whose check digits are right.
	Iban,
	/// A card number whose check digit is right.
	Card,
	/// A US social security number.
	SocialSecurity,
	/// A private key or an access token.
	Secret,
	/// A public IPv4 address. It is reported, but version numbers look the same, so it does not
	/// count.
	Address,
}

impl Personal {
	/// Whether a record that has it counts as having personal data.
	pub fn counts(self) -> bool {
		self != Self::Address
	}
}

/// A pattern and what tells a match from what merely looks like one.
struct Detector {
	kind: Personal,
	pattern: Regex,
	is_genuine: fn(&str) -> bool,
}

static DETECTORS: LazyLock<Vec<Detector>> = LazyLock::new(|| {
	let detector = |kind, pattern: &str, is_genuine: fn(&str) -> bool| Detector {
		kind,
		pattern: Regex::new(pattern).expect("the pattern is a constant that tests compile"),
		is_genuine,
	};
	// Boundaries are ASCII: those of Unicode would cost an order of magnitude in speed.
	vec![
		detector(
			Personal::Mail,
			r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,24}",
			is_real_mail,
		),
		detector(
			Personal::Phone,
			r"\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{1,4}\)?){2,5}",
			has_digits_of_phone,
		),
		detector(
			Personal::Phone,
			r"(?:\([2-9][0-9]{2}\) ?|(?-u:\b)[2-9][0-9]{2}[.-])[2-9][0-9]{2}[.-][0-9]{4}(?-u:\b)",
			|_| true,
		),
		detector(
			Personal::Iban,
			r"(?-u:\b)[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?-u:\b)",
			is_iban,
		),
		detector(Personal::Card, r"(?-u:\b)[3-6](?:[ -]?[0-9]){12,18}(?-u:\b)", is_card),
		detector(
			Personal::SocialSecurity,
			r"(?-u:\b)[0-9]{3}-[0-9]{2}-[0-9]{4}(?-u:\b)",
			is_social_security,
		),
		detector(Personal::Secret, r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----", |_| true),
		detector(
			Personal::Secret,
			concat!(
				r"(?-u:\b)(?:",
				r"gh[opsu]_[A-Za-z0-9]{36}",
				r"|github_pat_[A-Za-z0-9_]{40}",
				r"|AKIA[0-9A-Z]{16}",
				r"|AIza[0-9A-Za-z_-]{35}",
				r"|xox[abprs]-[A-Za-z0-9-]{10}",
				r"|sk-[A-Za-z0-9_-]{32}",
				r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10}",
				r")"
			),
			|_| true,
		),
		detector(
			Personal::Address,
			r"(?-u:\b)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?-u:\b)",
			is_public_address,
		),
	]
});

/// The first of each kind that `text` has, with the byte at which it begins.
pub fn find(text: &str) -> Vec<(Personal, usize)> {
	let mut found: Vec<(Personal, usize)> = Vec::new();
	for detector in DETECTORS.iter() {
		if found.iter().any(|(kind, _)| *kind == detector.kind) {
			continue;
		}
		let mut matches = detector.pattern.find_iter(text);
		if let Some(first) = matches.find(|found| (detector.is_genuine)(found.as_str())) {
			found.push((detector.kind, first.start()));
		}
	}
	found
}

/// Whether an address of mail could be somebody's.
fn is_real_mail(mail: &str) -> bool {
	let domain = mail.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
	let reserved = ["example.com", "example.net", "example.org"];
	let is_within = |name: &str| {
		domain == name || domain.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
	};
	let reserved_ends = [".example", ".invalid", ".test", ".localhost", ".local"];
	!reserved.into_iter().any(is_within) && !reserved_ends.iter().any(|end| domain.ends_with(end))
}

fn digits(text: &str) -> Vec<u8> {
	text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect()
}

fn has_digits_of_phone(text: &str) -> bool {
	(9..=15).contains(&digits(text).len())
}

/// ISO 13616: letters count from 10 on, the first four characters come last, and what that makes
/// leaves 1 when divided by 97.
fn is_iban(text: &str) -> bool {
	let solid: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
	if !(15..=34).contains(&solid.len()) {
		return false;
	}
	let (country, rest) = solid.split_at(4);
	let mut remainder = 0u32;
	for byte in rest.iter().chain(country) {
		remainder = match byte {
			b'0'..=b'9' => remainder * 10 + u32::from(byte - b'0'),
			b'A'..=b'Z' => remainder * 100 + u32::from(byte - b'A') + 10,
			_ => return false,
		} % 97;
	}
	remainder == 1
}

/// ISO 7812: from the right, every second digit doubled; the digits of all sum to a multiple of ten.
fn is_card(text: &str) -> bool {
	let digits = digits(text);
	let is_uniform = digits.windows(2).all(|pair| matches!(pair, [a, b] if a == b));
	if !(13..=19).contains(&digits.len()) || is_uniform {
		return false;
	}
	let sum: u32 = digits
		.iter()
		.rev()
		.enumerate()
		.map(|(place, digit)| match (place % 2, u32::from(*digit) * 2) {
			(0, double) => double / 2,
			(_, double) if double > 9 => double - 9,
			(_, double) => double,
		})
		.sum();
	sum.is_multiple_of(10)
}

/// No area 000, 666 or 9xx, no group 00, no serial 0000.
fn is_social_security(text: &str) -> bool {
	let mut parts = text.split('-');
	let (area, group, serial) = (parts.next(), parts.next(), parts.next());
	area.is_some_and(|area| area != "000" && area != "666" && !area.starts_with('9'))
		&& group != Some("00")
		&& serial != Some("0000")
}

fn is_public_address(text: &str) -> bool {
	text.parse::<Ipv4Addr>().is_ok_and(|address| {
		let [first, ..] = address.octets();
		!(address.is_private()
			|| address.is_loopback()
			|| address.is_link_local()
			|| address.is_documentation()
			|| address.is_broadcast()
			|| address.is_multicast()
			|| first == 0)
	})
}

#[cfg(test)]
mod tests {
	use super::*;

	fn kinds(text: &str) -> Vec<Personal> {
		find(text).into_iter().map(|(kind, _)| kind).collect()
	}

	#[test]
	fn mails_are_found_but_not_examples() {
		assert_eq!(find("write to jane.doe+x@mail.uni-bonn.de."), [(Personal::Mail, 9)]);
		for harmless in [
			"jane@example.com",
			"jane@sub.example.org",
			"a@b",
			"jane@host.test",
			"@jane",
			"a @ b.de",
		] {
			assert!(kinds(harmless).is_empty(), "{harmless}");
		}
		assert_eq!(kinds("jane@badexample.com"), [Personal::Mail]);
	}

	#[test]
	fn phones_are_found_but_not_sums_or_years() {
		for phone in ["call +49 228 730 123", "+1 (212) 736-5000", "(212) 736-5000", "212-736-5000"]
		{
			assert_eq!(kinds(phone), [Personal::Phone], "{phone}");
		}
		for harmless in ["$1,234,567.89", "1941-1945", "+5 points", "in 1862, 1863", "555-1234"] {
			assert!(kinds(harmless).is_empty(), "{harmless}");
		}
	}

	#[test]
	fn account_numbers_need_their_check_digits() {
		assert_eq!(kinds("DE89 3704 0044 0532 0130 00"), [Personal::Iban]);
		assert_eq!(kinds("GB82WEST12345698765432"), [Personal::Iban]);
		assert!(!kinds("DE88 3704 0044 0532 0130 00").contains(&Personal::Iban));
		assert!(!kinds("AB12 CDEF GHIJ KLMN").contains(&Personal::Iban));
	}

	#[test]
	fn card_numbers_need_their_check_digit() {
		assert_eq!(kinds("4111 1111 1111 1111"), [Personal::Card]);
		assert_eq!(kinds("5500-0000-0000-0004"), [Personal::Card]);
		assert!(kinds("4111 1111 1111 1112").is_empty());
		assert!(kinds("4444 4444 4444 4444").is_empty());
		assert!(kinds("123456").is_empty());
	}

	#[test]
	fn social_security_numbers_have_ranges() {
		assert_eq!(kinds("078-05-1120"), [Personal::SocialSecurity]);
		for harmless in ["000-12-3456", "666-12-3456", "912-12-3456", "123-00-4567", "123-45-0000"]
		{
			assert!(kinds(harmless).is_empty(), "{harmless}");
		}
	}

	#[test]
	fn keys_and_tokens_are_found() {
		// Put together here, so that nobody takes this file for a leak.
		let secrets = [
			format!("-----BEGIN {} KEY-----", "RSA PRIVATE"),
			format!("-----BEGIN {} KEY-----", "PRIVATE"),
			format!("token {}_{}", "ghp", "a1".repeat(18)),
			format!("{}{}", "AKIA", "A1".repeat(8)),
			format!("{}-{}", "sk", "a1".repeat(16)),
			format!("{0}.{0}.{1}", "eyJ".to_owned() + &"a".repeat(10), "b".repeat(10)),
		];
		for secret in secrets {
			assert_eq!(kinds(&secret), [Personal::Secret], "{secret}");
		}
		for harmless in ["-----BEGIN PUBLIC KEY-----", "AKIA", "task-force", "sk-short"] {
			assert!(kinds(harmless).is_empty(), "{harmless}");
		}
	}

	#[test]
	fn public_addresses_are_found_and_do_not_count() {
		assert_eq!(kinds("from 8.8.4.4:53"), [Personal::Address]);
		assert!(!Personal::Address.counts() && Personal::Mail.counts());
		for harmless in ["192.168.1.1", "127.0.0.1", "10.1.2.3", "192.0.2.7", "300.1.2.3", "1.2.3"]
		{
			assert!(kinds(harmless).is_empty(), "{harmless}");
		}
	}

	#[test]
	fn first_of_each_kind_is_found() {
		let text = "a@b.de, c@d.fr and 4111111111111111";
		assert_eq!(find(text), [(Personal::Mail, 0), (Personal::Card, 19)]);
	}
}
