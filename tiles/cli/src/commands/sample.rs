//! Which records a trainer must use, or an evaluation uses.

use crate::{
	args::SampleArgs,
	context::{usage, Context},
};
use blyan_primitives::sampling::{self, Mixture, MAX_EVALUATION_RECORDS};
use serde::Serialize;

/// One record.
#[derive(Serialize)]
struct Drawn {
	/// Which record of the step or the evaluation it is.
	i: u32,
	/// Position of its dataset in the mixture.
	dataset: usize,
	/// The record in its dataset.
	record: u32,
}

/// Prints the records of a step, or of an evaluation.
pub fn sample(args: SampleArgs, context: &Context) -> anyhow::Result<()> {
	Mixture::new(&args.datasets)?;
	let drawn: Vec<Drawn> = match (args.evaluation, &args.trainer) {
		(Some(count), _) => {
			if count > MAX_EVALUATION_RECORDS {
				return Err(usage(format!("--evaluation: give at most {MAX_EVALUATION_RECORDS}")));
			}
			let records = sampling::evaluation_records(&args.seed, count, &args.datasets);
			let numbered = (0u32..).zip(records);
			numbered.map(|(i, (dataset, record))| Drawn { i, dataset, record }).collect()
		}
		(None, Some(trainer)) => {
			let mut drawn = Vec::with_capacity(usize::from(args.batch));
			for i in 0..u32::from(args.batch) {
				let record = sampling::sample(&args.seed, &trainer.0, args.step, i, &args.datasets);
				let (dataset, record) = record.ok_or_else(|| {
					usage("every record that was looked at is held out; datasets need 64 records")
				})?;
				drawn.push(Drawn { i, dataset, record });
			}
			drawn
		}
		(None, None) => return Err(usage("give --trainer, or --evaluation")),
	};
	context.output.rows(&drawn, "no records: the datasets hold none out")
}
