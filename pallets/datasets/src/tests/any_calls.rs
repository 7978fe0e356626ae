//! Random calls in random order.

use super::*;

/// One thing that somebody may try, with numbers that choose among what there is.
fn attempt(action: u8, a: u8, b: u8) {
	let count = ChainHead::<Test>::get().count;
	let id = u32::from(a) % count.max(1);
	let auditor = Audits::<Test>::get(id)
		.and_then(|audit| audit.seats.get(usize::from(b) % audit.seats.len()).cloned())
		.map_or(account(11), |seat| seat.who);
	let voter = 101 + b % 6;
	// Most of it fails, and must then change nothing that matters.
	let _ = match action {
		0 => submit_as(
			if b.is_multiple_of(2) { OWNER } else { Sr25519Keyring::Bob },
			&sample(u16::from(a % 24), 1).manifest,
		),
		1 | 2 => {
			let data = Manifests::<Test>::get(id).and_then(|manifest| {
				(0..24).map(|tag| sample(tag, 1)).find(|s| s.manifest == manifest)
			});
			data.map_or(Ok(()), |sample| store(id, 0, &sample.shards[0]))
		}
		3 => commit(id, &auditor, &report(if b < 64 { 500 } else { 950 })),
		4 => reveal(id, &auditor, report(950)),
		5 => vote(id, voter, !b.is_multiple_of(5)),
		6 => Datasets::flag(root(), id),
		7 => Datasets::resolve_flag(root(), id, b.is_multiple_of(2)),
		8 => appeal(id),
		9 if Voters::<Test>::contains_key(account(voter)) => leave(voter),
		9 => Datasets::register_voter(RuntimeOrigin::signed(account(voter)), hardware(voter)),
		10 => {
			HasRandomness::set(!b.is_multiple_of(4));
			Ok(())
		}
		_ => {
			run(1 + u64::from(a % 8));
			Ok(())
		}
	};
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(24))]

	/// Whatever is tried, in whatever order: the invariants hold after each step.
	#[test]
	fn the_invariants_hold_after_any_calls(
		steps in prop::collection::vec((0u8..15, any::<u8>(), any::<u8>()), 1..120),
	) {
		ExtBuilder::build_and_execute(|| {
			voters(101..=106);
			AdjustPeriod::set(7);
			for (action, a, b) in steps {
				attempt(action, a, b);
				if let Err(broken) = Datasets::do_try_state() {
					panic!("after {action} {a} {b}: {broken:?}");
				}
			}
		});
	}
}
