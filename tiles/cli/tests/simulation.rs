//! `sim network`: what it prints, and that the same options print the same.

mod support;

use serde_json::Value;
use support::{Place, Ran};

/// Few learners of a small model.
fn simulate(place: &Place, more: &[&str]) -> Ran {
	simulate_with("40", place, more)
}

fn simulate_with(learners: &str, place: &Place, more: &[&str]) -> Ran {
	let small = ["sim", "network", "--learners", learners, "--components", "8", "--leaves", "2"];
	place.run(&[small.as_slice(), more].concat())
}

/// How many latencies of a way the report has, without losses first.
fn latencies_of(report: &Value, way: &str) -> Vec<u64> {
	let rows = report["latencies"].as_array().unwrap().iter().filter(|row| row["way"] == way);
	rows.map(|row| row["count"].as_u64().unwrap()).collect()
}

#[test]
fn report_has_steps_latencies_losses_and_comparisons() {
	let place = Place::new();
	let report = simulate(&place, &["--json", "--lose-primaries", "0.2,1"]).json();
	assert_eq!(report["setup"]["learners"], 40);
	assert_eq!(report["weights"], 8 * 2 * 65_536);
	assert_eq!(report["steps"].as_array().unwrap().len(), 3);
	let losses = report["losses"].as_array().unwrap();
	assert_eq!(losses.len(), 3);
	assert_eq!(losses[0]["components_lost"], 0);
	assert_eq!(losses[1]["components_lost"], 0);
	assert_eq!(losses[2]["components_lost"], 3 * 8);
	assert!(losses[1]["resent_bytes"].as_u64() > Some(0));

	// Each way is dearer than the one before it.
	let wan = |scheme: usize| report["schemes"][scheme]["wan_bytes"].as_u64().unwrap();
	assert!(wan(0) < wan(1) && wan(1) < wan(2));
	for step in report["steps"].as_array().unwrap() {
		assert!(step["wan_bytes"].as_u64() > Some(0));
	}
	let leaf = &report["latencies"][0];
	assert_eq!(leaf["count"], 40 * 4);
	assert!(leaf["p50_us"].as_u64() <= leaf["p95_us"].as_u64());
	assert!(leaf["p95_us"].as_u64() <= leaf["max_us"].as_u64());

	let broadcasts = report["broadcasts"].as_array().unwrap();
	assert_eq!(broadcasts.len(), 3);
	for broadcast in &broadcasts[..2] {
		assert!(broadcast["p95_us"].as_u64() > Some(0));
		assert!(broadcast["step_p95_us"].as_u64() > broadcast["p95_us"].as_u64());
		assert!(broadcast["wan_bytes"].as_u64() > Some(0));
	}
	// Nobody was left to send anything back.
	assert!(broadcasts[2]["step_p95_us"].is_null());
	let way = |way: &str| latencies_of(&report, way);
	// Each learner sends 16 leaves in each of three steps, and all of them arrive once.
	let messages = [3 * 40 * 16, 3 * 40 * 16, 0];
	assert_eq!(way("a leaf message, from its first byte on the uplink"), messages);
	assert_eq!(way("a leaf message, from when the update is ready"), messages);
	assert_eq!(way("merged components back to a learner"), [120, 120, 0]);
	assert_eq!(way("whole step, there and back"), [120, 120, 0]);
}

#[test]
fn goals_are_told_with_what_they_count() {
	let place = Place::new();
	let report = simulate_with("100", &place, &["--json"]).json();
	let goals = report["goals"].as_array().unwrap();
	assert_eq!(goals.len(), 8);
	let most = |way: &str, back: &str| -> u64 {
		let steps = report["steps"].as_array().unwrap().iter();
		steps.map(|step| step[way].as_u64().unwrap() + step[back].as_u64().unwrap()).max().unwrap()
	};
	let sent = most("wan_bytes", "broadcast_wan_bytes");
	let hashed = most("wan_bytes_as_hashed", "broadcast_wan_bytes_as_hashed");
	assert!(sent < hashed);
	assert_eq!(goals[0]["simulated"], format!("{sent} bytes"));
	assert_eq!(goals[1]["simulated"], format!("{hashed} bytes"));
	for goal in goals {
		assert!(goal["verdict"] == "met" || goal["verdict"] == "missed", "{goal}");
	}

	// Half of these uplinks take 16 ms for a leaf.
	let slow = simulate_with("100", &place, &["--json", "--learner-mbit", "1"]).json();
	assert_eq!(slow["goals"][5]["verdict"], "missed");
	let more = simulate(&place, &["--json", "--message-leaves", "2"]).json();
	let leaves = "a leaf message, from when the update is ready";
	assert_eq!(latencies_of(&more, leaves)[0], 3 * 40 * 8);
}

#[test]
fn ten_thousand_learners_are_merged_though_half_of_the_primaries_are_gone() {
	let place = Place::new();
	let few = ["--components", "1", "--leaves", "1", "--steps", "1", "--lose-primaries", "0.5"];
	let all = ["--json", "sim", "network", "--learners", "10000"];
	let report = place.run(&[all.as_slice(), &few].concat()).json();
	let losses = report["losses"].as_array().unwrap();
	assert_eq!(losses.len(), 2);
	// Eight of four regions with four aggregators each.
	assert_eq!(losses[1]["aggregators_lost"], 8);
	// A component that lacks anybody's update is lost.
	assert!(losses.iter().all(|loss| loss["components_lost"] == 0), "{losses:?}");
	for way in ["whole update to all primaries", "whole step, there and back"] {
		assert_eq!(latencies_of(&report, way), [10_000, 10_000], "{way}");
	}
	assert_eq!(report["scaling"].as_array().unwrap().last().unwrap()["learners"], 10_000);
}

#[test]
fn same_seed_prints_and_plots_the_same_bytes() {
	let place = Place::new();
	let first = simulate(&place, &["--json", "--plot", "first.svg"]).success();
	let second = simulate(&place, &["--json", "--plot", "second.svg"]).success();
	assert_eq!(first.out, second.out);
	assert_eq!(place.read("first.svg"), place.read("second.svg"));
	assert!(place.read("first.svg").starts_with(b"<svg "));
	let other = simulate(&place, &["--json", "--seed", "2"]).success();
	assert_ne!(first.out, other.out);
}

#[test]
fn people_see_tables_with_what_was_assumed() {
	let place = Place::new();
	let ran = simulate_with("100", &place, &["--learner-mbit", "77"]).success();
	let parts = ["median 77 Mbit/s", "Latency", "p95 ms", "Lost primaries", "10.0 %", "KiB"];
	let more = ["Merged components back to all learners", "step p95 ms", "Goals", "uplink alone"];
	for part in parts.into_iter().chain(more) {
		assert!(ran.out.contains(part), "{part:?} is not in {}", ran.out);
	}
	// Goals say nothing about other networks.
	let other = simulate(&place, &[]).success();
	assert!(!other.out.contains("Goals"), "{}", other.out);
}

#[test]
fn options_out_of_bounds_are_refused_by_name() {
	let place = Place::new();
	let refused = |option: &str, value: &str| {
		place.run(&["sim", "network", option, value]).failure(2, option);
	};
	refused("--learners", "0");
	refused("--learners", "10001");
	refused("--regions", "17");
	refused("--aggregators", "9");
	refused("--steps", "21");
	refused("--components", "513");
	refused("--leaves", "8193");
	refused("--message-leaves", "0");
	refused("--message-leaves", "17");
	refused("--bytes-per-chunk", "7");
	refused("--merged-bytes-per-chunk", "4099");
	refused("--learner-mbit", "0");
	refused("--aggregator-mbit", "100001");
	refused("--region-delay-ms", "501");
	refused("--spread-ms", "600001");
	refused("--timeout-ms", "0");
	refused("--seed", "x");
	refused("--lose-primaries", "1.5");
	refused("--lose-primaries", "0.1,0.2,0.3,0.4,0.5");
	place.run(&["sim", "network", "--components", "512", "--leaves", "200"]).failure(2, "4000000");
}
