//! Room to work in: what must be set before the process begins.
//!
//! lapin reads and drops nested headers by recursion, on threads of its own. The standard library
//! gives a thread 2 MiB, and a header of 7 KB nested a thousand deep takes more: the process would be
//! aborted, again and again, since the broker delivers the message again. All that fits a frame takes
//! less than 64 MiB. The size is read from the environment once, before the first thread.
//!
//! glibc takes large blocks from the heap once one was given back, and lapin's buffers with them: a
//! few reconnects, and each connection holds eight megabytes that it never touched. A fixed threshold
//! leaves them to the kernel.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::output;

const STACK: &str = "RUST_MIN_STACK";
const STACK_BYTES: usize = 64 << 20;
const MMAP_THRESHOLD: &str = "MALLOC_MMAP_THRESHOLD_";
const MMAP_THRESHOLD_BYTES: usize = 512 << 10;

/// Begins this process anew with what is missing of it. What is set already stays as it is, but for
/// a stack that is too small: one message would end the process again and again.
pub(super) fn make() {
    let set = |name| std::env::var_os(name);
    let stack = set(STACK).and_then(|bytes| bytes.to_str()?.parse::<usize>().ok());
    let mut missing = Vec::new();
    if stack.is_none_or(|bytes| bytes < STACK_BYTES) {
        missing.push((STACK, STACK_BYTES.to_string()));
    }
    if set(MMAP_THRESHOLD).is_none() {
        missing.push((MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES.to_string()));
    }
    if missing.is_empty() {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let Ok(program) = std::env::current_exe() else { return };
    // Only returns if it fails; then it goes on as it is.
    let failed = Command::new(program).arg0(name).args(arguments).envs(missing).exec();
    output::note(format_args!("begin anew with more room: {failed}"));
}
