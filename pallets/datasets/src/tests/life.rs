//! The whole life of a dataset, and Chain D.

use super::*;

// The whole life.

#[test]
fn a_dataset_lives_from_submission_to_approval() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=104);
		let (id, shards) = submitted(1, 2);
		assert_eq!(status(id), Status::Pending);
		assert_eq!(Live::<Test>::get(owner()), 1);

		assert_ok!(store(id, 1, &shards[1]));
		assert_eq!(status(id), Status::Pending);
		assert_ok!(store(id, 0, &shards[0]));
		assert_eq!(status(id), Status::Auditing);
		System::assert_last_event(Event::Uploaded { dataset: id }.into());
		assert_eq!(Uploads::<Test>::get(id), None);

		run(2);
		let auditors = auditors(id);
		assert_eq!(auditors.len(), 3);
		audited(id, 980);
		assert_eq!(status(id), Status::Voting);
		let result = AuditResults::<Test>::get(id).expect("the audit is over");
		assert_eq!(result.scores, scores(980));
		assert_eq!((result.reports, result.tier), (3, Some(Tier::Gold)));
		for who in &auditors {
			assert_eq!(noted(who, Subject::Audit, Outcome::Success), 1);
			// A few kilobytes were read, no matter in how many shards.
			assert!(Credited::get().contains(&(who.clone(), Share::Auditors, 1)));
		}

		for n in 101..=103 {
			assert_ok!(vote(id, n, true));
		}
		assert_ok!(vote(id, 104, false));
		assert_eq!(Tallies::<Test>::get(id), Some(Tally { tier: Tier::Gold, ayes: 3, nays: 1 }));
		assert!(!is_approved(id));
		run(VOTING + 1);
		assert_eq!(status(id), Status::Approved(Tier::Gold));
		assert_eq!(Live::<Test>::get(owner()), 0);
		assert_eq!(noted(&owner(), Subject::Data, Outcome::Success), 1);

		let approved =
			<Datasets as crate::Datasets<AccountId>>::approved(id).expect("it was approved");
		let dataset = AllDatasets::<Test>::get(id).expect("it exists");
		assert_eq!(approved.owner, owner());
		assert_eq!(approved.records, 128);
		assert_eq!(approved.records_root, dataset.records_root);
		assert_eq!(Some(approved.held_out_seed), dataset.held_out_seed);
	});
}

#[test]
fn what_is_not_approved_is_not_for_rounds() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		assert!(!is_approved(0));
		let id = approved(1);
		assert!(is_approved(id));
		assert_ok!(Datasets::flag(root(), id));
		assert!(!is_approved(id));
		assert_ok!(Datasets::resolve_flag(root(), id, false));
		assert!(is_approved(id));
		assert_ok!(Datasets::flag(root(), id));
		assert_ok!(Datasets::resolve_flag(root(), id, true));
		assert!(!is_approved(id));
	});
}

// Chain D.

#[test]
fn submissions_make_a_chain_that_status_changes_do_not_alter() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let first = approved(1);
		let (second, _) = submitted(2, 1);
		let one = Blocks::<Test>::get(first).expect("was submitted");
		let two = Blocks::<Test>::get(second).expect("was submitted");
		assert_eq!(one.parent, H256::zero());
		assert_eq!(two.parent, one.hash());
		assert_eq!(ChainHead::<Test>::get(), Head { count: 2, hash: two.hash() });

		assert_ok!(Datasets::flag(root(), first));
		assert_eq!(Blocks::<Test>::get(first), Some(one));
		assert_eq!(ChainHead::<Test>::get().hash, two.hash());
		System::assert_has_event(
			Event::Submitted {
				dataset: second,
				owner: owner(),
				manifest_hash: two.manifest_hash,
				block_hash: two.hash(),
			}
			.into(),
		);
	});
}

#[test]
fn the_hash_of_a_block_is_the_documented_one() {
	let block = DatasetBlock {
		number: 5,
		parent: H256([1; 32]),
		manifest_hash: H256([2; 32]),
		owner: account(3),
		at: 7,
	};
	let mut bytes = b"blyan/D\x01".to_vec();
	bytes.extend([5, 0, 0, 0]);
	bytes.extend([1; 32]);
	bytes.extend([2; 32]);
	bytes.extend([3; 32]);
	bytes.extend([7, 0, 0, 0]);
	assert_eq!(block.hash(), blake2b_256(&bytes));
}
