//! The `tidegate` binary. It starts [`tidegate::cli`].

use std::process::ExitCode;

/// A push allocates and frees thousands of small values. With the system's allocator that takes a third of the
/// gateway's time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
