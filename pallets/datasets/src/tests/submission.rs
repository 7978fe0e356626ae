//! Submitting, uploading, the pool and the difficulty.

use super::*;

// Submission.

#[test]
fn submit_accepts_a_signature_over_wrapped_bytes() {
	ExtBuilder::build_and_execute(|| {
		let manifest = sample(1, 1).manifest;
		let wrapped = [&b"<Bytes>"[..], manifest.hash().as_bytes(), &b"</Bytes>"[..]].concat();
		let signature = OWNER.sign(&wrapped).into();
		assert_ok!(submit_with(&manifest, signature, work(&manifest, OWNER)));
	});
}

#[test]
fn submit_is_a_bare_extrinsic() {
	ExtBuilder::build_and_execute(|| {
		let manifest = sample(1, 1).manifest;
		let signature = signed(&manifest, OWNER);
		let nonce = work(&manifest, OWNER);
		let origin = RuntimeOrigin::signed(owner());
		assert_noop!(
			Datasets::submit(origin, manifest, owner(), signature, nonce),
			DispatchError::BadOrigin
		);
		let origin = RuntimeOrigin::signed(owner());
		assert_noop!(Datasets::store_shard(origin, 0, 0, vec![1]), DispatchError::BadOrigin);
	});
}

#[test]
fn submit_fails_when_only_peers_keep_the_data() {
	ExtBuilder::build_and_execute(|| {
		let mut manifest = sample(1, 1).manifest;
		manifest.availability = Availability::Peers;
		let (signature, nonce) = (signed(&manifest, OWNER), work(&manifest, OWNER));
		assert_noop!(submit_with(&manifest, signature, nonce), Error::<Test>::PeersUnsupported);
	});
}

#[test]
fn submit_fails_when_there_are_too_few_records() {
	ExtBuilder::build_and_execute(|| {
		let mut manifest = sample(1, 1).manifest;
		manifest.records = 63;
		let (signature, nonce) = (signed(&manifest, OWNER), work(&manifest, OWNER));
		assert_noop!(submit_with(&manifest, signature, nonce), Error::<Test>::TooFewRecords);
	});
}

#[test]
fn submit_fails_when_the_manifest_contradicts_itself() {
	ExtBuilder::build_and_execute(|| {
		let mut manifest = sample(1, 1).manifest;
		manifest.bytes += 1;
		let (signature, nonce) = (signed(&manifest, OWNER), work(&manifest, OWNER));
		assert_noop!(submit_with(&manifest, signature, nonce), Error::<Test>::InvalidManifest);
	});
}

#[test]
fn submit_fails_when_the_work_is_too_little_or_somebody_elses() {
	ExtBuilder::build_and_execute(|| {
		let manifest = sample(1, 1).manifest;
		let account: [u8; 32] = owner().into();
		let lazy = (0..)
			.find(|nonce| !pow::meets(&manifest.hash(), &account, *nonce, 4))
			.expect("most nonces are no work");
		assert_noop!(
			submit_with(&manifest, signed(&manifest, OWNER), lazy),
			Error::<Test>::InsufficientWork
		);

		// Bob's work is worth nothing to Alice.
		let bob: [u8; 32] = Sr25519Keyring::Bob.to_account_id().into();
		let bobs = (0..)
			.find(|nonce| {
				pow::meets(&manifest.hash(), &bob, *nonce, 4)
					&& !pow::meets(&manifest.hash(), &account, *nonce, 4)
			})
			.expect("there is such work");
		assert_noop!(
			submit_with(&manifest, signed(&manifest, OWNER), bobs),
			Error::<Test>::InsufficientWork
		);
	});
}

#[test]
fn submit_fails_when_the_manifest_was_submitted_before() {
	ExtBuilder::build_and_execute(|| {
		submitted(1, 1);
		let manifest = sample(1, 1).manifest;
		assert_noop!(submit_as(OWNER, &manifest), Error::<Test>::AlreadySubmitted);
		// Nobody is in the way of somebody whose manifest they copied.
		assert_ok!(submit_as(Sr25519Keyring::Bob, &manifest));
		assert_noop!(submit_as(Sr25519Keyring::Bob, &manifest), Error::<Test>::AlreadySubmitted);
	});
}

#[test]
fn submit_fails_when_the_records_were_uploaded_before() {
	ExtBuilder::build_and_execute(|| {
		let (id, shards) = submitted(1, 1);
		let renamed = |name: &[u8]| {
			let mut manifest = sample(1, 1).manifest;
			manifest.name = BoundedVec::truncate_from(name.to_vec());
			manifest
		};
		// An announcement is in nobody's way.
		assert_ok!(submit_as(Sr25519Keyring::Bob, &renamed(b"a copy")));
		assert_ok!(store(id, 0, &shards[0]));
		assert_noop!(
			submit_as(Sr25519Keyring::Bob, &renamed(b"another copy")),
			Error::<Test>::DuplicateRecords
		);
	});
}

#[test]
fn submit_fails_when_the_quota_is_reached() {
	ExtBuilder::build_and_execute(|| {
		LiveQuota::set(2);
		assert_eq!(Datasets::quota_left(&owner()), 2);
		submitted(1, 1);
		submitted(2, 1);
		assert_eq!(Datasets::quota_left(&owner()), 0);
		let third = sample(3, 1).manifest;
		assert_noop!(submit_as(OWNER, &third), Error::<Test>::QuotaReached);
		// Others have their own.
		assert_ok!(submit_as(Sr25519Keyring::Bob, &third));
		// Decided datasets do not count.
		run(UPLOAD);
		assert_eq!(Datasets::quota_left(&owner()), 2);
	});
}

#[test]
fn submit_fails_in_quarantine() {
	ExtBuilder::build_and_execute(|| {
		InQuarantine::set(vec![owner()]);
		assert_noop!(submit_as(OWNER, &sample(1, 1).manifest), Error::<Test>::Quarantined);
	});
}

#[test]
fn submit_fails_when_the_owner_did_not_sign_this_manifest() {
	ExtBuilder::build_and_execute(|| {
		let manifest = sample(1, 1).manifest;
		let nonce = work(&manifest, OWNER);
		for signature in
			[signed(&manifest, Sr25519Keyring::Bob), signed(&sample(2, 1).manifest, OWNER)]
		{
			assert_noop!(submit_with(&manifest, signature, nonce), Error::<Test>::BadSignature);
		}
	});
}

// Upload.

#[test]
fn store_shard_fails_when_the_dataset_does_not_exist() {
	ExtBuilder::build_and_execute(|| {
		assert_noop!(store(0, 0, b"data"), Error::<Test>::UnknownDataset);
	});
}

#[test]
fn store_shard_fails_when_everything_is_uploaded() {
	ExtBuilder::build_and_execute(|| {
		let id = uploaded(1);
		assert_noop!(store(id, 0, &sample(1, 2).shards[0]), Error::<Test>::NotPending);
	});
}

#[test]
fn store_shard_fails_when_the_manifest_names_no_such_shard() {
	ExtBuilder::build_and_execute(|| {
		let (id, shards) = submitted(1, 2);
		assert_noop!(store(id, 2, &shards[0]), Error::<Test>::UnknownShard);
	});
}

#[test]
fn store_shard_fails_when_it_is_stored_already() {
	ExtBuilder::build_and_execute(|| {
		let (id, shards) = submitted(1, 2);
		assert_ok!(store(id, 0, &shards[0]));
		assert_noop!(store(id, 0, &shards[0]), Error::<Test>::ShardStoredAlready);
	});
}

#[test]
fn store_shard_fails_when_the_data_is_another() {
	ExtBuilder::build_and_execute(|| {
		let (id, shards) = submitted(1, 2);
		let mut data = shards[0].clone();
		assert_noop!(store(id, 0, &data[1..]), Error::<Test>::WrongShard);
		data[9] ^= 1;
		assert_noop!(store(id, 0, &data), Error::<Test>::WrongShard);
	});
}

/// A dataset of somebody else with the records root of `sample(tag, 2)` and a shard that has
/// nothing to do with it; its id and the shard.
fn squatter(tag: u16) -> (u32, Vec<u8>) {
	let id = ChainHead::<Test>::get().count;
	let Sample { mut manifest, mut shards } = sample(1_000 + tag, 1);
	manifest.records_root = sample(tag, 2).manifest.records_root;
	submit_as(Sr25519Keyring::Bob, &manifest).expect("nobody holds the records yet");
	(id, shards.remove(0))
}

#[test]
fn the_last_shard_is_refused_while_another_dataset_holds_the_records() {
	ExtBuilder::build_and_execute(|| {
		let (id, shards) = submitted(1, 2);
		let (other, shard) = squatter(1);
		assert_ok!(store(other, 0, &shard));
		assert_eq!(status(other), Status::Auditing);

		assert_ok!(store(id, 0, &shards[0]));
		assert_noop!(store(id, 1, &shards[1]), Error::<Test>::DuplicateRecords);
		// It waits, and is not stuck.
		run(UPLOAD);
		assert_eq!(status(id), Status::Rejected(Reason::NotUploaded));
		assert_eq!(Live::<Test>::get(owner()), 0);
	});
}

#[test]
fn a_dataset_that_ends_without_its_shards_leaves_the_records_to_their_holder() {
	ExtBuilder::build_and_execute(|| {
		let (id, _) = submitted(1, 2);
		run(UPLOAD - 1);
		let holder = ChainHead::<Test>::get().count;
		let mut manifest = sample(1, 2).manifest;
		manifest.name = BoundedVec::truncate_from(b"the holder".to_vec());
		assert_ok!(submit_as(Sr25519Keyring::Bob, &manifest));
		for (index, shard) in (0u32..).zip(&sample(1, 2).shards) {
			assert_ok!(store(holder, index, shard));
		}
		run(1);
		assert_eq!(status(id), Status::Rejected(Reason::NotUploaded));
		assert_eq!(RecordsRoots::<Test>::get(manifest.records_root), Some(holder));
	});
}

#[test]
fn a_root_without_its_records_keeps_nobody_out_for_longer_than_an_audit() {
	ExtBuilder::build_and_execute(|| {
		let (id, shards) = submitted(1, 2);
		let (other, shard) = squatter(1);
		assert_ok!(store(other, 0, &shard));
		assert_ok!(store(id, 0, &shards[0]));
		run(2);
		// Auditors see that the shard does not have this root.
		audited(other, 0);
		assert_eq!(status(other), Status::Rejected(Reason::AuditFailed));
		assert_ok!(store(id, 1, &shards[1]));
		assert_eq!(status(id), Status::Auditing);

		// Nor does an appeal take the records from whoever holds them now.
		let bob = RuntimeOrigin::signed(Sr25519Keyring::Bob.to_account_id());
		assert_noop!(
			Datasets::appeal(bob, other).map(|_| ()).map_err(|e| e.error),
			Error::<Test>::DuplicateRecords
		);
	});
}

#[test]
fn only_what_is_uploaded_and_has_not_failed_its_audit_holds_records() {
	let holding = [
		Status::Auditing,
		Status::Voting,
		Status::Approved(Tier::Gold),
		Status::Flagged(Tier::Gold),
		Status::Revoked,
		Status::Rejected(Reason::AuditIncomplete),
		Status::Rejected(Reason::NoQuorum),
		Status::Rejected(Reason::VotedDown),
	];
	assert!(holding.iter().all(|status| status.holds_records()));
	let others = [
		Status::Pending,
		Status::Rejected(Reason::NotUploaded),
		Status::Rejected(Reason::AuditFailed),
	];
	assert!(!others.iter().any(|status| status.holds_records()));
}

#[test]
fn records_that_nobody_decided_on_are_kept_for_an_appeal_and_free_afterwards() {
	ExtBuilder::build_and_execute(|| {
		AuditorPool::set(Vec::new());
		let (id, shards) = submitted(1, 2);
		let (other, shard) = squatter(1);
		for (index, shard) in (0u32..).zip(&shards) {
			assert_ok!(store(id, index, shard));
		}
		run(COMMIT + REVEAL);
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));
		// Whoever was not heard comes before a copy.
		assert_noop!(store(other, 0, &shard), Error::<Test>::DuplicateRecords);
		assert_ok!(appeal(id));
		run(COMMIT + REVEAL);
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));
		let root = AllDatasets::<Test>::get(id).expect("it is stored").records_root;
		assert_eq!(RecordsRoots::<Test>::get(root), None);
	});
}

#[test]
fn records_that_were_approved_once_are_never_free() {
	let mut dataset = Dataset::<u8, u8> {
		owner: 1,
		manifest_hash: H256::zero(),
		records_root: H256::zero(),
		records: 64,
		shards: 1,
		bytes: 64,
		status: Status::Rejected(Reason::AuditFailed),
		deadline: None,
		draws: 1,
		appealed: true,
		held_out_seed: Some(H256::zero()),
	};
	assert!(dataset.holds_records());
	dataset.held_out_seed = None;
	assert!(!dataset.holds_records());
	// Undecided ones are held until their appeal is over.
	dataset.status = Status::Rejected(Reason::NoQuorum);
	assert!(!dataset.holds_records());
	dataset.deadline = Some(1);
	assert!(dataset.holds_records());
}

#[test]
fn a_dataset_that_is_not_uploaded_in_time_is_rejected_and_its_records_are_free() {
	ExtBuilder::build_and_execute(|| {
		let (id, shards) = submitted(1, 2);
		assert_ok!(store(id, 0, &shards[0]));
		run(UPLOAD - 1);
		assert_eq!(status(id), Status::Pending);
		run(1);
		assert_eq!(status(id), Status::Rejected(Reason::NotUploaded));
		assert_eq!(Live::<Test>::get(owner()), 0);
		assert_eq!(Manifests::<Test>::get(id), None);
		assert_eq!(noted(&owner(), Subject::Data, Outcome::Missed), 1);
		assert_noop!(appeal(id), Error::<Test>::NotAppealable);
		assert_noop!(store(id, 1, &shards[1]), Error::<Test>::NotPending);

		// The work is spent, the records are not.
		let mut manifest = sample(1, 2).manifest;
		assert_noop!(submit_as(OWNER, &manifest), Error::<Test>::AlreadySubmitted);
		manifest.name = BoundedVec::truncate_from(b"another try".to_vec());
		assert_ok!(submit_as(OWNER, &manifest));
		assert_eq!(RecordsRoots::<Test>::get(manifest.records_root), None);
		for (index, shard) in (0u32..).zip(&shards) {
			assert_ok!(store(id + 1, index, shard));
		}
		assert_eq!(RecordsRoots::<Test>::get(manifest.records_root), Some(id + 1));
	});
}

#[test]
fn an_upload_remembers_each_shard_once() {
	let mut upload = Upload::default();
	for index in [0, 7, 8, 1023] {
		assert!(!upload.has(index));
		assert!(upload.insert(index));
		assert!(upload.has(index));
		assert!(!upload.insert(index));
	}
	assert_eq!(upload.stored, 4);
	assert!(!upload.insert(1024));
	assert!(!upload.has(1024));
	assert!(!upload.has(u32::MAX));
}

// The pool.

#[test]
#[allow(deprecated)]
fn the_pool_takes_what_the_calls_would_take() {
	ExtBuilder::build_and_execute(|| {
		let sample = sample(1, 1);
		let submit = Call::submit {
			manifest: sample.manifest.clone(),
			owner: owner(),
			signature: signed(&sample.manifest, OWNER),
			nonce: work(&sample.manifest, OWNER),
		};
		let valid = Datasets::validate_unsigned(TransactionSource::External, &submit)
			.expect("the submission is valid");
		assert!(valid.priority >= 4);
		assert!(valid.propagate);
		assert_eq!(valid.provides.len(), 1);
		assert_ok!(Datasets::pre_dispatch(&submit));

		assert_ok!(submit_as(OWNER, &sample.manifest));
		let shard = Call::store_shard { dataset: 0, index: 0, data: sample.shards[0].clone() };
		let valid = Datasets::validate_unsigned(TransactionSource::External, &shard)
			.expect("the shard is valid");
		assert_eq!((valid.priority, valid.provides.len()), (0, 1));
	});
}

#[test]
#[allow(deprecated)]
fn a_copy_replaces_nobody_elses_submission_in_the_pool() {
	ExtBuilder::build_and_execute(|| {
		let tags = |owner: Sr25519Keyring, manifest: &Manifest, nonce: u64| {
			let call = Call::submit {
				manifest: manifest.clone(),
				owner: owner.to_account_id(),
				signature: signed(manifest, owner),
				nonce,
			};
			Datasets::validate_unsigned(TransactionSource::External, &call)
				.expect("the submission is valid")
				.provides
		};
		let manifest = sample(1, 1).manifest;
		let nonce = work(&manifest, OWNER);
		let original = tags(OWNER, &manifest, nonce);
		// The same root under another name, and the same manifest as it is.
		let mut renamed = manifest.clone();
		renamed.name = BoundedVec::truncate_from(b"a copy".to_vec());
		for copy in [&renamed, &manifest] {
			let bob = Sr25519Keyring::Bob;
			// One of the same tags is enough to take its place.
			let tags = tags(bob, copy, work(copy, bob));
			assert!(tags.iter().all(|tag| !original.contains(tag)));
		}
		// But the same submission with more work takes the place of the one with less.
		let account: [u8; 32] = owner().into();
		let again = (nonce + 1..)
			.find(|nonce| pow::meets(&manifest.hash(), &account, *nonce, Datasets::difficulty()))
			.expect("there is more work");
		assert_eq!(tags(OWNER, &manifest, again), original);
	});
}

#[test]
#[allow(deprecated)]
fn the_pool_refuses_with_the_index_of_the_error() {
	ExtBuilder::build_and_execute(|| {
		let refused = |call: &Call<Test>| match Datasets::validate_unsigned(
			TransactionSource::External,
			call,
		) {
			Err(TransactionValidityError::Invalid(InvalidTransaction::Custom(code))) => code,
			other => panic!("expected a refusal with a code, got {other:?}"),
		};
		let manifest = sample(1, 1).manifest;
		let mut call = Call::submit {
			manifest: manifest.clone(),
			owner: owner(),
			signature: signed(&manifest, Sr25519Keyring::Bob),
			nonce: work(&manifest, OWNER),
		};
		assert_eq!(vec![refused(&call)], Error::<Test>::BadSignature.encode());
		assert!(Datasets::pre_dispatch(&call).is_err());
		if let Call::submit { manifest, .. } = &mut call {
			manifest.availability = Availability::Peers;
		}
		assert_eq!(refused(&call), 0);
		let call = Call::store_shard { dataset: 0, index: 0, data: vec![1] };
		assert_eq!(vec![refused(&call)], Error::<Test>::UnknownDataset.encode());

		let call = Call::register_voter { hardware_id: hardware(1) };
		assert_eq!(
			Datasets::validate_unsigned(TransactionSource::External, &call),
			Err(TransactionValidityError::Invalid(InvalidTransaction::Call))
		);
	});
}

#[test]
#[allow(deprecated)]
fn a_full_block_leaves_shards_in_the_pool() {
	ExtBuilder::build_and_execute(|| {
		let (id, shards) = submitted(1, 1);
		let shard = Call::store_shard { dataset: id, index: 0, data: shards[0].clone() };
		HasRoom::set(false);
		// The pool keeps it; an author who sees this error tries it again in the next block.
		assert_ok!(Datasets::validate_unsigned(TransactionSource::External, &shard));
		assert_eq!(
			Datasets::pre_dispatch(&shard),
			Err(TransactionValidityError::Invalid(InvalidTransaction::ExhaustsResources))
		);
		// What stores nothing needs no room.
		let sample = sample(2, 1);
		assert_ok!(Datasets::pre_dispatch(&Call::submit {
			manifest: sample.manifest.clone(),
			owner: owner(),
			signature: signed(&sample.manifest, OWNER),
			nonce: work(&sample.manifest, OWNER),
		}));
		HasRoom::set(true);
		assert_ok!(Datasets::pre_dispatch(&shard));
	});
}

// Difficulty.

#[test]
fn the_difficulty_follows_the_submissions_and_spares_work_in_progress() {
	ExtBuilder::build_and_execute(|| {
		AdjustPeriod::set(10);
		assert_eq!(Datasets::difficulty(), 4);
		let late = sample(100, 1).manifest;
		let account: [u8; 32] = owner().into();
		let nonce = (0..)
			.find(|nonce| {
				pow::leading_zero_bits(&pow::work_hash(&late.hash(), &account, *nonce)) == 4
			})
			.expect("there is such work");

		// More than twice the target of two.
		for tag in 0..5 {
			submitted(tag, 1);
		}
		run_to(10);
		assert_eq!(Datasets::difficulty(), 5);
		System::assert_has_event(Event::DifficultyAdjusted { bits: 5 }.into());
		// Work that was enough when it began is so for one period.
		assert_ok!(submit_with(&late, signed(&late, OWNER), nonce));

		// Fewer than half of it.
		run_to(20);
		assert_eq!(Datasets::difficulty(), 5);
		run_to(30);
		assert_eq!(Datasets::difficulty(), 4);
		run_to(100);
		assert_eq!(Datasets::difficulty(), 2);
		assert_eq!(CurrentPrice::<Test>::get().map(|price| price.submissions), Some(0));
	});
}
