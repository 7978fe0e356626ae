//! Work that blocks, on threads that may, and how much of it is done at a time.
//!
//! The limits are those of the whole process: all of its work shares one disk and one set of cores.

use super::error::{Error, Result};
use tokio::sync::Semaphore;

/// How many files are hashed at a time. The others wait.
const MAX_HASHING: usize = 2;
/// How many answers are read from files at a time. The others wait.
const MAX_READING: usize = 16;

static HASHING: Semaphore = Semaphore::const_new(MAX_HASHING);
static READING: Semaphore = Semaphore::const_new(MAX_READING);

/// Does work whose amount is bounded by whoever asks for it.
pub async fn run<T: Send + 'static>(
	work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
	// It is not run to its end only if the node stops, or if there is a bug, which was logged.
	tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Stopping))
}

/// Does work that hashes a whole file.
pub async fn hash<T: Send + 'static>(
	work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
	limited(&HASHING, work).await
}

/// Does work that reads an answer.
pub async fn read<T: Send + 'static>(
	work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
	limited(&READING, work).await
}

async fn limited<T: Send + 'static>(
	limit: &'static Semaphore,
	work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
	// Nobody closes it.
	let permit = limit.acquire().await.map_err(|_| Error::Stopping)?;
	run(move || {
		let worked = work();
		// Not before, even if nobody waits for the work any more.
		drop(permit);
		worked
	})
	.await
}

#[cfg(test)]
mod tests {
	use super::*;
	use futures::future::join_all;
	use std::sync::atomic::{AtomicUsize, Ordering};

	#[tokio::test]
	async fn no_more_files_than_the_limit_are_hashed_at_a_time() {
		static RUNNING: AtomicUsize = AtomicUsize::new(0);
		let most = join_all((0..8 * MAX_HASHING).map(|_| {
			hash(|| {
				let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
				std::thread::yield_now();
				RUNNING.fetch_sub(1, Ordering::SeqCst);
				Ok(running)
			})
		}));
		let most = most.await.into_iter().map(|running| running.unwrap()).max();
		assert!(most.unwrap() <= MAX_HASHING);
	}

	#[tokio::test]
	async fn work_that_failed_gives_its_place_back() {
		for _ in 0..=MAX_READING {
			assert!(matches!(read(|| Err::<(), _>(Error::Off)).await, Err(Error::Off)));
		}
	}
}
