//! `dataset prepare`, `audit`, `root`, `prove` and `work` on every kind of input, hostile ones
//! included.

mod support;

use blyan_data::prepare::Prepared;
use blyan_primitives::{
	pow,
	record::{Manifest, Record},
	H256,
};
use serde_json::Value;
use std::fs;
use support::{lines, names_in, Place, Ran};

/// Prepares some inputs with short records into `out`.
fn prepare(place: &Place, kind: &str, inputs: &[&str]) -> Ran {
	prepare_into(place, kind, "out", inputs)
}

fn prepare_into(place: &Place, kind: &str, out: &str, inputs: &[&str]) -> Ran {
	let mut args = vec!["--json", "dataset", "prepare"];
	args.extend(inputs);
	args.extend(["--out", out, "--name", "A test", "--licence", "CC0-1.0", "--language", "en"]);
	args.extend(["--source", "made up", "--kind", kind, "--record-bytes", "64"]);
	place.run(&args)
}

/// How often something was left out for a reason that contains this.
fn skipped(summary: &Value, reason: &str) -> u64 {
	let reasons = summary["skipped"].as_array().unwrap();
	let of_reason =
		reasons.iter().filter(|entry| entry["reason"].as_str().unwrap().contains(reason));
	of_reason.map(|entry| entry["count"].as_u64().unwrap()).sum()
}

fn records(place: &Place) -> Vec<Record> {
	Prepared::open(&place.path("out")).unwrap().records().unwrap()
}

/// The lines of the list of what was left out, without its header.
fn skipped_lines(place: &Place) -> Vec<String> {
	let text = String::from_utf8(place.read("out/skipped.tsv")).unwrap();
	assert!(text.starts_with("file\tline\treason\n"));
	text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn text_becomes_records_that_agree_with_the_manifest() {
	let place = Place::new();
	place.write("a.txt", lines(100));
	let summary = prepare(&place, "text", &["a.txt"]).json();
	assert_eq!(summary["records"], 100);
	assert_eq!(summary["shards"], 1);
	assert_eq!(summary["files"], 1);
	assert_eq!(summary["skipped"], serde_json::json!([]));

	let manifest = Manifest::from_bytes(&place.read("out/manifest.scale")).unwrap();
	assert_eq!(manifest.validate(), Ok(()));
	assert_eq!(summary["manifest_hash"], format!("{:?}", manifest.hash()));
	assert_eq!(summary["records_root"], format!("{:?}", manifest.records_root));
	let readable: Value = serde_json::from_slice(&place.read("out/manifest.json")).unwrap();
	assert_eq!(readable["hash"], summary["manifest_hash"]);
	assert_eq!(readable["name"], "A test");
	assert_eq!(readable["licence"], "CC0-1.0");
	assert_eq!(readable["kind"], "text");

	let first = Record::Text { text: String::from("This is line number 0 of a small text.") };
	assert_eq!(records(&place)[0], first);
	let shards = names_in(&place.path("out/shards"));
	assert_eq!(shards.len(), 1);
	assert!(shards[0].ends_with(".bin") && shards[0].len() == 68, "{shards:?}");
	// Nothing else is left in the folder, nor beside it.
	let files = ["manifest.json", "manifest.scale", "shards", "skipped.tsv"];
	assert_eq!(names_in(&place.path("out")), files);
	assert_eq!(names_in(&place.path("")), ["a.txt", "out"]);
}

#[test]
fn same_files_give_the_same_dataset_in_any_folder() {
	let place = Place::new();
	place.write("in/b.txt", lines(50));
	place.write("in/a/z.txt", "Another text that is long enough to be a record.\n");
	place.write("in/c.txt", lines(120));
	let one = prepare_into(&place, "text", "one", &["in"]).json();
	let two = prepare_into(&place, "text", "two", &["in"]).json();
	assert_eq!(one["manifest_hash"], two["manifest_hash"]);
	assert_eq!(one["records"], 121);
	assert_eq!(one["duplicates"], 50);
	assert_eq!(skipped(&one, "there already"), 50);
}

#[test]
fn large_text_fills_several_shards() {
	let place = Place::new();
	place.write("a.txt", lines(40_000));
	let summary = prepare(&place, "text", &["a.txt"]).json();
	assert_eq!(summary["records"], 40_000);
	assert_eq!(summary["shards"], 2);
	let prepared = Prepared::open(&place.path("out")).unwrap();
	assert_eq!(prepared.manifest().shards.len(), 2);
	let last = prepared.record(39_999).unwrap();
	assert_eq!(last, prepared.records().unwrap()[39_999]);
	assert!(prepared.record(40_000).is_err());
	assert!(prepared.shard(2).is_err());
}

#[test]
fn jsonl_and_arrays_of_instructions_are_read() {
	let place = Place::new();
	let item = |n: usize| {
		format!(r#"{{"instruction":"Add one to {n}.","input":"","output":"{}","id":{n}}}"#, n + 1)
	};
	let jsonl: Vec<String> = (0..70).map(item).collect();
	place.write("a.jsonl", jsonl.join("\n"));
	let array: Vec<String> = (70..80).map(item).collect();
	place.write("b.json", format!("[\n{}\n]\n", array.join(",\n")));
	place.write("c.jsonl", "{\"text\":\"prose\"}\n\nnot json\n{\"instruction\":\"half\"}\n");
	place.write("d.txt", lines(10));
	let summary = prepare(&place, "instruction", &["a.jsonl", "b.json", "c.jsonl", "d.txt"]).json();
	assert_eq!(summary["records"], 80);
	assert_eq!(skipped(&summary, "running text"), 2);
	assert_eq!(skipped(&summary, "not an object"), 1);
	assert_eq!(skipped(&summary, "no output"), 1);
	let record = Record::Instruction {
		instruction: String::from("Add one to 79."),
		input: String::new(),
		output: String::from("80"),
	};
	assert_eq!(records(&place)[79], record);
	let lines = skipped_lines(&place);
	assert!(lines[0].starts_with("c.jsonl\t1\t"), "{lines:?}");
	assert!(lines[1].starts_with("c.jsonl\t3\t"), "{lines:?}");
	assert!(lines[2].starts_with("c.jsonl\t4\t"), "{lines:?}");
	assert!(lines[3].starts_with("d.txt\t\t"), "{lines:?}");
}

#[test]
fn tables_are_read_by_their_columns() {
	let place = Place::new();
	let rows: String = (0..70).map(|n| format!("{n},\"Row {n}, with a comma\"\n")).collect();
	place.write("a.csv", format!("id,text\n{rows}"));
	place.write("b.tsv", "Text\tid\nOne more row in another table.\t7\n");
	place.write("c.csv", "id,value\n1,2\n");
	let summary = prepare(&place, "text", &["a.csv", "b.tsv", "c.csv"]).json();
	assert_eq!(summary["records"], 71);
	assert_eq!(skipped(&summary, "first row"), 1);
	let first = Record::Text { text: String::from("Row 0, with a comma") };
	assert_eq!(records(&place)[0], first);

	let rows: String = (0..70).map(|n| format!("Add 1 to {n},,{}\n", n + 1)).collect();
	place.write("d.csv", format!("instruction,input,output\n{rows}"));
	let summary = prepare_into(&place, "instruction", "two", &["d.csv"]).json();
	assert_eq!(summary["records"], 70);
}

#[test]
fn mail_gives_its_text_and_not_its_headers() {
	let place = Place::new();
	let mail = |n: usize| {
		format!(
			"From a@b.example Thu Jan  1 00:00:0{} 1970\nFrom: Somebody <a@b.example>\n\
			 Subject: secret\n\nThis is what mail number {n} says.\n\n",
			n % 10
		)
	};
	let mailbox: String = (0..70).map(mail).collect();
	place.write("a.mbox", &mailbox);
	place.write("archive", mailbox.replace("says", "repeats"));
	let summary = prepare(&place, "text", &["a.mbox", "archive"]).json();
	assert_eq!(summary["records"], 140);
	for record in records(&place) {
		let Record::Text { text } = record else { panic!("no text") };
		assert!(text.starts_with("This is what mail number"), "{text}");
		assert!(!text.contains('@') && !text.contains("secret"), "{text}");
	}
}

#[test]
fn games_are_skipped_with_the_reason() {
	let place = Place::new();
	place.write("in/a.txt", lines(70));
	place.write("in/game.sgf", "(;GM[1]FF[4];B[dd];W[pp])");
	let summary = prepare(&place, "text", &["in"]).json();
	assert_eq!(skipped(&summary, "game records need the game's own spec"), 1);
}

#[test]
fn hostile_lines_are_skipped_by_file_and_line() {
	let place = Place::new();
	let mut text = lines(70).into_bytes();
	text.extend_from_slice(b"\xff\xfe is no text\n");
	text.extend_from_slice(b"a NUL \0 in a line\n");
	text.extend(std::iter::repeat_n(b'x', 3 << 20));
	text.extend_from_slice(b"\nThe end of the text, without an end of line");
	place.write("in/a.txt", &text);
	place.write("in/b.txt", "");
	place.write("in/c.jsonl", "{\"text\":\"a \\u0000 inside\"}\n[[[[\n{\"text\":7}\n");
	place.write("in/d.csv", format!("text\n\"{}", "never closed, ".repeat(1 << 18)));
	place.write("in/e.bin", b"\x00\x01\x02\x03");
	place.write("in/.hidden.txt", "hidden\n");
	place.write("in/f.json", "[{\"text\":\"Kept, although the array breaks off.\"}, {");
	let summary = prepare(&place, "text", &["in"]).json();
	assert_eq!(summary["records"], 72);
	assert_eq!(skipped(&summary, "not UTF-8"), 1);
	assert_eq!(skipped(&summary, "NUL"), 2);
	assert_eq!(skipped(&summary, "too long"), 2);
	assert_eq!(skipped(&summary, "empty"), 1);
	assert_eq!(skipped(&summary, "not an object"), 2);
	assert_eq!(skipped(&summary, "neither text"), 1);
	assert_eq!(skipped(&summary, "hidden"), 1);
	assert_eq!(skipped(&summary, "not JSON"), 1);
	let lines = skipped_lines(&place);
	for expected in
		["in/a.txt\t71\tnot UTF-8", "in/a.txt\t72\tcontains a NUL", "in/a.txt\t73\ttoo long"]
	{
		assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {lines:?}");
	}
	assert!(lines.iter().any(|line| line.starts_with("in/d.csv\t2\ttoo long")), "{lines:?}");
}

#[cfg(unix)]
#[test]
fn links_in_folders_do_not_turn_in_circles() {
	let place = Place::new();
	place.write("in/a.txt", lines(70));
	std::os::unix::fs::symlink(place.path("in"), place.path("in/loop")).unwrap();
	std::os::unix::fs::symlink("/dev/zero", place.path("in/zero.txt")).unwrap();
	let summary = prepare(&place, "text", &["in"]).json();
	assert_eq!(summary["records"], 70);
	assert_eq!(skipped(&summary, "symbolic link"), 2);
	// A link that is named is followed, but a device is no file.
	let zero = prepare_into(&place, "text", "two", &["in/zero.txt", "in/a.txt"]).json();
	assert_eq!(skipped(&zero, "no regular file"), 1);
}

#[test]
fn too_few_records_leave_no_folder_behind() {
	let place = Place::new();
	place.write("a.txt", lines(63));
	place.write("b.png", b"\x89PNG\r\n");
	let ran = prepare(&place, "text", &["a.txt", "b.png"]);
	ran.failure(1, "only 63 records").failure(1, "neither text");
	assert_eq!(names_in(&place.path("")), ["a.txt", "b.png"]);
}

#[test]
fn options_that_make_no_sense_are_misuse() {
	let place = Place::new();
	place.write("a.txt", lines(70));
	let with = |option: &str, value: &str| {
		let mut args = vec!["dataset", "prepare", "a.txt", "--out", "out"];
		for (name, default) in [
			("--name", "A test"),
			("--licence", "CC0-1.0"),
			("--language", "en"),
			("--source", "made up"),
			("--record-bytes", "64"),
		] {
			args.extend([name, if name == option { value } else { default }]);
		}
		place.run(&args)
	};
	with("--licence", "Free").failure(2, "no SPDX identifier");
	with("--language", "English").failure(2, "--language");
	with("--name", "").failure(2, "--name");
	with("--name", &"x".repeat(65)).failure(2, "at most 64 bytes");
	with("--source", "two\nlines").failure(2, "--source");
	with("--record-bytes", "63").failure(2, "--record-bytes");
	with("--record-bytes", "65532").failure(2, "--record-bytes");
	with("--name", "Fine").success();
	with("--name", "Again").failure(1, "not an empty folder");
}

#[test]
fn missing_inputs_are_named() {
	let place = Place::new();
	prepare(&place, "text", &["nothing.txt"]).failure(1, "nothing.txt");
	assert!(!place.path("out").exists());
}

#[test]
fn damage_of_a_prepared_dataset_is_found() {
	let place = Place::new();
	place.write("a.txt", lines(70));
	let summary = prepare(&place, "text", &["a.txt"]).json();
	let root = place.run(&["--json", "dataset", "root", "out"]).json();
	assert_eq!(root["records_root"], summary["records_root"]);
	assert_eq!(root["manifest_hash"], summary["manifest_hash"]);

	let shard = format!("out/shards/{}", names_in(&place.path("out/shards"))[0]);
	let whole = place.read(&shard);
	let mut changed = whole.clone();
	changed[20] ^= 1;
	place.write(&shard, &changed);
	place.run(&["dataset", "root", "out"]).failure(1, "not the shard");
	place.write(&shard, &whole[..whole.len() - 1]);
	place.run(&["dataset", "root", "out"]).failure(1, "not the shard");
	fs::remove_file(place.path(&shard)).unwrap();
	place.run(&["dataset", "root", "out"]).failure(1, "cannot open");
	place.write(&shard, &whole);
	let manifest = place.read("out/manifest.scale");
	place.write("out/manifest.scale", &manifest[..40]);
	place.run(&["dataset", "root", "out"]).failure(1, "manifest.scale");
	place.run(&["dataset", "root", "nowhere"]).failure(1, "nowhere");
}

#[test]
fn records_are_proven_and_false_proofs_refused() {
	let place = Place::new();
	place.write("a.txt", lines(100));
	let summary = prepare(&place, "text", &["a.txt"]).json();
	let proof = ["dataset", "prove", "out", "--record", "77", "--out", "proof.json"];
	place.run(&proof).success();
	let root = summary["records_root"].as_str().unwrap();
	let verified =
		place.run(&["--json", "tile", "verify", "--proof", "proof.json", "--root", root]).json();
	assert_eq!(verified["genuine"], true);
	assert_eq!(verified["index"], 77);

	let text = String::from_utf8(place.read("proof.json")).unwrap();
	place.write("forged.json", text.replace("number 77", "number 78"));
	let verify = ["tile", "verify", "--proof", "forged.json"];
	place.run(&verify).failure(1, "does not hash");
	place.write("moved.json", text.replace("\"index\": 77", "\"index\": 76"));
	place.run(&["tile", "verify", "--proof", "moved.json"]).failure(1, "root");
	let other = "00".repeat(32);
	let elsewhere = ["tile", "verify", "--proof", "proof.json", "--root", &other];
	place.run(&elsewhere).failure(1, "the proof is for the root");
	place.run(&["dataset", "prove", "out", "--record", "100"]).failure(1, "no record 100");
}

#[test]
fn audit_gives_scores_and_a_report_with_its_hash() {
	let place = Place::new();
	place.write("a.txt", lines(99) + "Write to jane.doe@uni-bonn.de for the rest of this.\n");
	prepare(&place, "text", &["a.txt"]).json();
	let args = ["--json", "dataset", "audit", "out", "--report", "report.json"];
	let audited = place.run(&args).json();
	assert_eq!(audited["format"], 1_000);
	assert_eq!(audited["duplicates"], 1_000);
	assert_eq!(audited["personal_data"], 900);
	assert_eq!(audited["licence"], 1_000);
	let report = place.read("report.json");
	let hash = blyan_primitives::hash::blake2b_256(&report);
	assert_eq!(audited["report_hash"], format!("{hash:?}"));
	assert!(!String::from_utf8(report).unwrap().contains("jane"));

	let again = ["--json", "dataset", "audit", "out", "--known", "out"];
	assert_eq!(place.run(&again).json()["duplicates"], 0);
}

/// Looks for a proof of work of so many bits, without a node.
fn work(place: &Place, bits: &str) -> Ran {
	let (manifest, owner) = ("11".repeat(32), "22".repeat(32));
	place.run(&["--json", "dataset", "work", &manifest, "--owner", &owner, "--bits", bits])
}

#[test]
fn proof_of_work_is_for_this_manifest_and_this_owner() {
	let found = work(&Place::new(), "12").json();
	let nonce = found["nonce"].as_u64().unwrap();
	assert!(pow::meets(&H256([0x11; 32]), &[0x22; 32], nonce, 12));
	assert_eq!(found["bits"], 12);
}

#[test]
fn proof_of_work_is_not_sought_for_years_or_for_nobody() {
	let place = Place::new();
	work(&place, "46").failure(1, "45 are the most");
	let hash = "11".repeat(32);
	place.run(&["dataset", "work", "11", "--owner", &hash, "--bits", "1"]).failure(2, "64");
	let nobody = ["dataset", "work", &hash, "--owner", "nobody", "--bits", "1"];
	place.run(&nobody).failure(2, "nobody");
}
