//! The binary: see `cli` for what it can be asked to do.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Returns memory to the system after a peak, which that of the C library does not (ADR 0028). Tests of the library
/// count with one of their own.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    entree::cli::main()
}
