//! The `tidegate` binary. It starts [`tidegate::cli`].

use std::process::ExitCode;

/// A push makes and drops thousands of small values, which takes a third of the gateway's time with the system's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tidegate::cli::main()
}
