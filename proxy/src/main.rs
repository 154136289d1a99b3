//! The `keybrake` command.

use std::process::ExitCode;

/// A call allocates on one thread and frees on another: this allocator is measurably faster at it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keybrake::cli::run()
}
