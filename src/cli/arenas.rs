//! How much memory glibc's allocator may hold on to. By default it keeps a heap for every few threads, eight for each core,
//! and memory that one has given back is no use to the others: a run that needs 300 MiB at any time holds 700. The number
//! can only be set in the environment, before the process starts; so where it is not set, the program starts itself once
//! more with it. On other systems nothing is done.

/// Starts the program again with twice as many heaps as cores, unless somebody has chosen their number.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn limit() {
    use std::os::unix::process::CommandExt as _;

    const HEAPS: &str = "MALLOC_ARENA_MAX";
    if std::env::var_os(HEAPS).is_some() || std::env::var_os("GLIBC_TUNABLES").is_some() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Comes back only where it failed; then the program goes on with what it has.
    let _ = again.args(arguments).env(HEAPS, (2 * cores).to_string()).exec();
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn limit() {}
