//! The `tidegate` binary; everything it does begins in [`tidegate::cli`].

use std::process::ExitCode;

/// A push makes and drops thousands of small values: the system's allocator takes a third of the gateway's time for that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
