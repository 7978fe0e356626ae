//! Experts as graphs that any ONNX runtime can run.

use crate::{
	args::{ModelExportExpertArgs, ModelRunExpertArgs},
	context::{usage, Context},
	folder::ModelFolder,
};
use anyhow::{ensure, Context as _};
use blyan_engine::{executable, Device, Runner};
use blyan_primitives::{
	model::{Component, ComponentKind},
	H256,
};
use blyan_tiles::{atomic, Executable};
use serde::Serialize;
use std::{
	fs::File,
	io::{Read, Write},
	path::Path,
};

/// Bytes of a number of an input.
const NUMBER_BYTES: usize = 4;

/// What `model export-expert` prints.
#[derive(Serialize)]
struct Exported {
	component: String,
	file: String,
	bytes: u64,
	root: H256,
	/// The root of the weights that the graph refers to.
	weights: H256,
	onnx: Option<String>,
}

/// Writes an expert as a graph that refers to its weights.
pub fn export(args: ModelExportExpertArgs, context: &Context) -> anyhow::Result<()> {
	let folder = ModelFolder::open(&args.folder)?;
	let architecture = folder.architecture();
	let kind = ComponentKind::Expert { layer: args.layer, expert: args.expert };
	let index = architecture.component_index(kind).ok_or_else(|| {
		usage(format!(
			"the model has {} layers of {} experts each, counted from 0; there is no {}",
			architecture.layers,
			architecture.experts,
			kind.name()
		))
	})?;
	let component = architecture.component(index).context("the model has this component")?;
	let root = folder.description().roots[index];
	let executable = Executable::expert(&component, root)?;
	// Nothing is written that could not be run: this hashes the weights.
	let weights = folder.tile(&component.name, &root)?;
	let bound = executable.bind(&weights)?;
	let graph = executable.create(&args.out)?;
	if let Some(path) = &args.onnx {
		let bytes = bound.plain()?;
		atomic::write(path, |file| file.write_all(&bytes))?;
	}
	context.output.record(&Exported {
		component: component.name,
		file: args.out.to_string_lossy().into_owned(),
		bytes: executable.encode().len() as u64,
		root: graph,
		weights: root,
		onnx: args.onnx.map(|path| path.to_string_lossy().into_owned()),
	})
}

/// What `model run-expert` prints.
#[derive(Serialize)]
struct Compared {
	component: String,
	tokens: usize,
	/// The square root of the sum of the squares of the output.
	output_norm: f64,
	/// The largest difference from what the engine computes.
	largest_difference: f64,
	/// The same as a part of the largest number that the engine computes.
	relative_difference: f64,
	/// The largest difference as a part of what rounding alone can explain.
	part_of_tolerance: f64,
	agrees: bool,
}

/// Runs an exported expert, and compares it with the engine's own.
pub fn run(args: ModelRunExpertArgs, context: &Context) -> anyhow::Result<()> {
	let executable = Executable::open(&args.file)?;
	let device = Device::named(&args.device)?;
	let folder = ModelFolder::open(&args.weights)?;
	let component = find(&folder, &executable)?;
	let weights = folder.tile(&component.name, &executable.root())?;
	let bound = executable.bind(&weights)?;
	let input = read_input(&args, &executable)?;

	let spinner = context.output.spinner("running");
	let output = Runner::load(&bound)?.run(&input)?;
	let comparison = executable::compare(&bound, &input, &output, &device)?;
	spinner.finish_and_clear();
	if let Some(path) = &args.out {
		let bytes: Vec<u8> = output.iter().flat_map(|number| number.to_le_bytes()).collect();
		atomic::write(path, |file| file.write_all(&bytes))?;
	}
	let squares: f64 = output.iter().map(|number| f64::from(*number).powi(2)).sum();
	context.output.record(&Compared {
		component: component.name,
		tokens: comparison.tokens,
		output_norm: squares.sqrt(),
		largest_difference: comparison.difference,
		relative_difference: comparison.relative(),
		part_of_tolerance: comparison.of_tolerance,
		agrees: comparison.agrees(),
	})?;
	ensure!(
		comparison.agrees(),
		"the graph and the engine differ by more than rounding explains; please report it"
	);
	Ok(())
}

/// The component of the folder that a graph refers to: the one with its root.
fn find(folder: &ModelFolder, executable: &Executable) -> anyhow::Result<Component> {
	let roots = &folder.description().roots;
	let index = roots.iter().position(|root| *root == executable.root()).with_context(|| {
		format!(
			"no component of {} has the root {:?} that the graph of {} refers to; use the weights \
			 that it was exported from, or export it again",
			folder.path().display(),
			executable.root(),
			executable.component()
		)
	})?;
	folder.architecture().component(index).context("the model has this component")
}

/// The input that the command line names.
fn read_input(args: &ModelRunExpertArgs, graph: &Executable) -> anyhow::Result<Vec<f32>> {
	let most = executable::MAX_ROW_NUMBERS;
	if let Some(path) = &args.input {
		return read_numbers(path, most);
	}
	// The rows of all values count.
	let (rows, most_rows) = (args.tokens as usize, most / (graph.row_columns() as usize).max(1));
	if rows == 0 || rows > most_rows {
		return Err(usage(format!("--tokens: give 1 to {most_rows}")));
	}
	let count = rows * graph.input().width as usize;
	Ok(executable::random_rows(args.random.unwrap_or_default(), count))
}

/// The numbers in a file, of which there may be `most`.
fn read_numbers(path: &Path, most: usize) -> anyhow::Result<Vec<f32>> {
	let mut bytes = Vec::new();
	// One byte more than there may be shows that there is more.
	let limit = (most as u64).saturating_mul(NUMBER_BYTES as u64).saturating_add(1);
	File::open(path)
		.and_then(|file| file.take(limit).read_to_end(&mut bytes))
		.with_context(|| format!("cannot read {}", path.display()))?;
	ensure!(
		bytes.len() / NUMBER_BYTES <= most && bytes.len().is_multiple_of(NUMBER_BYTES),
		"{} is no input; it must be 32-bit floats, at most {most} of them",
		path.display()
	);
	let numbers = bytes.chunks(NUMBER_BYTES).map(|chunk| {
		let bytes = chunk.first_chunk::<NUMBER_BYTES>().copied().unwrap_or_default();
		f32::from_le_bytes(bytes)
	});
	Ok(numbers.collect())
}
