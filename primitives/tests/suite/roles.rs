//! Roles: bits, sets, and bytes that stand for no set.

use blyan_primitives::roles::{Role, Roles, UnknownRole};
use codec::{Decode, DecodeAll, Encode, MaxEncodedLen};
use proptest::prelude::*;

#[test]
fn roles_have_their_golden_bytes() {
	for (index, role) in (0u8..).zip(Role::ALL) {
		assert_eq!(role.encode(), [index]);
		assert_eq!(Roles::from(role).bits(), 1u8 << index);
		assert_eq!(Roles::from(role).encode(), [1u8 << index]);
	}
	assert_eq!((Role::max_encoded_len(), Roles::max_encoded_len()), (1, 1));
	assert_eq!(Roles::of(&Role::ALL), Roles::ALL);
	assert_eq!(Roles::default(), Roles::EMPTY);
}

#[test]
fn bits_that_stand_for_no_role_are_refused() {
	for bits in 0..=u8::MAX {
		let expected = (bits < 64).then_some(bits);
		assert_eq!(Roles::from_bits(bits).map(Roles::bits), expected);
		assert_eq!(Roles::decode_all(&mut &[bits][..]).ok().map(Roles::bits), expected);
		assert_eq!(Roles::try_from(bits).is_ok(), expected.is_some());
	}
	assert_eq!(Roles::try_from(64), Err(UnknownRole));
	assert!(Roles::decode(&mut &[0u8; 0][..]).is_err());
	assert!(Role::decode(&mut &[6u8][..]).is_err());
}

proptest! {
	#[test]
	fn a_set_holds_what_was_put_in_and_not_taken_out(
		steps in prop::collection::vec((0usize..6, any::<bool>()), 0..40),
	) {
		let mut set = Roles::EMPTY;
		let mut naive = [false; 6];
		for (index, put) in steps {
			let role = Role::ALL[index];
			naive[index] = put;
			if put {
				set.insert(role);
			} else {
				set.remove(role);
			}
		}
		let expected: Vec<Role> =
			Role::ALL.into_iter().zip(naive).filter(|(_, is)| *is).map(|(role, _)| role).collect();
		prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.clone());
		prop_assert_eq!(set, Roles::of(&expected));
		prop_assert_eq!(set.is_empty(), expected.is_empty());
		for role in Role::ALL {
			prop_assert_eq!(set.contains(role), expected.contains(&role));
		}
	}
}
