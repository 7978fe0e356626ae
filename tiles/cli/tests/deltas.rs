//! `delta encode`, `apply`, `merge` and `inspect`.

mod support;

use blyan_engine::low_rank::{fit, Matrix, Tensors};
use blyan_primitives::{
	delta::{self, merge_leaf, Encoder},
	H256,
};
use blyan_tiles::TileFile;
use serde_json::json;
use support::Place;

const WEIGHTS: usize = delta::LEAF_WEIGHTS + 640;

/// A component whose weights all differ.
fn base() -> Vec<i32> {
	(0..WEIGHTS as i32).map(|place| place.wrapping_mul(40_503) % (1 << 24)).collect()
}

/// The base with one weight in `every` moved by multiples of `by`.
fn moved(every: usize, by: i32) -> Vec<i32> {
	let mut weights = base();
	for (place, weight) in weights.iter_mut().enumerate().step_by(every) {
		*weight += by * (place as i32 % 7 - 3);
	}
	weights
}

fn create(place: &Place, name: &str, weights: &[i32]) -> H256 {
	TileFile::create(place.path(name), weights).unwrap()
}

fn weights_of(place: &Place, name: &str) -> Vec<i32> {
	TileFile::open(place.path(name)).unwrap().weights().unwrap().to_vec()
}

fn encode(place: &Place, target: &str, out: &str, bytes: &str) -> serde_json::Value {
	let args =
		["--json", "delta", "encode", "base", target, "--out", out, "--bytes-per-chunk", bytes];
	place.run(&args).json()
}

#[test]
fn applying_a_delta_with_room_enough_gives_the_target() {
	let place = Place::new();
	let base_root = create(&place, "base", &base());
	let target_root = create(&place, "target", &moved(1_000, 2));
	let encoded = encode(&place, "target", "delta", "112");
	assert_eq!(encoded["weights"], WEIGHTS);
	assert_eq!(encoded["moved"], encoded["kept"]);
	assert_eq!(encoded["error_left"], "0.0 %");

	let apply = ["--json", "delta", "apply", "base", "delta", "--out", "new"];
	let applied = place.run(&apply).json();
	assert_eq!(applied["changed"], encoded["moved"]);
	assert_eq!(applied["base_root"], format!("{base_root:?}"));
	assert_eq!(applied["root"], format!("{target_root:?}"));
	assert_eq!(weights_of(&place, "new"), moved(1_000, 2));
}

#[test]
fn small_budget_keeps_the_size_and_says_what_is_lost() {
	let place = Place::new();
	create(&place, "base", &base());
	create(&place, "target", &moved(3, 1_000));
	let encoded = encode(&place, "target", "delta", "40");
	let bytes = encoded["bytes"].as_u64().unwrap();
	assert_eq!(bytes, place.read("delta").len() as u64);
	assert!(bytes <= 17 * 40 + 2 * 4, "{bytes}");
	assert!(encoded["kept"].as_u64() < encoded["moved"].as_u64());
	assert_ne!(encoded["error_left"], "0.0 %");

	let inspect = ["--json", "delta", "inspect", "delta", "--base", "base"];
	let inspected = place.run(&inspect).json();
	assert_eq!(inspected["delta_root"], encoded["delta_root"]);
	assert_eq!(inspected["leaves"].as_array().unwrap().len(), 2);
	let weights = WEIGHTS.to_string();
	let inspect = ["--json", "delta", "inspect", "delta", "--weights", &weights];
	assert_eq!(place.run(&inspect).json(), inspected);
}

#[test]
fn merging_is_what_the_primitives_say() {
	let place = Place::new();
	create(&place, "base", &base());
	create(&place, "a", &moved(50, 100));
	create(&place, "b", &moved(70, -300));
	encode(&place, "a", "a.delta", "112");
	encode(&place, "b", "b.delta", "112");
	let merge = ["--json", "delta", "merge", "base", "a.delta:3", "b.delta:5", "--out", "new"];
	place.run(&merge).json();

	let mut expected = base();
	let leaves = expected.chunks_mut(delta::LEAF_WEIGHTS).enumerate();
	for (leaf, weights) in leaves {
		let start = leaf * delta::LEAF_WEIGHTS;
		let encoded = [moved(50, 100), moved(70, -300)].map(|target| {
			let mut wanted: Vec<i64> = weights
				.iter()
				.zip(&target[start..])
				.map(|(from, to)| i64::from(*to) - i64::from(*from))
				.collect();
			let mut bytes = Vec::new();
			Encoder::new().encode(&mut wanted, 112, &mut bytes);
			bytes
		});
		let [a, b] = encoded.each_ref().map(|bytes| Some(bytes.as_slice()));
		merge_leaf(weights, &[(3, a), (5, b)]).unwrap();
	}
	assert_eq!(weights_of(&place, "new"), expected);

	// The order of updates does not matter, the samples do.
	let swapped = ["delta", "merge", "base", "b.delta:5", "a.delta:3", "--out", "swapped"];
	place.run(&swapped).success();
	assert_eq!(weights_of(&place, "swapped"), expected);
	let even = ["delta", "merge", "base", "a.delta:1", "b.delta:1", "--out", "even"];
	place.run(&even).success();
	assert_ne!(weights_of(&place, "even"), expected);
}

/// A matrix that crosses from the first leaf of the component into the second.
const MATRIX: Matrix = Matrix { weights: WEIGHTS, first: 512, rows: 255, cols: 257 };
const MATRIX_PLACE: &str = "512:255:257";

fn tensors() -> Tensors {
	Tensors::new(vec![MATRIX]).unwrap()
}

/// The base with rows of a matrix moved by multiples of one another, and every weight by some more.
fn moved_in_rows() -> Vec<i32> {
	let mut weights = base();
	for (place, weight) in weights.iter_mut().enumerate() {
		*weight += (place as i32).wrapping_mul(7_919) % 60;
	}
	for (place, weight) in weights[512..].iter_mut().take(255 * 257).enumerate() {
		let (row, col) = (place / 257, place % 257);
		*weight += (row as i32 * 3 % 101 - 50) * (col as i32 * 5 % 83 - 41);
	}
	weights
}

fn difference(to: &[i32]) -> Vec<i64> {
	base().iter().zip(to).map(|(from, to)| i64::from(*to - *from)).collect()
}

fn encode_low_rank(place: &Place, target: &str, out: &str, rank: &str) -> serde_json::Value {
	let args = ["--json", "delta", "encode", "base", target, "--out", out];
	place.run(&[&args[..], &["--low-rank", rank, "--matrix", MATRIX_PLACE]].concat()).json()
}

#[test]
fn low_rank_is_taken_where_it_leaves_less() {
	let place = Place::new();
	create(&place, "base", &base());
	create(&place, "target", &moved_in_rows());
	let percent = |encoded: &serde_json::Value| -> f64 {
		encoded["error_left"].as_str().unwrap().trim_end_matches(" %").parse().unwrap()
	};
	let chunks = encode(&place, "target", "chunks", "112");
	assert_eq!((&chunks["kind"], &chunks["ranks"]), (&json!("chunks"), &json!([])));
	let auto = encode_low_rank(&place, "target", "auto", "auto");
	// 17 chunks of 112 bytes are for three ranks of 513 bytes: a row is in both leaves.
	assert_eq!((&auto["kind"], &auto["ranks"]), (&json!("low rank"), &json!([3])));
	assert!(percent(&auto) < percent(&chunks) / 10.0, "{auto} {chunks}");
	assert_eq!(auto["bytes"], 4 + 3 * 513 + 3 * 4);
	assert_eq!(auto["bytes"], place.read("auto").len());
	// The same input, the same bytes; and the rank that was taken can be asked for.
	encode_low_rank(&place, "target", "again", "auto");
	assert_eq!(place.read("again"), place.read("auto"));
	encode_low_rank(&place, "target", "asked", "3");
	assert_eq!(place.read("asked"), place.read("auto"));

	// Single weights are what chunks are for.
	create(&place, "single", &moved(1_000, 2));
	let chunks = encode(&place, "single", "chunks", "112");
	let auto = encode_low_rank(&place, "single", "auto", "auto");
	assert_eq!(auto["error_left"], chunks["error_left"]);
	assert_eq!(auto["kind"], "chunks");
	assert_eq!(place.read("auto"), place.read("chunks"));
}

#[test]
fn low_rank_deltas_apply_merge_and_are_inspected() {
	let place = Place::new();
	create(&place, "base", &base());
	create(&place, "rows", &moved_in_rows());
	create(&place, "single", &moved(50, 100));
	let encoded = encode_low_rank(&place, "rows", "rows.delta", "2");
	encode(&place, "single", "single.delta", "112");
	let fitted = fit(&tensors(), &difference(&moved_in_rows()), &[2]).unwrap();
	let said = fitted.delta.increments(&tensors()).unwrap();
	let leaves = fitted.delta.encode(&tensors()).unwrap();
	assert_eq!(place.read("rows.delta"), delta::encode_blob(&[leaves]));

	let run = |args: &[&str]| place.run(&[args, &["--matrix", MATRIX_PLACE]].concat());
	run(&["delta", "apply", "base", "rows.delta", "--out", "applied"]).success();
	let mut expected = base();
	delta::apply(&mut expected, &said);
	assert_eq!(weights_of(&place, "applied"), expected);

	run(&["delta", "merge", "base", "rows.delta:3", "single.delta:5", "--out", "merged"]).success();
	let mut rest = difference(&moved(50, 100));
	let whole = rest.clone();
	for leaf in rest.chunks_mut(delta::LEAF_WEIGHTS) {
		Encoder::new().encode(leaf, 112, &mut Vec::new());
	}
	let single = whole.iter().zip(&rest).map(|(whole, rest)| whole - rest).collect();
	let mut expected = base();
	delta::apply(&mut expected, &delta::merge(&[(3, said), (5, single)]));
	assert_eq!(weights_of(&place, "merged"), expected);

	let inspect = ["--json", "delta", "inspect", "rows.delta", "--base", "base"];
	let inspected = run(&inspect).json();
	assert_eq!(inspected["kind"], "low rank");
	let tensor = &inspected["tensors"][0];
	assert_eq!((&tensor["rank"], &tensor["rows"]), (&json!(2), &json!(255)));
	assert_eq!(tensor["changes"], encoded["kept"]);
	assert_eq!(inspected["delta_root"], encoded["delta_root"]);
	// Chunks are chunks, whatever matrix is named.
	let inspect = ["--json", "delta", "inspect", "single.delta", "--base", "base"];
	assert_eq!(run(&inspect).json(), place.run(&inspect).json());
}

#[test]
fn low_rank_deltas_are_of_all_tensors_that_are_named() {
	let place = Place::new();
	create(&place, "base", &base());
	create(&place, "target", &moved_in_rows());
	let both = ["--matrix", "0:1:512", "--matrix", MATRIX_PLACE];
	let run = |args: &[&str]| place.run(&[args, &both].concat());
	let encode = ["--json", "delta", "encode", "base", "target", "--out", "x", "--low-rank", "2"];
	let encoded = run(&encode).json();
	// A vector has no second rank.
	assert_eq!(encoded["ranks"], json!([1, 2]));

	let vector = Matrix { weights: WEIGHTS, first: 0, rows: 1, cols: 512 };
	let tensors = Tensors::new(vec![vector, MATRIX]).unwrap();
	let fitted = fit(&tensors, &difference(&moved_in_rows()), &[1, 2]).unwrap();
	run(&["delta", "apply", "base", "x", "--out", "applied"]).success();
	let mut expected = base();
	delta::apply(&mut expected, &fitted.delta.increments(&tensors).unwrap());
	assert_eq!(weights_of(&place, "applied"), expected);
	let inspected = run(&["--json", "delta", "inspect", "x", "--base", "base"]).json();
	assert_eq!(inspected["tensors"].as_array().unwrap().len(), 2);
	assert_eq!(inspected["tensors"][0]["rank"], 1);
}

#[test]
fn deltas_of_either_kind_are_added_to_streams() {
	let place = Place::new();
	create(&place, "base", &base());
	create(&place, "rows", &moved_in_rows());
	create(&place, "single", &moved(50, 100));
	encode_low_rank(&place, "rows", "rows.delta", "2");
	encode(&place, "single", "single.delta", "112");
	place.run(&["tile", "compress", "base", "--out", "base.blys"]).success();
	for delta in ["rows.delta", "single.delta"] {
		let apply = |base: &str, out: &str| {
			let args = ["--json", "delta", "apply", base, delta, "--out", out];
			place.run(&[&args[..], &["--matrix", MATRIX_PLACE]].concat()).json()
		};
		let (file, stream) = (apply("base", "new"), apply("base.blys", "new.blys"));
		assert_eq!(stream["root"], file["root"]);
		assert_eq!(stream["base_root"], file["base_root"]);
		assert_eq!(stream["weights"], WEIGHTS);
		assert!(stream["changed"].is_null());
		place.run(&["tile", "expand", "new.blys", "--out", "expanded"]).success();
		assert_eq!(place.read("expanded"), place.read("new"));
	}

	let apply = |delta: &str, args: &[&str]| {
		place.run(&[&["delta", "apply", "base.blys", delta, "--out", "x"], args].concat())
	};
	apply("rows.delta", &[]).failure(1, "--matrix");
	apply("rows.delta", &["--matrix", "512:257:255"]).failure(1, "no delta of this component");
	apply("rows.delta", &["--matrix", "512:257:256"]).failure(2, "do not overlap");
	apply("rows", &[]).failure(1, "no delta of this component");
	apply("missing", &[]).failure(1, "missing");
	let whole = place.read("rows.delta");
	place.write("cut", &whole[..whole.len() - 1]);
	apply("cut", &["--matrix", MATRIX_PLACE]).failure(1, "no delta of this component");
	assert!(!place.path("x").exists());
}

#[test]
fn low_rank_deltas_of_no_or_other_tensors_are_refused() {
	let place = Place::new();
	create(&place, "base", &base());
	create(&place, "target", &moved_in_rows());
	encode_low_rank(&place, "target", "delta", "3");
	let encode = |args: &[&str]| {
		place.run(&[&["delta", "encode", "base", "target", "--out", "x"], args].concat())
	};
	encode(&["--low-rank", "auto"]).failure(2, "--matrix");
	encode(&["--low-rank", "often", "--matrix", MATRIX_PLACE]).failure(2, "never, auto");
	encode(&["--low-rank", "2", "--matrix", "512:255"]).failure(2, "FIRST:ROWS:COLS");
	encode(&["--low-rank", "2", "--matrix", "1000:255:257"]).failure(2, "do not overlap");
	let twice = ["--low-rank", "2", "--matrix", MATRIX_PLACE, "--matrix", MATRIX_PLACE];
	encode(&twice).failure(2, "do not overlap");
	encode(&["--low-rank", "256", "--matrix", MATRIX_PLACE]).failure(2, "1 to 255");

	let apply = |args: &[&str]| {
		place.run(&[&["delta", "apply", "base", "delta", "--out", "x"], args].concat())
	};
	apply(&[]).failure(1, "--matrix");
	apply(&["--matrix", "512:257:255"]).failure(1, "no delta of this component");
	apply(&["--matrix", "512:257:256"]).failure(2, "do not overlap");
	let whole = place.read("delta");
	place.write("delta", &whole[..whole.len() - 1]);
	apply(&["--matrix", MATRIX_PLACE]).failure(1, "no delta of this component");
	assert!(!place.path("x").exists());
}

#[test]
fn what_does_not_fit_is_refused() {
	let place = Place::new();
	create(&place, "base", &base());
	create(&place, "target", &moved(1_000, 2));
	create(&place, "short", &base()[..640]);
	encode(&place, "target", "delta", "112");
	let encode = |target: &str, bytes: &str| {
		place.run(&["delta", "encode", "base", target, "--out", "x", "--bytes-per-chunk", bytes])
	};
	encode("short", "112").failure(1, "two versions of one component");
	encode("target", "7").failure(2, "--bytes-per-chunk");
	encode("target", "5000").failure(2, "--bytes-per-chunk");
	encode("missing", "112").failure(1, "missing");

	let apply = |base: &str, delta: &str| place.run(&["delta", "apply", base, delta, "--out", "x"]);
	apply("short", "delta").failure(1, "no delta of this component");
	apply("base", "target").failure(1, "no delta of this component");
	apply("base", "missing").failure(1, "missing");
	let whole = place.read("delta");
	place.write("cut", &whole[..whole.len() - 1]);
	apply("base", "cut").failure(1, "no delta of this component");
	assert!(!place.path("x").exists());

	let merge = |delta: &str| place.run(&["delta", "merge", "base", delta, "--out", "x"]);
	merge("delta").failure(2, "FILE:SAMPLES");
	merge("delta:0").failure(2, "FILE:SAMPLES");
	place.run(&["delta", "inspect", "delta"]).failure(2, "--base");
	place.run(&["delta", "inspect", "delta", "--weights", "0"]).failure(2, "--weights");
}
