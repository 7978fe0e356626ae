//! Proof of work: a golden hash, the count of zero bits, search and its limits.

use blyan_primitives::{pow::*, H256};
use proptest::prelude::*;

const MANIFEST: H256 = H256([3; 32]);
const ACCOUNT: [u8; 32] = [5; 32];

#[test]
fn work_is_the_golden_one() {
	assert_eq!(
		format!("{:x}", work_hash(&MANIFEST, &ACCOUNT, 7)),
		"e511b1b5d4f4db489687322741328c9bb63995b585245fd40143d7e400450bad"
	);
	assert_eq!(solve(&MANIFEST, &ACCOUNT, 12, 10_000), Some(1_926));
}

#[test]
fn zero_bits_are_counted_from_the_front() {
	assert_eq!(leading_zero_bits(&H256([0; 32])), 256);
	let mut last = [0; 32];
	last[31] = 1;
	assert_eq!(leading_zero_bits(&H256(last)), 255);
	let mut second = [0; 32];
	second[1] = 0x80;
	assert_eq!(leading_zero_bits(&H256(second)), 8);
	assert_eq!(leading_zero_bits(&H256([0x80; 32])), 0);
	assert_eq!(leading_zero_bits(&H256([0x01; 32])), 7);
}

#[test]
fn search_finds_the_first_nonce_and_keeps_its_limits() {
	assert_eq!(solve(&MANIFEST, &ACCOUNT, 0, 0), None);
	assert_eq!(solve(&MANIFEST, &ACCOUNT, 0, 1), Some(0));
	assert_eq!(solve(&MANIFEST, &ACCOUNT, 12, 1_926), None);
	assert_eq!(solve(&MANIFEST, &ACCOUNT, 12, 1_927), Some(1_926));
	assert_eq!(solve_from(&MANIFEST, &ACCOUNT, 12, 1_000, 10_000), Some(1_926));
	assert_eq!(solve_from(&MANIFEST, &ACCOUNT, 257, 0, u64::MAX), None);
	assert_eq!(solve_from(&MANIFEST, &ACCOUNT, 256, u64::MAX - 3, 100), None);
}

#[test]
fn work_holds_for_its_manifest_and_account_only() {
	let nonce = solve(&MANIFEST, &ACCOUNT, 12, 10_000).unwrap();
	assert!(meets(&MANIFEST, &ACCOUNT, nonce, 12));
	assert!(!meets(&H256([4; 32]), &ACCOUNT, nonce, 12));
	assert!(!meets(&MANIFEST, &[6; 32], nonce, 12));
	assert!(!meets(&MANIFEST, &ACCOUNT, nonce + 1, 12));
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn zero_bits_match_a_count_bit_by_bit(mut bytes: [u8; 32], zeros in 0usize..32) {
		bytes[..zeros].fill(0);
		let bits = (0..256usize).take_while(|&bit| (bytes[bit / 8] >> (7 - bit % 8)) & 1 == 0).count();
		prop_assert_eq!(leading_zero_bits(&H256(bytes)) as usize, bits);
	}

	#[test]
	fn what_is_solved_meets_every_lower_difficulty(manifest: [u8; 32], account: [u8; 32]) {
		let manifest = H256(manifest);
		let nonce = solve(&manifest, &account, 6, 100_000).unwrap();
		let bits = leading_zero_bits(&work_hash(&manifest, &account, nonce));
		for difficulty in 0..=bits {
			prop_assert!(meets(&manifest, &account, nonce, difficulty));
		}
		prop_assert!(!meets(&manifest, &account, nonce, bits + 1));
	}
}
