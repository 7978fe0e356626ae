//! `account` and the files that it keeps.

mod support;

use blyan_cli::keystore::{Key, Keystore, Scheme, Secret};
use support::{names_in, Place};

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

#[test]
fn new_key_is_listed_and_shown_and_its_secret_is_not() {
	let place = Place::new();
	let empty = place.run(&["account", "list"]).success();
	assert!(empty.out.contains("no keys"), "{empty:?}");
	let new = ["--json", "account", "new", "mine", "--no-password", "--show-phrase"];
	let made = place.run(&new).success();
	let phrase = made.err.trim().strip_prefix("phrase: ").unwrap().to_owned();
	assert_eq!(phrase.split(' ').count(), 12);
	assert!(!made.out.contains(&phrase));

	let listed = place.run(&["--json", "account", "list"]).json();
	assert_eq!(listed.as_array().unwrap().len(), 1);
	assert_eq!(listed[0]["name"], "mine");
	assert_eq!(listed[0]["encrypted"], false);
	let shown = place.run(&["--json", "account", "show", "mine"]).json();
	assert_eq!(shown["address"], listed[0]["address"]);
	let key = Key::new(&Secret::from_uri(&phrase).unwrap(), Scheme::Sr25519).unwrap();
	assert_eq!(shown["address"], key.account().to_string());

	let table = place.run(&["account", "show", "mine"]).success();
	assert!(!table.out.contains(&phrase) && !table.err.contains(&phrase));
	place.run(&["account", "new", "mine", "--no-password"]).failure(1, "already");
}

#[test]
fn password_of_the_environment_protects_the_file() {
	let place = Place::new();
	let password = ("BLYAN_KEY_PASSWORD", "open sesame");
	let made = place.run_with(password, &["--json", "account", "new", "mine"]).json();
	assert_eq!(made["encrypted"], true);
	let text = String::from_utf8(place.read("data/blyan/keys/mine.json")).unwrap();
	assert!(text.contains("scrypt-xchacha20poly1305") && !text.contains("\"uri\""), "{text}");

	// Its address is public; nobody is asked for a password to see it.
	let shown = place.run(&["--json", "account", "show", "mine"]).json();
	assert_eq!(shown["address"], made["address"]);
	place.run(&["account", "new", "other"]).failure(1, "BLYAN_KEY_PASSWORD");
	assert_eq!(names_in(&place.path("data/blyan/keys")), ["mine.json"]);
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_only() {
	use std::{fs, os::unix::fs::PermissionsExt};
	let place = Place::new();
	let args = ["--keystore", "keys", "account", "new", "mine", "--no-password"];
	place.run(&args).success();
	let path = place.path("keys/mine.json");
	assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
	assert_eq!(fs::metadata(place.path("keys")).unwrap().permissions().mode() & 0o777, 0o700);
	fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
	place.run(&["--keystore", "keys", "account", "show", "mine"]).failure(1, "chmod 600");
}

#[test]
fn phrases_seeds_and_development_keys_are_imported_from_standard_input() {
	let place = Place::new();
	let import = |name: &str, scheme: &str, input: &str| {
		let args = ["--json", "account", "import", name, "--no-password", "--scheme", scheme];
		place.feed(input, &args)
	};
	let alice = import("alice", "sr25519", "//Alice\n").json();
	assert_eq!(alice["address"], ALICE);
	let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Alice";
	assert_eq!(import("phrase", "sr25519", phrase).json()["address"], ALICE);
	let ed25519 = import("ed", "ed25519", "//Alice").json();
	assert_eq!(ed25519["address"], "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu");
	import("seed", "ed25519", &format!("0x{}", "ab".repeat(32))).success();
	import("soft", "ed25519", "//Alice/soft").failure(1, "//");
	import("empty", "sr25519", "").failure(1, "no secret");
	import("wrong", "sr25519", "these are no words of the list").failure(1, "no secret");
	import("long", "sr25519", &"word ".repeat(1_000)).failure(1, "more than");
	import("alice", "sr25519", "//Bob").failure(1, "already");
	import("../alice", "sr25519", "//Bob").failure(1, "no name of a key");

	let keystore = Keystore::new(place.path("data/blyan/keys"));
	assert_eq!(keystore.key("alice").unwrap().account().to_string(), ALICE);
	assert_eq!(keystore.key("//Alice").unwrap().account().to_string(), ALICE);
	let names: Vec<String> = keystore.list().unwrap().into_iter().map(|entry| entry.name).collect();
	assert_eq!(names, ["alice", "ed", "phrase", "seed"]);
}

#[test]
fn development_keys_are_shown_without_a_file() {
	let place = Place::new();
	let shown = place.run(&["--json", "account", "show", "//Alice"]).json();
	assert_eq!(shown["address"], ALICE);
	assert_eq!(
		shown["public_key"],
		"0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
	);
	assert!(shown["file"].is_null());
	place.run(&["account", "show", "nobody"]).failure(1, "account list");
}
